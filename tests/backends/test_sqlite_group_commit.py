"""Group commit: many callers, few transactions, and nobody pays for what another brought."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite import connect
from goes_lite.backend import Backend
from goes_lite.blocking import connect as connect_blocking
from goes_lite.errors import (
    ConcurrencyError,
    StoreClosed,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.store import Appended

if TYPE_CHECKING:
    from tests.backends.faces import Place, note, registry, story
else:
    from faces import Place, note, registry, story

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
