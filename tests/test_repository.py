"""What a repository promises, on the real SQLite backend: in memory, and in a file where several handles meet."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, ParamSpec, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.aggregate import Aggregate, applies
from goes_lite.backend import Backend
from goes_lite.connect import connect
from goes_lite.errors import (
    AggregateDeleted,
    AggregateError,
    AggregateNotFound,
    AppendConditionFailed,
    ConcurrencyError,
    ConfigError,
    InvalidEventError,
    InvalidQueryError,
    RegistrationError,
    VersionNotFound,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.registry import Registry, event
from goes_lite.repository import Repository
from goes_lite.repository import _history as history
from goes_lite.repository._turns import turns_of
from goes_lite.snapshot import Every, Snapshot
from goes_lite.store import AppendCondition, Appended

P = ParamSpec("P")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@event("test.repository.opened")
@dataclass(frozen=True)
class Opened:
    owner: str


@event("test.repository.moved")
@dataclass(frozen=True)
class Moved:
    amount: int


@event("test.repository.noted")
@dataclass(frozen=True)
class Noted:
    words: list[str]


@event("test.repository.word-added")
@dataclass(frozen=True)
class WordAdded:
    word: str


@event("test.repository.closed")
@dataclass(frozen=True)
class Closed:
    pass


@event("test.repository.reopened")
@dataclass(frozen=True)
class Reopened:
    pass


class Account(Aggregate, name="account", deleted_by=Closed, restored_by=Reopened):
    owner: str
    balance: int = 0
    words: list[str]

    def __init__(self, id: str | UUID | None = None) -> None:
        super().__init__(id)
        self.words = []

    def open(self, owner: str) -> None:
        self.record(Opened(owner))

    def move(self, amount: int) -> None:
        self.record(Moved(amount))

    @applies(Opened)
    def _opened(self, event: Event[Opened]) -> None:
        self.owner = event.data.owner

    @applies(Moved)
    def _moved(self, event: Event[Moved]) -> None:
        self.balance += event.data.amount

    @applies(Noted)
    def _noted(self, event: Event[Noted]) -> None:
        self.words = event.data.words  # on purpose: state and event share the list

    @applies(WordAdded)
    def _word_added(self, event: Event[WordAdded]) -> None:
        self.words.append(event.data.word)


def state(account: Account) -> tuple[Any, ...]:
    return account.version, account.deleted, account.balance, list(account.words), getattr(account, "owner", None)


def memory() -> AbstractAsyncContextManager[Backend]:
    return connect("sqlite:///:memory:")


def asynchronous(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run the test on an event loop of its own, whatever plugin is installed."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Spied:
    """A store that writes down which events of an aggregate were loaded: (after, upto, how many)."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.loads: list[tuple[int, int | None, int]] = []
        self.before_append: Callable[[], Awaitable[object]] | None = None
        self.after_append: Callable[[], object] | None = None

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        found: list[Event[Any]] = await self._events.load(aggregate, after=after, upto=upto)
        self.loads.append((after, upto, len(found)))
        return found

    async def append(self, events: Any, *, condition: AppendCondition | None = None) -> Appended:
        if self.before_append is not None:
            await self.before_append()
        appended: Appended = await self._events.append(events, condition=condition)
        if self.after_append is not None:
            self.after_append()
        return appended

    def taken(self) -> list[tuple[int, int | None, int]]:
        loads, self.loads = self.loads, []
        return loads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)


def spied(db: Backend, **replaced: Any) -> tuple[Backend, Spied]:
    """The backend with a spied event store, and whatever else is to be replaced."""
    spy = Spied(db.events)
    parts: dict[str, Any] = {
        name: getattr(db, name) for name in ("location", "registry", "runtime", "snapshots", "transaction")
    }
    return cast("Backend", SimpleNamespace(**{**parts, "events": spy, **replaced})), spy


async def filled(repository: Repository[Account], id: str, moves: int) -> Account:
    """A saved account: opened, then moved by 1, 2, 3, … one save each."""
    await repository.use(id, lambda account: account.open("Ann"), create=True)
    for amount in range(1, moves + 1):
        await repository.use(id, functools.partial(Account.move, amount=amount))
    return await repository.fetch(id)


# --- fetch and save ---------------------------------------------------------------------------------------------------


@asynchronous
async def test_what_is_saved_is_fetched() -> None:
    """Afterwards nothing is pending; the fetched one is another instance in the same state; positions are answered."""
    async with memory() as db:
        accounts = Repository(db, Account)
        account = accounts.new("a")
        account.open("Ann")
        account.move(5)
        pending = account.pending
        appended = await accounts.save(account)
        assert not account.pending
        assert (account.version, account.committed_version) == (2, 2)
        fetched = await accounts.fetch("a")
        assert fetched is not account
        assert state(fetched) == state(account) == (2, False, 5, [], "Ann")
        assert (fetched.pending, fetched.is_new) == ((), False)
        stored = await db.events.load(account.ref)
        assert tuple(stored) == pending
        assert tuple(event.position for event in stored) == appended.positions


@asynchronous
async def test_saving_without_pending_events_does_nothing() -> None:
    """No append, no hook, an empty answer, whatever the condition says."""
    called: list[str] = []
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, before_save=lambda account, events: called.append("before"))
        spy.before_append = cast("Any", lambda: called.append("append"))
        impossible = AppendCondition(EventQuery(), 0)
        assert await accounts.save(accounts.new("a"), condition=impossible) == Appended(())
        assert await accounts.save() == Appended(())
        assert called == []


@asynchronous
async def test_fetching_what_does_not_exist() -> None:
    """AggregateNotFound; with create=True a new one with that id, which exists only once it is saved with an event."""
    async with memory() as db:
        accounts = Repository(db, Account)
        with pytest.raises(AggregateNotFound) as caught:
            await accounts.fetch("a")
        assert caught.value.aggregate == AggregateRef("account", "a")
        created = await accounts.fetch("a", create=True)
        assert (created.id, created.version, created.is_new) == ("a", 0, True)
        await accounts.save(created)
        assert not await accounts.exists("a")
        created.open("Ann")
        await accounts.save(created)
        assert await accounts.exists("a")


