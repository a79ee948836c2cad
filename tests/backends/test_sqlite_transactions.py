"""Transactions, in memory and in a file, on every face and driver."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite.backend import Backend
from goes_lite.blocking import connect
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    GoesError,
    ModelConflict,
    StoreError,
    StoreReadOnly,
    TransactionError,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.store import AppendCondition

if TYPE_CHECKING:
    from tests.backends.faces import Place, note, registry, story
    from tests.backends.stores_kit import A, raises, snapshot
else:
    from faces import Place, note, registry, story
    from stores_kit import A, raises, snapshot


async def table(db: Backend) -> None:
    """A table of the user's own."""
    async with db.transaction() as tx:
        await tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)")


async def notes(db: Backend) -> list[Any]:
    async with db.transaction() as tx:
        return [row[0] for row in await tx.execute("SELECT text FROM notes ORDER BY id")]


async def test_everything_in_a_transaction_commits_together(db: Backend) -> None:
    """Events, snapshots, models, checkpoints and the user's own SQL."""
    await table(db)
    async with db.transaction() as tx:
        assert (await tx.events.append(story("a", 2))).positions == (1, 2)
        assert (await tx.events.append([note("loose", tags=["t:1"])])).positions == (3,)
        await tx.snapshots.save(snapshot(A, 2))
        assert await tx.models.put("c", "1", "{}") == 1
        await tx.checkpoints.save("p", 3)
        assert await tx.execute("INSERT INTO notes (text) VALUES (?) RETURNING id", ("é",)) == [(1,)]
    assert [event.version for event in await db.events.load(A)] == [1, 2]
    assert await db.events.head() == 3
    assert await db.snapshots.latest(A) == snapshot(A, 2)
    assert await db.models.get("c", "1") is not None
    checkpoint = await db.checkpoints.get("p")
    assert checkpoint is not None
    assert checkpoint.position == 3
    assert await notes(db) == ["é"]


async def test_an_exception_rolls_everything_back(db: Backend) -> None:
    """It passes through, and nothing of the block is there; positions, versions and keys are as if it had never been."""
    await table(db)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([*story("a", 2), note("x", tags=["t:1"])])
            await tx.snapshots.save(snapshot(A, 2))
            await tx.models.put("c", "1", "{}")
            await tx.checkpoints.save("p", 3)
            await tx.execute("INSERT INTO notes (text) VALUES ('x')")
            raise ZeroDivisionError
    assert await db.events.head() == 0
    assert await db.events.load(A) == []
    assert await db.events.count(EventQuery(tags=["t:1"])) == 0
    assert await db.snapshots.latest(A) is None
    assert await db.models.get("c", "1") is None
    assert await db.checkpoints.all() == []
    assert await notes(db) == []
    assert (await db.events.append(story("a", 1))).positions == (1,)


async def test_a_transaction_sees_its_own_writes(db: Backend) -> None:
    """Through each of its stores, by every way of reading; following is refused."""
    async with db.transaction() as tx:
        events = [*story("a", 70), note("x", tags=["t:1"])]
        await tx.events.append(events)
        assert await tx.events.load(A) == events[:70]
        assert await tx.events.query().list() == events
        assert await tx.events.query(EventQuery(tags=["t:1"])).list() == events[70:]
        assert await tx.events.find(events[0].id) == events[0]
        assert (await tx.events.head(), await tx.events.count()) == (71, 71)
        assert [info.version for info in await tx.events.aggregates().list()] == [70]
        await tx.models.put("c", "1", '{"f": 1}')
        assert [record.id for record in await tx.models.query("c", where={"f": 1}).list()] == ["1"]
        await tx.snapshots.save(snapshot(A, 3))
        assert await tx.snapshots.latest(A) == snapshot(A, 3)
        await tx.checkpoints.save("p", 5)
        assert len(await tx.checkpoints.all()) == 1
        assert await tx.events.delete(A) == 70
        assert await tx.events.load(A) == []
        with pytest.raises(TransactionError, match="follow"):
            await anext(tx.events.follow(after=71))
    assert await db.events.query().list() == events[70:]


async def test_others_see_nothing_before_the_commit(file: Place) -> None:
    """Neither another handle, nor the readers of the same backend."""
    async with file.open() as db:
        with file.second() as other:
            async with db.transaction() as tx:
                await tx.events.append(story("a", 1))
                await tx.models.put("c", "1", "{}")
                assert other.events.head() == await db.events.head() == 0
                assert other.events.query().list() == await db.events.load(A) == []
                assert other.models.get("c", "1") is None
            assert other.events.head() == await db.events.head() == 1


