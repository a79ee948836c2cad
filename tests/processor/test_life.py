"""How processors begin and end, on purpose and otherwise, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from goes_lite_conformance.concurrency._interrupt import Interruption, at_every_wait, interrupt

import goes_lite as goes
from goes_lite.background import Background
from goes_lite.errors import ConfigError, GoesError, InvalidQueryError, ProcessorBehind, ProcessorStopped, StoreClosed
from goes_lite.event import Event
from goes_lite.processor import Continuously, OnDemand, Periodically, Processor, Retry
from goes_lite.processor._tenure import Tenure
from goes_lite.processor._worker import Worker
from goes_lite.runtime import Signal

if TYPE_CHECKING:
    from tests.processor.processor_kit import (
        DAY,
        MEMORY,
        NAME,
        ONLY_NOTED,
        PATIENCE,
        Calls,
        Gate,
        World,
        note,
        notes,
        other,
        registry,
        stands,
    )  # fmt: skip
else:
    from processor_kit import (
        DAY,
        MEMORY,
        NAME,
        ONLY_NOTED,
        PATIENCE,
        Calls,
        Gate,
        World,
        note,
        notes,
        other,
        registry,
        stands,
    )  # fmt: skip

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


async def state(processor: Any) -> str:
    return str((await processor.stats()).state)


async def becomes(world: World, processor: Any, wanted: str) -> None:
    async def so() -> bool:
        return await state(processor) == wanted

    await world.until(so)


def threads() -> set[str]:
    """Those of processors; what SQLite has is the store's business."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("goes_lite-processor", "goes_lite-lease", "goes_lite-publish"))}


def others_at_work() -> set[str]:
    """Tasks and threads of processors."""
    try:
        tasks = {task.get_name() for task in asyncio.all_tasks()}
    except RuntimeError:
        tasks = set[str]()
    return threads() | {name for name in tasks if name.startswith("goes_lite")}


# --- states -------------------------------------------------------------------------------------------------------------------


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
            stopping = world.beside(second.stop())
            await world.until(lambda: world.stopping(second))
            gate.open()
            await stopping.result()
            assert (gate.left, len(await second.parked())) == ([1], 4)
            async with second:
                await world.until(lambda: gate.left == [1, 2, 3, 4, 5])
            assert await second.parked() == []

    world.run(rule())


# --- beginning ------------------------------------------------------------------------------------------------------------------


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
        tenant.set("the one whose request it was")
        async with world.open() as db, db.processor(NAME, lambda _: seen.append(tenant.get())) as processor:
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
        processor = db.processor(NAME, lambda _: None)
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
            processor = db.processor(NAME, lambda _: None)
            processor.start()
            for begin in (processor.start, processor.run):
                with pytest.raises(ConfigError, match="'p' is running already"):
                    await _called(begin)
            await processor.stop()
            async with processor:
                await becomes(world, processor, "active")

    world.run(rule())


async def _called(function: Callable[[], Any]) -> None:
    answer = function()
    if answer is not None:
        await answer


# --- ending ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 5])
def test_stop_waits_as_long_as_it_is_told_by_the_clock_of_the_handle(world: World, timeout: float) -> None:
    """A handler that awaits is cancelled then, and its event is still to come; one that blocks is left."""

    async def rule() -> None:
        gate = Gate(world)
        async with world.open() as db:
            await db.events.append([note(1)])
            processor = db.processor(NAME, gate, lease=DAY)
            processor.start()
            await world.until(lambda: gate.inside == 1)
            stopping = world.beside(processor.stop(timeout))
            while not stopping.ended:
                await world.until(lambda: stopping.ended or timeout in world.clock.waiters)
                world.clock.advance(timeout)
            await stopping.result()
            if world.face == "async":
                assert (gate.inside, gate.left, await stands(db), await db.leases.get(NAME)) == (0, [], 0, None)
            else:
                assert (gate.inside, gate.left) == (1, [])
                gate.open()
                await processor.stop()
                assert (gate.left, await stands(db)) == ([1], 1)
            assert others_at_work() == set()

    world.run(rule())


def test_cancelling_stop_leaves_it_stopping(tmp_path: Path) -> None:
    async def rule() -> None:
        world = World("async", tmp_path)
        gate = Gate(world)
        async with world.open() as db:
            await db.events.append(notes(1, 2))
            processor = db.processor(NAME, gate)
            processor.start()
            await world.until(lambda: gate.inside == 1)
            stopping = world.beside(processor.stop())
            await asyncio.sleep(0)
            stopping.cancel()
            assert type(await stopping.outcome()) is asyncio.CancelledError
            gate.open()
            await processor.stop()
            assert (gate.left, await stands(db)) == ([1], 1)

    asyncio.run(rule())