@pytest.mark.parametrize("snapshots", [None, Every(1)])
@asynchronous
async def test_soft_deletion_is_seen_by_every_way_of_reading(snapshots: Every | None) -> None:
    """Also where a snapshot covers the event that deleted it: fetch, exists, use, query and fetch_version agree."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=snapshots)
        await filled(accounts, "a", 2)
        await accounts.use("a", lambda account: account.record(Closed()))
        with pytest.raises(AggregateDeleted) as caught:
            await accounts.fetch("a")
        assert (caught.value.aggregate, caught.value.version) == (AggregateRef("account", "a"), 4)
        with pytest.raises(AggregateDeleted):
            await accounts.fetch("a", create=True)
        with pytest.raises(AggregateDeleted):
            await accounts.use("a", lambda account: account.move(1))
        with pytest.raises(AggregateDeleted):
            await accounts.fetch_version("a", 4)
        assert not await accounts.exists("a")
        assert await accounts.exists("a", deleted=True)
        assert await accounts.query().list() == []
        assert [account.deleted for account in await accounts.query(deleted=True).list()] == [True]
        assert state(await accounts.fetch_version("a", 3)) == (3, False, 3, [], "Ann")
        assert state(await accounts.fetch("a", deleted=True)) == (4, True, 3, [], "Ann")
        await accounts.use("a", lambda account: account.record(Reopened()), deleted=True)
        assert state(await accounts.fetch("a")) == (5, False, 3, [], "Ann")


@asynchronous
async def test_a_conflict_leaves_the_aggregate_as_it_was() -> None:
    """ConcurrencyError says both versions; pending events, version and state stay, and nothing is written."""
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 0)
        slow, fast = await accounts.fetch("a"), await accounts.fetch("a")
        slow.move(1)
        fast.move(10)
        await accounts.save(fast)
        before = state(slow), slow.pending
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.save(slow)
        assert (caught.value.aggregate, caught.value.expected, caught.value.actual) == (slow.ref, 1, 2)
        assert (state(slow), slow.pending) == before
        assert (await accounts.fetch("a")).balance == 10


@asynchronous
async def test_saving_the_same_events_again_is_safe() -> None:
    """A lost acknowledgement: the events are stored, the caller does not know, and saves the same instance again."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account)
        account = accounts.new("a")
        account.open("Ann")

        def lose() -> None:
            raise ConnectionResetError("the answer was lost")

        spy.after_append = lose
        with pytest.raises(ConnectionResetError):
            await accounts.save(account)
        assert len(account.pending) == 1
        spy.after_append = None
        assert (await accounts.save(account)).already_committed
        assert not account.pending
        assert len(await db.events.load(account.ref)) == 1


@asynchronous
async def test_events_recorded_while_a_save_is_under_way_stay_pending() -> None:
    """They were not in the append, so they are not taken for saved, and no snapshot takes them for stored."""
    errors: list[str] = []
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(1), on_error=lambda what, error: errors.append(what))
        account = accounts.new("a")
        account.open("Ann")
        spy.after_append = lambda: account.move(7)
        await accounts.save(account)
        assert [event.version for event in account.pending] == [2]
        assert await db.snapshots.latest(account.ref) is None
        assert errors == []
        spy.after_append = None
        await accounts.save(account)
        assert state(await accounts.fetch("a")) == (2, False, 7, [], "Ann")


@asynchronous
async def test_several_aggregates_are_saved_all_or_none() -> None:
    """One conflict among them, and none is written; each after_save is told its own events and positions."""
    told: list[tuple[str, int, tuple[int, ...]]] = []
    refused: list[str] = []
    async with memory() as db:
        accounts = Repository(
            db,
            Account,
            after_save=lambda account, events, appended: told.append((account.id, len(events), appended.positions)),
            on_conflict=lambda account, error: refused.append(account.id),
        )
        a, b = accounts.new("a"), accounts.new("b")
        a.open("Ann")
        b.open("Bob")
        b.move(3)
        appended = await accounts.save(a, b)
        assert told == [("a", 1, appended.positions[:1]), ("b", 2, appended.positions[1:])]
        await accounts.use("b", lambda account: account.move(1))
        a.move(-5)
        b.move(5)
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.save(a, b)
        assert caught.value.aggregate == b.ref
        assert refused == ["b"]
        assert (len(a.pending), len(b.pending)) == (1, 1)
        assert (await accounts.fetch("a")).balance == 0
        assert (await accounts.fetch("b")).balance == 4


@asynchronous
async def test_an_aggregate_of_another_class_is_refused() -> None:
    """The snapshots and hooks here are those of one class; a subclass of another name is another aggregate."""

    class Special(Account, name="special"):
        pass

    async with memory() as db:
        special = Special("s")
        special.open("Ann")
        with pytest.raises(ConfigError, match="belong"):
            await Repository(db, Account).save(special)
        with pytest.raises(ConfigError, match="belong"):
            await Repository(cast("Any", db), Special).save(cast("Any", Account("a")))


# --- use --------------------------------------------------------------------------------------------------------------


@asynchronous
async def test_use_fetches_changes_saves_and_answers_the_aggregate() -> None:
    """`change` may be a function or a coroutine function; what it returns is ignored."""
    async with memory() as db:
        accounts = Repository(db, Account)

        async def change(account: Account) -> str:
            await asyncio.sleep(0)
            account.move(2)
            return "ignored"

        opened = await accounts.use("a", lambda account: account.open("Ann"), create=True)
        moved = await accounts.use("a", change)
        assert state(moved) == state(await accounts.fetch("a")) == (2, False, 2, [], "Ann")
        assert (opened.version, moved.pending) == (1, ())
        with pytest.raises(AggregateNotFound):
            await accounts.use("b", change)


