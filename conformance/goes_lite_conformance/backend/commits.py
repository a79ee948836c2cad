"""Learning of commits: reading the count, looking and then waiting misses no commit, wherever it is made."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import PROCESSES, SQL, TRANSACTIONS, Backend
from goes_lite.errors import InvalidQueryError, StoreClosed
from goes_lite.runtime import Signal
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Alongside, Moment, Place, until
from goes_lite_conformance.harness.samples import A, note, snapshot, story
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs, only

FOR_EVER = (None, math.inf, 1e300)
"""Time limits that outlast every rule."""


def change_each(place: Place) -> None:
    """Make one change after another in a process of its own, each when told to."""
    with place.blocking() as db:
        say("ready")
        listen()
        db.events.append([note("x")])
        listen()
        db.models.put_many("c", {"1": "1"})
        listen()
        db.checkpoints.save("reader", 1)
        listen()
        lease = db.leases.acquire("reader", "me", 60)
        listen()
        db.leases.release(lease)


async def changes(db: Backend) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return every kind of change, in an order in which each one changes something."""
    lease = await db.leases.acquire("held", "me", 60)
    return {
        "append": lambda: db.events.append(story(A, 2)),
        "save a snapshot": lambda: db.snapshots.save(snapshot(A, 1)),
        "save another": lambda: db.snapshots.save(snapshot(A, 2)),
        "prune": db.snapshots.prune,
        "delete a snapshot": lambda: db.snapshots.delete(A),
        "put a new model": lambda: db.models.put("c", "1", "1"),
        "put a model": lambda: db.models.put("c", "1", "1"),
        "put many": lambda: db.models.put_many("c", {"1": "1", "2": "2"}),
        "remove many": lambda: db.models.put_many("c", {"2": None}),
        "rename": lambda: db.models.rename("c", "d"),
        "rename nothing": lambda: db.models.rename("c", "d"),
        "put one more": lambda: db.models.put("c", "3", "1"),
        "delete a model": lambda: db.models.delete("c", "3"),
        "put yet another": lambda: db.models.put("c", "4", "1"),
        "clear": lambda: db.models.clear("c"),
        "save a checkpoint": lambda: db.checkpoints.save("reader", 1),
        "move a checkpoint": lambda: db.checkpoints.save("reader", 2, lease=lease),
        "delete a checkpoint": lambda: db.checkpoints.delete("reader"),
        "acquire": lambda: db.leases.acquire("other", "me", 60),
        "renew": lambda: db.leases.renew(lease, 120),
        "release": lambda: db.leases.release(lease),
        "delete": lambda: db.events.delete(A),
    }


async def waiting(place: Place, db: Backend, seen: int, timeout: float | None = None) -> Alongside:
    """Return a call that waits for a commit, and is most likely waiting by now."""
    asking = place.alongside(db.commits.wait(seen, timeout))
    for _ in range(5):  # lets it run
        await db.events.head()
    return asking


async def waited(place: Place, db: Backend, seen: int, timeout: float | None = None) -> bool:
    """Return the result of waiting; raise AssertionError if the wait does not end."""
    answer: bool = await place.alongside(db.commits.wait(seen, timeout)).result()
    return answer


async def quiet(place: Place, db: Backend) -> int:
    """Return the count once waiting no longer wakes without a cause."""
    for _ in range(100):
        seen = db.commits.count
        if not await waited(place, db, seen, 0.05):
            return seen
    raise AssertionError("waiting still wakes, although nothing is committed")


