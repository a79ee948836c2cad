"""Backends of which something else has a fault: bus, snapshots, leases, commits, transactions, the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, cast

from goes_lite.contract.backend import Transaction
from goes_lite.contract.checkpoints import Lease
from goes_lite.contract.commits import SignalCommits
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.contract.upkeep import BACKUP
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore, WrappedTransaction
from goes_lite.errors import LeaseHeld, StoreClosed
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime import Signal
from tests.conformance.mutants import Handed, mutant

# --- the bus --------------------------------------------------------------------------------------------------------


class _Subscription(Handed):
    """A subscription whose deliveries are changed on their way."""

    change: Callable[[Any], Any]

    def __aiter__(self) -> _Subscription:
        return self

    async def __anext__(self) -> Any:
        return await self.change(await anext(self.target))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.target.close()


@mutant("EB-SETTLE-002", "EB-GROUP-004")
def acks_before_handling(wrapped: WrappedBackend) -> None:
    """A delivery is settled the moment it is given out."""

    class Done(Handed):
        async def ack(self) -> None: ...
        async def nak(self, delay: float | None = None) -> None: ...

    async def settled(delivery: Any) -> Any:
        await delivery.ack()
        return Done(delivery)

    class Bus(Handed):
        def subscribe(self, *args: Any, **options: Any) -> Any:
            subscription = _Subscription(self.target.subscribe(*args, **options))
            subscription.change = settled
            return subscription

    wrapped.bus = cast("Any", Bus(wrapped.backend.bus))


@mutant("EB-GROUP-001", "EB-HANDLE-010")
def gives_an_event_to_every_member_of_a_group(wrapped: WrappedBackend) -> None:
    class Bus(Handed):
        def subscribe(self, *args: Any, group: str | None = None, **options: Any) -> Any:
            return self.target.subscribe(*args, **options)

        def handle(self, *args: Any, group: str | None = None, **options: Any) -> Any:
            return self.target.handle(*args, **options)

    wrapped.bus = cast("Any", Bus(wrapped.backend.bus))


@mutant("EB-HANDLE-004", "EB-DEAD-001")
def forgets_an_event_whose_handler_failed(wrapped: WrappedBackend) -> None:
    class Bus(Handed):
        def handle(self, names: Any, handler: Any, **options: Any) -> Any:
            return self.target.handle(names, handler, **{**options, "max_attempts": 1})

    wrapped.bus = cast("Any", Bus(wrapped.backend.bus))


@mutant("EB-PUB-005")
def delivers_in_reverse(wrapped: WrappedBackend) -> None:
    class Bus(Handed):
        async def publish(self, events: Sequence[Event[Any]]) -> None:
            await self.target.publish([*events][::-1])

    wrapped.bus = cast("Any", Bus(wrapped.backend.bus))


@mutant("EB-LOG-005", "EB-LOG-006")
def publishes_before_the_commit(wrapped: WrappedBackend) -> None:
    """What a transaction appends is published at once, and again when it is committed."""

    class Store(WrappedStore):
        async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
            appended = await self.store.append(events, condition=condition)
            if self.store is not wrapped.backend.events:
                await wrapped.backend.bus.publish(list(events))
            return appended

    _of_transactions(wrapped, lambda transaction: WrappedTransaction(transaction, Store(transaction.events)))


# --- snapshots, checkpoints, leases ---------------------------------------------------------------------------------


@mutant("SS-LATEST-002")
def answers_a_snapshot_that_is_newer_than_asked_for(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
            found: Snapshot | None = await self.target.latest(aggregate)
            return found

    wrapped.snapshots = cast("Any", Store(wrapped.backend.snapshots))


@mutant("SS-PRUNE-001", "SS-PRUNE-004")
def prunes_the_newest_snapshots(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
            count = 0
            for one in (await self.target.query(aggregate=aggregate).list())[keep:]:
                count += await self.target.delete(one.aggregate, version=one.version)
            return count

    wrapped.snapshots = cast("Any", Store(wrapped.backend.snapshots))


@mutant("CP-FENCE-002")
def saves_the_checkpoint_of_a_lost_lease(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
            await self.target.save(name, position)

    wrapped.checkpoints = cast("Any", Store(wrapped.backend.checkpoints))


@mutant("LE-ACQUIRE-007", "LE-RELEASE-002")
def gives_every_owner_the_same_token(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
            return cast("Lease", await self.target.acquire(name, owner, ttl))._replace(token=1)

    wrapped.leases = cast("Any", Store(wrapped.backend.leases))


@mutant("LE-ACQUIRE-003")
def lets_anybody_take_a_lease(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
            try:
                return cast("Lease", await self.target.acquire(name, owner, ttl))
            except LeaseHeld:
                await self.target.release(await self.target.get(name))
                return cast("Lease", await self.target.acquire(name, owner, ttl))

    wrapped.leases = cast("Any", Store(wrapped.backend.leases))


# --- commits --------------------------------------------------------------------------------------------------------


class _Counting(Handed):
    """Notifies a signal when an operation has written something."""

    WRITES = frozenset("append save prune delete put put_many rename clear acquire renew release".split())

    def __init__(self, target: Any, signal: Signal) -> None:
        super().__init__(target)
        self._signal = signal

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.target, name)
        if name not in self.WRITES:
            return operation

        async def run(*args: Any, **options: Any) -> Any:
            answer = await operation(*args, **options)
            self._signal.notify()
            return answer

        return run


@mutant("BE-COMMITS-009", "BE-COMMITS-010", "BE-COMMITS-011", "BE-COMMITS-017")
def misses_the_commits_of_other_handles(wrapped: WrappedBackend) -> None:
    """It knows of its own alone."""
    own = Signal()
    for store in ("events", "snapshots", "models", "checkpoints", "leases"):
        setattr(wrapped, store, _Counting(getattr(wrapped.backend, store), own))
    wrapped.commits = SignalCommits(own, wrapped.runtime, lambda: None)


@mutant("BE-COMMITS-001", "BE-COMMITS-004")
def counts_events_alone(wrapped: WrappedBackend) -> None:
    own = Signal()
    wrapped.events = cast("Any", _Counting(wrapped.backend.events, own))
    wrapped.commits = SignalCommits(own, wrapped.runtime, lambda: None)


@mutant("BE-COMMITS-002", "BE-COMMITS-011")
def waits_for_the_next_commit(wrapped: WrappedBackend) -> None:
    """Whatever came since the count was read."""

    class Late(Handed):
        async def wait(self, seen: int, timeout: float | None = None) -> bool:
            return cast("bool", await self.target.wait(self.target.count, timeout))

    wrapped.commits = cast("Any", Late(wrapped.backend.commits))


@mutant("BE-COMMITS-003")
def waits_for_ever(wrapped: WrappedBackend) -> None:
    class Deaf(Handed):
        async def wait(self, seen: int, timeout: float | None = None) -> bool:
            return cast("bool", await self.target.wait(seen))

    wrapped.commits = cast("Any", Deaf(wrapped.backend.commits))


@mutant("BE-COMMITS-012", "BE-COMMITS-013")
def lets_nobody_wake_when_it_is_closed(wrapped: WrappedBackend) -> None:
    closing: list[None] = []

    class Asleep(Handed):
        async def wait(self, seen: int, timeout: float | None = None) -> bool:
            try:
                return await self.target.wait(seen, timeout) and not closing
            except StoreClosed:
                return False
            finally:
                if closing:
                    await wrapped.runtime.wait(Signal(), 0)

    async def close() -> None:
        closing.append(None)
        await wrapped.backend.close()

    wrapped.commits = cast("Any", Asleep(wrapped.backend.commits))
    cast("Any", wrapped).close = close


@mutant("BE-COMMITS-016", "BE-COMMITS-017", "BE-COMMITS-018")
def tells_no_signal(wrapped: WrappedBackend) -> None:
    class Silent(Handed):
        def watch(self, signal: Signal) -> Any:
            return self.target.watch(Signal())

    wrapped.commits = cast("Any", Silent(wrapped.backend.commits))


@mutant("BE-IDENTITY-001", "BE-IDENTITY-003")
def has_the_identity_of_any_store(wrapped: WrappedBackend) -> None:
    wrapped.identity = "sqlite"


# --- transactions, the end, and what a backend says of itself -------------------------------------------------------


def _of_transactions(wrapped: WrappedBackend, change: Callable[[Transaction], Transaction]) -> None:
    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        async with wrapped.backend.transaction() as inner:
            yield change(inner)

    cast("Any", wrapped).transaction = transaction


@mutant("BE-TX-002", "PR-ONCE-004")
def commits_what_a_failed_block_wrote(wrapped: WrappedBackend) -> None:
    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        failure: Exception | None = None
        async with wrapped.backend.transaction() as inner:
            try:
                yield inner
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure

    cast("Any", wrapped).transaction = transaction


@mutant("BE-TX-002")
def keeps_read_models_outside_of_transactions(wrapped: WrappedBackend) -> None:
    """The events are rolled back, the read models are not."""
    written: list[tuple[str, str, str]] = []

    class Models(Handed):
        async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
            version = await self.target.put(collection, id, data, expected=expected)
            written.append((collection, id, data))
            return cast("int", version)

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        written.clear()
        try:
            async with wrapped.backend.transaction() as inner:
                spoilt = WrappedTransaction(inner)
                spoilt.models = cast("Any", Models(inner.models))
                yield spoilt
        except BaseException:
            for collection, id, data in written:
                await wrapped.backend.models.put(collection, id, data)
            raise

    cast("Any", wrapped).transaction = transaction


@mutant("BE-TX-025")
def acts_on_a_commit_that_was_none(wrapped: WrappedBackend) -> None:
    class Spoilt(WrappedTransaction):
        def on_commit(self, action: Any, /) -> None:
            actions.append(action)

    actions: list[Any] = []

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        actions.clear()
        try:
            async with wrapped.backend.transaction() as inner:
                yield Spoilt(inner, inner.events)
        finally:
            for action in actions:
                await action()

    cast("Any", wrapped).transaction = transaction


@mutant("CC-CANCEL-001")
def swallows_a_cancellation(wrapped: WrappedBackend) -> None:
    class Store(WrappedStore):
        async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
            try:
                return await self.store.append(events, condition=condition)
            except asyncio.CancelledError:
                return Appended(())

    wrapped.events = Store(wrapped.backend.events)


@mutant("BE-CLOSE-017")
def leaks_a_cursor(wrapped: WrappedBackend) -> None:
    """Each query leaves something open behind."""

    class Store(WrappedStore):
        def query(self, *args: Any, **options: Any) -> Any:
            LEAKED.append(open(os.devnull, "rb"))  # noqa: SIM115
            return self.store.query(*args, **options)

    wrapped.events = Store(wrapped.backend.events)


LEAKED: list[Any] = []


def let_go() -> None:
    """Close what leaks_a_cursor left open, which is no business of the tests."""
    while LEAKED:
        LEAKED.pop().close()


@mutant("BE-CLOSE-002")
def answers_after_it_was_closed(wrapped: WrappedBackend) -> None:
    class Store(WrappedStore):
        async def head(self) -> int:
            try:
                return await self.store.head()
            except StoreClosed:
                return 0

    wrapped.events = Store(wrapped.backend.events)


@mutant("BE-ABILITY-004")
def says_that_it_can_make_backups(wrapped: WrappedBackend) -> None:
    wrapped.abilities |= {BACKUP}

    async def backup(path: object) -> None: ...

    cast("Any", wrapped).backup = backup


@mutant("BE-ABILITY-001")
def says_nothing_of_its_transactions(wrapped: WrappedBackend) -> None:
    wrapped.abilities -= {"transactions"}


@mutant("BE-ABILITY-013")
def makes_its_sizes_up(wrapped: WrappedBackend) -> None:
    async def sizes() -> dict[str, int]:
        return {"events": 0}

    cast("Any", wrapped).sizes = sizes


@mutant("CR-APPEND-001")
def acknowledges_before_it_stores(wrapped: WrappedBackend) -> None:
    """Every second append waits for the next one: a kill in between loses what was acknowledged."""

    class Store(WrappedStore):
        async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
            batch = list(events)
            if condition is None and not waiting and len(batch) == 1:
                head = await self.store.head()
                waiting.extend(batch)
                return Appended((head + 1,))
            late, waiting[:] = list(waiting), []
            if late:
                await self.store.append(late)
            return await self.store.append(batch, condition=condition)

    waiting: list[Event[Any]] = []
    wrapped.events = Store(wrapped.backend.events)
