"""How a processor is getting on, as it says itself and as any other handle sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import LeaseLost, StoreFull
from goes_lite.events.event import Event
from goes_lite.processor import Continuously, OnDemand, Retry, Stats
from tests.processor.processor_kit import DAY, NAME, ONLY_NOTED, Calls, Gate, World, note, notes, other, stands


async def seen_by(db: Database, name: str = NAME) -> Stats:
    """What a handle knows of a processor that runs elsewhere."""
    (stats,) = [stats for stats in await db.processors() if stats.name == name]
    return stats


def test_of_one_that_never_ran(world: World) -> None:
    """It has nothing behind it, and everything before it; other handles know nothing of it."""

    async def rule() -> None:
        async with world.open() as db:
            await db.events.append([note(n, time=world.clock.now()) for n in range(3)])
            world.clock.advance(90)
            stats = await db.processor(NAME, print).stats()
            assert stats == Stats(NAME, "idle", 0, 3, 3, 90.0, 0.0, 0, 0, None, None)
            assert await db.processors() == []

    world.run(rule())


def test_of_an_empty_store(world: World) -> None:
    async def rule() -> None:
        async with world.open() as db, db.processor(NAME, print) as processor:
            await world.waiting()
            stats = await processor.stats()
            assert stats == Stats(NAME, "active", 0, 0, 0, 0.0, 0.0, 0, 0, stats.owner, None)

    world.run(rule())


def test_lag_is_counted_in_positions_and_in_time(world: World) -> None:
    """From the oldest event that waits and matches, by the time of day; what does not match does not wait."""

    async def rule() -> None:
        async with world.open(world.path) as db, world.open(world.path) as elsewhere:
            processor = db.processor(NAME, Calls(world.clock), query=ONLY_NOTED, schedule=OnDemand(), lease=DAY)
            async with processor:
                await world.until(lambda: None in world.clock.waiters)
                for number in range(4):
                    fields: dict[str, Any] = {"time": world.clock.now()}
                    await db.events.append([note(number, **fields) if number else other(**fields)])
                    world.clock.advance(10)
                mine, others = await processor.stats(), await seen_by(elsewhere)
                assert (mine.position, mine.head, mine.lag, mine.lag_seconds) == (0, 4, 4, 30)
                assert (others.position, others.head, others.lag, others.lag_seconds) == (
                    0,
                    4,
                    4,
                    40,
                )  # of whatever query
                await processor.trigger()
                await processor.wait_for(4)
                await db.events.append([other(time=world.clock.now())])
                world.clock.advance(5)
                mine = await processor.stats()
                assert (mine.position, mine.lag, mine.lag_seconds) == (4, 1, 0)
                await db.events.append([note(4, time=world.clock.now() + timedelta(hours=1))])  # a clock that is ahead
                assert (await processor.stats()).lag_seconds == 0

    world.run(rule())


def test_the_rate_is_of_the_time_that_it_is_active(world: World) -> None:
    """What was handled is counted for the instance's whole life."""

    async def rule() -> None:
        async with world.open() as db:
            processor = db.processor(NAME, Calls(world.clock), lease=DAY)
            async with processor:
                await processor.wait_for((await db.events.append(notes(1, 30))).position)
                await world.waiting()
                assert (await processor.stats()).rate == 0  # no time has passed
                world.clock.advance(10)
                stats = await processor.stats()
                assert (stats.rate, stats.handled) == (3, 30)
                await processor.wait_for((await db.events.append(notes(31, 40))).position)
                await world.waiting()
                world.clock.advance(10)
                assert (await processor.stats()).rate == 2
            stopped = await processor.stats()
            assert (stopped.state, stopped.rate, stopped.handled, stopped.owner) == ("stopped", 0, 40, None)
            async with processor:
                await processor.wait_for((await db.events.append(notes(41, 44))).position)
                await world.waiting()
                world.clock.advance(8)
                stats = await processor.stats()
                assert (stats.rate, stats.handled) == (0.5, 44)

    world.run(rule())


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("transactional", [False, True])
def test_what_is_handled_is_counted_once(world: World, batch: int, transactional: bool) -> None:
    """However its batches are put together; neither what failed, nor what is held back, nor what is passed over."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda number: number in (3, 6) or calls.numbers.count(number) < 2)
        async with world.open() as db:
            events: list[Event[Any]] = []
            for number in range(1, 11):
                of = "bad" if number % 3 == 0 else None  # 3 and 6 fail, 6 and 9 are held back behind 3
                events += [note(number, of, number // 3 if of else 0), other()]
            last = (await db.events.append(events)).position
            options: dict[str, Any] = {"batch": batch, "transactional": transactional, "query": ONLY_NOTED}
            retry = Retry(2, backoff=lambda _: 0.0, then="park", order="strict")
            async with db.processor(NAME, calls, retry=retry, **options) as processor:
                await processor.wait_for(last)
                await world.waiting()
                stats = await processor.stats()
                assert (stats.handled, stats.parked) == (7, 3)

    world.run(rule())


def test_another_handle_sees_who_is_active_and_what_is_parked(world: World) -> None:
    """But neither rate, nor number, nor error, which only the instance itself knows."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda number: number % 2 == 0)
        async with world.open(world.path) as db, world.open(world.path) as elsewhere:
            last = (await db.events.append(notes(1, 5))).position
            processor = db.processor(NAME, calls, retry=Retry(1, then="park"))
            async with processor, db.processor("another", Calls(world.clock)) as another:
                await processor.wait_for(last)
                await another.wait_for(last)
                await world.waiting(4)
                mine, others = await processor.stats(), await seen_by(elsewhere)
                assert mine.owner is not None
                assert others == Stats(NAME, "active", 5, 5, 0, 0.0, 0.0, 0, 2, mine.owner, None)
                assert (mine.handled, mine.parked, repr(mine.error)) == (3, 2, "ValueError('no 4')")
                assert [stats.name for stats in await elsewhere.processors()] == ["another", NAME]
                assert (await elsewhere.processor(NAME, print).stats()).state == "idle"  # of that instance
            after = await seen_by(elsewhere)
            assert (after.state, after.owner, after.parked) == ("idle", None, 2)

    world.run(rule())