CASES: dict[str, dict[str, Any]] = {
    "each": {},
    "in a transaction": {"transactional": True, "batch": 2},
    "lists": {"batched": True, "batch": 2},
    "debounced": {"schedule": Continuously(debounce=0.0001)},
    "on demand": {"schedule": OnDemand(at_start=True)},
    "after a failure": {"retry": Retry(backoff=lambda _: 0.0)},
    "parking": {"retry": Retry(1, then="park")},
    "passing over": {"query": ONLY_NOTED},
}


@pytest.mark.parametrize("case", CASES)
def test_wherever_run_is_cancelled_nothing_is_lost_and_nothing_is_left(case: str) -> None:
    """Its lease is free at once, no task of it goes on, and in a transaction nothing counts twice."""
    options = CASES[case]

    async def rule() -> None:
        seen: list[int] = []
        expected: list[int] = []
        number = 0
        async with goes.connect(MEMORY, registry=registry) as db:

            async def attempt(interruption: Interruption) -> bool:
                nonlocal number
                number += 3
                batch = notes(number - 2, number)
                expected.extend(range(number - 2, number + 1))
                await db.events.append(batch)
                last = (await db.events.append([other()])).position
                failed = set[int]()

                async def handle(events: Any, *tx: Any) -> None:
                    for event in [events] if isinstance(events, Event) else events:
                        if event.data.number == number - 1 and not failed and "retry" in options:
                            failed.add(event.data.number)
                            raise ValueError("once more")
                        if tx:
                            counter = tx[0].models_of("counter", int)
                            key = str(event.position)
                            await counter.put(key, 1 + (await counter.find(key) or 0))
                        if event.name == "test.noted":
                            seen.append(event.data.number)
                        if event.data.number in (number, 0) and not ("query" in options and event.name == "test.other"):
                            await processor.stop()

                processor = db.processor(NAME, handle, **options)
                outcome, reached = await interrupt(processor.run(), interruption)
                if reached:
                    assert type(outcome) is asyncio.CancelledError, f"{interruption}: {outcome!r}"
                elif isinstance(outcome, BaseException):
                    raise outcome
                assert (await db.leases.get(NAME), others_at_work()) == (None, set()), interruption
                assert await state(processor) == "stopped"
                async with db.processor(NAME, handle, **options) as successor:
                    await successor.wait_for(last if "query" in options else last - 1)
                    if successor_parks := await successor.parked():
                        await successor.redrive(*successor_parks)
                        while await successor.parked():
                            await asyncio.sleep(0)
                return reached

            await at_every_wait(attempt)
            assert set(seen) >= set(expected)
            counted = [int(record.data) for record in await db.models.query("counter").list()]
            assert set(counted) <= {1}

    asyncio.run(asyncio.wait_for(rule(), 3 * PATIENCE))


def test_an_interrupt_of_run_gives_back_the_lease() -> None:
    """In a blocking program, where Ctrl-C strikes in the handler: its event is still to come."""
    calls: list[Event[Any]] = []

    def handle(event: Event[Any]) -> None:
        calls.append(event)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with goes.blocking.connect(MEMORY, registry=registry) as db:
        db.events.append(notes(1, 3))
        processor = db.processor(NAME, handle)
        with pytest.raises(KeyboardInterrupt):
            processor.run()
        assert (db.leases.get(NAME), threads(), processor.stats().state) == (None, set(), "stopped")
        with processor:
            processor.wait_for(3)
    assert [event.data.number for event in calls] == [1, 2, 2, 3]


