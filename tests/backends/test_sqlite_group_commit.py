"""Group commit: many callers, few transactions, and nobody pays for what another brought."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import note, registry, story

from goes_lite import connect
from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import Appended
from goes_lite.errors import (
    ConcurrencyError,
    StoreClosed,
)
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from tests.conftest_kit import SQLitePlace

A = AggregateRef("order", "a")


async def data_version(db: Any) -> int:
    """A number that grows with each commit of others, as a reading connection of the backend sees it."""
    readers = db.backend._readers

    def look(connection: Any) -> int:
        return int(connection.execute("PRAGMA data_version").fetchall()[0][0])

    def run() -> int:
        return int(readers.run(look))

    return int(await db.runtime.call(run))


def commits(db: Any) -> int:
    """How many commits notified the followers so far."""
    count: int = getattr(db, "backend", db)._signal.count
    return count


@pytest.mark.parametrize("appenders", [64, 256])
async def test_concurrent_appends_share_commits(loop_place: SQLitePlace, appenders: int) -> None:
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


async def test_an_append_that_is_cancelled_in_the_queue_is_not_stored(loop_place: SQLitePlace) -> None:
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
    from goes_lite.kit.transaction import current_session

    current_session.set(None)
    return await db.events.append(events)


async def test_nothing_is_queued_behind_the_end(loop_place: SQLitePlace) -> None:
    """An append that passed every check just before the store was closed is refused, not forgotten."""
    async with loop_place.open() as db:
        await db.events.append([note("x")])
        writer = db.backend.writer
        await db.close()
        writer.check_usable = lambda: None
        with pytest.raises(StoreClosed):
            async with asyncio.timeout(10):
                await db.events.append([note("y")])


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
                await db.events.append(story(A, 1, after=7))
            await db.events.append([])
            assert (await data_version(db), commits(db)) == (unchanged, told)

    asyncio.run(main())
