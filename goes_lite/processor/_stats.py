"""The state and progress of processors: what an instance knows of itself, and what the store knows of all."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from goes_lite.contract.backend import Backend
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.processor.feed import oldest
from goes_lite.processor.records import parked_events

State: TypeAlias = Literal["idle", "standby", "active", "stopped", "failed"]


class Stats(NamedTuple):
    """The state and progress of a processor."""

    name: str
    state: State
    """Of this instance: idle (not started), standby (another is active), active, stopped, failed (by an event). Without an
    instance: active if any is, else idle."""
    position: int
    """The events after it are still to be handled, by any instance."""
    head: int
    lag: int
    """The number of positions between the two: at most so many events wait."""
    lag_seconds: float
    """The age of the oldest waiting event; 0.0 if none waits, or if it cannot be read."""
    rate: float
    """Events per second that this instance has handled since it became active."""
    handled: int
    """Events that this instance has handled."""
    parked: int
    """Dead letters."""
    owner: str | None
    """The active instance; None if there is none."""
    error: Exception | None
    """The last error of this instance."""


async def stats_of(backend: Backend, name: str, query: EventQuery = EVERYTHING) -> Stats:
    """Return the state and progress of the processor with this name, as known to the store."""
    checkpoint = await backend.checkpoints.get(name)
    position = checkpoint.position if checkpoint else 0
    head = await backend.events.head()
    waiting = await oldest(backend.events, query, after=position, upto=head) if position < head else None
    lease = await backend.leases.get(name)
    parked = await parked_events(backend.models, name, backend.runtime).query().list()
    age = (backend.runtime.clock.now() - waiting.time).total_seconds() if isinstance(waiting, Event) else 0.0
    owner = lease.owner if lease else None
    return Stats(
        name, "active" if lease else "idle", position, head, max(0, head - position), max(0.0, age), 0.0, 0,
        len(parked), owner, None,
    )  # fmt: skip
