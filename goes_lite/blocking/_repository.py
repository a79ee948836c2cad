"""The blocking face of a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.blocking._pages import BlockingPages
from goes_lite.blocking._transaction import BlockingTransaction
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.repository import Repository
from goes_lite.runtime.portal import Portal

A = TypeVar("A", bound=Aggregate)


class BlockingRepository(Generic[A]):
    """See `goes_lite.repository.Repository`."""

    def __init__(self, repository: Repository[A], portal: Portal) -> None:
        self._repository = repository
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._repository)

    def new(self, id: str | UUID | None = None) -> A:
        return self._repository.new(id)

    def fetch(self, id: str | UUID, *, create: bool = False, deleted: bool = False) -> A:
        return self._portal.run(self._repository.fetch(id, create=create, deleted=deleted))

    def exists(self, id: str | UUID, *, deleted: bool = False) -> bool:
        return self._portal.run(self._repository.exists(id, deleted=deleted))

    def fetch_version(self, id: str | UUID, version_or_time: int | datetime, *, deleted: bool = False) -> A:
        return self._portal.run(self._repository.fetch_version(id, version_or_time, deleted=deleted))

    def query(
        self,
        *,
        ids: Iterable[str | UUID] | None = None,
        deleted: bool = False,
        updated_since: datetime | None = None,
        after: str | UUID | None = None,
        limit: int | None = None,
    ) -> BlockingPages[A]:
        pages = self._repository.query(ids=ids, deleted=deleted, updated_since=updated_since, after=after, limit=limit)
        return BlockingPages(pages, self._portal)

    def save(self, *aggregates: A, condition: AppendCondition | None = None) -> Appended:
        return self._portal.run(self._repository.save(*aggregates, condition=condition))

    def use(self, id: str | UUID, change: Callable[[A], object], *, create: bool = False, deleted: bool = False) -> A:
        return self._portal.run(self._repository.use(id, self._portal.callback(change), create=create, deleted=deleted))

    def delete(self, id: str | UUID) -> int:
        return self._portal.run(self._repository.delete(id))

    def snapshot(self, aggregate: A) -> Snapshot:
        return self._portal.run(self._repository.snapshot(aggregate))

    def within(self, transaction: BlockingTransaction) -> BlockingRepository[A]:
        return BlockingRepository(self._repository.within(transaction.transaction), self._portal)
