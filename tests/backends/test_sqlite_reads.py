"""Which reads run on the thread of an event loop, and for how long: fast ones, and only while the store is fast.

Time is counted, not measured: the clock of a test stands still unless its store is slow.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice, pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.errors import ConfigError
from goes_lite.sqlite import SQLiteBackend, _connection, _driver, _files
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._reads import BUDGET, LONG, MOST_PROOF, PROOF, SOON, TURN, LoopPolicy, ReadsOption
from tests.backends.sqlite_kit import Noted, files, note, registry

Read = Callable[[goes.Database], Awaitable[object]]


class SlowStore:
    """Replaces the clock of the policy, and connections by ones that take time of it and remember their threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        """Seconds that each statement takes, before its result is there."""
        self.tick = 0.0
        """Seconds that pass with each look at the clock, as if instructions took that long."""
        self.fail: Exception | None = None
        """What the next statement raises."""
        self.ran: list[tuple[bool, float]] = []
        """For each statement, whether it ran on the loop's thread, and its time."""
        self.loop: int | None = None

    def clock(self) -> float:
        self.now += self.tick
        return self.now

    def statement(self) -> None:
        self.now += self.takes
        self.ran.append((threading.get_ident() == self.loop, self.takes))
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure

    def of_late(self) -> list[bool]:
        """Return where the statements ran since the last call: whether on the loop's thread."""
        ran, self.ran = self.ran, []
        return [on_loop for on_loop, _ in ran]


