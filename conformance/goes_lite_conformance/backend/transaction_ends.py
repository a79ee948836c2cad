"""The edges of a transaction: what it excludes, what follows its commit, and who learns of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from goes_lite.contract.backend import TRANSACTIONS, Backend, Transaction
from goes_lite.errors import ConcurrencyError, GoesError, TransactionError
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, contents, fill, note, snapshot, story, take, texts
from goes_lite_conformance.rule import needs, only


@dataclass(frozen=True)
class Count:
    """A read model."""

    n: int = 0


class TransactionEndRules(Contract):
    """Rules BE-TX about the edges of a transaction."""

    @needs(TRANSACTIONS)
    async def test_writes_around_it_are_refused(self, db: Backend) -> None:
        """BE-TX-020: Within its block, a write through the backend's own stores raises TransactionError and does not deadlock.

        Nothing of it is written, and the stores work again when the block has ended.
        """
        lease = await db.leases.acquire("held", "me", 60)
        async with db.transaction() as tx:
            await tx.events.append(story(A, 1))
            await each_refused(TransactionError, {
                "append": lambda: db.events.append([note("y")]),
                "delete": lambda: db.events.delete(A),
                "save a snapshot": lambda: db.snapshots.save(snapshot(A, 1)),
                "delete snapshots": lambda: db.snapshots.delete(A),
                "prune": db.snapshots.prune,
                "put": lambda: db.models.put("c", "1", "{}"),
                "delete a model": lambda: db.models.delete("c", "1"),
                "clear": lambda: db.models.clear("c"),
                "save a checkpoint": lambda: db.checkpoints.save("p", 1),
                "delete a checkpoint": lambda: db.checkpoints.delete("p"),
                "acquire": lambda: db.leases.acquire("job", "me", 1),
                "renew": lambda: db.leases.renew(lease, 1),
                "release": lambda: db.leases.release(lease),
            })  # fmt: skip
            await tx.events.append([note("z")])
        assert await texts(db) == ["a-1", "z"]
        assert (await contents(db))["models"] == []
        await fill_again(db)

    @needs(TRANSACTIONS)
    async def test_a_transaction_in_its_block_is_refused(self, db: Backend) -> None:
        """BE-TX-021: Transactions do not nest: an inner one raises TransactionError, and the outer one continues."""
        async with db.transaction() as tx:
            await tx.events.append([note("1")])
            with refused(TransactionError):
                async with db.transaction():
                    raise AssertionError("begun")
            await tx.events.append([note("2")])
        assert await texts(db) == ["1", "2"]

    @needs(TRANSACTIONS)
    async def test_a_transaction_that_ended_is_of_no_use(self, db: Backend) -> None:
        """BE-TX-022: Reading and writing through a transaction that has ended raises TransactionError, however it ended."""
        ended: list[Transaction] = []
        async with db.transaction() as tx:
            ended.append(tx)
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                ended.append(tx)
                raise ZeroDivisionError
        for tx in ended:
            await of_no_use(tx)
        assert await db.events.head() == 0

    @needs(TRANSACTIONS)
    async def test_an_empty_transaction_changes_nothing(self, db: Backend) -> None:
        """BE-TX-023: A block that writes nothing, or only what is refused, leaves the store unchanged."""
        await fill(db)
        before = await contents(db)
        async with db.transaction() as tx:
            await tx.events.append([])
            await tx.events.load(A)
            with refused(ConcurrencyError):
                await tx.events.append(story(A, 1, after=7))
        async with db.transaction():
            pass
        assert await contents(db) == before

    @needs(TRANSACTIONS)
    async def test_on_commit_runs_after_the_commit(self, db: Backend) -> None:
        """BE-TX-024: Actions run once, in order, after the commit, when the transaction is no longer open, so they may write."""
        done: list[str] = []

        async def write() -> None:
            done.append(f"saw {await texts(db)}")
            await db.events.append([note("from the action")])

        async def say() -> None:
            done.append("second")

        async with db.transaction() as tx:
            tx.on_commit(write)
            tx.on_commit(say)
            await tx.events.append([note("x")])
            assert done == []
        assert done == ["saw ['x']", "second"]
        async with db.transaction() as tx:
            await tx.events.append([note("y")])
        assert done == ["saw ['x']", "second"]
        assert await texts(db) == ["x", "from the action", "y"]

    @needs(TRANSACTIONS)
    async def test_on_commit_does_not_run_without_one(self, db: Backend) -> None:
        """BE-TX-025: When the block is rolled back, no action runs, neither then nor later."""
        done: list[str] = []

        async def say() -> None:
            done.append("ran")

        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                tx.on_commit(say)
                await tx.events.append([note("x")])
                raise ZeroDivisionError
        async with db.transaction() as tx:
            await tx.events.append([note("y")])
        assert done == []

    @needs(TRANSACTIONS)
    async def test_an_action_that_fails_harms_nobody(self, db: Backend, caplog: pytest.LogCaptureFixture) -> None:
        """BE-TX-026: An exception of an action is logged to "goes_lite": the block ends normally and the other actions run."""
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
        errors = [record.exc_info for record in caplog.records if record.name.startswith("goes_lite")]
        assert [info[0] for info in errors if info] == [ZeroDivisionError]
        assert await texts(db) == ["x"]

    @needs(TRANSACTIONS)
    async def test_followers_see_it_whole_and_never_what_was_rolled_back(self, place: Place, db: Backend) -> None:
        """BE-TX-027: A follower gets the events of a transaction after its commit, in order, and no others."""
        following = db.events.follow(after=0)
        follower = place.alongside(take(following, 5))
        await db.events.append([note("0")])
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("rolled back")])
                raise ZeroDivisionError
        async with db.transaction() as tx:
            for number in range(1, 4):
                await tx.events.append([note(str(number))])
            with refused(ConcurrencyError):
                await tx.events.append([note("refused"), *story(A, 1, after=7)])
            await tx.events.append([note("4")])
        assert await follower.result() == ["0", "1", "2", "3", "4"]  # only the commit wakes it
        await db.events.append([note("5")])
        assert await take(following, 1) == ["5"]

    @needs(TRANSACTIONS)
    async def test_the_bus_hears_of_committed_events_only(self, place: Place, db: Backend) -> None:
        """BE-TX-028: The backend's bus delivers the events of a transaction once it is committed, each once, in order.

        They have positions and can be found; events that were refused, rolled back or only retried are not delivered.
        """

        async def hear(number: int) -> list[tuple[str, int, bool]]:
            heard: list[tuple[str, int, bool]] = []
            while len(heard) < number:
                delivery = await anext(subscription)
                event = delivery.event
                heard.append((event.data.text, event.position, await db.events.find(event.id) is not None))
                await delivery.ack()
            return heard

        async with db.bus.subscribe(["sample.noted"]) as subscription:
            listener = place.alongside(hear(3))
            with pytest.raises(ZeroDivisionError):
                async with db.transaction() as tx:
                    await tx.events.append([note("rolled back")])
                    raise ZeroDivisionError
            async with db.transaction() as tx:
                first = [note("1")]
                positions = (await tx.events.append(first)).positions
                with refused(ConcurrencyError):
                    await tx.events.append([note("refused"), *story(A, 1, after=7)])
                await tx.events.append(first)
                positions += (await tx.events.append([note("2"), note("3")])).positions
            heard = await listener.result()  # only the commit delivers them
            plain = [note("4")]
            positions += (await db.events.append(plain)).positions
            await db.events.append(plain)
            positions += (await db.events.append([note("5")])).positions
            heard += await hear(2)
        assert heard == [(str(number), position, True) for number, position in enumerate(positions, 1)]

    @needs(TRANSACTIONS)
    async def test_transactions_side_by_side_lose_nothing(self, place: Place, db: Backend) -> None:
        """BE-TX-029: Concurrent transactions that decide on what they read are stored in full or refused, never lost."""

        async def transact() -> None:
            async with db.transaction() as tx:
                counts = tx.models_of("counts", Count)
                await counts.use("c", lambda count: Count(count.n + 1), default=Count(), tries=1)
                version = len(await tx.events.load(A))
                await tx.events.append(story(A, 1, after=version))

        outcomes = await place.together(*(transact() for _ in range(8)))
        unexpected = [one for one in outcomes if one is not None and not isinstance(one, GoesError)]
        assert not unexpected
        committed = outcomes.count(None)
        assert committed > 0
        assert (await db.models_of("counts", Count).get("c")).n == committed
        assert [event.version for event in await db.events.load(A)] == list(range(1, committed + 1))

    @needs(TRANSACTIONS)
    async def test_concurrent_appends_succeed(self, place: Place, db: Backend) -> None:
        """BE-TX-030: Appends concurrent with transactions on other aggregates are all stored; none hangs."""

        async def transact(number: int) -> None:
            async with db.transaction() as tx:
                for version in range(1, 4):
                    await tx.events.append([note("tx", (f"tx{number}", "1"), version)])

        async def append(number: int) -> None:
            await db.events.append([note("plain", (f"plain{number}", "1"), 1)])

        outcomes = await place.together(*(transact(n) for n in range(4)), *(append(n) for n in range(12)))
        assert outcomes == [None] * 16
        assert await db.events.count() == 4 * 3 + 12
        for number in range(4):
            assert [event.version for event in await db.events.load(A._replace(name=f"tx{number}", id="1"))] == [
                1,
                2,
                3,
            ]

    @needs(TRANSACTIONS)
    @only("async")
    async def test_a_task_that_outlives_it_may_write(self, db: Backend) -> None:
        """BE-TX-031: A task that was started in the block may write through the backend once the block has ended."""
        ended = asyncio.Event()

        async def later() -> None:
            await ended.wait()
            await db.events.append([note("later")])

        async with db.transaction() as tx:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
            await tx.events.append([note("x")])
        ended.set()
        await task
        assert await texts(db) == ["x", "later"]


async def of_no_use(tx: Transaction) -> None:
    """Check that every operation on this transaction raises TransactionError."""
    await each_refused(TransactionError, {
        "append": lambda: tx.events.append([note("y")]),
        "head": tx.events.head,
        "query": lambda: tx.events.query().list(),
        "snapshot": lambda: tx.snapshots.save(snapshot(A, 1)),
        "model": lambda: tx.models.get("c", "1"),
        "checkpoint": lambda: tx.checkpoints.save("p", 1),
    })  # fmt: skip


async def fill_again(db: Backend) -> None:
    """Make every kind of write through the backend's own stores, after a transaction."""
    await db.events.append(story(A, 1, after=1))
    await db.snapshots.save(snapshot(A, 2))
    await db.models.put("c", "1", "{}")
    await db.checkpoints.save("p", 1)
    await db.leases.acquire("job", "me", 1)
