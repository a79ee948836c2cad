"""The fake clock: what stands still, who waits by it, and who is woken, in tasks and in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.errors import ConfigError
from goes_lite.runtime import InlineRuntime, LoopRuntime, Signal, SystemClock, drive
from goes_lite.testing import FakeClock

PATIENCE = 10.0  # seconds after which a test that hangs fails; nothing is measured by it
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Alongside:
    """A coroutine that runs beside the test: in a task, or in a thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, threads: bool) -> None:
        self.outcome: list[Any] = []
        self.task: asyncio.Task[None] | None = None
        self.thread = threading.Thread(target=lambda: drive(self._run(coroutine)), daemon=True)
        if threads:
            self.thread.start()
        else:
            self.task = asyncio.get_running_loop().create_task(self._run(coroutine))

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.outcome.append(await coroutine)

    async def result(self) -> Any:
        if self.task is None:
            self.thread.join(PATIENCE)
        else:
            await asyncio.wait_for(self.task, PATIENCE)
        assert self.outcome, "it hangs"
        return self.outcome[0]


class Program:
    """One test's world: a clock, a runtime on it, and what runs beside the test."""

    def __init__(self, *, threads: bool) -> None:
        self.threads = threads
        self.clock = FakeClock()
        self.runtime = InlineRuntime(self.clock) if threads else LoopRuntime(self.clock)

    def alongside(self, coroutine: Coroutine[Any, Any, Any]) -> Alongside:
        return Alongside(coroutine, threads=self.threads)

    async def waiting(self, n: int = 1) -> None:
        if self.threads:
            self.clock.block_until_waiting(n)
        else:
            await self.clock.until_waiting(n)


Rule = Callable[[Program], Coroutine[Any, Any, None]]


@pytest.fixture(params=["tasks", "threads"])
def run(request: pytest.FixtureRequest) -> Callable[[Rule], None]:
    """Runs a rule in which others wait in tasks of its event loop, or in threads."""

    def run(rule: Rule) -> None:
        if request.param == "tasks":

            async def main() -> None:
                await rule(Program(threads=False))

            asyncio.run(main())
        else:
            drive(rule(Program(threads=True)))

    return run


# --- time ---------------------------------------------------------------------------------------------------------------


def test_it_stands_still_until_it_is_told_to_go_on() -> None:
    """Both times of it; the time of day is UTC, whatever zone it was given in."""
    clock = FakeClock(start=NOON.astimezone(timezone(timedelta(hours=5))))
    assert (clock.now(), clock.now().tzinfo, clock.monotonic()) == (NOON, timezone.utc, 0)
    clock.advance(90)
    clock.advance(0)
    clock.advance(0.25)
    assert (clock.now(), clock.monotonic()) == (NOON + timedelta(seconds=90.25), 90.25)
    assert FakeClock().now() == FakeClock().now()


def test_the_time_of_day_jumps_and_durations_do_not_notice(run: Callable[[Rule], None]) -> None:
    """Forward and back; who waits goes on waiting for as long as before."""

    async def rule(p: Program) -> None:
        sleeping = p.alongside(p.runtime.sleep(10))
        await p.waiting()
        p.clock.set(NOON + timedelta(days=1))
        assert (p.clock.now(), p.clock.monotonic(), p.clock.waiters) == (NOON + timedelta(days=1), 0, (10,))
        p.clock.advance(4)
        p.clock.set(NOON)
        assert (p.clock.now(), p.clock.monotonic(), p.clock.waiters) == (NOON, 4, (6,))
        p.clock.advance(6)
        await sleeping.result()
        assert p.clock.now() == NOON + timedelta(seconds=6)

    run(rule)


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 1e12, 1e305, 10**400, "1", None])
def test_time_goes_forward_by_a_number_of_seconds(seconds: Any) -> None:
    """What is none, or leads beyond the years there are, is refused and changes nothing."""
    clock = FakeClock(NOON)
    with pytest.raises(ConfigError, match="advance"):
        clock.advance(seconds)
    assert (clock.now(), clock.monotonic()) == (NOON, 0)


@pytest.mark.parametrize("time", [datetime(2026, 1, 1), "2026-01-01", 0, datetime.max.replace(tzinfo=timezone.utc)])
def test_a_time_of_day_is_an_aware_datetime(time: Any) -> None:
    if isinstance(time, datetime) and time.tzinfo is not None:
        FakeClock(time).set(time)
        return
    with pytest.raises(ConfigError, match="start"):
        FakeClock(time)
    clock = FakeClock(NOON)
    with pytest.raises(ConfigError, match="time"):
        clock.set(time)
    assert clock.now() == NOON


seconds = st.decimals(0, 1000, places=3).map(float) | st.sampled_from([0.1, 0.2, 0.3, 0.7, 1e-9, 86400.1])


