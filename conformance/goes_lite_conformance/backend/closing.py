"""Closing a handle: what is refused from then on, what is finished, and that nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import uuid4

from goes_lite.contract.backend import PERSISTENT, SQL, TRANSACTIONS, Backend
from goes_lite.contract.checkpoints import Checkpoint, CheckpointStore, Lease, LeaseStore
from goes_lite.contract.event_store import EventStore
from goes_lite.contract.model_store import ModelRecord, ModelStore
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.contract.upkeep import BACKUP
from goes_lite.errors import BusError, StoreClosed, TransactionError
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place
from goes_lite_conformance.harness.samples import NOON, A, fill, note, snapshot, story, take, texts
from goes_lite_conformance.rule import needs, only

Calls = dict[str, Callable[[], Awaitable[Any]]]


async def closed(place: Place) -> Backend:
    """Return a handle that was used and closed."""
    async with place.open() as db:
        await fill(db)
    return db


async def all_closed(db: Backend, protocol: type[Any], calls: Calls) -> None:
    """Check that each method of the protocol raises StoreClosed with the location."""
    assert set(calls) == {name for name in vars(protocol) if not name.startswith("_")}, "the rule misses a method"
    for name, call in calls.items():
        try:
            answer = await call()
        except StoreClosed as error:
            assert error.location == db.location, name
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
        else:
            raise AssertionError(f"{name} of a closed store returned {answer!r}")


def held() -> tuple[int, int]:
    """Return how many threads and (on Linux) file descriptors this process has.

    Threads of asyncio's default executor do not count: asyncio starts them when it likes and ends them with the loop.
    """
    gc.collect()
    descriptors = "/proc/self/fd"
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(threads), len(os.listdir(descriptors)) if os.path.isdir(descriptors) else 0


class ClosingRules(Contract):
    """Rules BE-CLOSE."""

    async def test_closing_twice_is_fine(self, place: Place) -> None:
        """BE-CLOSE-001: Closing a closed handle does nothing."""
        async with place.open() as db:
            await db.events.append([note("x")])
            await db.close()
            await db.close()

    async def test_a_closed_event_store_refuses_everything(self, place: Place) -> None:
        """BE-CLOSE-002: Every operation on the events of a closed handle raises StoreClosed with its location."""
        db = await closed(place)
        events = db.events
        await all_closed(db, EventStore, {
            "append": lambda: events.append([note("x")]),
            "load": lambda: events.load(A),
            "query": lambda: events.query().next_page(),
            "stored": lambda: events.stored().next_page(),
            "find": lambda: events.find(uuid4()),
            "head": events.head,
            "aggregates": lambda: events.aggregates().list(),
            "count": events.count,
            "follow": lambda: events.follow(after=0).next_page(),
            "delete": lambda: events.delete(A),
            "import_events": lambda: events.import_events([], head=1),
        })  # fmt: skip

    async def test_the_other_closed_stores_refuse_everything(self, place: Place) -> None:
        """BE-CLOSE-003: Every operation on the other stores of a closed handle raises StoreClosed, too."""
        db = await closed(place)
        snapshots, models, checkpoints, leases = db.snapshots, db.models, db.checkpoints, db.leases
        lease = Lease("reader", "me", 1, NOON)
        await all_closed(db, SnapshotStore, {
            "save": lambda: snapshots.save(snapshot(A, 1)),
            "save_many": lambda: snapshots.save_many([snapshot(A, 1)]),
            "latest": lambda: snapshots.latest(A),
            "query": lambda: snapshots.query().list(),
            "delete": lambda: snapshots.delete(A),
            "prune": snapshots.prune,
        })  # fmt: skip
        await all_closed(db, ModelStore, {
            "get": lambda: models.get("c", "1"),
            "get_many": lambda: models.get_many("c", ["1"]),
            "put": lambda: models.put("c", "1", "{}"),
            "put_many": lambda: models.put_many("c", {"1": "{}"}),
            "delete": lambda: models.delete("c", "1"),
            "query": lambda: models.query("c").list(),
            "clear": lambda: models.clear("c"),
            "rename": lambda: models.rename("c", "d"),
            "collections": models.collections,
            "import_models": lambda: models.import_models([ModelRecord("c", "1", 1, "{}")]),
        })  # fmt: skip
        await all_closed(db, CheckpointStore, {
            "get": lambda: checkpoints.get("reader"),
            "save": lambda: checkpoints.save("reader", 1),
            "delete": lambda: checkpoints.delete("reader"),
            "all": checkpoints.all,
            "import_checkpoints": lambda: checkpoints.import_checkpoints([Checkpoint("reader", 1, db.identity, NOON)]),
        })  # fmt: skip
        await all_closed(db, LeaseStore, {
            "acquire": lambda: leases.acquire("reader", "me", 1.0),
            "renew": lambda: leases.renew(lease, 1.0),
            "release": lambda: leases.release(lease),
            "get": lambda: leases.get("reader"),
            "tokens": leases.tokens,
            "import_tokens": lambda: leases.import_tokens({"reader": 9}),
        })  # fmt: skip

    async def test_a_closed_bus_refuses_to_publish_and_to_subscribe(self, place: Place) -> None:
        """BE-CLOSE-004: Publishing, subscribing and handling on the bus of a closed handle raise BusError."""
        db = await closed(place)
        with refused(BusError):
            await db.bus.publish([note("x")])
        with refused(BusError):
            async with db.bus.subscribe():
                pass
        with refused(BusError):
            db.bus.handle(["*"], print)

    @needs(TRANSACTIONS)
    async def test_a_closed_handle_begins_no_transaction(self, place: Place) -> None:
        """BE-CLOSE-005: Entering a transaction of a closed handle raises StoreClosed, and its block does not run."""
        db = await closed(place)
        with refused(StoreClosed, location=db.location):
            async with db.transaction():
                raise AssertionError("begun")

    @needs(BACKUP)
    async def test_a_closed_handle_is_not_backed_up(self, place: Place) -> None:
        """BE-CLOSE-006: Backing up a closed handle raises StoreClosed and creates no file."""
        db = await closed(place)
        copy = place.storage.folder / "a copy"
        with refused(StoreClosed, location=db.location):
            await db.backup(copy)
        assert not copy.exists()

    @needs(SQL)
    async def test_a_closed_handle_selects_nothing(self, place: Place) -> None:
        """BE-CLOSE-007: `select` on a closed handle raises StoreClosed."""
        db = await closed(place)
        with refused(StoreClosed, location=db.location):
            await db.select("SELECT 1")

    async def test_a_query_that_is_under_way_never_ends_silently(self, place: Place) -> None:
        """BE-CLOSE-008: Reading on after the close returns everything that was asked for, or raises StoreClosed.

        A result that merely ends early would be taken for a complete one.
        """
        async with place.open() as db:
            await db.events.append([note(str(number)) for number in range(3000)])
            pages = db.events.query()
            found = await take(pages, 1)
        try:
            async for event in pages:
                found.append(event.data.text)
        except StoreClosed:
            return
        assert found == [str(number) for number in range(3000)]

    async def test_closing_ends_a_follower_that_waits(self, place: Place) -> None:
        """BE-CLOSE-009: A follower that is waiting when its handle is closed raises StoreClosed."""
        async with place.open() as db:
            await db.events.append([note("x")])
            arrived = Moment(place)

            async def follow() -> None:
                following = db.events.follow(after=0)
                assert await take(following, 1) == ["x"]
                arrived.come()
                await anext(following)

            follower = place.alongside(follow())
            await arrived.wait()
        error = await follower.outcome()
        assert type(error) is StoreClosed, repr(error)
        assert error.location == db.location

    async def test_closing_ends_a_subscription_that_waits(self, place: Place) -> None:
        """BE-CLOSE-010: The iteration of a subscription that is waiting when its handle is closed ends."""
        async with place.open() as db:
            arrived = Moment(place)

            async def listen() -> list[str]:
                heard: list[str] = []
                async with db.bus.subscribe() as subscription:
                    await db.events.append([note("x")])
                    async for delivery in subscription:
                        heard.append(delivery.event.data.text)
                        await delivery.ack()
                        arrived.come()
                return heard

            listener = place.alongside(listen())
            await arrived.wait()
        assert await listener.result() == ["x"]

    @needs(PERSISTENT)
    async def test_an_append_during_the_close_is_stored_or_refused(self, place: Place) -> None:
        """BE-CLOSE-011: While a handle is closed, an append is either acknowledged and stored, or raises StoreClosed.

        A refused append is not stored, and none hangs.
        """
        acknowledged: list[str] = []

        async def work(db: Backend, name: str) -> None:
            for number in range(1000):
                text = f"{name}-{number}"
                await db.events.append([note(text)])
                acknowledged.append(text)

        for turn in range(3):
            async with place.open() as db:
                workers = [place.alongside(work(db, f"{turn}-{n}")) for n in range(3)]
                await db.events.append([note(f"own-{turn}")])
                acknowledged.append(f"own-{turn}")
            for worker in workers:
                outcome = await worker.outcome()
                assert outcome is None or type(outcome) is StoreClosed, repr(outcome)
        async with place.open() as db:
            assert sorted(await texts(db)) == sorted(acknowledged)

    @needs(PERSISTENT)
    @only("async")
    async def test_what_was_asked_before_the_close_is_done(self, place: Place) -> None:
        """BE-CLOSE-012: Appends that are in progress when a handle is closed are finished and acknowledged."""
        async with place.open() as db:
            tasks = [asyncio.create_task(db.events.append([note(str(number))])) for number in range(30)]
            await asyncio.sleep(0)  # each of them has begun
        positions = [(await task).position for task in tasks]
        async with place.open() as db:
            assert sorted(event.position for event in await db.events.query().list()) == sorted(positions)

    @needs(TRANSACTIONS, PERSISTENT)
    async def test_closing_waits_for_a_transaction(self, place: Place) -> None:
        """BE-CLOSE-013: A transaction that another task or thread has open when a handle is closed can still commit."""
        inside, go_on = Moment(place), Moment(place)
        async with place.open() as db:

            async def transact() -> None:
                async with db.transaction() as tx:
                    await tx.events.append([note("1")])
                    inside.come()
                    await go_on.wait()
                    await tx.events.append([note("2")])

            transaction = place.alongside(transact())
            await inside.wait()
            closing = place.alongside(db.close())
            go_on.come()
            await closing.result()
            await transaction.result()
        async with place.open() as db:
            assert await texts(db) == ["1", "2"]

    @needs(TRANSACTIONS)
    async def test_closing_inside_a_transaction_is_refused(self, place: Place) -> None:
        """BE-CLOSE-014: Closing a handle from within its transaction raises TransactionError, and the transaction continues.

        It would wait for itself.
        """
        async with place.open() as db:
            async with db.transaction() as tx:
                await tx.events.append([note("1")])
                with refused(TransactionError):
                    await db.close()
                await tx.events.append([note("2")])
            assert await texts(db) == ["1", "2"]

    async def test_nothing_is_left_after_closing(self, place: Place) -> None:
        """BE-CLOSE-015: Opening, using and closing repeatedly leaks neither threads nor file descriptors."""

        async def use() -> None:
            async with place.open() as db:
                await db.events.append([note("x")])
                await place.together(*(db.events.query().list() for _ in range(3)))
                async with db.bus.subscribe():
                    await take(db.events.follow(after=0), 1)
            with refused(StoreClosed):  # which reopens nothing
                await db.events.query().list()

        await use()
        before = held()
        for _ in range(6):
            await use()
        threads, descriptors = held()
        assert threads <= before[0], threading.enumerate()
        assert descriptors <= before[1]

    @only("async")
    async def test_no_task_is_left_after_closing(self, place: Place) -> None:
        """BE-CLOSE-016: A closed handle leaves no tasks on the event loop."""
        async with place.open() as db:
            await db.events.append(story(A, 3))
            await take(db.events.follow(after=0), 3)
            db.bus.handle(["*"], lambda event: None)
            await db.events.append([note("x")])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_abandoned_iterators_leak_nothing(self, place: Place, db: Backend) -> None:
        """BE-CLOSE-017: Queries and followers that are abandoned half-way hold neither threads nor file descriptors (G11)."""
        await db.events.append([note(str(number)) for number in range(500)])

        async def leave_half_way() -> list[Any]:
            left: list[Any] = []
            for _ in range(20):
                for pages in (db.events.query(), db.events.query(reverse=True), db.events.follow(after=0)):
                    await anext(pages)
                    left.append(pages)
            return left

        before = held()
        kept = await leave_half_way()
        threads, descriptors = held()
        assert threads - before[0] < len(kept) / 3, threading.enumerate()  # a pool may grow, but not with each iterator
        assert descriptors - before[1] < len(kept) / 3
        assert [event.data.text for event in await kept[0].list()] == [str(n) for n in range(1, 500)]

    @only("async")
    async def test_cancelled_reads_leave_the_handle_usable(self, place: Place, db: Backend) -> None:
        """BE-CLOSE-018: Reading and following can be cancelled at any moment, and the handle works as before."""
        await db.events.append([note(str(number)) for number in range(200)])
        for turns in range(30):
            tasks = [
                asyncio.create_task(work)
                for work in (db.events.query().list(), db.events.load(A), take(db.events.follow(after=200), 1))
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert await texts(db, limit=2) == ["0", "1"]
        assert (await db.events.append([note("x")])).position == await db.events.head()

    @only("async")
    async def test_a_cancelled_close_closes(self, place: Place) -> None:
        """BE-CLOSE-019: A cancelled `close` still closes the handle and leaks nothing."""
        async with place.open() as db:
            await db.events.append([note("x")])
        before = held()
        for turns in range(1, 6):
            db = await cast("Any", place.open())
            await db.events.append([note("x")])
            closing = asyncio.create_task(db.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            with refused(StoreClosed):
                await db.events.head()
            await db.close()
        threads, descriptors = held()
        assert threads <= before[0], threading.enumerate()
        assert descriptors <= before[1]
