"""How handles wait: signals, the two runtimes, inline coroutines, and the loop thread of the blocking face."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timezone
from typing import Any

import pytest

from goes_lite.errors import ConfigError, StoreClosed
from goes_lite.runtime import InlineRuntime, LoopRuntime, Signal, SystemClock, drive
from goes_lite.runtime.face import call
from goes_lite.runtime.portal import InlinePortal, LoopPortal

variable: ContextVar[str] = ContextVar("variable", default="unset")


# --- signals ------------------------------------------------------------------------------------------------------------


def test_a_signal_counts_and_wakes_threads() -> None:
    """It wakes every waiting thread as soon as the count differs from what the thread saw; at once if it already does."""
    signal = Signal()
    assert signal.count == 0
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(signal.block(0, 10))) for _ in range(3)]
    for thread in threads:
        thread.start()
    signal.notify()
    for thread in threads:
        thread.join()
    assert woken == [True] * 3
    assert signal.count == 1
    assert signal.block(0, None)
    assert not signal.block(1, 0.001)


def test_a_signal_calls_back_once() -> None:
    """At the next notification; never if the count already differs, or if the callback is forgotten."""
    signal = Signal()
    calls: list[str] = []
    first, second = (lambda: calls.append("first")), (lambda: calls.append("second"))
    assert signal.call_once(0, first)
    assert signal.call_once(0, second)
    signal.forget(second)
    signal.forget(second)
    signal.notify()
    signal.notify()
    assert calls == ["first"]
    assert not signal.call_once(0, second)
    signal.notify()
    assert calls == ["first"]


def test_code_that_interrupts_a_thread_may_use_the_signal() -> None:
    """A finalizer or a handler of Ctrl-C can run at any point of its thread, such as in the middle of notifying."""
    signal = Signal()

    def interrupted() -> None:
        with signal._lock:
            signal.notify()
            signal.forget(signal.notify)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert signal.count == 1


def test_a_callback_may_use_the_signal() -> None:
    """It is called without the lock, so it can wait for the next notification."""
    signal = Signal()
    calls: list[int] = []

    def again() -> None:
        calls.append(signal.count)
        signal.call_once(signal.count, again)

    signal.call_once(0, again)
    signal.notify()
    signal.notify()
    assert calls == [1, 2]


# --- runtimes -------------------------------------------------------------------------------------------------------------


def test_the_system_clock_is_aware() -> None:
    """Times are in UTC; the monotonic clock never goes back."""
    clock = SystemClock()
    assert clock.now().tzinfo is timezone.utc
    assert clock.monotonic() <= clock.monotonic()


def test_an_inline_runtime_blocks_and_never_suspends() -> None:
    """Everything awaited through it is done when the call returns."""
    runtime, signal = InlineRuntime(), Signal()

    async def main() -> list[Any]:
        begun = time.monotonic()
        await runtime.sleep(0.01)
        slept = time.monotonic() - begun >= 0.009
        late = await runtime.wait(signal, 0, 0.005)
        threading.Timer(0.01, signal.notify).start()
        woken = await runtime.wait(signal, 0, 10)
        thread = await runtime.call(threading.get_ident)
        await runtime.close()
        return [slept, late, woken, thread == threading.get_ident()]

    assert drive(main()) == [True, False, True, True]
    assert runtime.inline


def test_a_loop_runtime_waits_without_blocking_the_loop() -> None:
    """For a signal of another thread, for a time limit, for work in a thread; other tasks run in the meantime."""

    async def main() -> None:
        runtime, signal = LoopRuntime(), Signal()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        assert not await runtime.wait(signal, 0, 0.01)
        assert ticks > 2
        threading.Timer(0.01, signal.notify).start()
        assert await runtime.wait(signal, 0, 10)
        assert await runtime.wait(signal, 0)
        assert await runtime.call(threading.get_ident) != threading.get_ident()
        await runtime.sleep(0.001)
        with pytest.raises(ZeroDivisionError):
            await runtime.call(lambda: 1 // 0)
        ticking.cancel()
        await runtime.close()
        await runtime.close()
        assert not runtime.inline

    asyncio.run(main())


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    """The signal forgets the waiter, so a follower that is cancelled a thousand times costs nothing."""

    async def main() -> None:
        runtime, signal = LoopRuntime(), Signal()
        for _ in range(100):
            waiting = asyncio.create_task(runtime.wait(signal, 0))
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        assert not signal._callbacks
        assert not await runtime.wait(signal, 0, 0.001)
        assert not signal._callbacks

    asyncio.run(main())


def test_a_signal_for_a_closed_loop() -> None:
    """A notification does not fail because a waiter's event loop was closed."""
    signal, runtime = Signal(), LoopRuntime()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(runtime.wait(signal, 0))
    loop.run_until_complete(asyncio.sleep(0))
    callbacks = dict(signal._callbacks)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(waiting)
    loop.close()
    signal._callbacks |= callbacks
    signal.notify()
    assert signal.count == 1


def test_drive_runs_what_never_suspends() -> None:
    """It returns the result or raises the exception of the coroutine; one that suspends is closed and refused."""

    async def answer(value: int) -> int:
        return 10 // value

    async def suspends() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            ended.append(True)

    ended: list[bool] = []
    assert drive(answer(2)) == 5
    with pytest.raises(ZeroDivisionError):
        drive(answer(0))
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        asyncio.events._set_running_loop(loop)
        with pytest.raises(RuntimeError, match="suspended"):
            drive(suspends())
    finally:
        asyncio.events._set_running_loop(None)
        asyncio.set_event_loop(None)
        loop.close()
    assert ended == [True]


