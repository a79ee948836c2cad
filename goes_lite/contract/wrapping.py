"""Stores, transactions and backends that delegate to another: override what differs.

`ComposedBackend` (the stores of one backend, the bus of another) is one of them, and so are inline projections, the
`Database` around a backend, and the faulty backends of the tests.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakSet

from goes_lite.contract.backend import Backend, Durability, Transaction, View
from goes_lite.contract.event_bus import REPLAY, BusConnection
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, EventStore, Pages
from goes_lite.contract.fence import Fence
from goes_lite.contract.findings import Finding
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.events.registry import Raw

T = TypeVar("T")


class WrappedStore(EventStore):
    """An event store that delegates to another; override what differs: one operation, or all of them."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        """The wrapped store."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.store!r}>"

    async def around(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation: every awaited method passes through here."""
        return await operation()

    def over(self, pages: Pages[T]) -> Pages[T]:
        """Return the pages: every method that reads in pages passes through here."""
        return pages

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        return await self.around(lambda: self.store.append(events, condition=condition))

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        return await self.around(lambda: self.store.load(aggregate, after=after, upto=upto))

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        return self.over(self.store.query(query, after=after, upto=upto, limit=limit, reverse=reverse))

    def stored(self, *, after: int = 0, upto: int | None = None) -> Pages[Event[Raw]]:
        return self.over(self.store.stored(after=after, upto=upto))

    async def find(self, event_id: UUID) -> Event[Any] | None:
        return await self.around(lambda: self.store.find(event_id))

    async def head(self) -> int:
        return await self.around(self.store.head)

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        return self.over(self.store.aggregates(name, after=after, limit=limit))

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        return await self.around(lambda: self.store.count(query))

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        return self.over(self.store.follow(query, after=after))

    async def delete(self, aggregate: AggregateRef) -> int:
        return await self.around(lambda: self.store.delete(aggregate))

    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.around(lambda: self.store.import_events(events, head=head))


def innermost(events: EventStore) -> EventStore:
    """Return the store inside all wrappers."""
    while isinstance(events, WrappedStore):
        events = events.store
    return events


class WrappedTransaction(Transaction):
    """A transaction that delegates to another, except for its events if an event store is given."""

    def __init__(self, transaction: Transaction, events: EventStore | None = None) -> None:
        self.transaction = transaction
        """The wrapped transaction."""
        self.runtime = transaction.runtime
        self.events = transaction.events if events is None else events
        self.snapshots = transaction.snapshots
        self.models = transaction.models
        self.checkpoints = transaction.checkpoints

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self.transaction.execute(sql, parameters)

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self.transaction.enqueue(sql, parameters)

    async def flush(self) -> None:
        await self.transaction.flush()

    def on_commit(self, action: Callable[[], Awaitable[object] | object], /) -> None:
        self.transaction.on_commit(action)


class WrappedView(View):
    """A view that delegates to another, except for its events."""

    def __init__(self, view: View, events: EventStore) -> None:
        self.view = view
        """The wrapped view."""
        self.runtime = view.runtime
        self.identity = view.identity
        self.events = events
        self.snapshots = view.snapshots
        self.models = view.models
        self.checkpoints = view.checkpoints


class WrappedBackend(Backend):
    """A backend that delegates to another; replace parts by assigning them.

    `events` wraps its event stores, those of transactions and views included.
    """

    def __init__(self, backend: Backend, events: Callable[[EventStore], EventStore] | None = None) -> None:
        self.backend = backend
        """The wrapped backend."""
        self._wrap = events
        self._around: WeakSet[WrappedBackend] = WeakSet()
        if isinstance(backend, WrappedBackend):
            backend._around.add(self)
        self.location = backend.location
        self.identity = backend.identity
        self.registry = backend.registry
        self.runtime = backend.runtime
        self.events = backend.events if events is None else events(backend.events)
        self.snapshots = backend.snapshots
        self.models = backend.models
        self.checkpoints = backend.checkpoints
        self.leases = backend.leases
        self.bus = backend.bus
        self.commits = backend.commits
        self.abilities = backend.abilities
        self.durability: Durability = backend.durability

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.backend!r}>"

    def moved_to(self, backend: Backend) -> None:
        """Take over what the wrapped backend says about its store, since that is another one now; and so on outwards."""
        self._describe(backend)
        for outer in [*self._around]:
            outer.moved_to(self)

    def _describe(self, backend: Backend) -> None:
        self.location, self.identity = backend.location, backend.identity
        self.abilities, self.durability = backend.abilities, backend.durability

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self.backend.transaction() if self._wrap is None else self._transaction(self._wrap)

    @asynccontextmanager
    async def _transaction(self, wrap: Callable[[EventStore], EventStore]) -> AsyncGenerator[Transaction]:
        async with self.backend.transaction() as transaction:
            yield WrappedTransaction(transaction, wrap(transaction.events))

    def view(self) -> AbstractAsyncContextManager[View]:
        return self.backend.view() if self._wrap is None else self._view(self._wrap)

    @asynccontextmanager
    async def _view(self, wrap: Callable[[EventStore], EventStore]) -> AsyncGenerator[View]:
        async with self.backend.view() as view:
            yield WrappedView(view, wrap(view.events))

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self.backend.select(sql, parameters)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        await self.backend.backup(path)

    async def sizes(self) -> dict[str, int]:
        return await self.backend.sizes()

    async def integrity(self) -> list[Finding]:
        return await self.backend.integrity()

    async def examine(self) -> list[Finding]:
        return await self.backend.examine()

    async def fence(self) -> Fence | None:
        return await self.backend.fence()

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        await self.backend.set_fence(fence, expected=expected, lasts=lasts)

    def pass_fence(self, move: str) -> None:
        self.backend.pass_fence(move)

    async def close(self) -> None:
        await self.backend.close()


class ComposedBackend(WrappedBackend):
    """The stores of one backend and the bus of another: what `connect(url, bus=other_url)` opens."""

    def __init__(self, stores: Backend, connection: BusConnection) -> None:
        super().__init__(stores)
        self._connection = connection
        self.bus = connection.bus
        self._describe(stores)

    def _describe(self, backend: Backend) -> None:
        super()._describe(backend)
        self.location = f"{backend.location} + {self._connection.location}"
        # replay depends on the bus, everything else on the stores
        self.abilities = (backend.abilities - {REPLAY}) | (self._connection.abilities & {REPLAY})

    def __repr__(self) -> str:
        return f"<ComposedBackend {self.backend!r} + {self._connection!r}>"

    async def close(self) -> None:
        try:
            await self._connection.close()
        finally:
            await self.backend.close()