WHERE: dict[str, dict[str, Any]] = {
    "idle": {},
    "debouncing": {"schedule": Continuously(debounce=5)},
    "between periods": {"schedule": Periodically(5)},
    "in a pause between attempts": {"retry": Retry(backoff=lambda _: 5.0)},
    "standing by": {},
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("storage", ["memory", "file"])
def test_closing_the_store_leaves_nothing_of_it(world: World, where: str, storage: str) -> None:
    """Whatever it was waiting for, and without any time passing."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda _: where == "in a pause between attempts")
        async with world.open(MEMORY if storage == "memory" else world.path) as db:
            if where == "standing by":
                await db.leases.acquire(NAME, "somebody", DAY)
            if where != "idle":
                await db.events.append([note(1)])
            processor = db.processor(NAME, calls, **WHERE[where])
            processor.start()
            await world.waiting(1 if where == "standing by" else 2)
        await world.until(lambda: others_at_work() == set())
        assert (processor.error is None, world.clock.waiters) == (where != "in a pause between attempts", ())
        assert repr(processor).startswith("<Processor 'p': stopped")
        await processor.stop()

    world.run(rule())


def test_closing_the_store_under_a_handler(world: World) -> None:
    """Which goes on to its end; its event is still to come."""

    async def rule() -> None:
        gate = Gate(world)
        async with world.open() as db:
            await db.events.append([note(1)])
            processor = db.processor(NAME, gate)
            processor.start()
            await world.until(lambda: gate.inside == 1)
        assert others_at_work() != set()
        gate.open()
        await world.until(lambda: others_at_work() == set())
        assert (gate.left, processor.error) == ([1], None)
        await processor.stop()

    world.run(rule())


# --- nothing is left ---------------------------------------------------------------------------------------------------------------


def alive() -> dict[str, int]:
    """How many there are of what a processor is made of."""
    gc.collect()
    kinds = (Processor, Worker, Tenure, Background, Signal)
    return {kind.__name__: sum(isinstance(thing, kind) for thing in gc.get_objects()) for kind in kinds}


def threads_beside_readers() -> list[str]:
    """Of which there are as many as a store happened to need so far."""
    names = [thread.name for thread in threading.enumerate()]
    return sorted(name for name in names if not name.startswith("goes_lite-reader"))


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_many_rounds_leave_nothing(world: World, storage: str) -> None:
    """Of one processor or of many: no thread, no task, no object, nobody who is told of commits."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open(MEMORY if storage == "memory" else world.path) as db:
            gone: list[weakref.ref[Any]] = []

            async def round(processor: Any) -> None:
                async with processor:
                    await processor.wait_for((await db.events.append([note(len(calls.numbers))])).position)

            await round(db.processor("again", calls))
            again = db.processor("again", calls)
            await round(again)
            before = alive(), threads_beside_readers()
            for _ in range(20):
                await round(again)
                made = db.processor("again", calls)
                gone.append(weakref.ref(made))
                await round(made)
                del made
            assert (alive(), threads_beside_readers()) == before
            assert [one for one in gone if one() is not None] == []
            handle: Any = getattr(db, "target", db)
            assert getattr(handle, "backend", handle)._signal._callbacks == set()
        assert calls.numbers == list(range(42))

    world.run(rule())


def test_threads_and_tasks_are_named_after_it(world: World) -> None:
    async def rule() -> None:
        async with world.open() as db, db.processor("mail", lambda _: None) as processor:
            await becomes(world, processor, "active")
            assert others_at_work() == {"goes_lite-processor mail", "goes_lite-lease mail"}
        assert others_at_work() == set()

    world.run(rule())


# --- waiting for it -----------------------------------------------------------------------------------------------------------------


def test_whoever_waits_for_what_is_passed_over_waits_no_longer(world: World) -> None:
    """Though the checkpoint is saved a little later: no time passes."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db, db.processor(NAME, calls, query=ONLY_NOTED, lease=DAY) as processor:
            await world.waiting()
            for _ in range(20):
                await processor.wait_for((await db.events.append([other()])).position)
        assert (world.clock.monotonic(), calls.numbers) == (0, [])

    world.run(rule())


def test_waiting_is_over_when_the_time_is(world: World) -> None:
    """By the clock of the handle."""

    async def rule() -> None:
        async with world.open() as db:
            processor = db.processor(NAME, lambda _: None)
            waiting = world.beside(processor.wait_for(5, 30))
            await world.waiting(1)
            world.clock.advance(29)
            await world.waiting(1)
            world.clock.advance(1)
            error = await waiting.outcome()
            assert isinstance(error, ProcessorBehind)
            assert (error.processor, error.position, error.reached) == (NAME, 5, 0)

    world.run(rule())


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**12])
def test_one_may_wait_for_ever(world: World, timeout: float) -> None:
    async def rule() -> None:
        async with world.open(clock=None) as db, db.processor(NAME, lambda _: None) as processor:
            waiting = world.beside(processor.wait_for(1, timeout))
            await db.events.append([note(1)])
            await waiting.result()

    world.run(rule())


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True], ids=repr)
def test_what_is_no_time_to_wait_is_refused(world: World, timeout: Any) -> None:
    async def rule() -> None:
        async with world.open() as db:
            with pytest.raises(InvalidQueryError, match="timeout is a number of seconds ≥ 0"):
                await db.processor(NAME, lambda _: None).wait_for(1, timeout)

    world.run(rule())
