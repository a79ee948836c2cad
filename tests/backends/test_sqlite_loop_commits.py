"""Which commits run on the thread of an event loop: those of a few rows that do not wait for the disk, and never for a lock."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.errors import ConcurrencyError
from goes_lite.sqlite import SQLiteBackend, _driver, _files, _loop_writer
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._reads import LONG, PROOF, SOON, LoopPolicy, ReadsOption
from tests.backends.sqlite_kit import BIG, Noted, note, numbers, registry, store

BEFORE = 3
"""The events that `Opened` has stored."""


class Seen:
    """The statements of all connections, and whether they ran on the loop's thread; and the clock of the policy."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        """Seconds that each COMMIT takes."""
        self.loop: int | None = None
        self.statements: list[tuple[str, bool]] = []

    def statement(self, sql: str) -> None:
        self.statements.append((sql, threading.get_ident() == self.loop))
        if sql == "COMMIT":
            self.now += self.takes

    def commits(self) -> list[bool]:
        """Return where the commits since the last call ran: whether on the loop's thread."""
        seen, self.statements = self.statements, []
        return [on_loop for sql, on_loop in seen if sql == "COMMIT"]


@pytest.fixture
def seen(driver: str, monkeypatch: pytest.MonkeyPatch) -> Seen:
    found = Seen()
    kind: Any = _driver.ApswDriver if driver == "apsw" else _driver.StdlibDriver
    opened = kind.open

    def listen(cursor: object, sql: str, bindings: object) -> bool:
        found.statement(sql)
        return True  # let it run

    def open_traced(self: Any, uri: str, *, read_only: bool) -> Any:
        connection = opened(self, uri, read_only=read_only)
        if driver == "apsw":
            connection.exec_trace = listen
        else:
            cast("sqlite3.Connection", connection).set_trace_callback(found.statement)
        return connection

    def policy(reads: ReadsOption) -> LoopPolicy:
        return LoopPolicy(reads, lambda: found.now)

    monkeypatch.setattr(kind, "open", open_traced)
    monkeypatch.setattr(_loop_writer, "LoopPolicy", policy)
    monkeypatch.setattr(_files, "LOOK_AGAIN", 1e9)
    return found


class Opened:
    """A store with a few events, whose writer has proved to be fast."""

    def __init__(self, path: str, driver: str, seen: Seen, durability: str = "normal", **options: Any) -> None:
        self._seen = seen
        self._database = goes.connect(path, registry=registry, driver=driver, durability=durability, **options)

    async def __aenter__(self) -> goes.Database:
        db = await self._database.__aenter__()
        self._seen.loop = threading.get_ident()
        for number in range(BEFORE):
            await db.events.append([note(number)])
        assert BEFORE > PROOF
        self._seen.commits()
        return db

    async def __aexit__(self, *error: object) -> None:
        await self._database.__aexit__(None, None, None)


async def append(db: goes.Database, first: int, count: int) -> None:
    for number in range(first, first + count):
        await db.events.append([note(number)])


@pytest.mark.parametrize("durability", ["normal", "memory"])
def test_a_lone_appender_commits_on_the_loop(path: str, driver: str, seen: Seen, durability: str) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen, durability) as db:
            await append(db, BEFORE, 20)
            await db.models.put("c", "1", "{}")
            await db.checkpoints.save("p", 1)
            assert seen.commits() == [True] * 22

    asyncio.run(run())
    with store(path, driver) as db:
        assert numbers(db) == [*range(BEFORE + 20)]


def test_a_store_in_memory_commits_on_the_loop(driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(":memory:", driver, seen, "full") as db:
            await append(db, BEFORE, 20)
            assert seen.commits() == [True] * 20
            assert await db.events.count() == BEFORE + 20

    asyncio.run(run())


@pytest.mark.parametrize(("durability", "reads"), [("full", "auto"), ("full", "inline"), ("normal", "thread")])
def test_what_waits_for_the_disk_commits_on_the_thread_of_the_writer(
    path: str, driver: str, seen: Seen, durability: str, reads: str
) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen, durability, reads=reads) as db:
            await append(db, BEFORE, 10)
            assert seen.commits() == [False] * 10

    asyncio.run(run())