@asynchronous
async def test_use_retries_on_a_fresh_instance() -> None:
    """The second try sees what was stored meanwhile and nothing of what the first try did."""
    seen: list[tuple[int, int, list[str]]] = []
    refused: list[Exception] = []
    async with memory() as db:
        backend, spy = spied(db)
        others = Repository(db, Account)
        accounts = Repository(backend, Account, cache=10, on_conflict=lambda account, error: refused.append(error))
        await filled(accounts, "a", 0)

        async def interfere() -> None:
            spy.before_append = None
            await others.use("a", lambda account: account.move(100))

        def change(account: Account) -> None:
            seen.append((account.version, account.balance, list(account.words)))
            account.words.append("polluted")
            account.move(1)

        spy.before_append = interfere
        result = await accounts.use("a", change)
        assert seen == [(1, 0, []), (2, 100, [])]
        assert [getattr(error, "actual", None) for error in refused] == [2]
        assert (result.version, (await accounts.fetch("a")).balance) == (3, 101)


@asynchronous
async def test_use_gives_up_after_its_tries() -> None:
    """The ConcurrencyError of the last try comes through; there are exactly `tries` of them.

    The second is made at once, those after it follow a pause.
    """
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with memory() as db:
        runtime = SimpleNamespace(clock=db.runtime.clock, sleep=sleep)
        backend, spy = spied(db, runtime=runtime)
        others = Repository(db, Account)
        accounts = Repository(backend, Account, tries=4, backoff=1.0)
        await filled(others, "a", 0)
        calls: list[int] = []

        async def interfere() -> None:
            await others.use("a", lambda account: account.move(100))

        def change(account: Account) -> None:
            calls.append(account.version)
            account.move(1)

        spy.before_append = interfere
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.use("a", change)
        assert (caught.value.expected, caught.value.actual) == (4, 5)
        assert caught.value.__notes__ == ["after 4 tries"]
        assert calls == [1, 2, 3, 4]
        assert len(pauses) == 2
        assert all(0 <= pause <= 0.25 for pause in pauses)


@asynchronous
async def test_a_change_that_uses_its_own_aggregate_gives_up_in_the_end() -> None:
    """It refuses itself at every try; it does not wait for itself for ever."""
    async with memory() as db:
        accounts = Repository(db, Account, tries=3)

        async def change(account: Account) -> None:
            await accounts.use("a", lambda inner: inner.move(1), create=True)
            account.move(100)

        async with asyncio.timeout(0.9):  # less than the patience of one turn
            with pytest.raises(ConcurrencyError):
                await accounts.use("a", change, create=True)
        assert (await accounts.fetch("a")).balance == 3


@asynchronous
async def test_an_error_in_change_comes_through_and_nothing_is_saved() -> None:
    """As itself, at once, even if it is a ConcurrencyError of something else."""
    calls: list[int] = []
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 0)
        for error in (ValueError("no"), ConcurrencyError(AggregateRef("other", "x"), 1, 2)):

            def change(account: Account, error: Exception = error) -> None:
                calls.append(1)
                account.move(1)
                raise error

            with pytest.raises(type(error)) as caught:
                await accounts.use("a", change)
            assert caught.value is error
        assert len(calls) == 2
        assert (await accounts.fetch("a")).version == 1


@asynchronous
async def test_a_change_that_records_nothing_writes_nothing() -> None:
    async with memory() as db:
        accounts = Repository(db, Account)
        untouched = await accounts.use("a", lambda account: None, create=True)
        assert (untouched.version, await db.events.head(), await accounts.exists("a")) == (0, 0, False)


@asynchronous
async def test_a_condition_from_change_is_judged_with_the_save() -> None:
    """A dynamic consistency boundary: what the decision read lies beyond the aggregate.

    Refused, it is tried again on fresh reading; `save` takes the condition directly.
    """
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account)
        others = Repository(db, Account)
        opened = EventQuery(names=["test.repository.opened"])
        seen: list[int] = []

        async def change(account: Account) -> AppendCondition:
            after = await db.events.head()
            seen.append(await db.events.count(opened))
            account.open("Ann" if not seen[-1] else "Ben")
            return AppendCondition(opened, after)

        async def interfere() -> None:
            spy.before_append = None
            await others.use("b", lambda account: account.open("Bob"), create=True)

        spy.before_append = interfere
        account = await accounts.use("a", change, create=True)
        assert seen == [0, 1]
        assert account.owner == "Ben"
        late = accounts.new("c")
        late.open("Cy")
        with pytest.raises(AppendConditionFailed):
            await accounts.save(late, condition=AppendCondition(opened, 0))
        assert len(late.pending) == 1


@asynchronous
async def test_32_tasks_on_one_aggregate_lose_no_change() -> None:
    """Every change is made exactly once, on top of all the others."""
    async with memory() as db:
        accounts = Repository(db, Account, cache=4, snapshots=Every(10))
        await asyncio.gather(
            *(accounts.use("a", functools.partial(Account.move, amount=2**n), create=True) for n in range(32))
        )
        account = await accounts.fetch("a")
        assert (account.version, account.balance) == (32, 2**32 - 1)
        assert repr(turns_of(db)) == "<Turns for 0 aggregates>"


def test_threads_on_one_file_lose_no_change(tmp_path: Path) -> None:
    """The blocking face, eight threads over two handles on one file: every change is made exactly once."""
    from goes_lite import blocking

    url = f"sqlite:///{tmp_path / 'app.db'}"
    failed: list[BaseException] = []
    with blocking.connect(url) as one, blocking.connect(url) as other:
        repositories = [
            one.repository(Account, cache=4),
            other.repository(Account, snapshots=Every(7)),
        ]

        def work(thread: int) -> None:
            try:
                for n in range(5):
                    amount = 2 ** (thread * 5 + n)
                    repositories[thread % 2].use("a", functools.partial(Account.move, amount=amount), create=True)
            except BaseException as error:  # shown by the test, not by the thread
                failed.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        for repository in repositories:
            account = repository.fetch("a")
            assert (account.version, account.balance) == (40, 2**40 - 1)


# --- snapshots --------------------------------------------------------------------------------------------------------