class Slow:
    """A connection that takes time."""

    def __init__(self, connection: Any, store: SlowStore) -> None:
        self._connection = connection
        self._store = store

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        if not sql.startswith("PRAGMA"):
            self._store.statement()
        return self._connection.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def slow(driver: str, monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    store = SlowStore()
    opened = _connection.open_reader

    def open_slow(address: FileAddress) -> Any:
        return Slow(opened(address), store)

    def policy(reads: ReadsOption) -> LoopPolicy:
        return LoopPolicy(reads, store.clock)

    monkeypatch.setattr(_connection, "open_reader", open_slow)
    monkeypatch.setattr(_connection, "LoopPolicy", policy)
    monkeypatch.setattr(_files, "LOOK_AGAIN", 1e9)  # reads that look at the files run on threads
    return store


class Opened:
    """A store with two aggregates, one of them large, and a read model."""

    def __init__(self, path: str, driver: str, slow: SlowStore, **options: Any) -> None:
        self._slow = slow
        self._database = goes.connect(path, registry=registry, driver=driver, durability="normal", **options)

    async def __aenter__(self) -> goes.Database:
        db = await self._database.__aenter__()
        self._slow.loop = threading.get_ident()
        self.events = [note(number, aggregate=("n", "a"), version=number) for number in range(1, 6)]
        await db.events.append(self.events)
        await db.events.append([note(number, aggregate=("n", "large"), version=number) for number in range(1, 901)])
        await db.models.put("c", "1", "{}")
        for _ in range(PROOF):  # proves that the store is fast
            await db.events.load(A)
        self._slow.of_late()
        return db

    async def __aexit__(self, *error: object) -> None:
        self._slow.takes = self._slow.tick = 0.0
        await self._database.__aexit__(None, None, None)


A = goes.AggregateRef("n", "a")
READS: dict[str, Read] = {
    "load": lambda db: db.events.load(A),
    "find": lambda db: db.events.find(goes.new_id()),
    "head": lambda db: db.events.head(),
    "first page": lambda db: db.events.query(limit=3).list(),
    "aggregates": lambda db: db.events.aggregates(limit=3).list(),
    "model": lambda db: db.models.get("c", "1"),
    "models": lambda db: db.models.get_many("c", ["1", "2"]),
    "page of models": lambda db: db.models.query("c", limit=3).list(),
    "snapshot": lambda db: db.snapshots.latest(A),
    "checkpoint": lambda db: db.checkpoints.get("p"),
    "lease": lambda db: db.leases.get("p"),
}


async def read_all(db: goes.Database, times: int) -> None:
    for read in islice(cycle(READS.values()), times):
        await read(db)


def test_brief_reads_run_on_the_loop(path: str, driver: str, slow: SlowStore) -> None:
    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            for name, read in READS.items():
                await read(db)
                assert set(slow.of_late()) == {True}, name

    asyncio.run(run())


def test_unbounded_reads_run_on_threads(path: str, driver: str, slow: SlowStore) -> None:
    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            await db.events.count()
            await db.backend.select("SELECT 1")
            await db.models.collections()
            assert set(slow.of_late()) == {False}
            assert len(await db.events.query(limit=900).list()) == 900
            assert slow.of_late() != [True] * len(slow.ran)

    asyncio.run(run())


@pytest.mark.parametrize("option", ["inline", "thread"])
def test_the_option(path: str, driver: str, slow: SlowStore, option: str) -> None:
    """`inline` and `thread` do not learn."""

    async def run() -> None:
        async with Opened(path, driver, slow, reads=option) as db:
            for takes in (0.0, 10 * LONG):
                slow.takes = takes
                await read_all(db, 30)
                assert set(slow.of_late()) == {option == "inline"}

    asyncio.run(run())


def test_a_slow_store_keeps_the_loop_once(path: str, driver: str, slow: SlowStore) -> None:
    """While the disk stalls all reads but one run on threads; soon after it is fast again they run on the loop."""

    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            for _ in range(3):
                await read_all(db, 2 * SOON)
                assert set(slow.of_late()) == {True}
                slow.takes = 10 * LONG
                await read_all(db, 100)
                on_loop = slow.of_late()
                assert on_loop[0] is True
                assert on_loop[1:] == [False] * (len(on_loop) - 1)
                slow.takes = 0.0
                await read_all(db, PROOF)
                slow.of_late()
                await read_all(db, 20)
                assert set(slow.of_late()) == {True}

    asyncio.run(run())


def test_a_store_that_is_slow_now_and_then(path: str, driver: str, slow: SlowStore) -> None:
    """As with a cold cache: the loop is never kept twice in a row, and less and less often."""

    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            for number in range(2000):
                slow.takes = 10 * LONG if number % 3 == 0 else 0.0
                await db.events.head()
            kept = [on_loop and takes > LONG for on_loop, takes in slow.ran]
            assert not any(one and other for one, other in pairwise(kept))
            assert sum(kept) < 20

    asyncio.run(run())


def test_concurrent_readers_of_a_slow_store(path: str, driver: str, slow: SlowStore) -> None:
    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            slow.takes = 10 * LONG
            await asyncio.gather(*(db.events.load(A) for _ in range(64)))
            assert sum(slow.of_late()) == 1

    asyncio.run(run())


def test_a_long_read_is_interrupted(path: str, driver: str, slow: SlowStore) -> None:
    """It is repeated on a thread, with the whole result, and the next reads run there as well."""

    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            slow.tick = BUDGET / 10
            found = await db.events.load(goes.AggregateRef("n", "large"))
            assert [event.version for event in found] == [*range(1, 901)]
            assert slow.of_late() == [True, False]
            looks = slow.now / slow.tick
            assert looks < 40  # of more than a hundred, had it not been interrupted
            await db.events.head()
            assert slow.of_late() == [False]
            slow.tick = 0.0
            await read_all(db, 2 * MOST_PROOF)
            slow.of_late()
            assert len(await db.events.load(goes.AggregateRef("n", "large"))) == 900
            assert slow.of_late() == [True]  # no statement is half read, and no limit is left

    asyncio.run(run())


def busy(driver: str, path: str) -> Exception:
    """Return the error of a statement that does not wait for a lock."""
    kind = _driver.driver(driver)
    one, other = (kind.open(f"file:{path}", read_only=False) for _ in range(2))
    try:
        _connection.set_busy_timeout(other, 0)
        one.execute("BEGIN EXCLUSIVE").fetchall()
        other.execute("BEGIN EXCLUSIVE")
    except kind.error as exc:
        return exc
    finally:
        one.close()
        other.close()
    raise AssertionError("nothing was locked")


def test_a_locked_store_is_waited_for_on_a_thread(path: str, driver: str, slow: SlowStore) -> None:
    locked = busy(driver, f"{path}-other")

    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            slow.fail = locked
            assert await db.events.load(A)
            assert slow.of_late() == [True, False]
            await db.events.head()
            assert slow.of_late() == [False]

    asyncio.run(run())


def test_connections_wait_for_locks_on_threads_only(path: str, driver: str, slow: SlowStore) -> None:
    """A connection changes sides; it never brings the patience of the one to the other."""
    waits: list[tuple[bool, int]] = []

    def look(connection: Any) -> int:
        waits.append((threading.get_ident() == slow.loop, connection.execute("PRAGMA busy_timeout").fetchall()[0][0]))
        return 0

    async def run() -> None:
        async with Opened(path, driver, slow, lock_timeout=7) as db:
            executor = cast("SQLiteBackend", db.backend)._executor
            for _ in range(3):
                await executor.read(look, brief=True)
                await executor.read(look)

    asyncio.run(run())
    assert waits == [(True, 0), (False, 7000)] * 3


def test_other_tasks_have_their_turns(path: str, driver: str, slow: SlowStore) -> None:
    """A task that does nothing but read suspends after a while, so others run, and it can be cancelled."""

    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            slow.takes = TURN / 10
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            for _ in range(1000):
                await db.events.head()
            assert turns >= 50
            task.cancel()

            async def reading() -> None:
                while True:
                    await db.events.head()

            reader = asyncio.create_task(reading())
            await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            assert len(await db.events.load(A)) == 5

    asyncio.run(run())


def test_a_read_sees_the_writes_before_it(path: str, driver: str) -> None:
    async def run() -> None:
        async with goes.connect(path, registry=registry, driver=driver, durability="normal") as db:

            async def write(name: str) -> None:
                for version in range(1, 40):
                    appended = await db.events.append([note(1, aggregate=("n", name), version=version)])
                    assert await db.events.head() >= appended.positions[0]
                    assert len(await db.events.load(goes.AggregateRef("n", name))) == version

            await asyncio.gather(*(write(str(number)) for number in range(4)))

    asyncio.run(run())


def test_an_interrupt_of_a_read_on_the_loop(path: str, driver: str, slow: SlowStore) -> None:
    """Its connection, which may have a statement half read, is not used again."""

    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            slow.fail = KeyboardInterrupt()  # type: ignore[assignment]
            with pytest.raises(KeyboardInterrupt):
                await db.events.head()
            assert len(await db.events.load(A)) == 5
            await read_all(db, 50)

    asyncio.run(run())


def test_errors_of_events_are_raised_as_on_threads(path: str, driver: str, slow: SlowStore) -> None:
    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            async with db.transaction() as tx:
                await tx.execute("UPDATE events SET version = 1905 WHERE version = 5")
            with pytest.raises(goes.errors.StoreDamaged):
                await db.events.load(A)
            assert slow.of_late() == [True]
            assert (await db.events.query(limit=1).list())[0].data == Noted(0, 1)

    asyncio.run(run())


def test_no_read_is_on_the_loop_after_closing(path: str, driver: str, slow: SlowStore) -> None:
    async def run() -> None:
        async with Opened(path, driver, slow) as db:
            await db.events.head()
        slow.of_late()
        with pytest.raises(goes.errors.StoreClosed):
            await db.events.head()
        assert slow.of_late() == []
        assert files(path).keys() == {""}

    asyncio.run(run())


@pytest.mark.parametrize("wrong", ["", "Auto", "loop", None, True, 1])
def test_a_wrong_option(path: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"reads=.*: use 'auto' \(the default\), 'inline' or 'thread'"):
        goes.blocking.connect(path, reads=wrong)


@given(st.lists(st.sampled_from([0.0, BUDGET / 2, 1.5 * BUDGET, LONG, 2 * LONG, 1.0])), st.data())
def test_two_long_reads_in_a_row_are_never_on_the_loop(seconds: list[float], data: st.DataObject) -> None:
    """Whatever the store does: at least two quick reads on threads come between two that keep the loop."""
    policy = LoopPolicy("auto", lambda: 0.0)
    since = PROOF
    for taken in seconds * 3:
        if not policy.admits:
            policy.ran_in_thread(taken)
            since = since + 1 if taken < BUDGET else 0
            continue
        assert since >= PROOF
        if taken > LONG or data.draw(st.booleans()):
            policy.ran(taken) if taken > LONG else policy.gave_up()
            assert not policy.admits
            since = 0
        else:
            policy.ran(taken)


def test_more_proof_is_needed_each_time_that_it_fails_soon() -> None:
    policy = LoopPolicy("auto", lambda: 0.0)
    needed: list[int] = []
    for quick in (0, 0, SOON, SOON, SOON + 1, 0, *(0,) * 10):
        policy.gave_up()
        count = 0
        while not policy.admits:
            policy.ran_in_thread(0.0)
            count += 1
        needed.append(count)
        for _ in range(quick):
            policy.ran(0.0)
    assert needed == [4, 8, 16, 32, 64, 2, *(min(2 << number, MOST_PROOF) for number in range(1, 11))]


def test_the_limit_of_a_read() -> None:
    now = 5.0
    policy = LoopPolicy("auto", lambda: now)
    stop = policy.limit()
    assert stop is not None
    assert [stop(), stop()] == [False, False]
    now += 2 * BUDGET
    assert stop() is True
    assert LoopPolicy("inline").limit() is None
