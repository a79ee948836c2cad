"""How a handle waits: by awaiting on an event loop, or by blocking the calling thread.

Everything above the drivers is written once, as coroutines that wait only through a `Runtime`. On a `LoopRuntime`
they suspend like any other coroutine. On an `InlineRuntime` nothing ever suspends, so `drive` runs such a coroutine
to its end like a plain function call: that is the whole of the blocking face on the embedded backend.

asyncio is imported where a loop is used and not before: a blocking program never pays for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, runtime_checkable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

T = TypeVar("T")


class Clock(Protocol):
    """Where times and durations come from; tests put a fake one in, such as `goes_lite.testing.FakeClock`."""

    def now(self) -> datetime:
        """The time of day: aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for durations."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()


class Signal:
    """A counter that others wait on: any thread may notify, any thread or event loop may wait.

    To miss nothing, read `count` *before* looking at the state that the signal is about, then wait for the count to
    differ from what was read. Waiters may wake without cause, never the other way round.
    """

    def __init__(self) -> None:
        self.count = 0
        # Reentrant: a finalizer or a signal handler may run while its own thread has the lock, and notify or forget.
        self._lock = threading.RLock()
        self._condition = threading.Condition(self._lock)
        self._blocked = 0
        self._callbacks: set[Callable[[], None]] = set()

    def notify(self) -> None:
        with self._lock:
            self.count += 1
            if self._blocked:
                self._condition.notify_all()
            if not self._callbacks:
                return
            callbacks, self._callbacks = self._callbacks, set()
        for callback in callbacks:
            callback()

    def block(self, seen: int, timeout: float | None) -> bool:
        """Block this thread until the count differs from `seen`; False if the time ran out first."""
        with self._lock:
            self._blocked += 1
            try:
                return self._condition.wait_for(lambda: self.count != seen, timeout)
            finally:
                self._blocked -= 1

    def call_once(self, seen: int, callback: Callable[[], None]) -> bool:
        """Call back at the next notification, from its thread; False (and no call) if the count differs already."""
        with self._lock:
            if self.count != seen:
                return False
            self._callbacks.add(callback)
            return True

    def forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.discard(callback)


@runtime_checkable
class DrivenClock(Clock, Protocol):
    """A clock whose time passes when somebody says so: a runtime that is given one waits by it, not by real time."""

    def waking(
        self, signal: Signal, seen: int, timeout: float | None, wake: Callable[[], None]
    ) -> AbstractContextManager[object]:
        """While the block runs: `wake`, from any thread, when `signal.count` differs from `seen` or time runs out.

        Time runs out when `timeout` seconds of this clock have passed; without a timeout it never does. `wake` is called
        at once if it is so already, and may be called again. After the block nothing of it is kept.
        """
        ...


def _driven(clock: Clock | None) -> DrivenClock | None:
    return clock if clock is not None and isinstance(clock, DrivenClock) else None


class Runtime(Protocol):
    """The four ways in which coroutines of goes_lite wait, and the clock."""

    clock: Clock

    @property
    def inline(self) -> bool:
        """Whether coroutines on this runtime never suspend."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        """Until `signal.count` differs from `seen`: True; or until `timeout` seconds have passed: False."""
        ...

    async def call(self, work: Callable[[], T]) -> T:
        """Run blocking work where it blocks no event loop, and answer its result."""
        ...

    async def close(self, *, wait: bool = True) -> None:
        """Release the threads, if any: when what they are at is done, or at once, to end by themselves then."""
        ...


class InlineRuntime:
    """Waits by blocking the calling thread; its coroutines never suspend. Safe to use from several threads."""

    inline = True

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
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
        self.clock: Clock = clock or SystemClock()
        self._driven = _driven(clock)
        from goes_lite.runtime._workers import Workers  # like asyncio: a blocking program never pays for it

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
                pass  # the loop was closed under a waiter that nobody will run again

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
    """Run a coroutine that never suspends, as those on an `InlineRuntime`, to its end and answer its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError(
        f"{coroutine!r} suspended: await nothing but goes_lite inside blocking code, or use the async face"
    )


async def call(function: Callable[..., object], *args: object) -> object:
    """What a function answers, or a coroutine function once it is awaited."""
    result = function(*args)
    if result is None or not isinstance(result, Awaitable):  # most answer None, and telling an Awaitable takes its time
        return result
    return await cast("Awaitable[object]", result)
