"""Group commit: many callers, few transactions, and nobody pays for what another brought."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite import connect
from goes_lite.backend import Backend
from goes_lite.blocking import connect as connect_blocking
from goes_lite.codec import FunctionCodec
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    DuplicateEventError,
    EncodeError,
    InvalidEventError,
    StoreClosed,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.registry import Registry
from goes_lite.store import AppendCondition, Appended

if TYPE_CHECKING:
    from tests.backends.faces import Noted, Place, note, registry, story
else:
    from faces import Noted, Place, note, registry, story

A = AggregateRef("order", "a")


async def data_version(db: Backend) -> int:
    """A number that grows with each commit of others, as a reading connection of the backend sees it."""
    readers = cast(Any, db)._readers

    def look(connection: Any) -> int:
        return int(connection.execute("PRAGMA data_version").fetchall()[0][0])

    def run() -> int:
        return int(readers.run(look))

    return await db.runtime.call(run)


def commits(db: Any) -> int:
    """How many commits notified the followers so far."""
    count: int = getattr(db, "backend", db)._signal.count
    return count


@pytest.mark.parametrize("appenders", [64, 256])
async def test_concurrent_appends_share_commits(loop_place: Place, appenders: int) -> None:
    """All succeed, each at positions of its own, in far fewer commits than appends."""
    async with loop_place.open() as db:
        before = commits(db)
        appended = await asyncio.gather(
            *(db.events.append([note(str(n), ("order", str(n)), 1), note(f"{n}+")]) for n in range(appenders))
        )
        assert commits(db) - before <= appenders // 8
        positions = [position for one in appended for position in one.positions]
        assert sorted(positions) == list(range(1, 2 * appenders + 1))
        assert all(one.positions[1] == one.positions[0] + 1 for one in appended)
        log = await db.events.query().list()
        for number, one in enumerate(appended):
            assert [log[p - 1].data.text for p in one.positions] == [str(number), f"{number}+"]


async def test_positions_are_in_the_order_of_commits(loop_place: Place) -> None:
    """Appends of one task come one behind the other; a reader that saw a position never sees a lower one appear."""
    async with loop_place.open() as db:
        done = False
        seen: dict[int, str] = {}

        async def write(writer: int) -> None:
            last = 0
            for number in range(12):
                position = (await db.events.append([note(f"{writer}-{number}")])).position
                assert position > last
                last = position

        async def watch() -> None:
            while not done:
                for event in await db.events.query().list():
                    assert seen.setdefault(event.position, event.data.text) == event.data.text
                assert list(seen) == list(range(1, len(seen) + 1))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(write(writer) for writer in range(16)))
        done = True
        await watching


async def test_a_failing_append_does_not_disturb_its_neighbours(loop_place: Place) -> None:
    """Conflicts, used ids, failed conditions, what cannot be stored: each caller gets its own outcome."""
    own = Registry(codec=FunctionCodec("own", lambda v: v.text, lambda payload, _: Noted(str(payload)), text=True))
    own.register("noted", Noted)
    async with loop_place.open() as db:
        used = note("used")
        await db.events.append([used, *story("a", 1)])
        bad: list[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[], Any]]] = [
            (ConcurrencyError, lambda: db.events.append(story("a", 1))),
            (ConcurrencyError, lambda: db.events.append([*story("b", 1), *story("a", 1, after=5)])),
            (DuplicateEventError, lambda: db.events.append([note("x"), note("dup", id=used.id)])),
            (DuplicateEventError, lambda: db.events.append([*story("c", 3), note("dup", ("d", "1"), 1, id=used.id)])),
            (
                AppendConditionFailed,
                lambda: db.events.append([note("x")], condition=AppendCondition(EventQuery(["noted"]))),
            ),
            (
                (InvalidEventError, EncodeError),
                lambda: db.events.append([note("x"), Event(Noted("\ud800"), registry=own)]),
            ),
        ]
        calls: list[Any] = []
        for number in range(60):
            calls.append(db.events.append([note(f"good {number}", ("good", str(number)), 1)]))
            calls.append(bad[number % len(bad)][1]())
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for number, outcome in enumerate(outcomes[1::2]):
            assert isinstance(outcome, bad[number % len(bad)][0]), (number, outcome)
        good = [outcome for outcome in outcomes[::2] if isinstance(outcome, Appended)]
        assert len(good) == 60
        assert sorted(one.position for one in good) == list(range(3, 63))
        assert await db.events.head() == await db.events.count() == 62


async def test_appends_of_one_group_see_each_other(loop_place: Place) -> None:
    """Of many who want the same version, or the same boundary, exactly one gets it."""
    async with loop_place.open() as db:
        versions = await asyncio.gather(
            *(db.events.append([note(str(n), A, 1)]) for n in range(40)), return_exceptions=True
        )
        assert sum(isinstance(one, Appended) for one in versions) == 1
        assert all(
            isinstance(one, Appended) or (isinstance(one, ConcurrencyError) and one.actual == 1) for one in versions
        )
        seat = AppendCondition(EventQuery(tags=["seat:1"]))
        seats = await asyncio.gather(
            *(db.events.append([note(str(n), tags=["seat:1"])], condition=seat) for n in range(40)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, Appended) for one in seats) == 1
        assert sum(isinstance(one, AppendConditionFailed) for one in seats) == 39
        event = note("same")
        same = await asyncio.gather(*(db.events.append([event]) for _ in range(10)))
        assert {one.positions for one in same} == {(3,)}
        assert sorted(one.already_committed for one in same) == [False, *[True] * 9]


async def test_every_condition_holds_under_contention(loop_place: Place) -> None:
    """Unrelated decisions never fail; each boundary is crossed once."""
    async with loop_place.open() as db:

        async def take(seat: int, who: int) -> bool:
            condition = AppendCondition(EventQuery(["noted"], tags=[f"seat:{seat}"]))
            try:
                await db.events.append([note(str(who), tags=[f"seat:{seat}", f"who:{who}"])], condition=condition)
            except AppendConditionFailed:
                return False
            return True

        taken = await asyncio.gather(*(take(seat, who) for who in range(4) for seat in range(30)))
        assert sum(taken) == 30
        assert await db.events.count() == 30


async def test_cancelled_appends_are_stored_wholly_or_not_at_all(loop_place: Place) -> None:
    """Whenever they are cancelled; a retry tells which, the others are not disturbed, and nothing is left behind."""
    async with loop_place.open() as db:
        batches = [[note(f"{n}-{i}", ("order", str(n)), i) for i in (1, 2, 3)] for n in range(60)]
        tasks = [asyncio.create_task(db.events.append(batch)) for batch in batches]
        for number, task in enumerate(tasks):
            if number % 2:
                await asyncio.sleep(0.0002 * (number % 5))
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, Appended) for outcome in outcomes[::2])
        await db.events.append([note("behind them all")])
        for number, batch in enumerate(batches):
            ref = AggregateRef("order", str(number))
            stored = await db.events.load(ref)
            assert stored in ([], batch), number
            again = await db.events.append(batch)
            assert again.already_committed == bool(stored)
            assert await db.events.load(ref) == batch
        assert await db.events.count() == 181
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_an_append_that_is_cancelled_in_the_queue_is_not_stored(loop_place: Place) -> None:
    """If its turn had not come: here a transaction holds the store."""
    async with loop_place.open() as db:
        async with db.transaction() as tx:
            waiting = asyncio.create_task(_outside(db, [note("cancelled")]))
            others = asyncio.create_task(_outside(db, [note("other")]))
            await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await tx.events.append([note("tx")])
        await others
        assert [event.data.text for event in await db.events.query().list()] == ["tx", "other"]


async def _outside(db: Backend, events: list[Event[Any]]) -> Appended:
    """An append of a task that the transaction is none of the business of."""
    from goes_lite.sqlite._writer import current_session

    current_session.set(None)
    return await db.events.append(events)


async def test_close_finishes_what_is_under_way(loop_place: Place) -> None:
    """Each append in flight is stored and answered, or refused with StoreClosed and not stored; none hangs."""
    db = await _open(loop_place)
    kept: dict[int, str] = {}

    async def write(writer: int) -> None:
        for number in range(1000):
            try:
                position = (await db.events.append([note(f"{writer}-{number}")])).position
            except StoreClosed:
                return
            kept[position] = f"{writer}-{number}"

    writers = [asyncio.create_task(write(writer)) for writer in range(20)]
    await asyncio.sleep(0.02)
    await db.close()
    async with asyncio.timeout(20):
        await asyncio.gather(*writers)
    assert kept
    if not loop_place.memory:
        async with loop_place.open() as again:
            assert {event.position: event.data.text for event in await again.events.query().list()} == kept


async def test_nothing_is_queued_behind_the_end(loop_place: Place) -> None:
    """An append that passed every check just before the store was closed is refused, not forgotten."""
    async with loop_place.open() as db:
        await db.events.append([note("x")])
        writer = cast(Any, db).writer
        await db.close()
        writer.check_usable = lambda: None
        with pytest.raises(StoreClosed):
            async with asyncio.timeout(10):
                await db.events.append([note("y")])


async def _open(place: Place) -> Backend:
    return await connect(place.path, driver=place.driver, registry=registry)


def test_a_thread_that_closes_and_those_that_append(driver: str, tmp_path: Path) -> None:
    """On the blocking face too: stored and answered, or StoreClosed."""
    for round_ in range(5):
        path = tmp_path / f"{round_}.db"
        db = connect_blocking(path, driver=driver, registry=registry, durability="normal")
        kept: dict[int, str] = {}
        failures: list[BaseException] = []

        def write(writer: int, db: Any = db, kept: Any = kept, failures: Any = failures) -> None:
            for number in range(1000):
                try:
                    position = db.events.append([note(f"{writer}-{number}")]).position
                except StoreClosed:
                    return
                except BaseException as error:
                    failures.append(error)
                    return
                kept[position] = f"{writer}-{number}"

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        db.close()
        for thread in threads:
            thread.join(20)
        assert not failures
        with connect_blocking(path, driver=driver, registry=registry) as again:
            assert {event.position: event.data.text for event in again.events.query()} == kept


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("inline", [True, False])
def test_threads_share_one_blocking_handle(driver: str, where: str, inline: bool, tmp_path: Path) -> None:
    """Every append of every thread is stored once, reads run beside them, and a conflict hits one thread only."""
    path = ":memory:" if where == "memory" else str(tmp_path / "store.db")
    outcomes: list[list[int]] = [[] for _ in range(8)]
    conflicts = [0] * 8
    with connect_blocking(path, driver=driver, registry=registry, durability="normal", inline=inline) as db:

        def work(number: int) -> None:
            for step in range(1, 26):
                outcomes[number].append(db.events.append([note("own", ("own", str(number)), step)]).position)
                shared = len(db.events.load(AggregateRef("shared", "1")))
                try:
                    outcomes[number].append(db.events.append([note("shared", ("shared", "1"), shared + 1)]).position)
                except ConcurrencyError:
                    conflicts[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        positions = sorted(position for own in outcomes for position in own)
        assert positions == list(range(1, 8 * 50 - sum(conflicts) + 1))
        assert all(own == sorted(own) for own in outcomes)
        versions = [event.version for event in db.events.load(AggregateRef("shared", "1"))]
        assert versions == list(range(1, 8 * 25 - sum(conflicts) + 1))


def test_data_version_counts_commits(driver: str, tmp_path: Path) -> None:
    """A group is one commit for everybody else, too; a refused or empty append is none."""

    async def main() -> None:
        async with connect(tmp_path / "store.db", driver=driver, registry=registry) as db:
            before, first = await data_version(db), commits(db)
            for _ in range(3):
                await asyncio.gather(*(db.events.append([note(str(n))]) for n in range(50)))
            assert commits(db) - first <= 24
            assert await data_version(db) > before
            unchanged, told = await data_version(db), commits(db)
            with contextlib.suppress(ConcurrencyError):
                await db.events.append(story("a", 1, after=7))
            await db.events.append([])
            assert (await data_version(db), commits(db)) == (unchanged, told)

    asyncio.run(main())
