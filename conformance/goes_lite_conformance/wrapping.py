"""Backends with some of their parts replaced: the base of what misbehaves on purpose.

    register_wrapped("slow", lambda backend: WrappedBackend(backend, lambda store: LatencyStore(store, backend.runtime)))
    with goes_lite.blocking.connect("slow+sqlite:///app.db") as db: ...

A wrapped backend is reached by a URL like any other, so both faces, other processes and the suites can use it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.contract.backend import Backend, Transaction, Unknown
from goes_lite.contract.checkpoints import CheckpointStore
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, EventStore, Pages
from goes_lite.contract.factory import BackendFactory
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.database.connect import factory_for, parse, register_backend
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime

M = TypeVar("M")
T = TypeVar("T")


class WrappedStore(EventStore):
    """An event store that hands everything to another; override what shall differ: an operation, or all of them."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        """What is behind it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.store!r}>"

    async def around(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Every operation that is awaited goes through here."""
        return await operation()

    def over(self, pages: Pages[T]) -> Pages[T]:
        """Everything that comes in pages goes through here."""
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


class WrappedTransaction(Transaction):
    """A transaction whose events go through the wrapping of its backend."""

    def __init__(self, transaction: Transaction, events: EventStore) -> None:
        self.transaction = transaction
        self._events = events

    @property
    def events(self) -> EventStore:
        return self._events

    @property
    def snapshots(self) -> SnapshotStore:
        return self.transaction.snapshots

    @property
    def models(self) -> ModelStore:
        return self.transaction.models

    @property
    def checkpoints(self) -> CheckpointStore:
        return self.transaction.checkpoints

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self.transaction.execute(sql, parameters)

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return self.transaction.models_of(collection, type)

    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        self.transaction.on_commit(action)


class WrappedBackend(Backend):
    """A backend that hands everything to another, but for its events; replace further parts by assigning them."""

    def __init__(self, backend: Backend, events: Callable[[EventStore], EventStore] = WrappedStore) -> None:
        self.backend = backend
        """What is behind it."""
        self._wrap = events
        self.location = backend.location
        self.identity = backend.identity
        self.registry = backend.registry
        self.runtime = backend.runtime
        self.events = events(backend.events)
        self.snapshots = backend.snapshots
        self.models = backend.models
        self.checkpoints = backend.checkpoints
        self.leases = backend.leases
        self.bus = backend.bus
        self.commits = backend.commits
        self.abilities = backend.abilities
        self.durability = backend.durability

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.backend!r}>"

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction]:
        async with self.backend.transaction() as transaction:
            yield WrappedTransaction(transaction, self._wrap(transaction.events))

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self.backend.select(sql, parameters)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        await self.backend.backup(path)

    async def close(self) -> None:
        await self.backend.close()


class WrappedFactory:
    """Opens what is behind `name+` in a URL, and wraps it."""

    def __init__(self, scheme: str, wrap: Callable[[Backend], Backend]) -> None:
        self._scheme = scheme
        self._wrap = wrap
        self.embedded: bool = getattr(factory_for(scheme), "embedded", False)
        """As what it wraps: whether its coroutines never suspend on an inline runtime."""

    async def open(
        self, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> Backend:
        address = parse(location.partition("+")[2])
        factory: BackendFactory = factory_for(address.scheme)
        settings = {**address.options, **options}
        return self._wrap(await factory.open(address.location, runtime, registry, unknown, **settings))


def register_wrapped(name: str, wrap: Callable[[Backend], Backend], *, scheme: str = "sqlite") -> None:
    """Serve URLs `name+scheme:…` in this process: what the URL behind the + opens, as `wrap` changes it."""
    register_backend(f"{name}+{scheme}", WrappedFactory(scheme, wrap))
