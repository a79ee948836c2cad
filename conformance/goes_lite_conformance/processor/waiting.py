"""The progress of a processor as others see it: waiting for a position, and stats."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import PROCESSES
from goes_lite.database import Database
from goes_lite.errors import ProcessorBehind, ProcessorStopped
from goes_lite.events.query import EventQuery
from goes_lite.processor import Retry, Stats
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import PATIENCE, Place, until
from goes_lite_conformance.harness.samples import NOON, count, note
from goes_lite_conformance.processor._given import NAME, Ear, Held, at_once, bad, becomes, reached
from goes_lite_conformance.rule import needs


class WaitRules(Contract):
    """Rules PR-WAIT."""

    async def test_reading_ones_own_writes(self, place: Place, db: Database) -> None:
        """PR-WAIT-001: `wait_for` returns when everything up to the position has been handled or passed over.

        It returns at once if the position is already reached, even with no time at all and no running instance.
        """
        ear = Ear()
        async with db.processor(NAME, ear, query=EventQuery(["sample.noted"])) as processor:
            for number in range(1, 6):
                await processor.wait_for((await db.events.append([note("x")])).position, PATIENCE)
                assert len(ear.done) == number
            last = (await db.events.append([count(1)])).position
            await processor.wait_for(last, PATIENCE)
            await processor.wait_for(last, 0)
        await db.processor(NAME, print).wait_for(last, 0)
        await db.processor("other", print).wait_for(0, 0)

    async def test_a_processor_that_is_behind(self, place: Place, db: Database) -> None:
        """PR-WAIT-002: When the time is up, ProcessorBehind has the awaited position and the one reached."""
        held = Held(place)
        positions = (await db.events.append([note("1"), note("2")])).positions
        with refused(ProcessorBehind, processor=NAME, position=positions[1], reached=0):
            await db.processor(NAME, print).wait_for(positions[1], 0.01)
        async with db.processor(NAME, held) as processor:
            await held.entered.wait()
            with refused(ProcessorBehind, processor=NAME, position=positions[1], reached=0):
                await processor.wait_for(positions[1], 0)
            waiting = place.alongside(processor.wait_for(positions[1]))
            assert not waiting.ended
            held.let.come()
            await waiting.result()
            with refused(ProcessorBehind, processor=NAME, position=positions[1] + 1, reached=positions[1]):
                await processor.wait_for(positions[1] + 1, 0.01)

    async def test_a_processor_that_fails(self, place: Place, db: Database) -> None:
        """PR-WAIT-003: If this very instance fails, or has failed, `wait_for` raises its error, whatever time is left."""
        first = (await db.events.append([note("1")])).position
        async with db.processor(NAME, Ear(bad), retry=Retry(2, backoff=at_once)) as processor:
            await processor.wait_for(first)
            waiting = place.alongside(processor.wait_for(first + 1000))
            last = (await db.events.append([note("bad")])).position
            for outcome in (await waiting.outcome(), await place.alongside(processor.wait_for(last)).outcome()):
                assert type(outcome) is ProcessorStopped, outcome
                assert (outcome.position, outcome.attempts) == (last, 2)
            await processor.wait_for(first)

    @needs(PROCESSES)
    async def test_one_that_runs_elsewhere(self, place: Place, db: Database) -> None:
        """PR-WAIT-004: `wait_for` waits for whichever instance is active, even on another handle."""
        ear, waiter = Ear(), db.processor(NAME, print)
        async with place.open() as other, other.processor(NAME, ear):
            for number in range(1, 4):
                await waiter.wait_for((await db.events.append([note("x")])).position, PATIENCE)
                assert len(ear.done) == number


class StatsRules(Contract):
    """Rules PR-STATS."""

    async def test_stats(self, place: Place, db: Database) -> None:
        """PR-STATS-001: Stats give the position, the lag, how much was handled and parked, and who is active."""
        held = Held(place)
        positions = (await db.events.append([note(str(n), time=NOON) for n in range(3)])).positions
        processor = db.processor(NAME, held)
        stats = await processor.stats()
        assert type(stats) is Stats
        assert tuple(stats) == (NAME, "idle", 0, positions[2], positions[2], stats.lag_seconds, 0.0, 0, 0, None, None)
        age = (db.runtime.clock.now() - NOON).total_seconds()
        assert age - 600 < stats.lag_seconds <= age
        async with processor:
            await held.entered.wait()
            stats = await processor.stats()
            lease = await db.leases.get(NAME)
            assert lease is not None
            assert stats[:5] == (NAME, "active", 0, positions[2], positions[2])
            assert stats.owner == lease.owner
            assert (await db.processor(NAME, print).stats())[:5] == (NAME, "idle", *stats[2:5])
            held.let.come()
            await until(place, lambda: _has_handled(processor, 3))
            stats = await processor.stats()
            assert stats[:6] == (NAME, "active", positions[2], positions[2], 0, 0.0)
            assert (stats.handled, stats.parked, stats.error, stats.rate > 0) == (3, 0, None, True)
        stats = await processor.stats()
        assert (stats.state, stats.position, stats.rate, stats.owner) == ("stopped", positions[2], 0.0, None)

    async def test_all_of_a_store(self, place: Place, db: Database) -> None:
        """PR-STATS-003: A store lists each processor that has a checkpoint, by name: active if any instance is, else idle."""
        assert await db.processors() == []
        ear = Ear(bad)
        positions = (await db.events.append([note("1"), note("bad"), note("3")])).positions
        async with db.processor("z", ear, retry=Retry(1, then="park")):
            await reached(place, db, positions[2], "z")
        async with db.processor("a", ear, start=positions[0], query=EventQuery(["sample.counted"])) as processor:
            await becomes(place, processor, "active")
            await reached(place, db, positions[2], "a")
            lease = await db.leases.get("a")
            assert lease is not None
            assert [(one.name, one.state, one.position, one.lag, one.parked, one.owner) for one in await db.processors()] == [
                ("a", "active", positions[2], 0, 0, lease.owner), ("z", "idle", positions[2], 0, 1, None),
            ]  # fmt: skip

    async def test_what_has_been_handled(self, place: Place, db: Database) -> None:
        """PR-STATS-002: Each handled event is counted once; events that failed, were parked or passed over are not counted."""
        ear = Ear(lambda event: bad(event) or (event.data.text == "3" and ear.calls.count("3") < 2))
        for batch, name in ((1, "single"), (4, "many")):
            ear.calls.clear()
            events = [note("1"), count(0), note("2"), note("bad"), note("3"), note("4"), note("5")]
            positions = (await db.events.append(events)).positions
            retry, query = Retry(2, backoff=at_once, then="park"), EventQuery(["sample.noted"])
            async with db.processor(
                name, ear, query=query, batch=batch, retry=retry, start=positions[0] - 1
            ) as processor:
                await reached(place, db, positions[-1], name)
            assert (await processor.stats())[7:9] == (5, 1), name


async def _has_handled(processor: Any, number: int) -> bool:
    return bool((await processor.stats()).handled == number)