# --- portals --------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["inline", "loop"])
def portal(request: pytest.FixtureRequest) -> Any:
    portal = InlinePortal() if request.param == "inline" else LoopPortal("here")
    yield portal
    portal.close()


def test_a_portal_gives_results_and_exceptions(portal: Any) -> None:
    """As if the coroutine were a function; including StopAsyncIteration and cancellation."""

    async def answer(value: int) -> int:
        return 10 // value

    async def raises(error: BaseException) -> None:
        raise error

    assert portal.run(answer(5)) == 2
    with pytest.raises(ZeroDivisionError):
        portal.run(answer(0))
    with pytest.raises(StopAsyncIteration):
        portal.run(raises(StopAsyncIteration()))


def test_context_variables_go_in_and_come_back(portal: Any) -> None:
    """A coroutine sees what the caller set, and the caller sees what the coroutine set, both inline and on a loop."""

    async def change(value: str) -> str:
        before = variable.get()
        variable.set(value)
        return before

    token = variable.set("caller")
    try:
        assert portal.run(change("coroutine")) == "caller"
        assert variable.get() == "coroutine"

        async def fails() -> None:
            variable.set("failed")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            portal.run(fails())
        assert variable.get() == "failed"
    finally:
        variable.reset(token)
    other: list[str] = []
    thread = threading.Thread(target=lambda: other.append(portal.run(change("thread"))))
    thread.start()
    thread.join()
    assert other == ["unset"]
    assert variable.get() == "unset"


def test_many_threads_use_one_portal(portal: Any) -> None:
    """Each gets its own result."""

    async def double(value: int) -> int:
        return 2 * value

    answers: dict[int, int] = {}

    def ask(number: int) -> None:
        answers[number] = portal.run(double(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: 2 * n for n in range(20)}


def test_a_closed_loop_portal_refuses() -> None:
    """It raises StoreClosed with the location, without a warning about an unawaited coroutine; closing twice is allowed."""

    async def nothing() -> None:
        return None

    portal = LoopPortal("here")
    thread = portal._running.thread
    portal.run(nothing())
    portal.close()
    portal.close()
    assert not thread.is_alive()
    with pytest.raises(StoreClosed) as caught:
        portal.run(nothing())
    assert caught.value.location == "here"


def test_a_blocking_call_on_the_loop_thread_is_refused() -> None:
    """It raises RuntimeError instead of waiting for itself forever."""
    portal = LoopPortal()

    async def nothing() -> None:
        return None

    async def calls() -> None:
        portal.run(nothing())

    with pytest.raises(RuntimeError, match="loop thread"):
        portal.run(calls())
    portal.close()


def calling(portal: Any, function: Callable[[int], object], argument: int = 1) -> object:
    """Call the user's function as the layer above does, and return its result."""
    called = portal.callback(function)

    async def run() -> object:
        return await call(called, argument)

    return portal.run(run())


def test_a_callback_returns_and_raises(portal: Any) -> None:
    """Only a plain function: what makes a coroutine or a generator would not run, and is refused at once or when called."""

    async def doubled(number: int) -> int:
        return 2 * number

    assert calling(portal, lambda number: number + 1) == 2
    with pytest.raises(ConfigError, match="the coroutine function .*doubled"):
        calling(portal, doubled)
    with pytest.raises(ConfigError, match="returned a coroutine"):
        calling(portal, lambda number: doubled(number + 1))
    with pytest.raises(ConfigError, match="returned a generator"):
        calling(portal, lambda number: (n for n in (number,)))
    with pytest.raises(ZeroDivisionError):
        calling(portal, lambda number: number // 0)
    with pytest.raises(ConfigError, match="must be a function, not 'no function'"):
        portal.callback("no function")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_whatever_a_callback_raises_reaches_the_caller(portal: Any, kind: type[BaseException]) -> None:
    """And leaves the portal as it is: SystemExit, raised in its event loop, would end its thread."""

    def raises(_: int) -> None:
        raise kind

    with pytest.raises(kind):
        calling(portal, raises)
    assert calling(portal, lambda number: number + 1) == 2


def test_a_callback_sees_and_sets_context_variables(portal: Any) -> None:
    token = variable.set("caller")
    try:
        assert calling(portal, lambda _: variable.get()) == "caller"
        calling(portal, lambda _: variable.set("callback"))
        assert variable.get() == "callback"
    finally:
        variable.reset(token)


def test_a_callback_that_blocks_delays_nobody_else(portal: Any) -> None:
    """Others can use the portal in the meantime, and so can the callback itself."""

    async def answer(value: int) -> int:
        return value

    entered, go_on, answers = threading.Event(), threading.Event(), list[object]()

    def blocks(number: int) -> int:
        entered.set()
        assert go_on.wait(10)
        return int(portal.run(answer(number)))

    thread = threading.Thread(target=lambda: answers.append(calling(portal, blocks, 7)))
    thread.start()
    assert entered.wait(10)
    assert portal.run(answer(1)) == 1
    go_on.set()
    thread.join(10)
    assert answers == [7]


def test_an_abandoned_callback() -> None:
    """Closing the portal does not wait for it, and it ends silently."""
    portal, entered, go_on = LoopPortal(), threading.Event(), threading.Event()

    def blocks(_: object) -> None:
        entered.set()
        go_on.wait()

    async def start() -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(call(portal.callback(blocks), 1))

    portal.run(start())
    assert entered.wait(10)
    threads = {thread for thread in threading.enumerate() if thread.name.startswith("goes_lite-callback")}
    portal.close()
    go_on.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