@asynchronous
async def test_a_snapshot_shortens_the_load() -> None:
    """The events up to the snapshot are not loaded, but for its own one; the state is the same."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(5))
        account = await filled(accounts, "a", 11)
        snapshot = await db.snapshots.latest(account.ref)
        assert snapshot is not None
        assert (snapshot.version, snapshot.schema, snapshot.deleted) == (10, 1, False)
        spy.taken()
        fetched = await accounts.fetch("a")
        assert spy.taken() == [(9, None, 3)]
        assert state(fetched) == state(await Repository(db, Account).fetch("a"))
        assert fetched.last_event_id == account.last_event_id


@asynchronous
async def test_one_snapshot_per_save_and_only_when_due() -> None:
    """A save that passes a multiple takes one, at the version that it reached; other saves take none."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(3))
        account = accounts.new("a")
        versions: list[int] = []
        for batch in (2, 5, 1, 1):
            for _ in range(batch):
                account.move(1)
            await accounts.save(account)
        async for snapshot in db.snapshots.query(aggregate=account.ref):
            versions.append(snapshot.version)
        assert versions == [7, 9]


@asynchronous
async def test_old_snapshots_are_pruned_when_one_is_taken() -> None:
    """The newest `keep_snapshots` of that aggregate stay, and all of the others'."""
    async with memory() as db:
        keeping = Repository(db, Account, snapshots=Every(1))
        await filled(keeping, "b", 3)
        accounts = Repository(db, Account, snapshots=Every(1), keep_snapshots=2)
        await filled(accounts, "a", 5)
        found = [(snapshot.aggregate.id, snapshot.version) async for snapshot in db.snapshots.query()]
        assert found == [("a", 5), ("a", 6), ("b", 1), ("b", 2), ("b", 3), ("b", 4)]


async def _replaced(db: Backend, snapshot: Snapshot, **changes: Any) -> None:
    await db.snapshots.delete(snapshot.aggregate)
    await db.snapshots.save(snapshot._replace(**changes))


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"schema": 2, "state": "anything"}, False),
        ({"state": "not json at all"}, True),
        ({"state": '{"event":"00000000-0000-0000-0000-000000000000","unset":[],"state":{}}'}, False),
        ({"encoding": "rot13"}, True),
        ({"version": 7}, False),
        ({"version": 2}, False),
    ],
    ids=["another schema", "damaged", "foreign", "unknown encoding", "ahead of the history", "of another version"],
)
@asynchronous
async def test_a_snapshot_that_does_not_fit_is_ignored(changes: dict[str, Any], reported: bool) -> None:
    """The events are replayed; nothing is raised. Only what cannot be explained by an older program is reported."""
    errors: list[str] = []
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(4), on_error=lambda what, error: errors.append(what))
        account = await filled(accounts, "a", 3)
        snapshot = await db.snapshots.latest(account.ref)
        assert snapshot is not None
        await _replaced(db, snapshot, **changes)
        fetched = await accounts.fetch("a")
        assert state(fetched) == (4, False, 6, [], "Ann")
        assert ["does not fit" in error for error in errors] == [True] * reported


@asynchronous
async def test_an_older_snapshot_serves_if_the_newest_does_not_fit() -> None:
    """As after a newer program wrote one: the next one down is taken, and the events after it are all applied."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(3))
        account = await filled(accounts, "a", 5)
        newest = await db.snapshots.latest(account.ref)
        assert newest is not None
        await db.snapshots.save(newest._replace(schema=99))
        spy.taken()
        assert state(await accounts.fetch("a")) == (6, False, 15, [], "Ann")
        assert spy.taken() == [(2, None, 4)]


@asynchronous
async def test_an_attribute_that_is_new_makes_a_snapshot_unfit() -> None:
    """Its default would hide what the events before the snapshot say about it; nobody has to raise the schema for it.

    An attribute that is gone does no harm.
    """

    class Old(Aggregate, name="growing"):
        total: int = 0
        gone: int = 0

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount

    class New(Aggregate, name="growing"):
        total: int = 0
        count: int = 0

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount
            self.count += 1

    class Less(Aggregate, name="growing"):
        total: int = 0

    async with memory() as db:
        old = Repository(db, Old, snapshots=Every(1))
        await old.use("g", lambda thing: thing.record(Moved(3)), create=True)
        new = await Repository(db, New, snapshots=Every(1)).fetch("g")
        assert (new.total, new.count) == (3, 1)
        less = await Repository(db, Less, snapshots=Every(1)).fetch("g")
        assert less.total == 3  # Less applies nothing, so this is the snapshot's


@asynchronous
async def test_an_attribute_that_was_not_set_stays_so() -> None:
    """A snapshot is taken and fits although an annotated attribute has no value yet."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(1))
        for _ in range(2):
            await accounts.use("a", lambda account: account.move(3), create=True)
        spy.taken()
        fetched = await accounts.fetch("a")
        assert spy.taken() == [(1, None, 1)]
        assert state(fetched) == (2, False, 6, [], None)
        assert not hasattr(fetched, "owner")


@asynchronous
async def test_state_that_a_snapshot_would_lose_is_reported_and_not_taken() -> None:
    """An attribute that the class does not annotate: the save succeeds, the way out is named, loading stays right."""
    errors: list[str] = []

    class Sloppy(Aggregate, name="sloppy"):
        total: int = 0

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount
            self.hidden = self.total  # pyright: ignore[reportUninitializedInstanceVariable]

    async with memory() as db:
        things = Repository(
            db, Sloppy, snapshots=Every(1), on_error=lambda what, error: errors.append(f"{what}: {error}")
        )
        await things.use("s", lambda thing: thing.record(Moved(3)), create=True)
        assert len(errors) == 1
        assert "Sloppy.hidden is not annotated" in errors[0]
        assert await db.snapshots.latest(AggregateRef("sloppy", "s")) is None
        assert (await things.fetch("s")).hidden == 3