@given(st.lists(seconds, max_size=5), seconds)
def test_a_moment_that_was_computed_is_reached_by_advancing_so_far(before: list[float], wait: float) -> None:
    """In floats 0.1 + 0.2 > 0.3; a test that waits until then and advances by as much must not wait for ever."""
    clock = FakeClock()
    for step in before:
        clock.advance(step)
    due = clock.monotonic() + wait
    clock.advance(wait)
    assert due <= clock.monotonic() < due + 0.000_001


def test_it_shows_its_state_on_a_line() -> None:
    clock = FakeClock(NOON)
    clock.advance(30)
    with clock.waking(Signal(), 0, 5, print):
        assert repr(clock) == "<FakeClock 2026-03-01T12:00:30+00:00, 30 s passed, 1 waiting>"


# --- waiting --------------------------------------------------------------------------------------------------------------


def test_a_pause_is_over_when_its_time_has_come_and_not_before(run: Callable[[Rule], None]) -> None:
    async def rule(p: Program) -> None:
        sleeping = p.alongside(p.runtime.sleep(10))
        await p.waiting()
        assert p.clock.waiters == (10,)
        p.clock.advance(9.5)
        assert (p.clock.waiters, sleeping.outcome) == ((0.5,), [])
        p.clock.advance(0.5)
        assert p.clock.waiters == ()
        await sleeping.result()

    run(rule)


def test_a_time_limit_is_by_the_clock(run: Callable[[Rule], None]) -> None:
    """Running out of it is False."""

    async def rule(p: Program) -> None:
        waiting = p.alongside(p.runtime.wait(Signal(), 0, 3600))
        await p.waiting()
        p.clock.advance(3600)
        assert await waiting.result() is False

    run(rule)


def test_a_signal_wakes_at_once(run: Callable[[Rule], None]) -> None:
    """Whoever waits for it, with a time limit or without one; no time passes."""

    async def rule(p: Program) -> None:
        signal = Signal()
        waiting = [p.alongside(p.runtime.wait(signal, 0, limit)) for limit in (10, None)]
        await p.waiting(2)
        assert p.clock.waiters == (10, None)
        signal.notify()
        assert p.clock.waiters == ()
        assert [await one.result() for one in waiting] == [True, True]
        assert p.clock.monotonic() == 0

    run(rule)


def test_what_waits_without_a_limit_waits_however_much_time_passes(run: Callable[[Rule], None]) -> None:
    async def rule(p: Program) -> None:
        signal = Signal()
        waiting = p.alongside(p.runtime.wait(signal, 0))
        await p.waiting()
        p.clock.advance(1e9)
        assert (p.clock.waiters, waiting.outcome) == ((None,), [])
        signal.notify()
        assert await waiting.result() is True

    run(rule)


@pytest.mark.parametrize("limit", [0, -1, -0.5])
def test_who_has_no_time_does_not_wait(run: Callable[[Rule], None], limit: float) -> None:
    """The answer says whether there was a signal."""

    async def rule(p: Program) -> None:
        signal = Signal()
        began = p.clock.changed.count
        assert await p.alongside(p.runtime.wait(signal, 0, limit)).result() is False
        signal.notify()
        assert await p.alongside(p.runtime.wait(signal, 0, limit)).result() is True
        await p.alongside(p.runtime.sleep(0)).result()
        assert p.clock.changed.count == began

    run(rule)


def test_who_comes_too_late_for_a_signal_does_not_wait(run: Callable[[Rule], None]) -> None:
    async def rule(p: Program) -> None:
        signal = Signal()
        signal.notify()
        began = p.clock.changed.count
        assert await p.alongside(p.runtime.wait(signal, 0, 10)).result() is True
        assert await p.alongside(p.runtime.wait(signal, 0)).result() is True
        assert p.clock.changed.count == began

    run(rule)


def test_others_have_a_turn_while_one_pauses_for_no_time() -> None:
    async def main() -> None:
        runtime = LoopRuntime(FakeClock())
        other = asyncio.create_task(asyncio.sleep(0))
        await runtime.sleep(0)
        await runtime.sleep(0)
        assert other.done()

    asyncio.run(main())


def test_many_wait_and_are_woken_when_their_time_has_come(run: Callable[[Rule], None]) -> None:
    async def rule(p: Program) -> None:
        sleeping = [p.alongside(p.runtime.sleep(wait)) for wait in (30, 10, 20, 10)]
        await p.waiting(4)
        assert p.clock.waiters == (10, 10, 20, 30)
        p.clock.advance(15)
        assert p.clock.waiters == (5, 15)
        for one in (sleeping[1], sleeping[3]):
            await one.result()
        p.clock.advance(15)
        for one in sleeping:
            await one.result()

    run(rule)


