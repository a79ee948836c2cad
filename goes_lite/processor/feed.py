"""The input of a processor: the events of its query after a position, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from goes_lite.contract.event_bus import Start
from goes_lite.contract.event_store import EventStore, Pages
from goes_lite.errors import CodecError, InvalidEventError, InvalidQueryError, UnknownEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, to_micros
from goes_lite.events.query import EventQuery

UNREADABLE = (CodecError, UnknownEventError)
"""Errors of reading an event that does not match its registration."""


class Batch(NamedTuple):
    """Some events, and how far the log was read for them."""

    events: Sequence[Event[Any]]
    position: int
    """Where the next batch begins: after the matching events and after those that do not match."""


class Unreadable(Exception):
    """The next event cannot be read as its registered type."""

    def __init__(self, error: CodecError | UnknownEventError, after: int) -> None:
        self.error = error
        self.position = error.position or after + 1
        self.name = error.name or ""
        self.aggregate: AggregateRef | None = error.aggregate
        super().__init__(error)


class Feed:
    """Reads the log forwards; consecutive batches continue the same query."""

    def __init__(self, events: EventStore, query: EventQuery, size: int) -> None:
        self._events = events
        self._query = query
        self._size = size
        self._pages: Pages[Event[Any]] | None = None
        self._at = 0  # the position of the pages
        self._upto = 0
        self._left: list[Event[Any]] = []

    async def next(self, after: int, upto: int) -> Batch:
        """Return the next batch between two positions; Unreadable if its first event cannot be read."""
        if self._pages is None or self._at != after or self._upto != upto:
            self._pages = self._events.query(self._query, after=after, upto=upto)
            self._left, self._upto = [], upto
        events, self._left = self._left[: self._size], self._left[self._size :]
        ended = False
        while len(events) < self._size and not ended:
            try:
                page = await self._pages.next_page()
            except UNREADABLE as exc:
                self._pages = None
                if not events:
                    raise Unreadable(exc, after) from exc
                break  # the events before it come first
            except BaseException:
                self._pages = None
                raise
            ended = not page
            room = self._size - len(events)
            events += page[:room]
            self._left = list(page[room:])
        self._at = upto if ended else events[-1].position
        if ended:
            self._pages = None
        return Batch(events, self._at)


def check_start(start: Start) -> Start:
    """InvalidQueryError unless a processor can begin there."""
    if start in ("beginning", "now", "last") or (type(start) is int and start >= 0):
        return start
    if isinstance(start, datetime):
        try:
            to_micros(start)
        except InvalidEventError as exc:
            raise InvalidQueryError(f"start: {exc}") from None
        return start
    raise InvalidQueryError(
        f"start must be 'beginning', 'now', 'last', a position (an int ≥ 0) or an aware datetime, not {start!r:.80}"
    )


async def first_position(events: EventStore, start: Start, query: EventQuery) -> int:
    """Return the position after which a processor without a checkpoint begins."""
    if start == "beginning":
        return 0
    if start == "now":
        return await events.head()
    if start == "last":
        head = await events.head()
        found = await _first(events.query(query, upto=head, reverse=True, limit=1), head)
        return found.position - 1 if found else head
    if isinstance(start, datetime):
        # By the order of the log, not of clocks: everything after the first event of that time counts, however old.
        head = await events.head()
        found = await oldest(events, EventQuery(min_time=start), after=0, upto=head)
        return found.position - 1 if found else head
    return start


async def oldest(events: EventStore, query: EventQuery, *, after: int, upto: int) -> Event[Any] | Unreadable | None:
    """Return the first matching event between two positions; None if there is none."""
    return await _first(events.query(query, after=after, upto=upto, limit=1), after)


async def _first(query: Pages[Event[Any]], after: int) -> Event[Any] | Unreadable | None:
    try:
        found = await query.list()
    except UNREADABLE as exc:
        return Unreadable(exc, after)
    return found[0] if found else None