@asynchronous
async def test_a_snapshot_of_the_authors_own() -> None:
    """snapshot_state, restore_state and snapshot_type; without a type it is plain JSON.

    What restore_state raises makes the snapshot unfit, on an instance that nobody sees.
    """
    errors: list[str] = []

    class Typed(Aggregate, name="typed", schema=3):
        snapshot_type: ClassVar[Any] = tuple[int, frozenset[str]]

        def __init__(self, id: str | UUID | None = None) -> None:
            super().__init__(id)
            self.total = 0
            self.names: set[str] = set()

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount
            self.names.add(str(event.data.amount))

        def snapshot_state(self) -> tuple[int, frozenset[str]]:
            return self.total, frozenset(self.names)

        def restore_state(self, state: tuple[int, frozenset[str]]) -> None:
            self.total, names = state
            self.names = set(names)
            if self.total == 13:
                raise ValueError("bad luck")

    class Plain(Typed, name="plain"):
        snapshot_type = None

        def snapshot_state(self) -> Any:
            return {"total": self.total, "names": sorted(self.names)}

        def restore_state(self, state: Any) -> None:
            self.total, self.names = state["total"], set(state["names"])

    async with memory() as db:
        for cls in (Typed, Plain):
            backend, spy = spied(db)
            things = Repository(backend, cls, snapshots=Every(1), on_error=lambda what, error: errors.append(what))
            for amount in (5, 7):
                await things.use("t", functools.partial(_record, data=Moved(amount)), create=True)
            spy.taken()
            fetched = await things.fetch("t")
            assert spy.taken() == [(1, None, 1)]
            assert (fetched.total, fetched.names) == (12, {"5", "7"})
            assert errors == []
        unlucky = Repository(db, Typed, snapshots=Every(1), on_error=lambda what, error: errors.append(what))
        await unlucky.use("t", lambda thing: thing.record(Moved(1)))
        fetched = await unlucky.fetch("t")
        assert (fetched.total, fetched.names, fetched.version) == (13, {"5", "7", "1"}, 3)
        assert len(errors) == 1


def _record(aggregate: Aggregate, data: object) -> None:
    aggregate.record(data)


@asynchronous
async def test_a_state_that_snapshots_cannot_encode_is_found_at_construction() -> None:
    """Where the schedule and the class are put together, and not at the first save that is due."""

    class Opaque(Aggregate, name="opaque"):
        lock: threading.Event

    async with memory() as db:
        Repository(db, Opaque)
        with pytest.raises(RegistrationError, match="Event"):
            Repository(db, Opaque, snapshots=Every(1))


@asynchronous
async def test_a_failing_snapshot_store_does_not_fail_the_save() -> None:
    """It is reported to on_error, and without that to the log; the save answers its positions."""
    errors: list[tuple[str, Exception]] = []

    async def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no room")

    async with memory() as db:
        backend, _ = spied(db, snapshots=SimpleNamespace(save=refuse, latest=db.snapshots.latest))
        accounts = Repository(
            backend, Account, snapshots=Every(1), on_error=lambda what, error: errors.append((what, error))
        )
        account = accounts.new("a")
        account.open("Ann")
        assert (await accounts.save(account)).position > 0
        assert account.pending == ()
        assert [str(error) for _, error in errors] == ["no room"]
        assert "account(a)" in errors[0][0]
        assert (await accounts.fetch("a")).version == 1


@asynchronous
async def test_a_snapshot_can_be_taken_by_hand() -> None:
    """Of stored events only: AggregateError for a new aggregate and for one with pending events."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(1000))
        account = accounts.new("a")
        with pytest.raises(AggregateError):
            await accounts.snapshot(account)
        account.open("Ann")
        with pytest.raises(AggregateError):
            await accounts.snapshot(account)
        await accounts.save(account)
        snapshot = await accounts.snapshot(account)
        assert (snapshot.aggregate, snapshot.version) == (account.ref, 1)
        assert await db.snapshots.latest(account.ref) == snapshot


# --- deleting for good ------------------------------------------------------------------------------------------------


@asynchronous
async def test_hard_deletion_takes_everything_along() -> None:
    """Events, snapshots, the cached instance; afterwards the id begins again at version 1. Unknown ids are 0."""
    told: list[tuple[AggregateRef, int]] = []
    async with memory() as db:
        accounts = Repository(
            db, Account, snapshots=Every(1), cache=5, after_delete=lambda ref, events: told.append((ref, events))
        )
        account = await filled(accounts, "a", 2)
        assert await accounts.delete("a") == 3
        assert await accounts.delete("unknown") == 0
        assert told == [(account.ref, 3), (AggregateRef("account", "unknown"), 0)]
        assert "0 of at most 5" in repr(accounts)
        with pytest.raises(AggregateNotFound):
            await accounts.fetch("a")
        assert await db.snapshots.latest(account.ref) is None
        await accounts.use("a", lambda account: account.open("Zoe"), create=True)
        assert state(await accounts.fetch("a")) == (1, False, 0, [], "Zoe")


@pytest.mark.parametrize("versions", [0, 1, 3, 5])
@pytest.mark.parametrize("way", ["cache", "snapshot"])
@asynchronous
async def test_an_aggregate_that_began_again_shows_nothing_of_its_former_life(way: str, versions: int) -> None:
    """Somebody else began it anew, with fewer, as many or more versions than this repository remembers.

    A snapshot of its former life even survived: it was written after the deletion.
    """
    async with memory() as db:
        others = Repository(db, Account)
        accounts = Repository(db, Account, cache=5) if way == "cache" else Repository(db, Account, snapshots=Every(1))
        account = await filled(accounts, "a", 2)
        survivor = await db.snapshots.latest(account.ref)
        await others.delete("a")
        for _ in range(versions):
            await others.use("a", lambda account: account.move(1000), create=True)
        if survivor is not None:
            await db.snapshots.save(survivor)
        for _ in range(2):
            if not versions:
                with pytest.raises(AggregateNotFound):
                    await accounts.fetch("a")
            else:
                assert state(await accounts.fetch("a")) == (versions, False, versions * 1000, [], None)


# --- hooks ------------------------------------------------------------------------------------------------------------


@asynchronous
async def test_hooks_are_told_at_their_turn() -> None:
    """before_save sees pending events, after_save settled ones and their positions; coroutine functions are awaited."""
    told: list[tuple[str, int, int]] = []

    async def before(account: Account, events: Any) -> None:
        await asyncio.sleep(0)
        told.append(("before", len(events), len(account.pending)))

    async def after(account: Account, events: Any, appended: Appended) -> None:
        await asyncio.sleep(0)
        told.append(("after", len(appended.positions), len(account.pending)))

    async with memory() as db:
        accounts = Repository(db, Account, before_save=before, after_save=after)
        account = accounts.new("a")
        account.open("Ann")
        account.move(1)
        await accounts.save(account)
        assert told == [("before", 2, 2), ("after", 2, 0)]


@asynchronous
async def test_a_hook_before_the_save_can_stop_it_or_add_to_it() -> None:
    """What it raises comes through, even a ConcurrencyError, once, and nothing is written; what it records is saved."""
    calls: list[int] = []
    other = ConcurrencyError(AggregateRef("other", "x"), 1, 2)

    def refuse(account: Account, events: Any) -> None:
        calls.append(1)
        raise other

    async with memory() as db:
        accounts = Repository(db, Account, before_save=refuse)
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.use("a", lambda account: account.open("Ann"), create=True)
        assert caught.value is other
        assert (calls, await db.events.head()) == ([1], 0)
        adding = Repository(db, Account, before_save=lambda account, events: account.move(9))
        assert (await adding.use("a", lambda account: account.open("Ann"), create=True)).pending == ()
        assert state(await adding.fetch("a")) == (2, False, 9, [], "Ann")


@pytest.mark.parametrize("on_error", ["told", "silent", "failing"])
@asynchronous
async def test_a_hook_that_fails_after_the_commit_does_not_fail_the_save(
    on_error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported to on_error; without that, or if that fails, too, to the log "goes_lite"; deleting likewise."""
    reports: list[str] = []

    def report(what: str, error: Exception) -> None:
        if on_error == "failing":
            raise RuntimeError("on_error is broken, too")
        reports.append(f"{what}: {error}")

    def fail(*args: object) -> None:
        raise ValueError("after the fact")

    async with memory() as db:
        accounts = Repository(
            db, Account, after_save=fail, after_delete=fail, on_error=None if on_error == "silent" else report
        )
        with caplog.at_level(logging.ERROR, "goes_lite"):
            account = await accounts.use("a", lambda account: account.open("Ann"), create=True)
            assert (account.pending, account.committed_version) == ((), 1)
            assert await accounts.delete("a") == 1
    logged = [record.getMessage() for record in caplog.records if record.name == "goes_lite"]
    told = reports if on_error == "told" else logged
    assert (len(told), len(logged)) == (2, 0 if on_error == "told" else 2)
    assert "after_save" in told[0]
    assert "account(a)" in told[0]
    assert "after_delete" in told[1]


