"""What following the log costs."""

from __future__ import annotations

import asyncio
from typing import Any

from goes_lite_conformance.harness.samples import count, note, take

from goes_lite.events.query import EventQuery
from tests.conftest_kit import SQLitePlace


async def test_a_waiting_follower_costs_nothing(loop_place: SQLitePlace) -> None:
    """It looks again when something was committed, and now and then; it does not spin."""
    async with loop_place.open() as db:
        await db.events.append([note("x")])
        waits, waiting = 0, asyncio.Event()
        wait = db.runtime.wait

        async def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal waits
            waits += 1
            waiting.set()
            return await wait(*args, **kwargs)

        db.runtime.wait = counted
        following = asyncio.create_task(take(db.events.follow(EventQuery(["sample.noted"]), after=1), 1))
        await asyncio.wait_for(waiting.wait(), 60)
        await asyncio.sleep(0.2)
        assert waits < 10
        await db.events.append([count(1), note("y")])
        assert await following == ["y"]
