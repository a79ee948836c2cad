"""What the rules about concurrency run on each side, and what they check afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import Appended
from goes_lite.errors import ConcurrencyError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite_conformance.harness.place import Alongside, Place, pause
from goes_lite_conformance.harness.samples import note

CONTENDERS = 64
"""How many contend for the same thing."""

END = EventQuery(tags=["the:end"])
"""Matches the event that is appended after all others, which tells readers that they have seen everything."""


async def end(db: Backend) -> None:
    """Append the event that comes after all others."""
    await db.events.append([note("end", tags=["the:end"])])


def succeeded(outcomes: Iterable[Any]) -> list[Any]:
    """Return the outcomes, or raise the first that is an error."""
    found = list(outcomes)
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return found


async def insist(db: Backend, text: str, *refs: AggregateRef) -> tuple[Appended, list[ConcurrencyError]]:
    """Load, append one event to each aggregate in one batch, retry after each conflict; return the result and the conflicts."""
    conflicts: list[ConcurrencyError] = []
    while True:
        loaded = {ref: len(await db.events.load(ref)) for ref in refs}
        try:
            batch = [note(text, ref, version + 1) for ref, version in loaded.items()]
            return await db.events.append(batch), conflicts
        except ConcurrencyError as conflict:
            assert conflict.aggregate in refs, f"{conflict!r} is about none of {refs}"
            assert conflict.expected == loaded[conflict.aggregate], f"{conflict!r} after {loaded}"
            assert conflict.actual != conflict.expected, f"{conflict!r}: no other writer was faster"
            conflicts.append(conflict)


async def log(db: Backend) -> list[Event[Any]]:
    """Return all events, having checked that positions ascend and that versions of each aggregate are contiguous."""
    events = await db.events.query().list()
    assert all(one.position < other.position for one, other in pairwise(events)), "positions do not ascend"
    versions: dict[AggregateRef, list[int]] = {}
    for event in events:
        if event.aggregate is not None:
            versions.setdefault(event.aggregate, []).append(event.version)
    for ref, found in versions.items():
        assert found == list(range(1, len(found) + 1)), f"the versions of {ref} in the log are {found}"
    return events


async def followed(db: Backend, query: EventQuery = EVERYTHING, *, after: int = 0) -> list[Event[Any]]:
    """Return what a follower gets, up to the event that comes after all others."""
    seen: list[Event[Any]] = []
    async for event in db.events.follow(query | END, after=after):
        seen.append(event)
        if END.matches(event):
            break
    return seen


async def polled(
    place: Place, db: Backend, query: EventQuery = EVERYTHING, *, limit: int | None = None
) -> list[Event[Any]]:
    """Return what a reader gets by repeatedly querying for what is new, up to the event that comes after all others."""
    seen: list[Event[Any]] = []
    while not (seen and END.matches(seen[-1])):
        after = seen[-1].position if seen else 0
        found = await db.events.query(query | END, after=after, limit=limit).list()
        seen += found
        if not found:
            await pause(place)
    return seen


def reading(place: Place, db: Backend) -> list[Alongside]:
    """Start a follower and a polling reader."""
    return [place.alongside(followed(db)), place.alongside(polled(place, db))]


def saw_all(seen: Sequence[Event[Any]], stored: Sequence[Event[Any]], query: EventQuery = EVERYTHING) -> None:
    """Check that a reader saw everything that is stored and matches: each once, in position order, and nothing else."""
    positions = [event.position for event in seen]
    wanted = {event.position: event for event in stored if query.matches(event) or END.matches(event)}
    skipped = sorted(wanted.keys() - set(positions))
    assert not skipped, f"skipped the positions {skipped}"
    assert positions == sorted(positions), f"not in order: {positions}"
    repeated = [position for position, times in Counter(positions).items() if times > 1]
    assert not repeated, f"repeated the positions {repeated}"
    extra = sorted(set(positions) - wanted.keys())
    assert not extra, f"saw the positions {extra}, which are not in the log"
    assert list(seen) == list(wanted.values())