@asynchronous
async def test_a_failing_conflict_hook_does_not_hide_the_conflict() -> None:
    reports: list[str] = []

    def fail(*args: object) -> None:
        raise ValueError("in the hook")

    async with memory() as db:
        accounts = Repository(db, Account, on_conflict=fail, on_error=lambda what, error: reports.append(what))
        await filled(accounts, "a", 0)
        late = accounts.new("a")
        late.open("Bob")
        with pytest.raises(ConcurrencyError):
            await accounts.save(late)
        assert reports == ["the hook on_conflict failed for account(a)"]


# --- cache ------------------------------------------------------------------------------------------------------------


@asynchronous
async def test_the_cache_never_hands_out_one_instance_twice() -> None:
    """Neither the caller's changes nor a nested list of the state reach anybody else."""
    async with memory() as db:
        accounts = Repository(db, Account, cache=5)
        await accounts.use("a", lambda account: account.record(Noted(["one"])), create=True)
        first = await accounts.fetch("a")
        second = await accounts.fetch("a")
        assert first is not second
        assert first.words is not second.words
        first.words.append("mine alone")
        first.move(5)
        second.words.append("mine, too")
        assert state(await accounts.fetch("a")) == (1, False, 0, ["one"], None)


@asynchronous
async def test_the_cache_loads_only_what_is_new() -> None:
    """Its own last event (to know that it is still the one) and those after it, whoever wrote them."""
    async with memory() as db:
        backend, spy = spied(db)
        others = Repository(db, Account)
        accounts = Repository(backend, Account, cache=5)
        await filled(others, "a", 9)
        for loads in ([(0, None, 10)], [(9, None, 1)], [(9, None, 1)]):
            assert (await accounts.fetch("a")).balance == 45
            assert spy.taken() == loads
        await others.use("a", lambda account: account.move(55))
        for loads in ([(9, None, 2)], [(10, None, 1)]):
            assert (await accounts.fetch("a")).balance == 100
            assert spy.taken() == loads


@asynchronous
async def test_the_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, cache=2)
        for id in "abc":
            await filled(Repository(db, Account), id, 1)
        for id in "abac":  # c pushes out b, which was used before a
            await accounts.fetch(id)
        spy.taken()
        for id in "acb":
            await accounts.fetch(id)
        assert spy.taken() == [(1, None, 1), (1, None, 1), (0, None, 2)]
        assert "2 of at most 2" in repr(accounts)
        await accounts.fetch_version("c", 1)
        assert "2 of at most 2" in repr(accounts)


@asynchronous
async def test_an_aggregate_that_cannot_be_copied_is_fetched_all_the_same() -> None:
    """It is not cached, and that is reported once."""
    reports: list[str] = []

    class Locked(Aggregate, name="locked"):
        def __init__(self, id: str | UUID | None = None) -> None:
            super().__init__(id)
            self.lock = threading.Lock()

    async with memory() as db:
        things = Repository(db, Locked, cache=5, on_error=lambda what, error: reports.append(what))
        await things.use("l", lambda thing: thing.record(Moved(1)), create=True)
        for _ in range(3):
            assert (await things.fetch("l")).version == 1
        assert reports == ["locked(l) cannot be cached, because it cannot be copied"]


# --- time travel ------------------------------------------------------------------------------------------------------


async def _timed(db: Backend, *hours: int) -> Repository[Account]:
    accounts = Repository(db, Account)
    account = accounts.new("a")
    for hour in hours:
        account.record(Moved(10**hour), time=NOON + timedelta(hours=hour))
    await accounts.save(account)
    return accounts


