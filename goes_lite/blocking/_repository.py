"""The blocking face of a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.blocking._pages import BlockingPages
from goes_lite.blocking._transaction import BlockingTransaction, unwrap
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.repository import Repository
from goes_lite.runtime.portal import Portal

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")


class BlockingRepository(Generic[A]):
    """The blocking face of `goes_lite.repository.Repository`."""

    def __init__(self, repository: Repository[A], portal: Portal) -> None:
        self._repository = repository
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._repository)

    def new(self, id: str | UUID | None = None) -> A:
        """Create an aggregate, with a new id unless one is given. It exists once it is saved with an event."""
        return self._repository.new(id)

    def fetch(self, id: str | UUID, *, create: bool = False, deleted: bool = False) -> A:
        """Return the current aggregate, as an instance that belongs to the caller.

        AggregateNotFound if it has no events; with `create=True`, a new one with this id instead.
        AggregateDeleted if it is softly deleted, unless `deleted=True`.
        """
        return self._portal.run(self._repository.fetch(id, create=create, deleted=deleted))

    def exists(self, id: str | UUID, *, deleted: bool = False) -> bool:
        """Whether `fetch` would find it: it has events and is not softly deleted (unless `deleted=True`)."""
        return self._portal.run(self._repository.exists(id, deleted=deleted))

    def fetch_version(self, id: str | UUID, version_or_time: int | datetime, *, deleted: bool = False) -> A:
        """Return the aggregate as it was at a version, or at a time.

        - At a time: its events before the first later one. The order is that of versions: if a clock ran backwards, an
          event after a later one does not count, however early its own time is.
        - VersionNotFound if it never reached the version, or did not exist yet; AggregateNotFound if it has no events;
          AggregateDeleted if it was softly deleted then, unless `deleted=True`.
        - InvalidQueryError for a version below 1, InvalidEventError for a time without a zone.
        - A past version cannot be changed: saving it raises ConcurrencyError if there are later events.
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
        """Return the aggregates of this class by id (in the order of code points), each as it is when it is reached.

        - `ids`: only these; unknown ids are left out.
        - `deleted`: include softly deleted ones.
        - `updated_since`: only those whose last event has this time or a later one.
        - `after`: only greater ids; `limit`: at most so many aggregates.
        - Aggregates are loaded one at a time, in constant memory. One that cannot be loaded raises; resuming skips it.
        """
        pages = self._repository.query(ids=ids, deleted=deleted, updated_since=updated_since, after=after, limit=limit)
        return BlockingPages(pages, self._portal)

    def save(self, *aggregates: A, condition: AppendCondition | None = None) -> Appended:
        """Append the pending events of one or several aggregates: all or none.

        - Afterwards nothing is pending. Without pending events nothing happens, and `positions` is empty.
        - ConcurrencyError if such an aggregate was saved elsewhere since it was loaded, AppendConditionFailed if the
          condition does not hold: nothing is written, and the aggregates keep their pending events and their state.
        - If the outcome is unknown (AppendInDoubtError, a cancellation), save the same aggregates again before anything
          else is recorded: that is safe and determines the outcome.
        - If `before_save` raises, the exception propagates and nothing is written. Failures after the commit are reported
          to `on_error` and never raised.
        """
        return self._portal.run(self._repository.save(*aggregates, condition=condition))

    def use(self, id: str | UUID, change: Callable[[A], R], *, create: bool = False, deleted: bool = False) -> R:
        """Fetch the aggregate, call `change` with it, save it and return what `change` returned.

            orders.use("2026-001", lambda order: order.place(["tea"], 450), create=True)

        - After a conflict, `change` is called again with a freshly fetched instance; so it runs once per attempt. After the
          last of the `tries`, the ConcurrencyError (or AppendConditionFailed) propagates.
        - Callers of one process queue up after a conflict. The third attempt keeps all other writers out from loading to
          saving, in a transaction, so that it is not lost. If `change` writes elsewhere in the store or takes longer than a
          second, if there are fewer than 5 `tries`, or without the ability "transactions", random pauses keep processes
          apart instead.
        - Inside a transaction there is one attempt: retry the whole transaction.
        - If `change` raises, the exception propagates and nothing is saved.
        - If it returns an AppendCondition, the save has that condition. If it returns the aggregate, that is the saved one.
        - If it records nothing, nothing is written, not even with `create=True`.
        - `create` and `deleted` are those of `fetch`.
        """
        function: Callable[[A], R] = self._portal.callback(change, "change")
        return self._portal.run(self._repository.use(id, function, create=create, deleted=deleted))

    def delete(self, id: str | UUID) -> int:
        """Erase the aggregate permanently, events and snapshots; return how many events it had (0 if there was none)."""
        return self._portal.run(self._repository.delete(id))

    def snapshot(self, aggregate: A) -> Snapshot:
        """Take a snapshot now, whatever the schedule; AggregateError if the aggregate is new or has pending events.

        Only repositories with a schedule read snapshots.
        """
        return self._portal.run(self._repository.snapshot(aggregate))

    def within(self, transaction: BlockingTransaction) -> BlockingRepository[A]:
        """Return this repository inside a transaction: its saves commit together with everything else in the transaction.

            with db.transaction() as tx:
                orders.within(tx).save(order)
                tx.models.put(...)

        It sees what the transaction wrote, and does not use the cache. The events of a saved aggregate stay pending until
        the commit, so after a rollback it can be saved again; `after_save`, `after_delete` and snapshots follow the commit.
        """
        return BlockingRepository(self._repository.within(unwrap(transaction)), self._portal)