async def test_a_failed_operation_leaves_the_transaction_usable(db: Backend) -> None:
    """What it wrote is undone and nothing else: conflicts, conditions, duplicates, the user's own constraints."""
    await table(db)
    async with db.transaction() as tx:
        first = note("first")
        await tx.events.append([first])
        with pytest.raises(ConcurrencyError):
            await tx.events.append(story("a", 1, after=4))
        with pytest.raises(AppendConditionFailed):
            await tx.events.append([note("x")], condition=AppendCondition(EventQuery()))
        with pytest.raises(GoesError):
            await tx.events.append([*story("a", 2), note("dup", A, 3, id=first.id)])
        with pytest.raises(ModelConflict):
            await tx.models.put("c", "1", "{}", expected=4)
        await tx.execute("INSERT INTO notes (text) VALUES ('one')")
        with pytest.raises(StoreError):
            await tx.execute("INSERT INTO notes (text) VALUES ('two'), ('one')")
        with pytest.raises(StoreError):
            await tx.execute("SELECT nothing FROM nowhere")
        await tx.events.append(story("a", 1))
    assert [event.data.text for event in await db.events.query().list()] == ["first", "a-1"]
    assert await notes(db) == ["one"]


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN", "COMMIT", "commit;", "  END", "ROLLBACK", "SAVEPOINT x", "RELEASE operation", "ROLLBACK TO operation",
        "/* a comment */ COMMIT", "-- a comment\nCOMMIT", ";COMMIT", "INSERT INTO notes (text) VALUES ('x'); COMMIT",
        "BEGIN IMMEDIATE", "END TRANSACTION",
    ],
)  # fmt: skip
async def test_a_transaction_cannot_be_ended_by_sql(db: Backend, sql: str) -> None:
    """BEGIN, COMMIT and their like are refused in whatever disguise, and what was written stays undecided."""
    await table(db)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            for _ in range(2):
                with pytest.raises((TransactionError, StoreError)):
                    await tx.execute(sql)
            await tx.events.append([note("y")])
            raise ZeroDivisionError
    assert await db.events.head() == 0
    assert await notes(db) == []


async def test_words_that_only_look_like_it_are_fine(db: Backend) -> None:
    """COMMIT as a value, as a column, or in a comment; the same statement as often as one likes."""
    async with db.transaction() as tx:
        await tx.execute('CREATE TABLE "begin" ("commit" TEXT)')
        for _ in range(3):
            await tx.execute('INSERT INTO "begin" VALUES (?)', ("COMMIT",))
        assert (
            await tx.execute('SELECT "commit" FROM "begin" -- COMMIT\n WHERE "commit" = \'COMMIT\'')
            == [("COMMIT",)] * 3
        )
        with pytest.raises(TransactionError):
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


async def test_writes_beside_the_transaction_are_refused(db: Backend) -> None:
    """TransactionError instead of a deadlock, for every store and for a nested transaction; afterwards they work."""
    async with db.transaction() as tx:
        await tx.events.append([note("x")])
        await raises(
            TransactionError,
            {
                "append": lambda: db.events.append([note("y")]),
                "delete": lambda: db.events.delete(A),
                "snapshot": lambda: db.snapshots.save(snapshot(A, 1)),
                "model": lambda: db.models.put("c", "1", "{}"),
                "checkpoint": lambda: db.checkpoints.save("p", 1),
                "lease": lambda: db.leases.acquire("job", "me", 1),
                "nested": lambda: db.transaction().__aenter__(),
                "close": db.close,
            },
        )
        await tx.events.append([note("z")])
    assert (await db.events.append([note("y")])).positions == (3,)


async def test_a_transaction_that_ended_is_of_no_use(db: Backend) -> None:
    """TransactionError for whatever is tried on it."""
    async with db.transaction() as tx:
        await tx.events.append([note("x")])
    await raises(
        TransactionError,
        {
            "append": lambda: tx.events.append([note("y")]),
            "head": tx.events.head,
            "execute": lambda: tx.execute("SELECT 1"),
            "model": lambda: tx.models.get("c", "1"),
        },
    )
    assert await db.events.head() == 1


async def test_on_commit_runs_after_the_commit_only(db: Backend) -> None:
    """In order, when the transaction is no longer open, so that it may write; never after a rollback."""
    done: list[str] = []

    async def write() -> None:
        done.append(f"head {await db.events.head()}")
        await db.events.append([note("from the action")])

    async def say() -> None:
        done.append("second")

    async with db.transaction() as tx:
        tx.on_commit(write)
        tx.on_commit(say)
        await tx.events.append([note("x")])
        assert done == []
    assert done == ["head 1", "second"]
    with contextlib.suppress(ZeroDivisionError):
        async with db.transaction() as tx:
            tx.on_commit(say)
            raise ZeroDivisionError
    assert done == ["head 1", "second"]
    assert await db.events.head() == 2