@pytest.mark.parametrize("snapshots", [None, Every(2)])
@asynchronous
async def test_fetch_version_gives_the_state_at_a_version(snapshots: Every | None) -> None:
    """Every version, with snapshots before, at and behind it; one behind it is not used."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=snapshots, cache=3)
        await filled(accounts, "a", 6)
        for version in range(1, 8):
            account = await accounts.fetch_version("a", version)
            assert state(account) == (version, False, sum(range(version)), [], "Ann")
        for version in (8, 1000):
            with pytest.raises(VersionNotFound) as caught:
                await accounts.fetch_version("a", version)
            assert (caught.value.wanted, caught.value.version) == (version, 7)
        with pytest.raises(AggregateNotFound):
            await accounts.fetch_version("b", 1)
        for wrong in (0, -1, True, "1", None):
            with pytest.raises(InvalidQueryError):
                await accounts.fetch_version("a", cast("Any", wrong))
        assert (await accounts.fetch("a")).version == 7


@pytest.mark.parametrize("page", [1, 2, 500])
@asynchronous
async def test_fetch_version_gives_the_state_at_a_time(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All events up to and including that time, in whatever zone it is given; also over several pages of events."""
    monkeypatch.setattr(history, "PAGE", page)
    async with memory() as db:
        accounts = await _timed(db, 0, 1, 2)
        expected = {0: 1, 1: 11, 2: 111, 50: 111}
        for hour, balance in expected.items():
            for zone in (timezone.utc, timezone(timedelta(hours=5, minutes=30))):
                time = (NOON + timedelta(hours=hour)).astimezone(zone)
                assert (await accounts.fetch_version("a", time)).balance == balance
        just_before = NOON + timedelta(hours=2, microseconds=-1)
        assert (await accounts.fetch_version("a", just_before)).balance == 11
        too_early = NOON - timedelta(microseconds=1)
        with pytest.raises(VersionNotFound) as caught:
            await accounts.fetch_version("a", too_early)
        assert (caught.value.wanted, caught.value.version) == (too_early, 3)
        with pytest.raises(AggregateNotFound):
            await accounts.fetch_version("b", NOON)
        with pytest.raises(InvalidEventError, match="zone"):
            await accounts.fetch_version("a", datetime(2026, 3, 1))


@asynchronous
async def test_time_travel_stops_at_the_first_later_event() -> None:
    """Versions are the order, not times: a clock that ran back does not tear a hole into the history."""
    async with memory() as db:
        accounts = await _timed(db, 1, 5, 2, 6)
        assert state(await accounts.fetch_version("a", NOON + timedelta(hours=3)))[:3] == (1, False, 10)
        assert (await accounts.fetch_version("a", NOON + timedelta(hours=5))).version == 3


@asynchronous
async def test_a_past_version_cannot_be_changed() -> None:
    """Saving it is a conflict, so history is never forked."""
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 2)
        past = await accounts.fetch_version("a", 2)
        past.move(100)
        with pytest.raises(ConcurrencyError):
            await accounts.save(past)


# --- query ------------------------------------------------------------------------------------------------------------


@asynchronous
async def test_query_gives_the_aggregates_of_the_class_by_id() -> None:
    """Each complete, without those of other classes and those deleted; ids are ordered by code point."""

    class Other(Account, name="account-other"):
        pass

    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(2), cache=2)
        others = Repository(db, Other)
        for number, id in enumerate(("b", "é", "a", "B", "😀")):
            await filled(accounts, id, number)
            await others.use(id, lambda other: other.open("X"), create=True)
        await accounts.use("a", lambda account: account.record(Closed()))
        found = await accounts.query().list()
        assert [account.id for account in found] == ["B", "b", "é", "😀"]
        assert [account.version for account in found] == [4, 1, 2, 5]
        assert all(type(account) is Account for account in found)
        everything = [account.id async for account in accounts.query(deleted=True)]
        assert everything == ["B", "a", "b", "é", "😀"]


