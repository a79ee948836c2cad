"""Handlers on the in-process bus: acknowledgement, backoff, dead letters, and how they stop."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from goes_lite.errors import BusError, ConfigError, StoreClosed
from goes_lite.events.event import Event
from goes_lite.kit.bus import InProcessBus
from goes_lite.runtime import InlineRuntime, LoopRuntime, Signal, drive
from goes_lite.runtime.backoff import Backoff
from goes_lite.testing import FakeClock
from tests.bus.bus_kit import Log, Program, Run, data, events


def failing(on: Callable[[int], bool], seen: list[tuple[int, float]], clock: FakeClock) -> Callable[[Event[int]], None]:
    def handler(event: Event[int]) -> None:
        seen.append((event.data, clock.monotonic()))
        if on(event.data):
            raise ValueError(f"no {event.data}")

    return handler


def test_an_exception_is_a_nak_with_backoff_and_a_poison_event_blocks_no_other(run: Run) -> None:
    """After max_attempts it is a dead letter with the error; the handler continues."""

    async def rule(p: Program) -> None:
        seen: list[tuple[int, float]] = []
        handling = p.bus.handle(
            ["*"],
            failing(lambda n: n == 1, seen, p.clock),
            group="mail",
            max_attempts=4,
            backoff=lambda attempt: 10**attempt,
        )
        await p.bus.publish(events(1, 2, 3))
        for wait in (10, 100, 1000):
            await p.until(lambda wait=wait: p.clock.waiters == (wait,))  # type: ignore[misc]
            p.clock.advance(wait)
        await p.until(lambda: p.clock.waiters == (None,))
        assert seen == [(1, 0), (2, 0), (3, 0), (1, 10), (1, 110), (1, 1110)]
        (letter,) = await p.bus.dead_letters()
        assert (letter.event.data, letter.subscriber, letter.attempts, letter.error) == (
            1,
            "mail",
            4,
            "ValueError: no 1",
        )
        assert letter.time == p.clock.now()
        assert [(e.attempt, str(e.error)) for e in handling.errors] == [(n, "no 1") for n in (1, 2, 3, 4)]
        assert handling.running

    run(rule)


def test_dead_letters_are_bounded(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(capacity=1)
        p.bus.offer(events(*range(61)), 0)
        assert [letter.event.data for letter in await p.bus.dead_letters()] == list(range(11, 61))
        assert (p.bus.letters_lost, p.bus.overflowed) == (10, 60)
        await subscription.close()

    run(rule)


def test_backoff_doubles_to_its_maximum_and_its_jitter_is_seeded() -> None:
    assert [Backoff(1, jitter=0)(attempt) for attempt in (1, 2, 3, 10, 5000)] == [1, 2, 4, 30, 30]
    one, other = (Backoff(1, rng=random.Random(7)) for _ in range(2))
    waits = [one(3) for _ in range(50)]
    assert waits == [other(3) for _ in range(50)]
    assert all(2 < wait <= 4 for wait in waits)
    assert len(set(waits)) > 40
    with pytest.raises(ConfigError):
        Backoff(-1)


def test_stop_finishes_the_current_event_and_leaves_no_task_or_thread(run: Run) -> None:
    async def rule(p: Program) -> None:
        begun, gate = Signal(), Signal()
        before = threading.active_count()

        async def slow(event: Event[int]) -> None:
            begun.notify()
            await p.runtime.wait(gate, 0)

        handling = p.bus.handle(["*"], slow, group="g")
        await p.bus.publish(events(1, 2))
        await p.until(lambda: begun.count == 1)
        stopping = p.alongside(handling.stop())
        await p.waiting(2)
        gate.notify()
        await stopping.result()
        assert (begun.count, handling.failures) == (1, 0)
        left = p.bus.subscribe(group="g")
        assert await data(left, 1) == [2]
        assert left.queued == 0
        if p.runtime.inline:
            assert threading.active_count() == before
        else:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run(rule)


def test_a_handler_that_waits_for_an_unreadable_log_can_be_stopped(run: Run) -> None:
    async def rule(p: Program) -> None:
        def away() -> None:
            raise OSError("away")

        p.log.interfere = away
        handling = p.bus.handle(["*"], print, start="beginning")
        await p.until(lambda: handling.failures == 1 and len(p.clock.waiters) == 1)
        await handling.stop()

    log = Log()
    log.commit(*events(1))
    run(rule, log)


def test_errors_around_a_handler_do_not_end_it(run: Run) -> None:
    """A log that cannot be read, a backoff that raises, a stray cancellation."""

    async def rule(p: Program) -> None:
        got: list[int] = []

        async def handler(event: Event[int]) -> None:
            got.append(event.data)
            if event.data == 1 and got.count(1) == 1:
                await asyncio.sleep(
                    0, asyncio.get_running_loop().call_soon(lambda: None)
                ) if not p.runtime.inline else None
                raise asyncio.CancelledError if not p.runtime.inline else ValueError("no")

        def away() -> None:
            p.log.interfere = lambda: None
            raise OSError("away")

        def backoff(attempt: int) -> float:
            raise ZeroDivisionError

        p.log.interfere = away
        handling = p.bus.handle(["*"], handler, start="beginning", backoff=backoff)
        await p.until(lambda: len(p.clock.waiters) == 1)
        p.clock.advance(1)
        await p.until(lambda: got == [1, 2] and len(p.clock.waiters) == 1)
        p.clock.advance(1)
        await p.until(lambda: got == [1, 2, 1])
        kinds = Counter(type(failure.error).__name__ for failure in handling.errors)
        assert kinds == {"OSError": 1, "ZeroDivisionError": 2, "ValueError" if p.runtime.inline else "BusError": 1}
        assert handling.running

    log = Log()
    log.commit(*events(1, 2))
    run(rule, log)


def test_a_handler_ends_when_its_log_is_closed(run: Run) -> None:
    """So it blocks no publisher; the error is recorded."""

    async def rule(p: Program) -> None:
        def closed() -> None:
            raise StoreClosed("here")

        p.log.interfere = closed
        handling = p.bus.handle(["*"], lambda _: None, start="beginning", capacity=1)
        await p.bus.publish(events(*range(10)))
        await handling.stop()
        assert [type(failure.error) for failure in handling.errors] == [StoreClosed]

    log = Log()
    log.commit(*events(1))
    run(rule, log)


def test_in_a_blocking_program_only_the_handler_that_suspends_fails() -> None:
    async def suspending(event: Event[int]) -> None:
        loop = asyncio.new_event_loop()
        loop.close()
        await loop.create_future()

    p = Program(InlineRuntime)
    handling = p.bus.handle(["*"], suspending, max_attempts=1)
    drive(p.bus.publish(events(1)))
    drive(p.until(lambda: handling.failures == 1))
    assert "suspended" in str(handling.errors[0].error)
    drive(p.bus.close())


def test_on_the_async_face_a_handler_needs_a_running_loop() -> None:
    bus = InProcessBus(LoopRuntime())
    with pytest.raises(BusError, match="running event loop"):
        bus.handle(["*"], print)
    drive(bus.publish(events(1)))
    assert "0 subscriptions" in repr(bus)
