"""The blocking faces of the stores: the same names and promises, without `await`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from goes_lite.blocking._pages import BlockingPages
from goes_lite.contract.checkpoints import Checkpoint, CheckpointStore, Lease, LeaseStore
from goes_lite.contract.commits import Commits
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, EventStore
from goes_lite.contract.model_store import ModelRecord, ModelStore
from goes_lite.contract.snapshot_store import Snapshot, SnapshotStore
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.runtime import Signal
from goes_lite.runtime.portal import Portal


class BlockingEventStore:
    """See `goes_lite.contract.event_store.EventStore`."""

    def __init__(self, store: EventStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        return self._portal.run(self._store.append(events, condition=condition))

    def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        return self._portal.run(self._store.load(aggregate, after=after, upto=upto))

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> BlockingPages[Event[Any]]:
        return BlockingPages(
            self._store.query(query, after=after, upto=upto, limit=limit, reverse=reverse), self._portal
        )

    def find(self, event_id: UUID) -> Event[Any] | None:
        return self._portal.run(self._store.find(event_id))

    def head(self) -> int:
        return self._portal.run(self._store.head())

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> BlockingPages[AggregateInfo]:
        return BlockingPages(self._store.aggregates(name, after=after, limit=limit), self._portal)

    def count(self, query: EventQuery = EVERYTHING) -> int:
        return self._portal.run(self._store.count(query))

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> BlockingPages[Event[Any]]:
        return BlockingPages(self._store.follow(query, after=after), self._portal)

    def delete(self, aggregate: AggregateRef) -> int:
        return self._portal.run(self._store.delete(aggregate))


class BlockingSnapshotStore:
    """See `goes_lite.contract.snapshot_store.SnapshotStore`."""

    def __init__(self, store: SnapshotStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def save(self, snapshot: Snapshot) -> None:
        self._portal.run(self._store.save(snapshot))

    def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        return self._portal.run(self._store.latest(aggregate, upto=upto))

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> BlockingPages[Snapshot]:
        return BlockingPages(self._store.query(names=names, aggregate=aggregate), self._portal)

    def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        return self._portal.run(self._store.delete(aggregate, version=version))

    def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        return self._portal.run(self._store.prune(keep=keep, aggregate=aggregate))


class BlockingModelStore:
    """See `goes_lite.contract.model_store.ModelStore`."""

    def __init__(self, store: ModelStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def get(self, collection: str, id: str) -> ModelRecord | None:
        return self._portal.run(self._store.get(collection, id))

    def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        return self._portal.run(self._store.get_many(collection, ids))

    def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        return self._portal.run(self._store.put(collection, id, data, expected=expected))

    def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        self._portal.run(self._store.put_many(collection, models))

    def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        return self._portal.run(self._store.delete(collection, id, expected=expected))

    def query(
        self,
        collection: str,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> BlockingPages[ModelRecord]:
        pages = self._store.query(collection, where=where, order_by=order_by, reverse=reverse, limit=limit)
        return BlockingPages(pages, self._portal)

    def clear(self, collection: str) -> int:
        return self._portal.run(self._store.clear(collection))

    def rename(self, collection: str, to: str) -> int:
        return self._portal.run(self._store.rename(collection, to))


class BlockingCheckpointStore:
    """See `goes_lite.contract.checkpoints.CheckpointStore`."""

    def __init__(self, store: CheckpointStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def get(self, name: str) -> Checkpoint | None:
        return self._portal.run(self._store.get(name))

    def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        self._portal.run(self._store.save(name, position, lease=lease))

    def delete(self, name: str) -> bool:
        return self._portal.run(self._store.delete(name))

    def all(self) -> list[Checkpoint]:
        return self._portal.run(self._store.all())


class BlockingLeaseStore:
    """See `goes_lite.contract.checkpoints.LeaseStore`."""

    def __init__(self, store: LeaseStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        return self._portal.run(self._store.acquire(name, owner, ttl))

    def renew(self, lease: Lease, ttl: float) -> Lease:
        return self._portal.run(self._store.renew(lease, ttl))

    def release(self, lease: Lease) -> bool:
        return self._portal.run(self._store.release(lease))

    def get(self, name: str) -> Lease | None:
        return self._portal.run(self._store.get(name))


class BlockingCommits:
    """See `goes_lite.contract.commits.Commits`."""

    def __init__(self, commits: Commits, portal: Portal) -> None:
        self._commits = commits
        self._portal = portal

    @property
    def count(self) -> int:
        return self._commits.count

    def wait(self, seen: int, timeout: float | None = None) -> bool:
        return self._portal.run(self._commits.wait(seen, timeout))

    def watch(self, signal: Signal, /) -> AbstractContextManager[None]:
        return self._commits.watch(signal)