def test_large_writes_and_conditions_commit_on_the_thread_of_the_writer(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            await db.events.append([note(number) for number in range(100)])
            await db.events.append([note(1, text="x" * 1_000_000)])
            await db.events.append([note(1)], condition=goes.AppendCondition(goes.EventQuery(), await db.events.head()))
            await db.models.put_many("c", {"1": "{}", "2": "{}"})
            async with db.transaction() as tx:
                await tx.events.append([note(2)])
            assert seen.commits() == [False] * 5

    asyncio.run(run())


def test_a_slow_commit_keeps_the_loop_once(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            await append(db, 0, SOON + 1)
            assert set(seen.commits()) == {True}
            seen.takes = 10 * LONG
            await append(db, 0, 10)
            assert seen.commits() == [True, *[False] * 9]
            seen.takes = 0.0
            await append(db, 0, PROOF + 5)
            assert seen.commits() == [*[False] * PROOF, *[True] * 5]

    asyncio.run(run())


def test_appenders_at_the_same_time_share_commits(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            await asyncio.gather(*(append(db, number, 5) for number in range(64)))
            commits = seen.commits()
            assert len(commits) < 64
            assert await db.events.count() == BEFORE + 5 * 64

    asyncio.run(run())


def test_the_loop_does_not_wait_for_another_writer(path: str, driver: str, seen: Seen) -> None:
    """While another handle holds the lock, the writer's thread waits, and the loop goes on: it lets the other one finish."""

    async def run() -> None:
        async with Opened(path, driver, seen) as db, goes.connect(path, registry=registry, driver=driver) as other:
            async with other.transaction() as tx:
                await tx.events.append([note(100)])
                waiting = [asyncio.create_task(append(db, number, 1)) for number in range(3)]
                lone = asyncio.create_task(append(db, 3, 1))
                for _ in range(50):
                    await asyncio.sleep(0)
                assert not any(task.done() for task in (*waiting, lone))
                seen.statements.clear()
            await asyncio.gather(*waiting, lone)
            assert False in seen.commits()
            found = [event.data.number for event in await db.events.query(after=BEFORE).list()]
            assert found[0] == 100
            assert sorted(found) == [0, 1, 2, 3, 100]

    asyncio.run(run())


def test_the_loop_does_not_wait_for_a_program_without_turns(path: str, driver: str, seen: Seen) -> None:
    """Such as a database browser: it has the lock of SQLite only."""

    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            kind = _driver.driver(driver)
            browser = await asyncio.to_thread(lambda: kind.open(f"file:{path}?mode=rw", read_only=False))
            browser.execute("BEGIN IMMEDIATE").fetchall()
            lone = asyncio.create_task(append(db, 3, 1))
            while not any(sql == "BEGIN IMMEDIATE" and not on_loop for sql, on_loop in seen.statements):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert not lone.done()
            browser.execute("ROLLBACK").fetchall()
            browser.close()
            await lone
            seen.commits()
            await append(db, 4, 10)
            assert set(seen.commits()) == {False, True}

    asyncio.run(run())


def test_an_append_that_is_cancelled_before_its_turn_is_not_stored(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            task = asyncio.create_task(append(db, 7, 1))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.events.count() == BEFORE
            await append(db, 8, 1)
            assert seen.commits() == [True]

    asyncio.run(run())


def test_closing_finishes_the_appends_of_the_turn(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            tasks = [asyncio.create_task(append(db, number, 1)) for number in (7, 8)]
            await asyncio.sleep(0)
            await db.close()
            await asyncio.gather(*tasks)

    asyncio.run(run())
    with store(path, driver) as db:
        assert numbers(db)[BEFORE:] == [7, 8]


def test_a_refused_append_stores_nothing(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            await db.events.append([note(1, aggregate=("n", "a"), version=1)])
            for events in (
                [note(2, aggregate=("n", "a"), version=3)],
                [note(2, aggregate=("n", "b"), version=1), note(2, aggregate=("n", "a"), version=1)],
            ):
                with pytest.raises(ConcurrencyError):
                    await db.events.append(events)
            await append(db, 9, 1)
            found = await db.events.query(after=BEFORE).list()
            assert [event.data.number for event in found] == [1, 9]

    asyncio.run(run())


def interrupted(connection: Connection) -> None:
    raise KeyboardInterrupt


def interrupted_after_a_write(connection: Connection) -> None:
    connection.execute("INSERT INTO models VALUES ('c', 'torn', 1, '{}')").fetchall()
    raise KeyboardInterrupt


@pytest.mark.parametrize("work", [interrupted, interrupted_after_a_write])
def test_an_interrupt_on_the_loop(path: str, driver: str, seen: Seen, work: Callable[[Connection], None]) -> None:
    """It leaves the loop; nothing stays locked or stored in part, and the caller does not wait for ever."""
    opened = Opened(path, driver, seen)
    with asyncio.Runner() as runner:
        db = runner.run(opened.__aenter__())
        write = cast("SQLiteBackend", db.backend)._executor.write
        loop = runner.get_loop()
        task = loop.create_task(_awaited(write(work, atomic=True)))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        runner.run(append(db, 7, 5))
        assert runner.run(db.models.get("c", "torn")) is None
        runner.run(opened.__aexit__())
    with store(path, driver) as after:
        assert numbers(after) == [*range(BEFORE), *range(7, 12)]


async def _awaited(what: Any) -> Any:
    return await what


def test_checkpoints_are_not_on_the_loop(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            for number in range(BEFORE, 500):
                await db.events.append([note(number, text="x" * 4 * BIG)])
            checkpoints = [on_loop for sql, on_loop in seen.statements if "wal_checkpoint" in sql]
            assert checkpoints
            assert not any(checkpoints)
            assert sum(seen.commits()) > 400

    asyncio.run(run())
    with store(path, driver) as db:
        assert numbers(db) == [*range(500)]


def test_several_loops_write_at_the_same_time(path: str, driver: str) -> None:
    """Each append is stored once, in the order of its task; none is lost between the loops."""

    async def run() -> None:
        options: Any = {"registry": registry, "driver": driver, "durability": "normal"}
        async with goes.connect(path, **options) as db:

            def other(process: int) -> None:
                asyncio.run(write(process))

            async def write(process: int) -> None:
                for number in range(50):
                    await db.events.append([note(number, process=process)])

            await asyncio.gather(*(asyncio.to_thread(other, process) for process in range(3)), write(3))
            found = [event.data async for event in db.events.query()]
            for process in range(4):
                assert [data.number for data in found if data.process == process] == [*range(50)]
            assert all(isinstance(data, Noted) for data in found)

    asyncio.run(run())


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_what_is_called_later_is_not_committed_earlier(path: str, driver: str, seen: Seen, durability: str) -> None:
    """Whatever is committed where: a small append and then a larger one, a model and then several, a model and its end."""

    async def transaction(db: goes.Database) -> None:
        async with db.transaction() as tx:
            await tx.events.append([note(2, aggregate=("n", "b"), version=2)])

    async def run() -> None:
        async with Opened(path, driver, seen, durability) as db:
            await asyncio.gather(
                db.events.append([note(1, aggregate=("n", "a"), version=1)]),
                db.events.append([note(version, aggregate=("n", "a"), version=version) for version in range(2, 12)]),
            )
            await append(db, 0, PROOF + 1)
            await asyncio.gather(db.events.append([note(1, aggregate=("n", "b"), version=1)]), transaction(db))
            await append(db, 0, PROOF + 1)
            await asyncio.gather(db.models.put("c", "1", "1"), db.models.put_many("c", {"1": "2", "2": "2"}))
            record = await db.models.get("c", "1")
            assert record is not None
            assert record.data == "2"
            await append(db, 0, PROOF + 1)
            await asyncio.gather(db.models.put("d", "1", "1"), db.models.clear("d"))
            assert await db.models.get("d", "1") is None

    asyncio.run(run())


def test_what_takes_long_to_check_is_not_written_on_the_loop(path: str, driver: str, seen: Seen) -> None:
    async def run() -> None:
        async with Opened(path, driver, seen) as db:
            text = f'"{"é" * 5000}"'
            await db.models.put("c", "1", text)
            await db.models.put_many("c", {"1": text})
            await db.events.append([goes.Event(Noted(0, 1), metadata={"k": "v" * 100_000}, registry=registry)])
            tags = [f"n:{number}" for number in range(100)]
            await db.events.append([goes.Event(Noted(0, 2), tags=tags, registry=registry)])
            await db.models.put("c", "1", "1")
            assert seen.commits() == [False] * 4 + [True]

    asyncio.run(run())


def test_a_thread_that_cannot_be_started_is_an_error_not_a_cancellation(
    path: str, driver: str, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with goes.connect(path, registry=registry, driver=driver, durability="normal", reads="inline") as db:
            seen.loop = threading.get_ident()
            with monkeypatch.context() as patched:

                def refuse(self: threading.Thread) -> None:
                    raise RuntimeError("can't start new thread")

                patched.setattr(threading.Thread, "start", refuse)
                found = await asyncio.gather(
                    db.events.append([note(1)]), db.events.append([note(2)]), return_exceptions=True
                )
                assert all(isinstance(one, RuntimeError) for one in found)
            await db.events.append([note(3)])

    asyncio.run(run())


def test_an_interrupt_at_the_end_of_a_turn_holds_nobody_up_later(
    path: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it comes before the operations of the turn are taken: those that come later take them along."""
    end_turn = _loop_writer.LoopWriter._end_turn
    interrupts = [KeyboardInterrupt]

    def interrupted(self: _loop_writer.LoopWriter) -> None:
        if interrupts:
            raise interrupts.pop()
        end_turn(self)

    async def opened() -> goes.Database:
        db = await goes.connect(path, registry=registry, driver=driver, durability="normal")
        await append(db, 0, BEFORE)
        return db

    loop = asyncio.new_event_loop()
    try:
        db = loop.run_until_complete(opened())
        monkeypatch.setattr(_loop_writer.LoopWriter, "_end_turn", interrupted)
        first = loop.create_task(db.events.append([note(3)]))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(first)
        loop.run_until_complete(asyncio.wait_for(db.events.append([note(4)]), 60))
        loop.run_until_complete(asyncio.wait_for(first, 60))
        loop.run_until_complete(db.close())
    finally:
        loop.close()
    with store(path, driver) as found:
        assert numbers(found) == [0, 1, 2, 3, 4]