@asynchronous
async def test_query_filters() -> None:
    """By ids (unknown ones are left out), behind an id, by the time of the last event, up to a limit; together."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account)
        for hour, id in enumerate("abcde"):
            account = accounts.new(id)
            account.record(Moved(1), time=NOON)
            account.record(Moved(1), time=NOON + timedelta(hours=hour))
            await accounts.save(account)

        async def ids(**filters: Any) -> str:
            return "".join([account.id async for account in accounts.query(**filters)])

        since = NOON + timedelta(hours=2)
        assert await ids() == "abcde"
        assert await ids(ids=["d", "x", "b", "d"]) == "bd"
        assert await ids(ids=[]) == ""
        assert await ids(after="b") == "cde"
        assert await ids(after="bb", limit=1) == "c"
        assert await ids(limit=0) == ""
        spy.taken()
        assert await ids(updated_since=since) == "cde"
        assert len(spy.taken()) == 3  # the others were not even loaded
        assert await ids(updated_since=since, ids=["d", "a", "c"]) == "cd"
        assert await ids(updated_since=since, ids=["a", "c", "d"], after="c", limit=5) == "d"
        for wrong in ({"ids": "abc"}, {"limit": -1}, {"limit": True}):
            with pytest.raises(InvalidQueryError):
                accounts.query(**cast("Any", wrong))
        with pytest.raises(InvalidEventError):
            accounts.query(updated_since=datetime(2026, 3, 1))


@asynchronous
async def test_query_loads_one_at_a_time_and_can_go_on_after_an_error() -> None:
    """Nothing before it is asked for; nothing that was loaded is lost to an aggregate that cannot be."""

    class Picky(Aggregate, name="picky"):
        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            if event.data.amount == 13:
                raise ValueError("bad luck")

    async with memory() as db:
        backend, spy = spied(db)
        events = [Event(Moved(n), aggregate=("picky", id), version=1) for id, n in (("a", 1), ("b", 13), ("c", 2))]
        await db.events.append(events)
        pages = Repository(backend, Picky).query()
        assert spy.taken() == []
        assert (await anext(pages)).id == "a"
        assert len(spy.taken()) == 1
        with pytest.raises(ValueError, match="bad luck"):
            await anext(pages)
        assert [thing.id async for thing in pages] == ["c"]


# --- transactions -----------------------------------------------------------------------------------------------------


@asynchronous
async def test_a_repository_within_a_transaction_commits_with_it() -> None:
    """Until the commit the events are pending and nobody is told; hooks and snapshots come behind it."""
    told: list[int] = []
    async with memory() as db:
        accounts = Repository(
            db, Account, snapshots=Every(2), after_save=lambda account, events, appended: told.append(len(events))
        )
        account = await filled(accounts, "a", 0)
        told.clear()
        async with db.transaction() as tx:
            inside = accounts.within(tx)
            account.move(1)
            await inside.save(account)
            assert (await inside.fetch("a")).balance == 1
            account.move(2)
            await accounts.within(tx).save(account)
            assert (await inside.fetch("a")).balance == 3
            await inside.save(account)
            used = await inside.use("b", lambda other: other.move(7), create=True)
            assert (len(account.pending), len(used.pending), told) == (2, 1, [])
        assert (account.pending, used.pending, account.committed_version) == ((), (), 3)
        assert told == [1, 1, 1]
        assert state(await accounts.fetch("a")) == (3, False, 3, [], "Ann")
        snapshot = await db.snapshots.latest(account.ref)
        assert snapshot is not None
        assert snapshot.version == 3


@asynchronous
async def test_a_rollback_leaves_the_aggregate_as_if_it_was_never_saved() -> None:
    """Its events are pending still, nobody was told, nothing is cached, and it can be saved again."""
    told: list[int] = []
    async with memory() as db:
        accounts = Repository(
            db,
            Account,
            cache=5,
            after_save=lambda account, events, appended: told.append(len(events)),
            after_delete=lambda ref, events: told.append(-events),
        )
        account = await filled(accounts, "a", 0)
        await filled(accounts, "b", 0)
        told.clear()
        account.move(1)
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                inside = accounts.within(tx)
                await inside.save(account)
                assert (await inside.fetch("a")).balance == 1
                assert await inside.delete("b") == 1
                account.move(2)
                raise ZeroDivisionError
        assert (len(account.pending), account.committed_version, told) == (2, 1, [])
        assert (await accounts.fetch("a")).balance == 0
        assert (await accounts.fetch("b")).version == 1
        async with db.transaction() as tx:
            await accounts.within(tx).save(account)
        assert (account.pending, told) == ((), [2])
        assert (await accounts.fetch("a")).balance == 3


@asynchronous
async def test_a_conflict_within_a_transaction_is_not_tried_again() -> None:
    """What would have to be tried again is the whole transaction."""
    calls: list[int] = []
    async with memory() as db:
        accounts = Repository(db, Account)

        def change(account: Account) -> AppendCondition:
            calls.append(1)
            account.open("Ann")
            return AppendCondition(EventQuery(), 0)

        await filled(accounts, "a", 0)
        async with db.transaction() as tx:
            with pytest.raises(AppendConditionFailed):
                await accounts.within(tx).use("b", change, create=True)
        assert calls == [1]
        assert not await accounts.exists("b")


# --- construction -----------------------------------------------------------------------------------------------------


@asynchronous
async def test_options_that_make_no_sense_are_refused() -> None:
    async with memory() as db:
        for options in (
            {"tries": 0},
            {"cache": -1},
            {"cache": True},
            {"keep_snapshots": 0, "snapshots": Every(1)},
            {"keep_snapshots": 1},
            {"backoff": -0.1},
            {"backoff": float("nan")},
        ):
            with pytest.raises(ConfigError):
                Repository(db, Account, **cast("Any", options))
        with pytest.raises(RegistrationError, match="no aggregate name"):
            Repository(db, Aggregate)


@asynchronous
async def test_class_and_backend_must_share_a_registry() -> None:
    """Else one would write what the other cannot read."""

    class Elsewhere(Aggregate, name="elsewhere", registry=Registry()):
        pass

    async with memory() as db:
        with pytest.raises(ConfigError, match="same registry"):
            Repository(db, Elsewhere)


@asynchronous
async def test_a_backend_makes_its_repositories() -> None:
    """`db.repository(Account, …)` takes the options of Repository; its repr says what it is."""
    async with memory() as db:
        accounts = db.repository(Account, snapshots=Every(3))
        account = accounts.new("a")
        account.open("Ann")
        await accounts.save(account)
        fetched: Account = await accounts.fetch("a")
        assert fetched.owner == "Ann"
        assert repr(accounts) == f"<Repository of Account on {db.location}, snapshots=Every(3)>"


# --- any sequence of commands -----------------------------------------------------------------------------------------

COMMANDS = st.lists(
    st.one_of(
        st.builds(Moved, st.integers(-5, 5)),
        st.builds(Noted, st.lists(st.sampled_from("xyz"), max_size=2)),
        st.builds(WordAdded, st.sampled_from("abc")),
        st.sampled_from([Closed(), Reopened(), Opened("Ann")]),
        st.just("save"),
        st.just("fetch"),
        st.just("delete"),
    ),
    max_size=40,
)


def folded(history: list[Any]) -> tuple[Any, ...]:
    """The plain meaning of a history: what any way of loading has to give."""
    balance, words, owner, deleted = 0, list[str](), None, False
    for data in history:
        match data:
            case Moved(amount):
                balance += amount
            case Noted(noted):
                words = list(noted)
            case WordAdded(word):
                words = [*words, word]
            case Opened(name):
                owner = name
            case _:
                deleted = isinstance(data, Closed)
    return len(history), deleted, balance, words, owner


@given(COMMANDS, st.one_of(st.none(), st.integers(1, 4)), st.integers(0, 2))
@asynchronous
async def test_any_sequence_of_commands_gives_the_state_of_a_plain_fold(
    commands: list[Any], every: int | None, cache: int
) -> None:
    """With snapshots or without, cached or not, saved in whatever batches, deleted and begun again.

    And so does every version on the way.
    """
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(every) if every else None, cache=cache)
        account = accounts.new("a")
        saved: list[Any] = []
        pending: list[Any] = []
        for command in commands:
            match command:
                case "save":
                    await accounts.save(account)
                    saved, pending = saved + pending, []
                case "fetch":
                    account = await accounts.fetch("a", create=True, deleted=True)
                    pending = []
                case "delete":
                    await accounts.delete("a")
                    account = accounts.new("a")
                    saved, pending = [], []
                case _:
                    account.record(deepcopy(command))
                    pending.append(command)
            assert state(account) == folded(saved + pending)
        assert state(await accounts.fetch("a", create=True, deleted=True)) == folded(saved)
        for version in range(1, len(saved) + 1):
            assert state(await accounts.fetch_version("a", version, deleted=True)) == folded(saved[:version])
