"""The end: closing the handle of a running processor, using one after that, and cancelling it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from goes_lite.contract.backend import PERSISTENT
from goes_lite.database import Database
from goes_lite.errors import StoreClosed
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.processor._given import NAME, Ear, Held, becomes, reached, stands
from goes_lite_conformance.rule import needs, only


class CloseRules(Contract):
    """Rules PR-CLOSE."""

    async def test_closing_ends_it(self, place: Place) -> None:
        """PR-CLOSE-001: Closing the backend ends `run` without an error, whether the instance is active or stands by."""
        async with place.open() as db:
            active, standby = db.processor(NAME, Ear()), db.processor(NAME, Ear())
            running = [place.alongside(active.run())]
            await becomes(place, active, "active")
            running.append(place.alongside(standby.run()))
            await becomes(place, standby, "standby")
        for one in running:
            assert await one.result() is None
        await active.stop()

    @needs(PERSISTENT)
    async def test_what_is_at_hand_is_not_lost(self, place: Place) -> None:
        """PR-CLOSE-002: The event being handled when the backend is closed is handled again, unless its checkpoint was saved."""
        held, ear = Held(place), Ear()
        async with place.open() as db:
            last = (await db.events.append([note("1"), note("2")])).position
            running = place.alongside(db.processor(NAME, held, lease=0.1).run())
            await held.entered.wait()
        held.let.come()
        await running.result()
        async with place.open() as db, db.processor(NAME, ear):
            await reached(place, db, last)
        assert (held.left, ear.done) == (["1"], ["1", "2"])

    async def test_a_closed_backend_runs_none(self, place: Place) -> None:
        """PR-CLOSE-003: On a closed backend, everything but stopping a processor raises StoreClosed."""
        async with place.open() as db:
            processor, never = db.processor(NAME, Ear()), db.processor(NAME, Ear())
            async with processor:
                await reached(place, db, (await db.events.append([note("1")])).position)
        for one in (processor, never):
            calls: dict[str, Callable[[], Any]] = {
                "run": one.run,
                "wait_for": partial(one.wait_for, 1),
                "trigger": one.trigger,
                "reset": one.reset,
                "parked": one.parked,
                "redrive": one.redrive,
                "stats": one.stats,
            }
            await each_refused(StoreClosed, calls, location=db.location)
            await one.stop()

    @only("async")
    async def test_cancelling_run(self, place: Place, db: Database) -> None:
        """PR-CLOSE-004: Cancelling `run` at any moment loses no event and releases the lease."""
        ear, last = Ear(), 0
        for number in range(20):
            processor = db.processor(NAME, ear)
            running = place.alongside(processor.run())
            last = (await db.events.append([note(f"{number} {n}") for n in range(5)])).position
            for _ in range(number * 3):
                await asyncio.sleep(0)
            if number % 4 == 0:
                await reached(place, db, last)
            running.cancel()
            assert type(await running.outcome()) is asyncio.CancelledError
            assert await db.leases.get(NAME) is None, number
        async with db.processor(NAME, ear):
            await reached(place, db, last)
        assert list(dict.fromkeys(ear.done)) == [f"{n} {m}" for n in range(20) for m in range(5)]
        assert await stands(db) == last