def test_of_one_that_stands_by(world: World) -> None:
    """Position and owner are those of the active one."""

    async def rule() -> None:
        async with world.open() as db:
            active, standby = (db.processor(NAME, Calls(world.clock)) for _ in range(2))
            async with active:
                await active.wait_for((await db.events.append(notes(1, 5))).position)
                await world.waiting()
                async with standby:
                    await world.until(lambda: 0.2 in world.clock.waiters)
                    mine, others = await active.stats(), await standby.stats()
                    assert (others.state, others.position, others.handled) == ("standby", 5, 0)
                    assert others.owner == mine.owner is not None

    world.run(rule())


def test_the_error_is_the_last_that_was_met(world: World) -> None:
    """Be it of a handler, of the store, or the loss of the lease; and it stays when all is well again."""

    async def rule() -> None:
        errors: list[Exception] = [ValueError("no"), StoreFull("app.db")]

        def handle(_: Event[Any]) -> None:
            if errors:
                raise errors.pop(0)

        async with world.open() as db:
            await db.events.append([note(1)])
            seen: list[type[Exception | None]] = []
            async with db.processor(NAME, handle, retry=Retry(backoff=lambda _: 1.0), lease=DAY) as processor:
                for _ in range(2):
                    await world.until(lambda: any(0 < (seconds or 0) <= 1 for seconds in world.clock.waiters))
                    await world.waiting()
                    seen.append(type((await processor.stats()).error))
                    world.clock.advance(1)
                await processor.wait_for(1)
                lease = await db.leases.get(NAME)
                assert lease is not None
                await db.leases.release(lease)
                await db.leases.acquire(NAME, "thief", 1)
                await db.events.append([note(2)])
                await world.until(lambda: 0.2 in world.clock.waiters)
                seen.append(type((await processor.stats()).error))
                world.clock.advance(1)
                await processor.wait_for(2)
                assert type((await processor.stats()).error) is seen[-1]
            assert seen == [ValueError, StoreFull, LeaseLost]

    world.run(rule())


def test_they_can_be_asked_for_at_any_time(world: World) -> None:
    """While a handler is at work, too; what is in hand is not behind it yet."""

    async def rule() -> None:
        gate = Gate(world)
        async with world.open() as db:
            last = (await db.events.append([note(n, time=world.clock.now()) for n in range(1, 4)])).position
            async with db.processor(NAME, gate, lease=DAY) as processor:
                await world.until(lambda: gate.inside == 1)
                world.clock.advance(7)
                stats = await processor.stats()
                assert (stats.state, stats.position, stats.lag, stats.lag_seconds) == ("active", 0, 3, 7)
                gate.open()
                await processor.wait_for(last)
                assert (await processor.stats()).lag == 0

    world.run(rule())


def test_a_handle_that_cannot_read_the_events(world: World) -> None:
    """It knows of positions, owners and letters; the age of what it cannot read, it does not know: 0."""

    async def rule() -> None:
        async with world.open(world.path) as db, world.open(world.path, registry=goes.Registry()) as monitor:
            await db.checkpoints.save(NAME, 1)
            await db.events.append([note(n, time=world.clock.now()) for n in range(1, 4)])
            world.clock.advance(7)
            stats = await seen_by(monitor)
            assert (stats.state, stats.position, stats.head, stats.lag, stats.lag_seconds) == ("idle", 1, 3, 2, 0)
            assert (await monitor.processor(NAME, print).stats())[1:6] == ("idle", 1, 3, 2, 0)

    world.run(rule())


def test_what_is_passed_over_is_behind_it_at_once(world: World) -> None:
    """For the instance; for other handles when its checkpoint is saved, a moment later."""

    async def rule() -> None:
        async with world.open(world.path) as db, world.open(world.path) as elsewhere:
            options: dict[str, Any] = {"query": ONLY_NOTED, "schedule": Continuously(debounce=1), "lease": DAY}
            async with db.processor(NAME, Calls(world.clock), **options) as processor:
                await world.until(lambda: None in world.clock.waiters)
                await db.events.append([other(), other()])
                await world.until(lambda: 0.05 in world.clock.waiters)
                assert ((await processor.stats()).lag, (await seen_by(elsewhere)).lag) == (0, 2)
                world.clock.advance(0.05)
                await world.until(lambda: None in world.clock.waiters)
                assert ((await seen_by(elsewhere)).lag, await stands(db)) == (0, 2)

    world.run(rule())
