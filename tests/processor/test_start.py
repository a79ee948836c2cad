"""Where a new processor begins: what "now" and "last" mean, whenever it becomes active."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.kit.bus import InProcessBus
from tests.processor.processor_kit import DAY, NAME, Calls, World, note, notes, nothing, registry

Made = Callable[[Database, Calls], Any]


def processor(db: Database, calls: Calls) -> Any:
    return db.processor(NAME, calls, start="now")


def batched(db: Database, calls: Calls) -> Any:
    return db.processor(NAME, calls, start="now", batched=True)


@pytest.mark.parametrize("made", [processor, batched])
def test_now_is_when_it_was_started_not_when_it_became_active(world: World, made: Made) -> None:
    """Another instance, since killed, holds the lease in between and has saved nothing."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            await db.events.append(notes(1, 2))
            lease = await db.leases.acquire(NAME, "dead", DAY)
            async with made(db, calls) as late:
                last = (await db.events.append([note(3)])).position
                await db.leases.release(lease)
                await world.until(lambda: bool(world.clock.waiters))
                world.clock.advance(1)
                await late.wait_for(last)
        assert calls.numbers in ([3], [[3]])

    world.run(rule())


def test_nothing_is_missed_that_is_appended_right_after_starting(world: World) -> None:
    """Through the same handle without waiting for the start, or through any other one after it."""

    async def rule() -> None:
        async with world.open(world.path) as db, world.open(world.path) as elsewhere:
            for turn in range(10):
                calls = Calls(world.clock)
                started = db.processor(f"{NAME}{turn}", calls, start="now")
                beginning = started.start()
                if turn % 2:
                    await beginning
                    last = (await elsewhere.events.append([note(turn)])).position
                else:
                    last = (await db.events.append([note(turn)])).position
                await started.wait_for(last)
                await started.stop()
                assert calls.numbers == [turn]

    world.run(rule())


def test_last_is_the_last_event_when_it_was_started(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            await db.events.append(notes(1, 2))
            lease = await db.leases.acquire(NAME, "dead", DAY)
            async with db.processor(NAME, calls, start="last") as late:
                last = (await db.events.append(notes(3, 4))).position
                await db.leases.release(lease)
                await world.until(lambda: bool(world.clock.waiters))
                world.clock.advance(1)
                await late.wait_for(last)
        assert calls.numbers == [2, 3, 4]

    world.run(rule())


def test_run_begins_when_it_is_called(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            lease = await db.leases.acquire(NAME, "dead", DAY)
            late = db.processor(NAME, calls, start="now")
            running = world.alongside(late.run())
            await world.until(lambda: bool(world.clock.waiters))
            last = (await db.events.append([note(1)])).position
            await db.leases.release(lease)
            world.clock.advance(1)
            await late.wait_for(last)
            await late.stop()
            await running.result()
        assert calls.numbers == [1]

    world.run(rule())


def test_after_a_reset_now_is_the_time_of_the_reset(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db, db.processor(NAME, calls, start="now") as it:
            await it.wait_for((await db.events.append([note(1)])).position)
            await it.reset()
            await it.wait_for(1)
            await it.wait_for((await db.events.append([note(2)])).position)
        assert calls.numbers == [1, 2]

    world.run(rule())


def test_a_relay_that_starts_now_publishes_what_is_appended_next(world: World) -> None:
    async def rule() -> None:
        heard: list[int] = []
        async with world.open() as db:
            bus = InProcessBus(world.real)
            handling = bus.handle(["*"], lambda event: heard.append(event.data.number))
            await db.events.append([note(1)])
            async with db.relay(bus, start="now") as relay:
                await relay.wait_for((await db.events.append([note(2)])).position)
                await world.until(lambda: heard == [2])
            await handling.stop()

    if world.face == "async":
        world.run(rule())


def test_it_needs_an_event_loop() -> None:
    async def opened() -> Database:
        return await goes.connect("sqlite:///:memory:", registry=registry)

    db = asyncio.run(opened())
    with pytest.raises(goes.errors.GoesError, match="running event loop"):
        db.processor(NAME, nothing, start="now").start()
    asyncio.run(db.close())
