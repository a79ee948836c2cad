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
        """A new aggregate, with a new id unless one is given. It exists as soon as it is saved with an event."""
        return self._repository.new(id)

    def fetch(self, id: str | UUID, *, create: bool = False, deleted: bool = False) -> A:
        """The aggregate as it is now, an instance of the caller's own.

        AggregateNotFound if it has no events, unless `create=True`: then it is a new one with this id.
        AggregateDeleted if it was softly deleted, unless `deleted=True`.
        """
        return self._portal.run(self._repository.fetch(id, create=create, deleted=deleted))

    def exists(self, id: str | UUID, *, deleted: bool = False) -> bool:
        """Whether `fetch` would find it: it has events, and it is not softly deleted unless `deleted=True`."""
        return self._portal.run(self._repository.exists(id, deleted=deleted))

    def fetch_version(self, id: str | UUID, version_or_time: int | datetime, *, deleted: bool = False) -> A:
        """The aggregate as it was: at a version, or at a time.

        - At a time it is what its events up to the first later one made of it. The versions are the order: should a
          clock have run back, an event behind a later one does not count, however early its own time is.
        - VersionNotFound if it never reached the version, or did not exist yet; AggregateNotFound if it has no events;
          AggregateDeleted if it was softly deleted then, unless `deleted=True`.
        - InvalidQueryError for a version below 1, InvalidEventError for a time without a zone.
        - It cannot be changed from there: saving it, once there are later events, is a ConcurrencyError.
        """
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
        """The aggregates of this class, by id (in the order of code points), each as it is when it is reached.

        - Only those with one of the `ids`; unknown ids are left out.
        - Those softly deleted only with `deleted=True`.
        - Only those whose last event has a time ≥ `updated_since`.
        - Only ids behind `after`, at most `limit` aggregates.
        - One is loaded at a time, in constant memory. One that cannot be loaded raises; going on leaves it out.
        """
        pages = self._repository.query(ids=ids, deleted=deleted, updated_since=updated_since, after=after, limit=limit)
        return BlockingPages(pages, self._portal)

    def save(self, *aggregates: A, condition: AppendCondition | None = None) -> Appended:
        """Append the pending events of one aggregate, or of several at once: all or none.

        - Afterwards nothing is pending. Without pending events nothing happens, and `positions` is empty.
        - ConcurrencyError if somebody else saved such an aggregate since it was loaded, AppendConditionFailed if the
          condition does not hold: nothing is written, and the aggregates keep their pending events and their state.
        - If the outcome is unknown (AppendInDoubtError, a cancellation), saving the same aggregates again, before
          anything else is recorded, is safe and finds out.
        - What `before_save` raises comes through, and nothing is written. What fails after the commit is reported to
          `on_error` and never raised.
        """
        return self._portal.run(self._repository.save(*aggregates, condition=condition))

    def use(self, id: str | UUID, change: Callable[[A], object], *, create: bool = False, deleted: bool = False) -> A:
        """Fetch the aggregate, let `change` work on it, save it and answer it.

            orders.use("2026-001", lambda order: order.place(["tea"], 450), create=True)

        - If somebody else was faster, `change` is called again with a freshly fetched instance; so it runs once per try.
          After the last of the `tries`, the ConcurrencyError (or AppendConditionFailed) comes through.
        - Those of one process line up once they have met; between processes, random pauses keep them apart.
        - Inside a transaction there is one try: what has to be tried again is the whole transaction.
        - `change` may be a coroutine function. What it raises comes through, and nothing is saved.
        - If it returns an AppendCondition, the save is made under it. Anything else that it returns is ignored.
        - If it records nothing, nothing is written, not even with `create=True`.
        - `create` and `deleted` are those of `fetch`.
        """
        return self._portal.run(self._repository.use(id, self._portal.callback(change), create=create, deleted=deleted))

    def delete(self, id: str | UUID) -> int:
        """Erase the aggregate for good, its events and snapshots; answer how many events. 0 if there was none."""
        return self._portal.run(self._repository.delete(id))

    def snapshot(self, aggregate: A) -> Snapshot:
        """Take a snapshot now, whatever the schedule; AggregateError if the aggregate is new or has pending events.

        Only a repository with a schedule looks for it.
        """
        return self._portal.run(self._repository.snapshot(aggregate))

    def within(self, transaction: BlockingTransaction) -> BlockingRepository[A]:
        """This repository inside a transaction: what it saves is committed with all the rest in there, or not at all.

            with db.transaction() as tx:
                orders.within(tx).save(order)
                tx.models.put(...)

        It sees what the transaction wrote, and keeps nothing in the cache. Until the commit, the events of a saved
        aggregate stay pending, and after a rollback they are pending still, so it can be saved again; `after_save`,
        `after_delete` and snapshots come after the commit.
        """
        return BlockingRepository(self._repository.within(transaction.transaction), self._portal)
