"""How a handle waits: by awaiting on an event loop, or by blocking the calling thread.

Everything above the drivers is written once, as coroutines that wait only through a `Runtime`. On a `LoopRuntime` they
suspend like any other coroutine. On an `InlineRuntime` nothing ever suspends, so `drive` runs such a coroutine like a plain
function call: that is how the blocking face of the embedded backend works. Threads, background tasks, portals and faces
belong here, too.

asyncio is imported only where a loop is used: a blocking program does not pay for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from goes_lite.runtime.works import Works

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

T = TypeVar("T")


class Clock(Protocol):
    """The source of times and durations; tests use a fake one, such as `goes_lite.testing.FakeClock`."""

    def now(self) -> datetime:
        """Return the current time (aware, UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never decrease, for durations."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()


def own_clock(clock: Clock) -> Clock | None:
    """Return the clock if it is not that of the machine."""
    return None if type(clock) is SystemClock else clock


class Signal:
    """A counter to wait on: any thread may notify, any thread or event loop may wait.

    To miss nothing, read `count` *before* the state that the signal is about, then wait for the count to change. Waiters
    may wake spuriously, but never miss a change.
    """

    def __init__(self) -> None:
        self.count = 0
        # Reentrant: a finalizer or a signal handler may notify or forget while its own thread has the lock.
        self._lock = threading.RLock()
        self._condition = threading.Condition(self._lock)
        self._blocked = 0
        self._callbacks: dict[Callable[[], None], None] = {}
        """A set in order: those who have waited longest are called first, and in the same order each time."""

    def notify(self) -> None:
        with self._lock:
            self.count += 1
            if self._blocked:
                self._condition.notify_all()
            if not self._callbacks:
                return
            callbacks, self._callbacks = self._callbacks, {}
        for callback in callbacks:
            callback()

    def block(self, seen: int, timeout: float | None) -> bool:
        """Block this thread until the count differs from `seen`; False on timeout."""
        with self._lock:
            self._blocked += 1
            try:
                return self._condition.wait_for(lambda: self.count != seen, timeout)
            finally:
                self._blocked -= 1

    def call_once(self, seen: int, callback: Callable[[], None]) -> bool:
        """Call back at the next notification, in its thread; False (and no call) if the count already differs."""
        with self._lock:
            if self.count != seen:
                return False
            self._callbacks[callback] = None
            return True

    def forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.pop(callback, None)


@runtime_checkable
class DrivenClock(Clock, Protocol):
    """A clock whose time is driven by a test: a runtime with such a clock waits by it, not by real time."""

    def waking(
        self, signal: Signal, seen: int, timeout: float | None, wake: Callable[[], None]
    ) -> AbstractContextManager[object]:
        """While the block runs: `wake`, from any thread, when `signal.count` differs from `seen` or time runs out.

        Time runs out when `timeout` seconds of this clock have passed; without a timeout never. `wake` is called
        immediately if that is already so, and may be called again. After the block nothing of it is kept.
        """
        ...


def _driven(clock: Clock | None) -> DrivenClock | None:
    return clock if clock is not None and isinstance(clock, DrivenClock) else None


class Runtime(Protocol):
    """How coroutines of goes_lite wait, and their clock."""

    clock: Clock
    works: Works
    """What runs in the background of the handle."""

    @property
    def inline(self) -> bool:
        """Whether coroutines on this runtime never suspend."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        ...

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        """Wait until `signal.count` differs from `seen`; False after `timeout` seconds."""
        ...

    async def call(self, work: Callable[[], T]) -> T:
        """Run blocking work where it does not block an event loop, and return its result."""
        ...

    async def close(self, *, wait: bool = True) -> None:
        """Release the threads, if any: after their current work, or immediately, to end on their own."""
        ...


class InlineRuntime:
    """Waits by blocking the calling thread; its coroutines never suspend. Safe to use from several threads."""

    inline = True

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.works = Works()
        self._driven = _driven(clock)

    async def sleep(self, seconds: float) -> None:
        if self._driven is None:
            time.sleep(seconds)
        else:
            await self.wait(Signal(), 0, seconds)

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        if self._driven is None:
            return signal.block(seen, timeout)
        woken = Signal()
        with self._driven.waking(signal, seen, timeout, woken.notify):
            woken.block(0, None)
        return signal.count != seen

    async def call(self, work: Callable[[], T]) -> T:
        return work()

    async def close(self, *, wait: bool = True) -> None:
        return None


class LoopRuntime:
    """Waits on the running asyncio event loop; blocking work goes to a few threads of its own."""

    inline = False

    def __init__(self, clock: Clock | None = None, *, threads: int = 4) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.works = Works()
        self._driven = _driven(clock)
        from goes_lite.runtime._workers import Workers  # like asyncio: a blocking program does not pay for it

        self._workers = Workers(threads)

    async def sleep(self, seconds: float) -> None:
        import asyncio

        if self._driven is None:
            await asyncio.sleep(seconds)
        else:
            await self.wait(Signal(), 0, seconds)

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        import asyncio

        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def callback() -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:
                pass  # the loop was closed, so the waiter never runs again

        if self._driven is not None:
            with self._driven.waking(signal, seen, timeout, callback):
                await woken
            return signal.count != seen
        if not signal.call_once(seen, callback):
            return True
        try:
            async with asyncio.timeout(timeout):
                await woken
        except TimeoutError:
            return False
        finally:
            signal.forget(callback)
        return True

    async def call(self, work: Callable[[], T]) -> T:
        return await self._workers.run(work)

    async def close(self, *, wait: bool = True) -> None:
        self._workers.close(wait=wait)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, such as those on an `InlineRuntime`, and return its result."""
    try:
        coroutine.send(None)
        while True:  # raised where it waits, so that the caller of a function of the program can handle it
            coroutine.throw(
                RuntimeError(
                    f"{coroutine!r} suspended: await only goes_lite inside blocking code, or use the async face"
                )
            )
    except StopIteration as stop:
        result: T = stop.value
        return result