def test_they_are_woken_in_the_order_of_their_moments() -> None:
    """Those of one moment in the order in which they began to wait."""

    async def main() -> None:
        clock, woken = FakeClock(), list[int]()
        runtime = LoopRuntime(clock)

        async def sleep(number: int, wait: float) -> None:
            await runtime.sleep(wait)
            woken.append(number)

        tasks = [asyncio.create_task(sleep(number, wait)) for number, wait in enumerate([30, 10, 20, 10, 30])]
        await clock.until_waiting(5)
        clock.advance(60)
        await asyncio.gather(*tasks)
        assert woken == [1, 3, 2, 0, 4]

    asyncio.run(main())


def test_who_is_woken_waits_no_more_even_before_they_run(run: Callable[[Rule], None]) -> None:
    """So `until_waiting` after a step is the *next* wait, and a test that goes step by step misses none."""

    async def rule(p: Program) -> None:
        ticks, changed, stop = list[float](), Signal(), Signal()

        async def work() -> None:
            while not stop.count:
                seen = changed.count
                ticks.append(p.clock.monotonic())
                await p.runtime.wait(changed, seen, 10)

        working = p.alongside(work())
        await p.waiting()
        for n in range(1, 20):
            p.clock.advance(10)
            await p.waiting()
            assert len(ticks) == 2 * n
            changed.notify()
            await p.waiting()
            assert len(ticks) == 2 * n + 1
        assert ticks[::2] == [10 * n for n in range(20)]
        stop.notify()
        changed.notify()
        await working.result()

    run(rule)


def test_a_test_that_waits_in_vain_for_somebody_to_wait_fails(run: Callable[[Rule], None]) -> None:
    async def rule(p: Program) -> None:
        sleeping = p.alongside(p.runtime.sleep(7))
        await p.waiting()
        with pytest.raises(AssertionError, match=r"fewer than 2 waiters.*\(7.0,\)"):
            if p.threads:
                p.clock.block_until_waiting(2, patience=0.01)
            else:
                await p.clock.until_waiting(2, patience=0.01)
        p.clock.advance(7)
        await sleeping.result()

    run(rule)


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    """Neither in the clock nor in the signal, and time that passes later bears it."""

    async def main() -> None:
        clock, signal = FakeClock(), Signal()
        runtime = LoopRuntime(clock)
        for limit in [10, None] * 20:
            tasks = [asyncio.create_task(runtime.wait(signal, 0, limit)), asyncio.create_task(runtime.sleep(10))]
            await clock.until_waiting(2)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert (clock.waiters, signal._callbacks) == ((), {})
        clock.advance(60)
        signal.notify()

    asyncio.run(main())


def test_a_wait_that_is_over_leaves_nothing_behind(run: Callable[[Rule], None]) -> None:
    async def rule(p: Program) -> None:
        signal = Signal()
        for _ in range(20):
            waiting = p.alongside(p.runtime.wait(signal, 0, 10))
            await p.waiting()
            p.clock.advance(10)
            assert await waiting.result() is False
            assert (p.clock.waiters, signal._callbacks) == ((), {})

    run(rule)


def test_who_is_woken_while_they_begin_to_wait_does_not_wait() -> None:
    class Hasty(Signal):
        def call_once(self, seen: int, callback: Callable[[], None]) -> bool:
            registered = super().call_once(seen, callback)
            self.notify()
            return registered

    clock, woken = FakeClock(), Signal()
    with clock.waking(Hasty(), 0, 10, woken.notify):
        assert (woken.count, clock.waiters) == (1, ())


def test_threads_that_wait_while_others_let_time_pass() -> None:
    """Nobody is forgotten, whoever crosses whom, and nobody is woken early."""
    clock, slept = FakeClock(), list[float]()
    runtime = InlineRuntime(clock)

    def sleep() -> None:
        for _ in range(50):
            begun = clock.monotonic()
            drive(runtime.sleep(1))
            slept.append(clock.monotonic() - begun)

    sleepers = [threading.Thread(target=sleep, daemon=True) for _ in range(8)]

    def advance() -> None:
        while any(sleeper.is_alive() for sleeper in sleepers):
            clock.advance(0.5)

    advancing = [threading.Thread(target=advance, daemon=True) for _ in range(2)]
    for thread in sleepers + advancing:
        thread.start()
    for thread in sleepers + advancing:
        thread.join(6 * PATIENCE)
        assert not thread.is_alive()
    assert (len(slept), clock.waiters) == (400, ())
    assert min(slept) >= 1


def test_a_clock_that_only_tells_the_time_makes_nobody_wait_for_it() -> None:
    """Two methods are a clock; then waits are by the time of the machine."""

    class Stopped:
        def now(self) -> datetime:
            return NOON

        def monotonic(self) -> float:
            return 0.0

    for clock in (Stopped(), SystemClock()):
        runtime = InlineRuntime(clock)
        drive(runtime.sleep(0.001))
        assert drive(runtime.wait(Signal(), 0, 0.001)) is False
        assert asyncio.run(LoopRuntime(clock).wait(Signal(), 0, 0.001)) is False
        asyncio.run(LoopRuntime(clock).sleep(0.001))
