"""How processors end, on purpose and otherwise, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.concurrency._interrupt import Interruption, at_every_wait, interrupt

import goes_lite as goes
from goes_lite.errors import InvalidQueryError, ProcessorBehind
from goes_lite.events.event import Event
from goes_lite.processor import Continuously, OnDemand, Periodically, Processor, Retry
from goes_lite.processor._worker import Worker
from goes_lite.processor.held_lease import HeldLease
from goes_lite.runtime import Signal
from goes_lite.runtime.background import Background
from tests.processor.processor_kit import (
    DAY,
    MEMORY,
    NAME,
    ONLY_NOTED,
    PATIENCE,
    Calls,
    Gate,
    World,
    becomes,
    note,
    notes,
    nothing,
    other,
    others_at_work,
    registry,
    stands,
    state,
    threads,
)  # fmt: skip

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


# --- ending -----------------------------------------------------------------------------------------------------------


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

            async def stop() -> set[str]:
                await processor.stop(timeout)
                return others_at_work()

            stopping = world.alongside(stop())
            await world.until(lambda: stopping.ended or timeout in world.clock.waiters)
            world.clock.advance(timeout)
            left = await stopping.result()
            if world.face == "async":
                assert (left, gate.inside, gate.left) == (set(), 0, [])
                assert (await stands(db), await db.leases.get(NAME)) == (0, None)
            else:
                assert (gate.inside, gate.left) == (1, [])
                gate.open()
                await processor.stop()
                assert (others_at_work(), gate.left, await stands(db)) == (set(), [1], 1)

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
            stopping = world.alongside(processor.stop())
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
                    some: list[Event[Any]] = [events] if isinstance(events, Event) else events
                    for event in some:
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
                        while await successor.parked():  # noqa: ASYNC110 - nobody tells when they are gone
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


# --- nothing is left --------------------------------------------------------------------------------------------------


def alive() -> Counter[str]:
    """How many there are of what a processor is made of."""
    gc.collect()
    kinds = {Processor, Worker, HeldLease, Background, Signal}
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in kinds)


def threads_beside_readers() -> list[str]:
    """Of which there are as many as a store happened to need so far."""
    names = [thread.name for thread in threading.enumerate()]
    for lingers in ("goes_lite-watcher", "goes_lite-hint"):  # for a second: on a slow machine not until the next watch
        if lingers in names:
            names.remove(lingers)
    return sorted(name for name in names if not name.startswith("goes_lite-reader"))


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_many_rounds_leave_nothing(world: World, storage: str) -> None:
    """Of one processor or of many: no thread, no task, no object, nobody who is told of commits."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open(MEMORY if storage == "memory" else world.path) as db:
            gone: list[weakref.ref[Any]] = []

            async def once_more(processor: Any) -> None:
                async with processor:
                    await processor.wait_for((await db.events.append([note(len(calls.numbers))])).position)

            await once_more(db.processor("again", calls))
            again = db.processor("again", calls)
            await once_more(again)
            before = alive(), threads_beside_readers()
            for _ in range(10):
                await once_more(again)
                made = db.processor("again", calls)
                gone.append(weakref.ref(made))
                await once_more(made)
                del made
            assert (alive(), threads_beside_readers()) == before
            assert [one for one in gone if one() is not None] == []
            handle: Any = getattr(db, "target", db)
            assert getattr(handle, "backend", handle)._signal._callbacks == {}
        assert calls.numbers == list(range(22))

    world.run(rule())


def test_threads_and_tasks_are_named_after_it(world: World) -> None:
    async def rule() -> None:
        async with world.open() as db, db.processor("mail", nothing) as processor:
            await becomes(world, processor, "active")
            assert others_at_work() == {"goes_lite-processor mail", "goes_lite-lease mail"}
        assert others_at_work() == set()

    world.run(rule())


# --- waiting for it ---------------------------------------------------------------------------------------------------


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
            processor = db.processor(NAME, nothing)
            waiting = world.alongside(processor.wait_for(5, 30))
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
        async with world.open(clock=None) as db, db.processor(NAME, nothing) as processor:
            waiting = world.alongside(processor.wait_for(1, timeout))
            await db.events.append([note(1)])
            await waiting.result()

    world.run(rule())


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True], ids=repr)
def test_what_is_no_time_to_wait_is_refused(world: World, timeout: Any) -> None:
    async def rule() -> None:
        async with world.open() as db:
            with pytest.raises(InvalidQueryError, match="timeout is a number of seconds ≥ 0"):
                await db.processor(NAME, nothing).wait_for(1, timeout)

    world.run(rule())
