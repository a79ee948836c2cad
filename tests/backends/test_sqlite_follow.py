"""Following the log, in memory and in a file, on every face and driver."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite.backend import Backend
from goes_lite.errors import StoreClosed
from goes_lite.query import EventQuery

if TYPE_CHECKING:
    from tests.backends.events_kit import take
    from tests.backends.faces import Place, count, note
else:
    from events_kit import take
    from faces import Place, count, note


async def test_follow_begins_with_what_is_stored(db: Backend) -> None:
    """In position order, behind `after`, across pages; then what is committed, each once."""
    await db.events.append([note(str(number)) for number in range(1200)])
    following = db.events.follow(after=2)
    assert await take(following, 1198) == [str(number) for number in range(2, 1200)]
    await db.events.append([note("new"), count(1), note("newer")])
    following_notes = db.events.follow(EventQuery(["noted"]), after=1200)
    assert [(await anext(following)).position for _ in range(3)] == [1201, 1202, 1203]
    assert await take(following_notes, 2) == ["new", "newer"]


async def test_follow_gives_what_other_handles_commit(file: Place) -> None:
    """Whoever committed it, in whatever handle of this process; from now on with `after=head()`."""
    async with file.open() as db:
        await db.events.append([note("old")])
        following = db.events.follow(after=await db.events.head())
        with file.second() as other:
            other.events.append([note("theirs")])
            assert await take(following, 1) == ["theirs"]
            await db.events.append([note("ours")])
            other.events.append([note("theirs again")])
            assert await take(following, 2) == ["ours", "theirs again"]


async def test_follow_wakes_for_another_thread(place: Place) -> None:
    """A follower that waits gets what is committed by another thread, soon, whether it matches or not."""
    async with place.open() as db:
        blocking_db = getattr(db, "target", None) if place.face != "async" else None
        go_on = threading.Event()

        def write() -> None:
            go_on.wait()
            for number in range(20):
                assert blocking_db is not None
                blocking_db.events.append([count(number), note(str(number))])

        following = db.events.follow(EventQuery(["noted"]), after=0)
        if blocking_db is not None:
            writer = threading.Thread(target=write)
            writer.start()
            go_on.set()
            assert await take(following, 20) == [str(number) for number in range(20)]
            writer.join()
        else:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(take(following, 20))
                for number in range(20):
                    await asyncio.sleep(0.001)
                    await db.events.append([count(number), note(str(number))])
            assert reading.result() == [str(number) for number in range(20)]


async def test_follow_ends_when_the_store_is_closed(place: Place) -> None:
    """A waiting follower gets StoreClosed, and every later attempt too; nothing hangs."""
    async with place.open() as db:
        await db.events.append([note("x")])
        following = db.events.follow(after=0)
        assert await take(following, 1) == ["x"]
        if place.face == "async":
            waiting = asyncio.create_task(take(following, 1))
            await asyncio.sleep(0.02)
            await db.close()
            with pytest.raises(StoreClosed):
                await asyncio.wait_for(waiting, 10)
        else:
            closer = threading.Timer(0.02, cast(Any, db).target.close)
            closer.start()
            with pytest.raises(StoreClosed):
                await take(following, 1)
            closer.join()
        with pytest.raises(StoreClosed):
            await take(following, 1)


async def test_a_waiting_follower_costs_nothing(loop_place: Place) -> None:
    """It looks again when something was committed, and now and then; it does not spin."""
    async with loop_place.open() as db:
        await db.events.append([note("x")])
        waits = 0
        wait = db.runtime.wait

        async def counted(*args: Any, **kwargs: Any) -> bool:
            nonlocal waits
            waits += 1
            return await wait(*args, **kwargs)

        db.runtime.wait = counted  # type: ignore[method-assign]
        following = asyncio.create_task(take(db.events.follow(EventQuery(["noted"]), after=1), 1))
        await asyncio.sleep(0.2)
        assert 0 < waits < 10
        await db.events.append([count(1), note("y")])
        assert await following == ["y"]


async def test_a_cancelled_follower_loses_nothing(loop_place: Place) -> None:
    """Whenever it is cancelled, the next call goes on exactly where the last event was given out."""
    async with loop_place.open() as db:
        following = db.events.follow(after=0)
        seen: list[str] = []

        async def follow() -> None:
            async for event in following:
                seen.append(event.data.text)

        for number in range(60):
            waiting = asyncio.create_task(follow())
            for _ in range(number % 7):
                await asyncio.sleep(0)
            appending = asyncio.create_task(db.events.append([note(str(number))]))
            for _ in range(number % 11):
                await asyncio.sleep(0.0002 * (number % 3))
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            await appending
        while len(seen) < 60:
            seen += await take(following, 1)
        assert seen == [str(number) for number in range(60)]


async def test_two_followers_and_a_busy_writer(loop_place: Place) -> None:
    """Neither misses or repeats an event while batches are committed concurrently."""
    async with loop_place.open() as db:

        async def write(writer: int) -> None:
            for number in range(25):
                await db.events.append([note(f"{writer}-{number}"), *([count(1)] if number % 2 else [])])

        async def follow(query: EventQuery, number: int) -> list[int]:
            following = db.events.follow(query, after=0)
            return [(await anext(following)).position for _ in range(number)]

        async with asyncio.TaskGroup() as group:
            whole = group.create_task(follow(EventQuery(), 25 * 8 + 12 * 8))
            some = group.create_task(follow(EventQuery(["counted"]), 12 * 8))
            for writer in range(8):
                group.create_task(write(writer))
        assert whole.result() == list(range(1, 25 * 8 + 12 * 8 + 1))
        assert all(before < after for before, after in pairwise(some.result()))
        assert len(set(some.result())) == 12 * 8
