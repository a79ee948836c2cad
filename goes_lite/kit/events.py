"""A complete EventStore on top of a backend's rows: checks, pages, following the log, publishing after a commit.

A backend provides `EventRows`, its statements, and an `Executor`; the rules that all backends share are here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from goes_lite.contract.commits import Commits, Published, held
from goes_lite.contract.event_store import (
    AggregateInfo,
    AppendCondition,
    Appended,
    Pages,
    check_condition,
)
from goes_lite.errors import GoesError, InvalidQueryError, StoreDamaged, TransactionError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref, check_name, from_micros
from goes_lite.events.query import EVERYTHING, EventQuery, check_for_query
from goes_lite.events.registry import Raw
from goes_lite.kit.batch import AppendBatch, check_batch
from goes_lite.kit.importing import Import, check_import
from goes_lite.kit.paging import FIRST_PAGE, keyset_pages, lower_bound, upper_bound
from goes_lite.kit.reading import EventReader
from goes_lite.kit.sql import MAX_INTEGER
from goes_lite.kit.stored import AGGREGATE
from goes_lite.runtime import Signal

RECHECK = 5.0
"""Seconds after which a follower looks for new events even if no commit woke it."""

AggregateRow: TypeAlias = tuple[str, str, int, int, int]
"""Name and id, version, and the times of the first and the last event in microseconds."""


class Page(NamedTuple):
    """Part of a query's result."""

    events: Sequence[Event[Any]]
    edge: int
    """The position up to which (reversed: down to which) the page is complete; without `more`, the upper bound."""
    more: bool
    """Whether there may be more events beyond it."""


class EventRows(Protocol):
    """The statements of a backend. Arguments are checked already; each call is one round trip to the storage."""

    page_size: int
    """The maximum number of events in a page."""

    def load(self, ref: AggregateRef, after: int, upto: int, /) -> Awaitable[list[Event[Any]]]:
        """Return the events of an aggregate with after < version ≤ upto; unknown names yield `Raw` data."""
        ...

    def page(self, query: EventQuery, after: int, upto: int, limit: int, /, *, reverse: bool) -> Awaitable[Page]:
        """Return the first `limit` matching events with after < position ≤ upto; see `page_of`."""
        ...

    def stored(self, after: int, upto: int, limit: int, /) -> Awaitable[Page]:
        """Return the first `limit` events with after < position ≤ upto as `EventReader.as_stored` reads them."""
        ...

    def news(self, query: EventQuery, after: int, limit: int, /) -> Awaitable[Page]:
        """Return the first `limit` matching events up to the head, read first. If nothing is new, the edge is `after`."""
        ...

    def find(self, event_id: UUID, /) -> Awaitable[Event[Any] | None]: ...
    def head(self) -> Awaitable[int]: ...
    def aggregates(self, name: str | None, after: AggregateRef | None, limit: int, /) -> Awaitable[list[AggregateRow]]:
        """Return the first `limit` aggregates (of one name, or all) after `after`, by name and id."""
        ...

    def count(self, query: EventQuery, /) -> Awaitable[int]: ...
    def delete(self, ref: AggregateRef, /) -> Awaitable[int]:
        """Erase the events and snapshots of an aggregate and return the number of events."""
        ...

    def insert(self, imported: Import, /) -> Awaitable[int]:
        """Store the events of an import at their positions, as `EventStore.import_events` does, and return the head."""
        ...


class Executor(Protocol):
    """Runs the operations of a store, on connections of the handle or inside one transaction."""

    def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None], /
    ) -> Awaitable[Appended]:
        """Append a checked, non-empty batch and call `committed`, which does not raise, after the commit."""
        ...

    def lock(self) -> Awaitable[None]:
        """Inside a transaction, keep out all other appends until it ends, and see those before."""
        ...


def page_of(read_into: Callable[[list[Event[Any]]], None], last: int | None, end: int) -> Page:
    """Return the page of rows that `read_into` turns into events; `last` is the position of the last row of a full page.

    Events before an unreadable one are returned first, as a page of their own.
    """
    events: list[Event[Any]] = []
    try:
        read_into(events)
    except GoesError:
        if not events:
            raise
        return Page(events, events[-1].position, True)
    return Page(events, end if last is None else last, last is not None)


