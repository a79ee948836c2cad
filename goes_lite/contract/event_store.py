"""The EventStore protocol: all that a backend has to implement to keep events.

Each docstring is a list of promises, and each promise has a test in the conformance suite. Positions count in the global
log (≥ 1, unique, strictly increasing in commit order, never reused), versions within one aggregate (1, 2, 3, …).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from goes_lite.errors import InvalidQueryError
from goes_lite.errors.faces import AsyncIteration
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery, check_query
from goes_lite.events.registry import Raw

T = TypeVar("T")


class Appended(NamedTuple):
    """The outcome of an append. `positions` are in the order of the events."""

    positions: tuple[int, ...]
    already_committed: bool = False
    """Whether the very same events had been stored before, by an earlier attempt at the same append."""

    @property
    def position(self) -> int:
        """The last position, which read-your-writes waits for; 0 for an empty batch."""
        return self.positions[-1] if self.positions else 0


class AppendCondition(NamedTuple):
    """Refuse an append if an event that matches `query` has a position > `after` (a dynamic consistency boundary)."""

    query: EventQuery
    after: int = 0


class AggregateInfo(NamedTuple):
    """What a store knows about an aggregate without loading it."""

    aggregate: AggregateRef
    version: int
    first_time: datetime
    """The time of the event at version 1."""
    last_time: datetime
    """The time of the newest event, the one at `version`; not always the latest time, as clocks can be set back."""


def check_position(what: str, value: object) -> int:
    """Return the position, version or limit; InvalidQueryError, which names `what` it is, unless it is an int ≥ 0."""
    if type(value) is not int or value < 0:
        raise InvalidQueryError(f"{what} is an int ≥ 0, not {value!r:.80}")
    return value


def check_condition(condition: AppendCondition | None) -> None:
    """Raise InvalidQueryError unless it is None or an AppendCondition of a query and a position."""
    if condition is not None:
        if not isinstance(condition, AppendCondition):
            raise InvalidQueryError(f"condition is an AppendCondition(query, after), not {condition!r:.80}")
        check_query(condition.query)
        check_position("condition.after", condition.after)


class Pages(AsyncIteration, Generic[T]):
    """An async iterator that fetches a page at a time and holds nothing open in between.

    Use `async for item in pages`, `await pages.list()`, or page by page `pages.next_page()`. Abandoning it at any point
    leaks nothing. Do not share it between tasks; only closing it is for everybody.
    """

    __slots__ = ("_closed", "_fetch", "_left", "_wake")

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[T]]], wake: Callable[[], None] | None = None) -> None:
        self._fetch = fetch  # returns the next page, empty at the end
        self._wake = wake  # makes a fetch that waits return what it has
        self._left: Iterator[T] = iter(())
        self._closed = False

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        for item in self._left:
            return item
        page = await self.next_page()
        if not page:
            raise StopAsyncIteration
        self._left = iter(page)
        return next(self._left)

    async def next_page(self) -> Sequence[T]:
        """Return the items that were fetched but not yet taken, else the next page; empty at the end."""
        left: Sequence[T] = list(self._left)
        if left:
            return left
        page = () if self._closed else await self._fetch()
        return () if self._closed else page

    async def list(self) -> list[T]:
        """Return all remaining items, in memory at once."""
        items: list[T] = []
        while page := await self.next_page():
            items.extend(page)
        return items

    async def aclose(self) -> None:
        """End the iteration, also one that waits in another task, such as that of `follow`. Closing twice is allowed."""
        self._closed, self._left = True, iter(())
        if self._wake is not None:
            self._wake()


class EventStore(Protocol):
    """An append-only log of events: each has a position, and each aggregate a version."""

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        """Store the events, all or none, in the order given, and return their positions.

        - Once it returns, the events are as durable as the store's `durability` says, and visible to every reader.
        - The version of an aggregate's first event in the batch must be its stored version + 1, the rest contiguous;
          else ConcurrencyError with the stored version as `actual`, and nothing is written.
        - Versions that are not contiguous within the batch raise InvalidEventError.
        - One batch may hold events of any number of aggregates, and of none.
        - Appending the very same events again (same ids, everything else the same) succeeds and returns the original
          positions with `already_committed=True`, whatever happened to the aggregate since, and whatever the condition.
        - If an id is stored with anything else different, or only a part of the batch is stored, or an id occurs twice in
          the batch, it raises DuplicateEventError and nothing is written. Data is the same if it is encoded the same.
          Ids are checked first: before versions, and before the condition.
        - An empty batch succeeds, changes nothing and does not check the condition. Inside a transaction it waits for its
          turn among all appends to the store: until the transaction ends nobody else appends, so what is read stays true.
        - With a condition: if an event that matches `condition.query` is stored at a position > `condition.after`, it
          raises AppendConditionFailed and nothing is written. The check is atomic with the write and does not see this
          batch; a query that matched nothing is still a boundary.
        - A lost acknowledgement is retried internally; only a store that stays unreachable ends in AppendInDoubtError.
        - A cancelled append is stored completely or not at all.
        """
        ...

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        """Return the events of an aggregate with after < version ≤ upto, in version order; none if it is unknown.

        Raise StoreDamaged if what is stored shows that one of them is missing: nothing is decided on part of an aggregate.
        """
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
        """Return the matching events with after < position ≤ upto, in position order (or reversed), at most `limit`.

        - It ends at the head as of the first page; events that are appended later are not included.
        - It fetches pages, in constant memory, and holds nothing open in between.
        - Nothing is fetched before the first item is requested.
        """
        ...

    def stored(self, *, after: int = 0, upto: int | None = None) -> Pages[Event[Raw]]:
        """Return the events with after < position ≤ upto as they are stored, in position order. Nothing is decoded.

        - Each has the name under which it was stored, not a newer one, and `Raw` data, whatever the registry knows and
          however the handle treats unknown names. `event.encoded` is the payload, byte for byte.
        - Otherwise it is like `query()`. An event that cannot be read raises StoreDamaged or DecodeError, after all events
          before it; the ones after it can be read with another call.
        """
        ...

    async def find(self, event_id: UUID) -> Event[Any] | None:
        """Return the event with this id, or None if there is none."""
        ...

    async def head(self) -> int:
        """Return the position of the last visible event, 0 for an empty store. It is a high-water mark: it never decreases."""
        ...

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        """Return the aggregates (of one name, or all) that follow `after`, ordered by name and id (by code point)."""
        ...

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        """Return the number of events that match."""
        ...

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        """Yield the matching events with position > after: first those stored, then each as it is committed, forever.

        - It never misses or repeats one, keeps position order, and wakes on commits of this process and of others.
        - `after=await store.head()` starts from now.
        - It ends with StoreClosed when the store is closed.
        """
        ...

    async def delete(self, aggregate: AggregateRef) -> int:
        """Erase the events and snapshots of an aggregate for good, in one transaction; return the number of events.

        - Positions are never reused, the ids become free, and the aggregate can begin again at version 1.
        - An unknown aggregate returns 0, not an error.
        """
        ...

    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        """Store events of another store at the positions that they have, all or none, and return the new head.

        - Every field is stored as it is: id, name, version, time, metadata, tags, encoding and payload. Nothing is decoded,
          and no name has to be registered.
        - Positions are kept, with the gaps between them. They increase, and the head becomes the last of them, or `head` if
          that is higher: positions up to there are never used by another event.
        - Events at positions up to the head of this store must be stored here already, exactly the same: then they are
          left as they are, so that an import can be repeated. Otherwise ImportConflict, and nothing is written.
        - Versions continue those of this store, else ConcurrencyError; a used id raises DuplicateEventError.
        - Events without positions, or in another order, raise InvalidEventError.
        - Readers, followers and subscribers see the events as they see those that another process has appended.
        """
        ...
