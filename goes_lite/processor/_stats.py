"""How a processor is getting on: what an instance knows of itself, and what the store knows of all of them."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from goes_lite.contract.backend import Backend
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.processor.feed import oldest
from goes_lite.processor.records import parked_events

State: TypeAlias = Literal["idle", "standby", "active", "stopped", "failed"]


class Stats(NamedTuple):
    """How a processor is getting on."""

    name: str
    state: State
    """Of this instance: idle (not started), standby (another is active), active, stopped, failed (by an event). Where no
    instance is at hand: active if any is, else idle."""
    position: int
    """Behind it lies what is still to be handled, by whichever instance."""
    head: int
    lag: int
    """How many positions lie between the two: at most so many events wait."""
    lag_seconds: float
    """The age of the oldest event that waits; 0.0 if none does, or if that one cannot be read."""
    rate: float
    """Events per second that this instance has handled since it became active."""
    handled: int
    """Events that this instance has handled."""
    parked: int
    """Dead letters."""
    owner: str | None
    """Which instance is active, None if none is."""
    error: Exception | None
    """The last one that this instance met."""


async def stats_of(backend: Backend, name: str, query: EventQuery = EVERYTHING) -> Stats:
    """How the processor of this name is getting on, as far as the store knows."""
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
