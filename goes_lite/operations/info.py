"""The facts of a store as data, for a status page, a health check or the command line.

Rule of this file: it reads the records that the features keep (see `contract.own_collections`), and knows none of the features.
What it costs does not grow with the log, except for the counts, which can be left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goes_lite.contract.backend import Backend, Durability
from goes_lite.contract.checkpoints import Checkpoint, Lease
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.own_collections import COMMANDS, parked_collection
from goes_lite.errors import CodecError, InvalidQueryError, StoreDamaged, UnknownEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import from_micros

MANY = 10_000
"""How far parked events and commands are counted, so that a health check stays cheap when something is wrong."""


@dataclass(frozen=True)
class ConsumerInfo:
    """What a store knows of a named consumer of its log, such as a processor: it has a checkpoint."""

    name: str
    position: int
    """The events after it are still to be handled."""
    lag: int
    """The number of positions between that and the head: at most so many events wait."""
    lag_seconds: float | None
    """The age of the first event after its position, in seconds: at least so long the oldest waiting event waits, if that
    event matches its query. 0.0 if none waits; None if the event cannot be read."""
    saved: datetime
    """When its position was saved (aware, UTC)."""
    owner: str | None
    """The active instance, which holds the lease; None if none is active."""
    expires: datetime | None
    """When that lease expires unless it is renewed."""
    parked: int
    """The number of events that it has given up on, or holds back because of one of them; counted up to `MANY`."""
    store: str
    """The identity of the store that its position belongs to: that of this one, unless it is mismatched."""
    mismatched: bool
    """Whether its position belongs to another store or epoch, or lies ahead of the head: it will refuse to run."""


@dataclass(frozen=True)
class CommandsInfo:
    """The commands that a store keeps until they are handled; counted up to `MANY`."""

    waiting: int
    """Accepted or scheduled, and not handled yet."""
    due: int
    """How many of them may begin now."""
    failed: int
    """Given up on."""
    sent: int
    """Handed over to the queue of the event bus, for another service."""
    unreadable: int
    """Records that are damaged."""
    oldest_due: datetime | None
    """Since when the first of the due ones could have begun; None if none is due."""


@dataclass(frozen=True)
class Info:
    """The facts of a store."""

    time: datetime
    """When they were asked for, by the clock of the handle (aware, UTC)."""
    location: str
    """Where the store is: a path or URL, without a password."""
    identity: str
    """The store and its epoch."""
    durability: Durability
    """What an acknowledged append survives, with the settings of this handle."""
    abilities: frozenset[str]
    head: int
    """The position of the last event; 0 for an empty store."""
    events: int | None
    """The number of events; None without counts."""
    aggregates: Mapping[str, int] | None
    """How many aggregates there are of each name; None without counts."""
    first_time: datetime | None
    """The time of the first event; None if there is none, or if it cannot be read."""
    last_time: datetime | None
    """The time of the last event."""
    sizes: Mapping[str, int]
    """How many bytes each part of the store occupies; empty if the backend cannot tell."""
    consumers: tuple[ConsumerInfo, ...]
    """By name."""
    commands: CommandsInfo
    moved_to: str | None = None
    """Where its fence sends writers, since it was moved, or is being moved; None if it takes writes."""

    @property
    def size(self) -> int | None:
        """How many bytes the store occupies; None if the backend cannot tell."""
        return sum(self.sizes.values()) if self.sizes else None


async def info_of(backend: Backend, *, counts: bool = True, many: int = MANY) -> Info:
    """Return the facts of a store; without `counts`, those that need no scan of the log or of the aggregates.

    Parked events and commands are counted up to `many`.
    """
    now = backend.runtime.clock.now()
    head, fence = await backend.events.head(), await backend.fence()
    names: Counter[str] | None = None
    if counts:
        names = Counter()
        pages = backend.events.aggregates()
        while page := await pages.next_page():
            names.update(one.aggregate.name for one in page)
    return Info(
        time=now,
        location=backend.location,
        identity=backend.identity,
        durability=backend.durability,
        abilities=backend.abilities,
        head=head,
        events=await backend.events.count() if counts else None,
        aggregates=None if names is None else dict(names),
        first_time=await _time(backend),
        last_time=await _time(backend, upto=head, reverse=True),
        sizes=await backend.sizes(),
        consumers=await consumers_of(backend, many=many),
        commands=await _commands(backend, now, many),
        moved_to=None if fence is None else fence.to,
    )


async def consumers_of(
    backend: Backend, *, names: Collection[str] | None = None, many: int = MANY
) -> tuple[ConsumerInfo, ...]:
    """Return what the store knows of each named consumer, or of those with these names, by name.

    Parked events are counted up to `many` of each.
    """
    head, now = await backend.events.head(), backend.runtime.clock.now()
    found = [one for one in await backend.checkpoints.all() if names is None or one.name in names]
    return tuple([await _consumer(backend, one, head, now, many) for one in found])


async def _time(backend: Backend, **bounds: Any) -> datetime | None:
    """Return the time of the first event within bounds."""
    event = await _first(backend, **bounds)
    return event.time if isinstance(event, Event) else None


async def _first(backend: Backend, **bounds: Any) -> Event[Any] | Exception | None:
    try:
        found = await backend.events.query(limit=1, **bounds).list()
        for event in found:
            _ = event.time  # converted on access
    except (CodecError, UnknownEventError, StoreDamaged) as exc:
        return exc
    return found[0] if found else None


async def _consumer(backend: Backend, checkpoint: Checkpoint, head: int, now: datetime, many: int) -> ConsumerInfo:
    name, position, store, saved = checkpoint
    lag_seconds: float | None = 0.0
    if position < head:
        waiting = await _first(backend, after=position, upto=head)
        if isinstance(waiting, Event):
            lag_seconds = max(0.0, (now - waiting.time).total_seconds())
        elif waiting is not None:
            lag_seconds = None
    lease = await _lease(backend, name)
    return ConsumerInfo(
        name, position, max(0, head - position), lag_seconds, saved, lease.owner if lease else None,
        lease.expires if lease else None, await _parked(backend, name, many), store,
        store != backend.identity or position > head,
    )  # fmt: skip


async def _lease(backend: Backend, name: str) -> Lease | None:
    try:
        return await backend.leases.get(name)
    except InvalidQueryError:  # a damaged name, by which nobody can run
        return None


async def _parked(backend: Backend, name: str, many: int) -> int:
    try:
        return sum([1 async for _ in backend.models.query(parked_collection(name), limit=many)])
    except InvalidQueryError:  # the name of a checkpoint may be longer than that of a processor
        return 0


async def _commands(backend: Backend, now: datetime, many: int) -> CommandsInfo:
    states: Counter[str] = Counter()
    due: list[datetime] = []
    async for record in backend.models.query(COMMANDS, limit=many):
        try:
            state, time, at_once = _command(record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, CodecError):
            state, time, at_once = "unreadable", now, False
        states[state] += 1
        if state == "waiting" and (at_once or time <= now):
            due.append(time)
    return CommandsInfo(
        states["waiting"], len(due), states["failed"], states["sent"], states["unreadable"], min(due, default=None)
    )


def _command(record: ModelRecord) -> tuple[str, datetime, bool]:
    """Return the state of an accepted command, when it may begin, and whether it may whatever the clock says."""
    document: dict[str, Any] = json.loads(record.data)
    state, due, at_once = document.get("state", "waiting"), document["due"], document.get("at_once", False)
    if state not in ("waiting", "failed", "sent") or type(due) is not int or type(at_once) is not bool:
        raise ValueError(record.data)
    return state, from_micros(due), at_once
