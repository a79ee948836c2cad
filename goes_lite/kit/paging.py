"""Reading a log in pages: where each begins, how large it is, when all is read; the same over every store of rows.

A backend brings what reads one page. Pages grow from `FIRST_PAGE` to as many as the backend likes: a query that is left
early reads little, a long one makes few trips.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from goes_lite.contract import event_store
from goes_lite.contract.event_store import AggregateInfo, Pages
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref, check_name
from goes_lite.events.query import asked
from goes_lite.kit.sql import MAX_INTEGER

FIRST_PAGE = 64

ReadPage = Callable[[int, int, int, bool], Awaitable[tuple[Sequence[Event[Any]], int, bool, int]]]
"""Reads what lies behind a position and up to another one, at most so many; the flag says that the latter is no further than
the head, which else bounds it. Answers the events, the position up to which they tell all, whether there may be more, and
the upper bound that was used."""


class Waits(Protocol):
    """What knows of commits."""

    @property
    def commits(self) -> int:
        """The count of commits, to be read before looking."""
        ...

    async def wait(self, seen: int) -> None:
        """Until something may have been committed since the count was `seen`."""
        ...


def check_position(what: str, value: object) -> int:
    """A position, version or limit as a store of 64-bit integers can take it."""
    return min(event_store.check_position(what, value), MAX_INTEGER)


def query_pages(
    page: ReadPage, *, after: int, upto: int | None, limit: int | None, reverse: bool, most: int
) -> Pages[Event[Any]]:
    """The events of a query; it ends at what is the head when its first page is read."""
    low, high = check_position("after", after), MAX_INTEGER if upto is None else check_position("upto", upto)
    left = MAX_INTEGER if limit is None else check_position("limit", limit)
    bounded = False
    size = FIRST_PAGE

    async def fetch() -> Sequence[Event[Any]]:
        nonlocal low, high, left, bounded, size
        events: Sequence[Event[Any]] = ()
        # Rows may be left out (unknown="skip"), so an empty page is the end only if it had no rows either.
        while not events and left and low < high:
            events, edge, more, end = await page(low, high, min(size, left), bounded)
            bounded = True
            if reverse:
                high = edge - 1 if more else low
            else:
                low, high = edge, end
            left -= len(events)
            size = min(size * 4, most)
        return events

    return Pages(fetch)


def aggregate_pages(
    page: Callable[[AggregateRef | None, int], Awaitable[list[AggregateInfo]]],
    name: str | None,
    *,
    after: AggregateRef | None,
    limit: int | None,
    most: int,
) -> Pages[AggregateInfo]:
    """The aggregates of a name or of all; `page` reads those behind one, at most so many, in order."""
    left = MAX_INTEGER if limit is None else check_position("limit", limit)
    behind = None if after is None else asked(aggregate_ref, after)
    if name is not None:
        asked(check_name, name, "an aggregate name")
    size = FIRST_PAGE

    async def fetch() -> Sequence[AggregateInfo]:
        nonlocal behind, left, size
        if not left:
            return ()
        number = min(size, left)
        found = await page(behind, number)
        if found:
            behind = found[-1].aggregate
        left = left - len(found) if len(found) == number else 0
        size = min(size * 4, most)
        return found

    return Pages(fetch)


def follow_pages(
    page: Callable[[int], Awaitable[tuple[Sequence[Event[Any]], int]]], waits: Waits, *, after: int
) -> Pages[Event[Any]]:
    """What lies behind a position, and what is committed from then on; `page` answers events, and how far it has read."""
    cursor = check_position("after", after)

    async def fetch() -> Sequence[Event[Any]]:
        nonlocal cursor
        while True:
            seen = waits.commits
            events, reached = await page(cursor)
            moved = reached > cursor
            cursor = reached
            if events:
                return events
            if not moved:
                await waits.wait(seen)

    return Pages(fetch)
