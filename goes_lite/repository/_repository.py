"""The repository of one class of aggregates on one backend.

Events are the only truth: a save appends them at the version that was loaded, and a fetch replays them, with snapshots and
a cache only to shorten that. Nothing that happens after the commit (a snapshot, a hook) makes a save look failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import copy
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload
from uuid import UUID

from goes_lite.aggregate import Aggregate, check_class, definition_of, mark_committed, mark_saved, set_clock, unsaved
from goes_lite.aggregate.snapshots import check_state, pack
from goes_lite.contract.event_store import AppendCondition, Appended, Pages
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import (
    AggregateDeleted,
    AggregateError,
    AggregateNotFound,
    AppendConditionFailed,
    ConcurrencyError,
    ConfigError,
    InvalidQueryError,
    VersionNotFound,
)
from goes_lite.errors.functions import check_result, failure
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_id, to_micros
from goes_lite.repository._cache import Cache
from goes_lite.repository._history import Loader
from goes_lite.repository._hooks import AfterDelete, AfterSave, BeforeSave, Hooks, OnConflict, OnError
from goes_lite.repository._ids import given_ids, stored_ids, visited
from goes_lite.repository._queues import queues_of
from goes_lite.repository._tries import Refusal, repeated
from goes_lite.repository.options import check_hooks, check_options
from goes_lite.repository.schedule import Schedule
from goes_lite.runtime import own_clock
from goes_lite.runtime.face import call

if TYPE_CHECKING:
    from goes_lite.contract.backend import Backend, Transaction

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")
Save: TypeAlias = "Callable[[Repository[A], Sequence[A], AppendCondition | None], Awaitable[Appended | Refusal]]"


class Repository(Generic[A]):
    """Loads and saves the aggregates of one class on one backend. Safe to use from any task (or thread, if blocking).

    The options and hooks are those of `RepositoryOptions`. ConfigError for an invalid option, or if the class has another
    registry than the backend; RegistrationError if there is a schedule and snapshots cannot encode the state.
    """

    def __init__(
        self,
        backend: Backend,
        aggregate: type[A],
        *,
        snapshots: Schedule | None = None,
        keep_snapshots: int | None = None,
        cache: int = 0,
        tries: int = 10,
        backoff: float = 0.002,
        before_save: BeforeSave[A] | None = None,
        after_save: AfterSave[A] | None = None,
        on_conflict: OnConflict[A] | None = None,
        after_delete: AfterDelete | None = None,
        on_error: OnError | None = None,
    ) -> None:
        definition = check_class(aggregate)
        if definition.registry is not backend.registry:
            raise ConfigError(
                f"{aggregate.__qualname__} records events of {definition.registry!r}, but {backend.location} reads "
                f"them with {backend.registry!r}: pass the same registry to connect() and to the class"
            )
        check_options(snapshots, keep_snapshots, cache, tries, backoff)
        if snapshots is not None:
            check_state(aggregate)
        hooks = Hooks(before_save, after_save, on_conflict, after_delete, on_error)
        check_hooks(hooks._asdict())
        self.backend = backend
        self.aggregate = aggregate
        self._name = definition.name
        self._schedule = snapshots
        self._keep = keep_snapshots
        self._tries = tries
        self._backoff = backoff
        self._hooks = hooks
        self._queues = queues_of(backend)
        self._events = backend.events
        self._snapshots = backend.snapshots
        self._cache = Cache[A](cache) if cache else None
        self._loader = Loader(
            aggregate, backend.events, backend.snapshots if snapshots else None, self._cache, self._hooks.report
        )
        self._transaction: Transaction | None = None
        self._outside = self
        self._clock = own_clock(backend.runtime.clock)
        """The times of the events that its aggregates record, unless they are those of the machine."""

    def __repr__(self) -> str:
        options = f", snapshots={self._schedule!r}" if self._schedule else ""
        options += f", {self._cache!r}" if self._cache is not None else ""
        options += ", in a transaction" if self._transaction else ""
        return f"<Repository of {self.aggregate.__name__} on {self.backend.location}{options}>"

    # --- reading ----------------------------------------------------------------------------------------------------

    def new(self, id: str | UUID | None = None) -> A:
        """Create an aggregate, with a new id unless one is given. It exists once it is saved with an event."""
        return self._timed(self.aggregate(id))

    async def fetch(self, id: str | UUID, *, create: bool = False, deleted: bool = False) -> A:
        """Return the current aggregate, as an instance that belongs to the caller.

        AggregateNotFound if it has no events; with `create=True`, a new one with this id instead.
        AggregateDeleted if it is softly deleted, unless `deleted=True`.
        """
        aggregate = await self._loader.load(self.aggregate(id))
        if not aggregate.version and not create:
            raise AggregateNotFound(aggregate.ref)
        return self._checked(aggregate, deleted)

    async def exists(self, id: str | UUID, *, deleted: bool = False) -> bool:
        """Whether `fetch` would find it: it has events and is not softly deleted (unless `deleted=True`)."""
        if deleted or not definition_of(self.aggregate).deleted_by:
            return bool(await self._events.load(self.aggregate(id).ref, upto=1))
        aggregate = await self._loader.load(self.aggregate(id))
        return aggregate.version > 0 and not aggregate.deleted

    async def fetch_version(self, id: str | UUID, version_or_time: int | datetime, *, deleted: bool = False) -> A:
        """Return the aggregate as it was at a version, or at a time.

        - At a time: its events before the first later one. The order is that of versions: if a clock ran backwards, an
          event after a later one does not count, however early its own time is.
        - VersionNotFound if it never reached the version, or did not exist yet; AggregateNotFound if it has no events;
          AggregateDeleted if it was softly deleted then, unless `deleted=True`.
        - InvalidQueryError for a version below 1, InvalidEventError for a time without a zone.
        - A past version cannot be changed: saving it raises ConcurrencyError if there are later events.
        """
        blank = self.aggregate(id)
        if isinstance(version_or_time, datetime):
            to_micros(version_or_time)
            return self._checked(await self._loader.load_as_of(blank, version_or_time), deleted)
        if type(version_or_time) is not int or version_or_time < 1:
            raise InvalidQueryError(f"a version must be an int ≥ 1, or an aware datetime, not {version_or_time!r:.80}")
        aggregate = await self._loader.load(blank, version_or_time)
        if not aggregate.version:
            raise AggregateNotFound(aggregate.ref, past=True)
        if aggregate.version != version_or_time:
            raise VersionNotFound(aggregate.ref, version_or_time, aggregate.version)
        return self._checked(aggregate, deleted)

    def query(
        self,
        *,
        ids: Iterable[str | UUID] | None = None,
        deleted: bool = False,
        updated_since: datetime | None = None,
        after: str | UUID | None = None,
        limit: int | None = None,
    ) -> Pages[A]:
        """Return the aggregates of this class by id (in the order of code points), each as it is when it is reached.

        - `ids`: only these; unknown ids are left out.
        - `deleted`: include softly deleted ones.
        - `updated_since`: only those whose last event has this time or a later one.
        - `after`: only greater ids; `limit`: at most so many aggregates.
        - Aggregates are loaded one at a time, in constant memory. One that cannot be loaded raises; resuming skips it.
        """
        if isinstance(ids, str | UUID):
            raise InvalidQueryError(f"ids must be a collection of ids, not {ids!r:.80}: write [{ids!r:.80}]")
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidQueryError(f"limit must be an int ≥ 0, not {limit!r:.80}")
        if updated_since is not None:
            to_micros(updated_since)
        candidates = (
            given_ids(ids, after) if ids is not None else stored_ids(self._events, self._name, updated_since, after)
        )

        async def load(id: str) -> A | None:
            aggregate = await self._loader.load(self.aggregate(id))
            time = aggregate.last_event_time
            if time is None or (updated_since and time < updated_since) or (aggregate.deleted and not deleted):
                return None
            return self._timed(aggregate)

        return visited(candidates, load, limit)

    # --- writing ----------------------------------------------------------------------------------------------------

    async def save(self, *aggregates: A, condition: AppendCondition | None = None) -> Appended:
        """Append the pending events of one or several aggregates: all or none.

        - Afterwards nothing is pending. Without pending events nothing happens, and `positions` is empty.
        - ConcurrencyError if such an aggregate was saved elsewhere since it was loaded, AppendConditionFailed if the
          condition does not hold: nothing is written, and the aggregates keep their pending events and their state.
        - If the outcome is unknown (AppendInDoubtError, a cancellation), save the same aggregates again before anything
          else is recorded: that is safe and determines the outcome.
        - If `before_save` raises, the exception propagates and nothing is written. Failures after the commit are reported
          to `on_error` and never raised.
        """
        outcome = await self._append(aggregates, condition)
        if isinstance(outcome, Appended):
            return outcome
        raise outcome

    @overload
    async def use(
        self, id: str | UUID, change: Callable[[A], Awaitable[R]], *, create: bool = False, deleted: bool = False
    ) -> R: ...
    @overload
    async def use(
        self, id: str | UUID, change: Callable[[A], R], *, create: bool = False, deleted: bool = False
    ) -> R: ...
    async def use(
        self, id: str | UUID, change: Callable[[A], Awaitable[R] | R], *, create: bool = False, deleted: bool = False
    ) -> R:
        """Fetch the aggregate, call `change` with it, save it and return what `change` returned.

            await orders.use("2026-001", lambda order: order.place(["tea"], 450), create=True)

        - After a conflict, `change` is called again with a freshly fetched instance; so it runs once per attempt. After the
          last of the `tries`, the ConcurrencyError (or AppendConditionFailed) propagates.
        - Callers of one process queue up after a conflict. The third attempt keeps all other writers out from loading to
          saving, in a transaction, so that it is not lost. If `change` writes elsewhere in the store or takes longer than a
          second, if there are fewer than 5 `tries`, or without the ability "transactions", random pauses keep processes
          apart instead.
        - Inside a transaction there is one attempt: retry the whole transaction.
        - If `change` raises, the exception propagates and nothing is saved. It may be a coroutine function.
        - If it returns an AppendCondition, the save has that condition. If it returns the aggregate, that is the saved one.
        - If it records nothing, nothing is written, not even with `create=True`.
        - `create` and `deleted` are those of `fetch`.
        """
        return await self._use_and_save(id, change, create=create, deleted=deleted)

    async def _use_and_save(
        self, id: str | UUID, change: Callable[[A], Awaitable[R] | R], save: Save[A] | None = None,
        *, create: bool = False, deleted: bool = False,
    ) -> R:  # fmt: skip
        """`use`, for callers with more to commit: then `save` appends, and returns a refusal instead of raising it."""
        ref = AggregateRef._make((self._name, aggregate_id(id)))  # the name was checked with the class
        if not callable(change):
            raise ConfigError(f"change must be a function of the aggregate, not {change!r:.80}")
        took = 0.0

        async def attempt(tx: Transaction | None) -> tuple[R] | Refusal:  # what it returns may be a refusal, too
            nonlocal took
            repository = self if tx is None else self._within(tx, self._cache)
            aggregate = await repository.fetch(ref.id, create=create, deleted=deleted)
            begun = perf_counter()
            outcome: object = await call(change, aggregate)
            result: Any = outcome
            took = perf_counter() - begun
            condition = outcome if isinstance(outcome, AppendCondition) else None
            append = repository._append if save is None else partial(save, repository)
            refusal = await append((aggregate,), condition)
            return (result,) if isinstance(refusal, Appended) else refusal

        tries = 1 if self._transaction else self._tries
        (returned,) = await repeated(
            self.backend, self._queues, ref, attempt, lambda: took, tries=tries, backoff=self._backoff
        )
        return returned

    async def delete(self, id: str | UUID) -> int:
        """Erase the aggregate permanently, events and snapshots; return how many events it had (0 if there was none)."""
        ref = self.aggregate(id).ref
        count = await self._events.delete(ref)
        if self._transaction is None:
            await self._deleted(ref, count)
        else:
            self._transaction.on_commit(partial(self._outside._deleted, ref, count))
        return count

    async def snapshot(self, aggregate: A) -> Snapshot:
        """Take a snapshot now, whatever the schedule; AggregateError if the aggregate is new or has pending events.

        Only repositories with a schedule read snapshots.
        """
        self._check(aggregate)
        if not aggregate.version or aggregate.pending:
            raise AggregateError(
                aggregate.ref,
                f"{aggregate.ref} has no stored state to take a snapshot of: save its pending events first",
            )
        snapshot = pack(aggregate, self.backend.runtime.clock.now())
        await self._snapshots.save(snapshot)
        if self._keep is not None:
            await self._snapshots.prune(keep=self._keep, aggregate=aggregate.ref)
        return snapshot

    def within(self, transaction: Transaction) -> Repository[A]:
        """Return this repository inside a transaction: its saves commit together with everything else in the transaction.

            async with db.transaction() as tx:
                await orders.within(tx).save(order)
                await tx.models.put(...)

        It sees what the transaction wrote, and does not use the cache. The events of a saved aggregate stay pending until
        the commit, so after a rollback it can be saved again; `after_save`, `after_delete` and snapshots follow the commit.
        """
        return self._within(transaction, None)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _within(self, transaction: Transaction, cache: Cache[A] | None) -> Repository[A]:
        """`within`; with a cache, it must load only what is committed."""
        inside = copy(self)
        try:
            inside._events, inside._snapshots = transaction.events, transaction.snapshots
        except AttributeError:
            raise ConfigError(f"within() takes what transaction() provides, not {transaction!r:.80}") from None
        snapshots = transaction.snapshots if self._schedule else None
        inside._cache = cache
        inside._loader = Loader(self.aggregate, transaction.events, snapshots, cache, self._hooks.report)
        inside._transaction = transaction
        return inside

    async def _append(self, aggregates: Sequence[A], condition: AppendCondition | None) -> Appended | Refusal:
        """Save, but return a refusal of the append, so that an error of a hook is never mistaken for one."""
        batches: list[tuple[A, tuple[Event[Any], ...]]] = []
        for aggregate in aggregates:
            self._check(aggregate)
            events = unsaved(aggregate, self._transaction)
            if events and self._hooks.before_save is not None:
                await call(self._hooks.before_save, aggregate, events)
                events = unsaved(aggregate, self._transaction)
            if events:
                batches.append((aggregate, events))
        if not batches:
            return Appended(())
        before = [aggregate.committed_version for aggregate, _ in batches]
        try:
            appended = await self._events.append(
                [event for _, events in batches for event in events], condition=condition
            )
        except (ConcurrencyError, AppendConditionFailed) as refusal:
            for aggregate, _ in batches:
                if isinstance(refusal, AppendConditionFailed) or refusal.aggregate == aggregate.ref:
                    await self._hooks.tell("on_conflict", aggregate.ref, aggregate, refusal)
            return refusal
        if self._transaction is None:
            await self._committed(batches, before, appended)
        else:
            for aggregate, events in batches:
                mark_saved(aggregate, self._transaction, events[-1].version)
            self._transaction.on_commit(partial(self._outside._committed, batches, before, appended))
        return appended

    async def _committed(
        self, batches: Sequence[tuple[A, Sequence[Event[Any]]]], before: Sequence[int], appended: Appended
    ) -> None:
        # Nothing here may fail, since the events are stored. The aggregates are settled before the hooks run.
        for aggregate, events in batches:
            mark_committed(aggregate, events[-1].version)
        if self._schedule is None and self._hooks.after_save is None:
            return
        start = 0
        for (aggregate, events), version in zip(batches, before, strict=True):
            own = appended._replace(positions=appended.positions[start : start + len(events)])
            start += len(events)
            await self._snapshot_if_due(aggregate, version, events[-1].version)
            await self._hooks.tell("after_save", aggregate.ref, aggregate, events, own)

    async def _snapshot_if_due(self, aggregate: A, before: int, after: int) -> None:
        try:
            # Events recorded during the save are in the state as well, so it is not a stored one.
            due: object = self._schedule is not None and self._schedule.due(before, after)
            check_result("due() of the schedule", due)
            if due and not aggregate.pending:
                await self.snapshot(aggregate)
        except BaseException as exc:  # noqa: BLE001  (it is reported)
            await self._hooks.report(f"could not take a snapshot of {aggregate.ref} at version {after}", failure(exc))

    async def _deleted(self, ref: AggregateRef, count: int) -> None:
        if self._cache is not None:
            self._cache.drop(ref.id)
        await self._hooks.tell("after_delete", ref, ref, count)

    def _check(self, aggregate: A) -> None:
        if not isinstance(aggregate, self.aggregate) or aggregate.ref.name != self._name:
            raise ConfigError(f"{aggregate!r:.120} does not belong in {self!r}: use a repository of its class")

    def _checked(self, aggregate: A, deleted: bool) -> A:
        if aggregate.deleted and not deleted:
            raise AggregateDeleted(aggregate.ref, aggregate.version)
        return aggregate if self._clock is None else self._timed(aggregate)

    def _timed(self, aggregate: A) -> A:
        if self._clock is not None:
            set_clock(aggregate, self._clock)
        return aggregate