async def test_an_action_that_fails_after_the_commit(db: Backend, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged: the transaction is committed, and the actions behind it run."""
    done: list[str] = []

    async def fail() -> None:
        raise ZeroDivisionError

    async def say() -> None:
        done.append("second")

    async with db.transaction() as tx:
        tx.on_commit(fail)
        tx.on_commit(say)
        await tx.events.append([note("x")])
    assert done == ["second"]
    assert "an action after a commit failed" in caplog.text
    assert await db.events.head() == 1


async def test_names_of_a_rolled_back_transaction_are_forgotten(db: Backend) -> None:
    """A new event name whose key was rolled back does not give its name to the next one that gets the key."""
    with contextlib.suppress(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            assert [event.name for event in await tx.events.query().list()] == ["noted"]
            raise ZeroDivisionError
    closed = registry.type_of("closed")()
    await db.events.append([Event(closed, registry=registry)])
    assert [(event.name, event.data) for event in await db.events.query().list()] == [("closed", closed)]


async def test_a_read_only_store_refuses_to_begin(file: Place) -> None:
    """StoreReadOnly for transactions and for every write; reading works."""
    async with file.open() as db:
        await db.events.append(story("a", 1))
    async with file.open(read_only=True) as db:
        await raises(
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


async def test_a_cancelled_block_is_rolled_back(loop_place: Place) -> None:
    """Wherever it is cancelled: afterwards all of it is there or nothing, and the store goes on."""
    async with loop_place.open() as db:

        async def work(number: int) -> None:
            async with db.transaction() as tx:
                await tx.events.append([note(f"{number}-first", (f"n{number}", "1"), 1)])
                await asyncio.sleep(0)
                await tx.models.put("c", str(number), "{}")
                await tx.events.append([note(f"{number}-second", (f"n{number}", "1"), 2)])

        for number in range(40):
            task = asyncio.create_task(work(number))
            for _ in range(number):
                await asyncio.sleep(0.0001 * (number % 2))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            events = await db.events.load(AggregateRef(f"n{number}", "1"))
            model = await db.models.get("c", str(number))
            assert (len(events), model is None) in ((0, True), (2, False))
        assert (await db.events.append([note("x")])).position == await db.events.count()


async def test_a_block_that_is_cancelled_while_it_commits_is_settled(loop_place: Place) -> None:
    """When it has ended everybody sees what became of it, although COMMIT cannot be called back; its actions are done."""
    async with loop_place.open() as db:
        acted: list[str] = []
        writer = cast(Any, db).writer

        async def act() -> None:
            acted.append("done")

        end = writer.end
        committing = threading.Event()

        def slowly(**options: Any) -> None:
            committing.set()
            time.sleep(0.05)
            end(**options)

        async def work() -> None:
            async with db.transaction() as tx:
                tx.on_commit(act)
                await tx.events.append([note("x")])
                writer.end = slowly

        task = asyncio.create_task(work())
        await asyncio.to_thread(committing.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        writer.end = end
        assert await db.events.head() == 1
        assert acted == ["done"]


async def test_a_task_that_outlives_the_transaction_may_write(loop_place: Place) -> None:
    """A task that was started inside is refused while it is open, and welcome afterwards."""
    async with loop_place.open() as db:
        ended = asyncio.Event()

        async def later() -> int:
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


async def test_other_tasks_wait_for_the_transaction(loop_place: Place) -> None:
    """Appends, reads and transactions of other tasks come before or behind it, never into it."""
    async with loop_place.open() as db:

        async def transact(number: int) -> tuple[int, ...]:
            positions: tuple[int, ...] = ()
            async with db.transaction() as tx:
                for _ in range(3):
                    positions += (await tx.events.append([note(f"tx {number}")])).positions
                    await asyncio.sleep(0.0005)
            return positions

        async def append(number: int) -> tuple[int, ...]:
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


async def test_the_bus_hears_of_committed_events_only(loop_place: Place) -> None:
    """After the commit, in position order, with positions; never of what was rolled back or refused."""
    async with loop_place.open() as db, db.bus.subscribe(["noted"]) as subscription:
        await db.events.append([note("0")])
        with contextlib.suppress(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("rolled back")])
                raise ZeroDivisionError
        with pytest.raises(ConcurrencyError):
            await db.events.append([note("refused"), *story("a", 1, after=4)])
        async with db.transaction() as tx:
            await tx.events.append([note("1")])
            with contextlib.suppress(ConcurrencyError):
                await tx.events.append([note("refused"), *story("a", 1, after=4)])
            await tx.events.append([note("2"), note("3")])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    seen_early = [(await anext(subscription)).event for _ in range(2)]
                    raise AssertionError(seen_early)
        retried = note("4")
        await db.events.append([retried])
        await db.events.append([retried])
        await db.events.append([note("5")])
        seen: list[tuple[str, int]] = []
        async with asyncio.timeout(10):
            while len(seen) < 5:
                delivery = await anext(subscription)
                seen.append((delivery.event.data.text, delivery.event.position))
                await delivery.ack()
        assert seen == [("1", 2), ("2", 3), ("3", 4), ("4", 5), ("5", 6)]
