"""Transactions and backends that hand everything to another one: what is to differ is overridden, or assigned."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.checkpoints import CheckpointStore
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, EventStore, Pages
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery

M = TypeVar("M")


class DelegatingTransaction(Transaction):
    """Hands everything to the transaction behind it."""

    def __init__(self, transaction: Transaction, events: EventStore | None = None) -> None:
        self.transaction = transaction
        """What is behind it."""
        self._events = transaction.events if events is None else events

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


class DelegatingEvents(EventStore):
    """Hands everything to the event store behind it."""

    def __init__(self, events: EventStore) -> None:
        self.events = events
        """What is behind it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.events!r}>"

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        return await self.events.append(events, condition=condition)

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        return await self.events.load(aggregate, after=after, upto=upto)

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        return self.events.query(query, after=after, upto=upto, limit=limit, reverse=reverse)

    async def find(self, event_id: UUID) -> Event[Any] | None:
        return await self.events.find(event_id)

    async def head(self) -> int:
        return await self.events.head()

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        return self.events.aggregates(name, after=after, limit=limit)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        return await self.events.count(query)

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        return self.events.follow(query, after=after)

    async def delete(self, aggregate: AggregateRef) -> int:
        return await self.events.delete(aggregate)


class DelegatingBackend(Backend):
    """Hands everything to the backend behind it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        """What is behind it."""
        self.location = backend.location
        self.identity = backend.identity
        self.registry = backend.registry
        self.runtime = backend.runtime
        self.events = backend.events
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
        return self.backend.transaction()

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self.backend.select(sql, parameters)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        await self.backend.backup(path)

    async def close(self) -> None:
        await self.backend.close()