class CommitsRules(Contract):
    """Rules BE-COMMITS."""

    async def test_the_count_grows_with_each_change(self, db: Backend) -> None:
        """BE-COMMITS-001: When a write of this handle is acknowledged, the count has grown, whatever was changed."""
        for what, change in (await changes(db)).items():
            before = db.commits.count
            await change()
            assert db.commits.count > before, what

    async def test_waiting_for_what_came_already_ends_at_once(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-002: If the count differs from the one seen, waiting returns True at once, whatever the time limit."""
        seen = db.commits.count
        await db.events.append([note("x")])
        for timeout in (0, 0.5, *FOR_EVER):
            assert await waited(place, db, seen, timeout) is True
        assert await waited(place, db, db.commits.count + 10**9) is True  # the count may grow meanwhile

    async def test_waiting_ends_when_time_is_up(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-003: If nothing is committed, waiting returns False when the time is up, and not before."""
        await db.events.append([note("x")])
        await quiet(place, db)
        for timeout in (0, 0.05):
            started, tries = time.monotonic(), 1
            while await waited(place, db, db.commits.count, timeout) is not False:  # it may wake without cause
                started, tries = time.monotonic(), tries + 1
                assert tries < 100
            assert time.monotonic() - started >= 0.9 * timeout

    async def test_a_commit_wakes(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-004: A commit of this handle wakes a waiting caller, whatever was changed."""
        for what, change in (await changes(db)).items():
            asking = await waiting(place, db, await quiet(place, db) if what == "append" else db.commits.count)
            await change()
            assert await asking.result() is True, what

    async def test_all_who_wait_wake(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-005: Any number of callers may wait, and each of them wakes, with and without a time limit."""
        seen = await quiet(place, db)
        several = [await waiting(place, db, seen, timeout) for timeout in (None, 60, None, 3600, *FOR_EVER)]
        await db.models.put("c", "1", "1")
        assert [await asking.result() for asking in several] == [True] * 7

    async def test_nothing_is_missed(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-006: A caller that reads the count, looks, then waits misses nothing, whenever it is committed."""
        last = 60

        async def consume() -> int:
            looks = 0
            while True:
                seen = db.commits.count
                record = await db.models.get("c", "1")
                looks += 1
                if record is not None and record.version == last:
                    return looks
                await db.commits.wait(seen)

        consumers = [place.alongside(consume()) for _ in range(3)]
        for _ in range(last):
            await db.models.put("c", "1", "1")
        for consumer in consumers:
            assert await consumer.result() >= 1

    @needs(TRANSACTIONS)
    async def test_a_transaction_counts_when_it_is_committed(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-007: The commit of a transaction is counted and wakes, whatever was written in it."""
        for number in range(3):
            asking = await waiting(place, db, await quiet(place, db))
            async with db.transaction() as tx:
                before = db.commits.count
                if number == 0:
                    await tx.models.put_many("c", {"1": "1"})
                elif number == 1:
                    await tx.checkpoints.save("reader", 1)
                else:
                    await tx.events.append([note("x")])
            assert db.commits.count > before
            assert await asking.result() is True

    @needs(SQL, TRANSACTIONS)
    async def test_the_users_own_sql_counts(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-008: A transaction of nothing but the user's own SQL is counted and wakes, too."""
        for sql in ("CREATE TABLE mine (a INTEGER)", "INSERT INTO mine VALUES (1)", "UPDATE mine SET a = 2"):
            asking = await waiting(place, db, await quiet(place, db))
            before = db.commits.count
            async with db.transaction() as tx:
                await tx.execute(sql)
            assert db.commits.count > before, sql
            assert await asking.result() is True, sql

    @needs(PROCESSES)
    async def test_a_commit_of_another_handle_wakes(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-009: A commit of another handle wakes a waiting caller, whatever was changed."""
        async with place.open() as other:
            for what, change in (await changes(other)).items():
                seen = await quiet(place, db) if what == "append" else db.commits.count
                asking = await waiting(place, db, seen)
                await change()
                assert await asking.result() is True, what

    @needs(PROCESSES)
    async def test_a_commit_of_another_process_wakes(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-010: A commit of another process wakes a waiting caller, whatever was changed."""
        process = place.spawn(change_each)
        process.expect("ready")
        for _ in range(5):
            asking = await waiting(place, db, await quiet(place, db))
            process.tell()
            assert await asking.result() is True
        process.finish()

    @needs(PROCESSES)
    async def test_nothing_of_others_is_missed(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-011: What another handle commits between reading the count and waiting wakes as well."""
        async with place.open() as other:
            for number in range(6):
                seen = db.commits.count
                await other.models.put("c", "1", "1")
                if number % 2:
                    await quiet(place, db)  # all notifications have arrived, and none is to follow
                assert await waited(place, db, seen) is True

    async def test_closing_wakes_those_who_wait(self, place: Place) -> None:
        """BE-COMMITS-012: Closing the handle ends all waiting; the caller's next operation raises StoreClosed."""
        async with place.open() as db:
            several = [await waiting(place, db, await quiet(place, db), timeout) for timeout in (None, 3600)]
        for asking in several:
            assert await asking.result() is True
        with refused(StoreClosed, location=db.location):
            await db.events.head()

    async def test_on_a_closed_handle_nobody_waits(self, place: Place) -> None:
        """BE-COMMITS-013: Waiting on a closed handle raises StoreClosed with its location, whatever count was seen."""
        async with place.open() as db:
            before = db.commits.count
        for seen in (before, db.commits.count):
            with refused(StoreClosed, location=db.location):
                await waited(place, db, seen)
        with refused(StoreClosed, location=db.location), db.commits.watch(Signal()):
            pass

    async def test_what_is_no_count_and_no_time_is_refused(self, db: Backend) -> None:
        """BE-COMMITS-014: A count that is not an int, or a time limit that is not a number ≥ 0, raises InvalidQueryError."""
        wait, calls = db.commits.wait, dict[str, Callable[[], Any]]()
        for wrong in cast("tuple[Any, ...]", (None, "1", 1.0, True, b"1")):
            calls[f"seen {wrong!r}"] = partial(wait, wrong, 0)
        for wrong in cast("tuple[Any, ...]", (-1, -0.5, math.nan, -math.inf, "1", True, b"1")):
            calls[f"timeout {wrong!r}"] = partial(wait, -1, wrong)
        await each_refused(InvalidQueryError, calls)

    @only("async")
    async def test_waiting_can_be_cancelled(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-015: Waiting may be cancelled at any moment; other and later callers wake as usual."""
        other = await waiting(place, db, await quiet(place, db))
        for turns in range(6):
            asking = asyncio.create_task(db.commits.wait(db.commits.count))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert asking.cancelled()
        await db.models.put("c", "1", "1")
        assert await other.result() is True
        seen = db.commits.count
        asking = asyncio.create_task(db.commits.wait(seen))
        await db.models.put("c", "1", "1")
        assert await asking is True

    async def test_a_signal_can_be_told_as_well(self, db: Backend) -> None:
        """BE-COMMITS-016: While a signal is registered with `watch`, each commit notifies it; before and after, none does."""
        signal = Signal()
        await db.models.put("c", "1", "1")
        assert signal.count == 0
        with db.commits.watch(signal):
            for _ in range(5):
                seen = signal.count
                await db.models.put("c", "1", "1")
                assert signal.count > seen
        seen = signal.count
        for _ in range(10):
            await db.models.put("c", "1", "1")
        assert signal.count - seen < 3  # notifications in flight when the block ended may still arrive

    @needs(PROCESSES)
    async def test_a_signal_is_told_of_others(self, place: Place, db: Backend) -> None:
        """BE-COMMITS-017: Commits of other handles and processes notify a registered signal, too."""
        signal = Signal()
        process = place.spawn(change_each)
        process.expect("ready")
        async with place.open() as other:
            with db.commits.watch(signal):
                await quiet(place, db)
                seen = signal.count
                await other.models.put("c", "1", "1")
                await until(place, lambda: signal.count > seen)
                for _ in range(5):
                    await quiet(place, db)
                    told = signal.count
                    process.tell()
                    await until(place, lambda: signal.count > told)  # noqa: B023 - awaited here
        process.finish()

    async def test_a_signal_is_told_of_the_end(self, place: Place) -> None:
        """BE-COMMITS-018: Closing the handle notifies a registered signal."""
        signal, watching, go_on = Signal(), Moment(place), Moment(place)

        async def watch(db: Backend) -> int:
            with db.commits.watch(signal):
                watching.come()
                await go_on.wait()
            return signal.count

        async with place.open() as db:
            watcher = place.alongside(watch(db))
            await watching.wait()
            await quiet(place, db)
            seen = signal.count
        assert signal.count > seen
        go_on.come()
        assert await watcher.result() > seen
