"""The EventStore protocol: the whole of what a backend has to implement to keep events.

Each docstring is a list of promises, and each promise has a test in the conformance suite. Positions are of the
global log (≥ 1, unique, strictly increasing in commit order, never reused); versions are of one aggregate (1, 2, 3, …).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from goes_lite.errors import InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery, check_query

T = TypeVar("T")


class Appended(NamedTuple):
    """What became of an append. `positions` are in the order of the events."""

    positions: tuple[int, ...]
    already_committed: bool = False
    """Whether the very same events had been stored before, by an earlier try of the same append."""

    @property
    def position(self) -> int:
        """The last of the positions: what read-your-writes waits for. 0 for an empty batch."""
        return self.positions[-1] if self.positions else 0


class AppendCondition(NamedTuple):
    """Refuse an append if an event that matches `query` has a position > `after` (a dynamic consistency boundary)."""

    query: EventQuery
    after: int = 0


class AggregateInfo(NamedTuple):
    """What a store knows of an aggregate without loading it."""

    aggregate: AggregateRef
    version: int
    first_time: datetime
    """Of the event at version 1."""
    last_time: datetime
    """Of the newest event, the one at `version`; clocks run back, so it need not be the latest."""


def check_position(what: str, value: object) -> int:
    """A position, version or limit, as every method of a store takes it; InvalidQueryError, which says `what` it is."""
    if type(value) is not int or value < 0:
        raise InvalidQueryError(f"{what} is an int ≥ 0, not {value!r:.80}")
    return value


def check_condition(condition: AppendCondition | None) -> None:
    """InvalidQueryError unless it is an AppendCondition of a query and a position, or None."""
    if condition is not None:
        if not isinstance(condition, AppendCondition):
            raise InvalidQueryError(f"condition is an AppendCondition(query, after), not {condition!r:.80}")
        check_query(condition.query)
        check_position("condition.after", condition.after)


class Pages(Generic[T]):
    """An async iterator that fetches a page at a time and holds nothing open in between.

    `async for item in pages`, or `await pages.list()`, or page by page with `pages.next_page()`. Abandoning it at any
    point leaks nothing. Not to be shared between tasks.
    """

    __slots__ = ("_fetch", "_left")

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[T]]]) -> None:
        self._fetch = fetch  # answers the next page, empty at the end
        self._left: Iterator[T] = iter(())

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        for item in self._left:
            return item
        page = await self._fetch()
        if not page:
            raise StopAsyncIteration
        self._left = iter(page)
        return next(self._left)

    async def next_page(self) -> Sequence[T]:
        """The items that are fetched already and not yet taken, else the next page; empty at the end."""
        return list(self._left) or await self._fetch()

    async def list(self) -> list[T]:
        """Everything that is left, in memory at once."""
        items: list[T] = []
        while page := await self.next_page():
            items.extend(page)
        return items

    async def aclose(self) -> None:
        """Nothing to release; here so that `contextlib.aclosing` can be used with any backend's iterator."""
        self._left = iter(())


class EventStore(Protocol):
    """An append-only log of events with a position for each, and a version for each aggregate."""

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        """Store the events, all or none, in the order given, and answer their positions.

        - Once it returns, the events are as durable as the store's `durability` says, and visible to every reader.
        - The version of an aggregate's first event in the batch must be its stored version + 1, the rest contiguous;
          else ConcurrencyError with the stored version as `actual`, and nothing is written.
        - Versions that are not contiguous within the batch are InvalidEventError.
        - Any number of aggregates, and events of none, may be in one batch.
        - Appending the very same events again (same ids, everything else the same) succeeds, answers the original
          positions and `already_committed=True`, whatever happened to the aggregate since, and whatever the condition.
        - An id that is stored with anything else different, or only a part of the batch being stored, is
          DuplicateEventError, and nothing is written; so is one id twice in a batch. Data is the same if it is encoded
          the same. Whether an id is stored is decided first: before versions, and before the condition.
        - An empty batch succeeds, changes nothing and does not look at the condition.
        - With a condition: if an event that matches `condition.query` is stored at a position > `condition.after`,
          AppendConditionFailed, and nothing is written. It is judged together with the write, before anything of
          this batch is stored; a query that matched nothing is still a boundary.
        - A lost acknowledgement is retried inside; only a store that stays unreachable ends in AppendInDoubtError.
        - A cancelled append is stored wholly or not at all.
        """
        ...

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        """The events of one aggregate with after < version ≤ upto, in version order; none for an unknown aggregate."""
        ...

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        """The events that match, with after < position ≤ upto, in position order (or reversed), at most `limit`.

        - It ends at what is the head when the first page is fetched; events appended later are not in it.
        - Fetched in pages, in constant memory, holding nothing open in between.
        - Nothing is fetched before the first item is asked for.
        """
        ...

    async def find(self, event_id: UUID) -> Event[Any] | None:
        """The event with this id, None if there is none."""
        ...

    async def head(self) -> int:
        """The position of the last visible event, 0 for an empty store. A high-water mark; it never goes back."""
        ...

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        """The aggregates (of one name, or all), ordered by name and id (by code point), those behind `after`."""
        ...

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        """How many events match."""
        ...

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        """The events that match with position > after: first those stored, then each as it is committed, for ever.

        - Never misses one, never repeats one, in position order; wakes on commits of this process and of others.
        - `after=await store.head()` starts from now.
        - Ends with StoreClosed when the store is closed.
        """
        ...

    async def delete(self, aggregate: AggregateRef) -> int:
        """Erase the events and snapshots of an aggregate for good, in one transaction; answer how many events.

        - Positions are never reused; the ids become free; the aggregate can begin again at version 1.
        - An unknown aggregate is 0, not an error.
        """
        ...
