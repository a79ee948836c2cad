"""How processors begin, what state they are in, and what may end them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import ConfigError, GoesError, ProcessorStopped, StoreClosed
from goes_lite.events.event import Event
from goes_lite.processor import Processor, Retry
from tests.processor.processor_kit import (
    DAY,
    MEMORY,
    NAME,
    Calls,
    Gate,
    World,
    becomes,
    note,
    notes,
    nothing,
    others_at_work,
    registry,
    stands,
    state,
)  # fmt: skip

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


# --- states -----------------------------------------------------------------------------------------------------------


def test_the_states_of_a_life(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            processor = db.processor(NAME, calls, retry=Retry(1), lease=DAY)
            states = [await state(processor)]
            for _ in range(2):
                await db.events.append([note(1)])
                async with processor:
                    await world.waiting()
                    states.append(await state(processor))
                states.append(await state(processor))
            calls.fails = lambda _: True
            await db.events.append([note(2)])
            processor.start()
            await becomes(world, processor, "failed")
            await processor.stop()
            states.append(await state(processor))
            calls.fails = lambda _: False
            async with processor:
                await processor.wait_for(3)
                states.append(await state(processor))
                assert isinstance(processor.error, ProcessorStopped)  # the last that it met
        assert states == ["idle", "active", "stopped", "active", "stopped", "failed", "active"]
        assert calls.numbers == [1, 1, 2, 2]

    world.run(rule())


def test_what_ends_it_in_the_background_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """And kept in `error`, with what the handler raised as its cause."""

    async def rule() -> None:
        async with world.open() as db:
            await db.events.append([note(1)])
            processor = db.processor(NAME, Calls(world.clock, lambda _: True), retry=Retry(1))
            processor.start()
            await becomes(world, processor, "failed")
            await processor.stop()
            error = processor.error
            assert isinstance(error, ProcessorStopped)
            assert str(error.__cause__) == "no 1"
            (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert record.message == "<Processor 'p': failed, at position 0, 0 events handled> ended"
            assert record.exc_info is not None
            assert record.exc_info[1] is error

    logger = logging.getLogger("goes_lite.processor")
    logger.addHandler(caplog.handler)
    world.run(rule())
    logger.removeHandler(caplog.handler)


def test_a_store_of_the_handlers_that_is_closed_is_no_end_without_a_word(world: World) -> None:
    """It is not the processor's own, so it is no reason to end as if that had been closed."""

    async def rule() -> None:
        async with world.open() as elsewhere:
            pass
        async with world.open() as db:
            await db.events.append([note(1)])

            async def handle(event: Event[Any]) -> None:
                await elsewhere.events.append([event])

            with pytest.raises(StoreClosed):
                await db.processor(NAME, handle).run()

    world.run(rule())


@pytest.mark.parametrize("options", [{}, {"batched": True}, {"transactional": True}], ids=str)
def test_a_handler_may_stop_it(world: World, options: dict[str, Any]) -> None:
    """However it was begun: what it is handling is settled, and nobody waits for himself."""

    async def rule() -> None:
        calls = Calls(world.clock)

        async def handle(events: Any, *tx: Any) -> None:
            calls(events, *tx)
            await processor.stop()

        async with world.open() as db:
            await db.events.append(notes(1, 9))
            processor = db.processor(NAME, handle, batch=3, **options)
            await processor.run()
            assert (await stands(db), await state(processor)) == (3, "stopped")
            processor.start()
            await becomes(world, processor, "stopped")
            await processor.stop()
            assert await stands(db) == 6
            async with processor:
                await becomes(world, processor, "stopped")
            assert (await stands(db), others_at_work()) == (9, set())

    world.run(rule())


def test_stopping_does_not_go_through_all_that_is_to_be_redriven(world: World) -> None:
    """One that is being handled is settled; the others are handled when it is started again."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda _: True)
        gate = Gate(world)
        async with world.open() as db:
            last = (await db.events.append(notes(1, 5))).position
            async with db.processor(NAME, calls, retry=Retry(1, then="park")) as processor:
                await processor.wait_for(last)
                assert len(await processor.parked()) == 5
            second = db.processor(NAME, gate)
            await second.redrive()
            second.start()
            await world.until(lambda: gate.entered == [1])
            stopping = world.alongside(second.stop())
            await world.until(lambda: world.stopping(second))
            gate.open()
            await stopping.result()
            assert (gate.left, len(await second.parked())) == ([1], 4)
            async with second:
                await world.until(lambda: gate.left == [1, 2, 3, 4, 5])
            assert await second.parked() == []

    world.run(rule())


# --- beginning --------------------------------------------------------------------------------------------------------


def test_it_can_be_started_in_a_transaction_and_begins_behind_it(world: World) -> None:
    """On either face it waits for the end of the block, as everybody does who is not part of the transaction."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            processor = db.processor(NAME, calls)
            async with db.transaction() as tx:
                processor.start()
                last = (await tx.events.append(notes(1, 3))).position
            await processor.wait_for(last)
            await processor.stop()
            assert calls.numbers == [1, 2, 3]

    world.run(rule())


def test_it_has_no_context_of_whoever_started_it(world: World) -> None:
    """For it goes on when that is long over: on an event loop as in a thread."""

    async def rule() -> None:
        seen: list[str] = []

        def look(event: Event[Any]) -> None:
            seen.append(tenant.get())

        tenant.set("the one whose request it was")
        async with world.open() as db, db.processor(NAME, look) as processor:
            await processor.wait_for((await db.events.append([note(1)])).position)
        assert seen == ["nobody"]

    world.run(rule())


def test_without_an_event_loop_it_is_not_begun() -> None:
    """The error says so, and there is nothing to stop; once there is a loop, it can be started."""
    calls: list[Any] = []

    async def made() -> tuple[Any, Processor]:
        db = await goes.connect(MEMORY, registry=registry)
        return db, db.processor(NAME, calls.append)

    async def rest(db: Any, processor: Processor) -> None:
        await processor.stop()
        async with processor:
            await processor.wait_for((await db.events.append([note(1)])).position)
        await db.close()

    db, processor = asyncio.run(made())
    with pytest.raises(GoesError, match="needs a running event loop"):
        processor.start()
    assert (processor.error, repr(processor)[:20]) == (None, "<Processor 'p': idle")
    asyncio.run(rest(db, processor))
    assert len(calls) == 1


def test_stopping_one_whose_event_loop_is_gone() -> None:
    """It has ended with the loop."""

    async def begin() -> tuple[Any, Processor]:
        db = await goes.connect(MEMORY, registry=registry)
        processor = db.processor(NAME, nothing)
        processor.start()
        await processor.wait_for((await db.events.append([note(1)])).position)
        return db, processor

    async def end(db: Any, processor: Processor) -> None:
        await processor.stop()
        assert await db.leases.get(NAME) is None
        await db.close()

    db, processor = asyncio.run(begin())
    asyncio.run(end(db, processor))


def test_it_is_no_other_ones_to_run_while_it_runs(world: World) -> None:
    """Also before it has got as far as looking who is active."""

    async def rule() -> None:
        async with world.open() as db:
            processor = db.processor(NAME, nothing)
            processor.start()
            for begin in (processor.start, processor.run):
                with pytest.raises(ConfigError, match="'p' is already running"):
                    await _called(begin)
            await processor.stop()
            async with processor:
                await becomes(world, processor, "active")

    world.run(rule())


async def _called(function: Callable[[], Any]) -> None:
    answer = function()
    if answer is not None:
        await answer
