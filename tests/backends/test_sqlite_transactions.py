"""What is SQLite's own about transactions: its SQL, its locks, its one writer."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.samples import A, note, registry, snapshot, story

from goes_lite.blocking import connect
from goes_lite.contract.backend import Backend
from goes_lite.errors import (
    InvalidQueryError,
    StoreError,
    StoreReadOnly,
    TransactionError,
)
from tests.conftest_kit import SQLitePlace


async def table(db: Backend) -> None:
    """A table of the user's own."""
    async with db.transaction() as tx:
        await tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)")


async def notes(db: Backend) -> list[Any]:
    async with db.transaction() as tx:
        return [row[0] for row in await tx.execute("SELECT text FROM notes ORDER BY id")]


@pytest.mark.parametrize(
    "sql",
    [
        "SAVEPOINT x", "RELEASE operation", "ROLLBACK TO operation", "BEGIN IMMEDIATE", "END TRANSACTION", ";COMMIT",
    ],
)  # fmt: skip
async def test_a_transaction_cannot_be_ended_by_sql(db: Backend, sql: str) -> None:
    """What SQLite knows beside COMMIT is refused as well, its savepoints included; what was written stays undecided."""
    await table(db)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            for _ in range(2):
                with pytest.raises((TransactionError, StoreError, InvalidQueryError)):
                    await tx.execute(sql)
            await tx.events.append([note("y")])
            raise ZeroDivisionError
    assert await db.events.head() == 0
    assert await notes(db) == []


async def test_words_that_only_look_like_it_are_fine(db: Backend) -> None:
    """COMMIT as a value, as a column, or in a comment; the same statement as often as one likes."""
    async with db.transaction() as tx:
        await tx.execute('CREATE TABLE "begin" ("commit" TEXT)')
        assert await tx.execute('INSERT INTO "begin" VALUES (?) RETURNING "commit"', ("COMMIT",)) == [("COMMIT",)]
        for _ in range(3):
            await tx.execute('INSERT INTO "begin" VALUES (?)', ("COMMIT",))
        assert (
            await tx.execute('SELECT "commit" FROM "begin" -- COMMIT\n WHERE "commit" = \'COMMIT\'')
            == [("COMMIT",)] * 4
        )
        with pytest.raises(InvalidQueryError):
            await tx.execute(cast(Any, 5))


async def test_a_transaction_that_sqlite_rolled_back_stays_so(db: Backend) -> None:
    """INSERT OR ROLLBACK ends it: every further use and the commit itself are TransactionError, nothing is stored."""
    await table(db)
    with pytest.raises(TransactionError, match="rolled back"):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            await tx.execute("INSERT INTO notes (text) VALUES ('one')")
            with pytest.raises(StoreError):
                await tx.execute("INSERT OR ROLLBACK INTO notes (text) VALUES ('one')")
            with pytest.raises(TransactionError, match="rolled back"):
                await tx.events.append([note("y")])
            with pytest.raises(TransactionError, match="rolled back"):
                await tx.events.head()
    assert await db.events.head() == 0
    assert await notes(db) == []
    await db.events.append([note("z")])


async def test_a_read_only_store_refuses_to_begin(file: SQLitePlace) -> None:
    """StoreReadOnly for transactions and for every write; reading works."""
    async with file.open() as db:
        await db.events.append(story(A, 1))
    async with file.open(read_only=True) as db:
        await each_refused(
            StoreReadOnly,
            {
                "transaction": lambda: db.transaction().__aenter__(),
                "append": lambda: db.events.append([note("x")]),
                "delete": lambda: db.events.delete(A),
                "snapshot": lambda: db.snapshots.save(snapshot(A, 1)),
                "model": lambda: db.models.put("c", "1", "{}"),
                "checkpoint": lambda: db.checkpoints.save("p", 1),
                "lease": lambda: db.leases.acquire("job", "me", 1),
            },
        )
        assert len(await db.events.load(A)) == await db.events.head() == 1


async def test_a_block_that_is_cancelled_while_it_commits_is_settled(loop_place: SQLitePlace) -> None:
    """When it has ended everybody sees what became of it, although COMMIT cannot be called back; its actions are done."""
    async with loop_place.open() as db:
        acted: list[str] = []
        writer = db.backend.writer

        async def act() -> None:
            acted.append("done")

        transactions = writer.transactions
        end = transactions.end
        committing = threading.Event()

        def slowly(**options: Any) -> None:
            committing.set()
            time.sleep(0.05)
            end(**options)

        async def work() -> None:
            async with db.transaction() as tx:
                tx.on_commit(act)
                await tx.events.append([note("x")])
                transactions.end = slowly

        task = asyncio.create_task(work())
        await asyncio.to_thread(committing.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        transactions.end = end
        assert await db.events.head() == 1
        assert acted == ["done"]


async def test_a_task_that_outlives_the_transaction_may_write(loop_place: SQLitePlace) -> None:
    """A task that was started inside is refused while it is open, and welcome afterwards."""
    async with loop_place.open() as db:
        ended = asyncio.Event()

        async def later() -> Any:
            with pytest.raises(TransactionError):
                await db.events.append([note("too early")])
            await ended.wait()
            return (await db.events.append([note("later")])).position

        async with db.transaction() as tx:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
            await tx.events.append([note("x")])
        ended.set()
        assert await task == 2


async def test_other_tasks_wait_for_the_transaction(loop_place: SQLitePlace) -> None:
    """Appends, reads and transactions of other tasks come before or behind it, never into it."""
    async with loop_place.open() as db:

        async def transact(number: int) -> tuple[int, ...]:
            positions: tuple[int, ...] = ()
            async with db.transaction() as tx:
                for _ in range(3):
                    positions += (await tx.events.append([note(f"tx {number}")])).positions
                    await asyncio.sleep(0.0005)
            return positions

        async def append(number: int) -> Any:
            await asyncio.sleep(0.0005 * number)
            return (await db.events.append([note(f"plain {number}")])).positions

        results = await asyncio.gather(*(transact(n) for n in range(5)), *(append(n) for n in range(20)))
        for positions in results[:5]:
            assert positions == tuple(range(positions[0], positions[0] + 3))
        assert sorted(p for positions in results for p in positions) == list(range(1, 36))


def test_other_threads_wait_for_the_transaction(driver: str, tmp_path: Path) -> None:
    """On the blocking face the thread of the transaction has the store to itself until it ends."""
    with connect(tmp_path / "store.db", driver=driver, registry=registry, durability="normal") as db:
        inside = threading.Event()
        order: list[str] = []

        def write() -> None:
            inside.wait()
            db.events.append([note("other")])
            order.append("other")

        thread = threading.Thread(target=write)
        thread.start()
        with db.transaction() as tx:
            inside.set()
            for number in range(20):
                tx.events.append([note(str(number))])
            order.append("transaction")
        thread.join()
        assert order == ["transaction", "other"]
        assert [event.data.text for event in db.events.query()] == [*map(str, range(20)), "other"]