class LogEvents:
    """Implements `goes_lite.contract.event_store.EventStore`. Without `commits`, it is inside a transaction."""

    def __init__(
        self,
        rows: EventRows,
        executor: Executor,
        reader: EventReader,
        commits: Commits | None,
        published: Published | None = None,
    ) -> None:
        self._rows = rows
        self._executor = executor
        self._reader = reader
        self._commits = commits
        self.published = published
        """Called after each commit of events. Set later, because a bus that reads this store is created after it."""

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events)
        if not batch.events:
            if self._commits is None:
                await self._executor.lock()
            else:
                await self._rows.head()  # nothing to write, but a closed store raises StoreClosed
            return Appended(())
        if self._commits is not None and self._commits.readings:
            await held(self._commits)
        if condition is not None:
            check_condition(condition)
            self._reader.check(condition.query)

        def committed(appended: Appended) -> None:
            if self.published is not None and not appended.already_committed:
                try:
                    self.published(batch.events, appended.positions[0] - 1)
                except Exception:  # the events are stored, even if a subscriber's queue fails
                    import logging  # imported only when something goes wrong

                    logging.getLogger("goes_lite").exception("publishing %d committed events failed", len(batch.events))

        return await self._executor.append(batch, condition, committed)

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        ref = aggregate if type(aggregate) is AggregateRef else aggregate_ref(aggregate)
        if upto is None:
            upto = MAX_INTEGER
        # The usual values need no further look: three calls would be a tenth of all that a load takes.
        if not (type(after) is type(upto) is int and 0 <= after <= MAX_INTEGER and 0 <= upto <= MAX_INTEGER):
            after, upto = lower_bound("after", after), upper_bound("upto", upto)
        return await self._rows.load(ref, after, upto)

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        self._reader.check(query)
        read = partial(self._rows.page, query, reverse=reverse)
        return self._pages(read, after, upto, limit, reverse=reverse)

    def stored(self, *, after: int = 0, upto: int | None = None) -> Pages[Event[Raw]]:
        return self._pages(self._rows.stored, after, upto, None, reverse=False)

    def _pages(
        self,
        read: Callable[[int, int, int], Awaitable[Page]],
        after: int,
        upto: int | None,
        limit: int | None,
        *,
        reverse: bool,
    ) -> Pages[Event[Any]]:
        low, high, left = lower_bound("after", after), upper_bound("upto", upto), upper_bound("limit", limit)
        most = self._rows.page_size
        ends = reverse  # whether the end of the query is known
        size = FIRST_PAGE

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal low, high, left, ends, size
            events: Sequence[Event[Any]] = ()
            # Rows may be left out (unknown="skip"), so an empty page is the end only if it had no rows either.
            while not events and left and low < high:
                events, edge, more = await read(low, high, min(size, left))
                if more and not ends and left > len(events):  # events appended after this are not part of the result
                    head, ends = await self._rows.head(), True
                    if edge > head:
                        what = f"an event is at position {edge}, but the last position is said to be {head}"
                        raise StoreDamaged(self._reader.location, what)
                    high = min(high, head)
                # Nothing is awaited from here on: a fetch that is cancelled is repeated from the same place.
                left = left - len(events) if more else 0
                size = min(size * 4, most)
                if reverse:
                    high = edge - 1
                else:
                    low = edge
            return events

        return Pages(fetch)

    async def find(self, event_id: UUID) -> Event[Any] | None:
        if not isinstance(event_id, UUID):
            raise InvalidQueryError(f"find takes an event id, which is a UUID, not {event_id!r:.80}")
        return await self._rows.find(event_id)

    async def head(self) -> int:
        return await self._rows.head()

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        most = upper_bound("limit", limit)
        last = None if after is None else check_for_query(aggregate_ref, after)
        if name is not None:
            check_for_query(check_name, name, "an aggregate name")
        page = partial(self._rows.aggregates, name)
        return keyset_pages(page, _ref, _info, after=last, limit=most, most=self._rows.page_size)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        self._reader.check(query)
        return await self._rows.count(query)

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        self._reader.check(query)
        cursor = lower_bound("after", after)
        commits, size = self._commits, self._rows.page_size
        closed = Signal()

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal cursor
            while not closed.count:
                seen = 0 if commits is None else commits.count  # before looking, so that no commit is missed
                events, edge, _ = await self._rows.news(query, cursor, size)
                moved, cursor = edge > cursor, edge
                if events:
                    return events
                if moved:
                    continue
                if commits is None:
                    raise TransactionError(
                        "follow() inside a transaction would wait forever for commits: call it outside the transaction"
                    )
                await commits.wait(seen, RECHECK, ended=closed)
            return ()

        return Pages(fetch, closed.notify)

    async def delete(self, aggregate: AggregateRef) -> int:
        return await self._rows.delete(aggregate_ref(aggregate))

    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self._rows.insert(check_import(events, head))


def _ref(row: AggregateRow) -> AggregateRef:
    return AggregateRef._make((row[0], row[1]))


def _info(row: AggregateRow) -> AggregateInfo:
    _, _, version, first, last = AGGREGATE.check(row)
    return AggregateInfo(_ref(row), version, from_micros(first), from_micros(last))
