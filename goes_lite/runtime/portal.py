"""Portals: run coroutines for threads without an event loop, inline or on a loop thread of their own."""

from __future__ import annotations

import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast
from weakref import WeakSet

from goes_lite.errors import StoreClosed, StoreForked
from goes_lite.errors.functions import LAZY, Carried, check_function, check_result, is_for_both_faces
from goes_lite.runtime import drive

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_UNSET: Any = object()
PATIENCE = 5.0
"""Seconds for which a forgotten handle may take to close."""


class Portal(Protocol):
    """Runs a coroutine for a thread that waits for the result."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...

    def callback(
        self, function: Callable[..., Any], what: str = "it", /, *, iterated: bool = False
    ) -> Callable[..., Any]:
        """Wrap a plain function of the program for coroutines that run here, so that a blocking one blocks nobody else.

        ConfigError, here or at the call, if it makes a coroutine, or a generator that is not to be `iterated` over.
        """
        ...

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        ...

    def close(self) -> None: ...


class InlinePortal:
    """The portal of backends whose coroutines never suspend: a plain function call, no loop, no thread."""

    closed = False

    run = staticmethod(drive)

    def callback(
        self, function: Callable[..., Any], what: str = "it", /, *, iterated: bool = False
    ) -> Callable[..., Any]:
        return _plain(function, what, iterated)

    def close(self) -> None:
        return None


class _Call(Generic[T]):
    """One coroutine that a thread runs on the loop and waits for."""

    __slots__ = ("_coroutine", "context", "ended", "task", "unwanted")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.context = copy_context()
        self.ended = threading.Lock()
        """Held until the task has ended. Only a lock: a Future would double the cost of a call."""
        self.ended.acquire()
        self.task: asyncio.Task[T] | None = None
        self.unwanted = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.unwanted:
            return
        self.task = loop.create_task(self._coroutine, context=self.context)
        self.task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        self.ended.release()

    def cancel(self) -> None:
        """Cancel it, or never start it: an interrupt may come before, while or after it is handed to the loop."""
        self.unwanted = True
        if self.task is None:
            self._coroutine.close()
        else:
            self.task.cancel()

    def result(self) -> T:
        """Return the result of the task, which has ended."""
        return cast("asyncio.Task[T]", self.task).result()


class _LoopThread:
    """A thread with an event loop. It knows no portal, so that it does not keep a forgotten one alive."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._last: asyncio.Task[None] | None = None
        self.thread = threading.Thread(target=self._serve, name="goes_lite-loop", daemon=True)
        self.thread.start()
        self._ready.wait()

    def _serve(self) -> None:
        import asyncio

        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            self._end = asyncio.Event()
            self._ready.set()
            await self._end.wait()

        asyncio.run(main())

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)

    def end_after(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End after the work, or if it takes too long. Does not wait for it."""
        import asyncio

        async def last() -> None:
            with suppress(Exception):  # nobody is there to be told
                async with asyncio.timeout(PATIENCE):
                    await work()
            self._end.set()

        def start() -> None:
            self._last = self.loop.create_task(last())

        self.loop.call_soon_threadsafe(start)


_portals: WeakSet[LoopPortal] = WeakSet()


class LoopPortal:
    """One thread with one event loop, joined by `close`. Any thread may call `run`."""

    def __init__(self, location: str = "") -> None:
        self.location = location
        """The location of the store, for error messages."""
        self.closed = self.forked = False
        _portals.add(self)
        self.forgotten: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Closes what is used through the portal, if nobody can reach the portal any more."""
        self._running = _LoopThread()

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        running = self._running
        if self.closed:
            coroutine.close()
            raise (StoreForked if self.forked else StoreClosed)(self.location)
        loop = running.loop
        if threading.current_thread() is running.thread:
            coroutine.close()
            raise RuntimeError(
                "a blocking call from a callback on the loop thread would wait for itself: use the async face"
            )
        # As inline: the coroutine runs with the caller's context variables, and what it sets is set for the caller.
        call = _Call(coroutine)
        try:
            loop.call_soon_threadsafe(call.start, loop)
            call.ended.acquire()
        except BaseException as exc:  # an interrupt of the waiting thread, such as Ctrl-C, cancels the call
            try:
                loop.call_soon_threadsafe(call.cancel)
            except RuntimeError:  # the loop has just ended
                coroutine.close()
                if isinstance(exc, RuntimeError):
                    raise StoreClosed(self.location) from None
            raise
        finally:
            _adopt(call.context)
        if self.closed and call.task is not None and call.task.cancelled():  # its loop has ended
            raise StoreClosed(self.location)
        try:
            return call.result()
        except Carried as carried:
            raise carried.exception from None

    def callback(
        self, function: Callable[..., Any], what: str = "it", /, *, iterated: bool = False
    ) -> Callable[..., Any]:
        plain = _plain(function, what, iterated)
        if is_for_both_faces(function):
            return plain

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await _in_thread(functools.partial(plain, *args, **kwargs))

        return call

    def close(self) -> None:
        self.closed = True
        if self._running.thread.is_alive():
            self._running.end()
            self._running.thread.join()

    def __del__(self) -> None:
        running: _LoopThread | None = getattr(self, "_running", None)
        if running is None or self.closed or sys.is_finalizing() or not running.thread.is_alive():
            return
        self.closed = True
        with suppress(RuntimeError):  # the loop has just ended
            if self.forgotten is None:
                running.end()
            else:
                running.end_after(self.forgotten)
        message = f"a handle on {self.location} was not closed: use it in a with block, or close it"
        warnings.warn(message, ResourceWarning, source=self, stacklevel=2)


_ITERATED: tuple[type[Any], ...] = (GeneratorType, AsyncGeneratorType)


def _plain(function: Callable[..., Any], what: str, iterated: bool) -> Callable[..., Any]:
    """Return the function with a check of its results: nothing awaits a coroutine here."""
    check_function(what, function, iterated=iterated)
    if is_for_both_faces(function):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result: object = function(*args, **kwargs)
        if result is None or (iterated and isinstance(result, _ITERATED)):
            return result
        if isinstance(result, LAZY) or hasattr(type(result), "__await__"):
            check_result(what, result)
        return result

    return call


def _after_fork_in_child() -> None:
    for portal in list(_portals):
        portal.closed = portal.forked = True  # its thread is the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread of its own, so that work that never returns blocks nothing, not even exiting."""
    import asyncio
    from concurrent.futures import Future

    loop = asyncio.get_running_loop()
    context = copy_context()
    outcome: Future[T] = Future()
    done = asyncio.Event()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as exc:  # noqa: BLE001 - raised in the waiting coroutine
            outcome.set_exception(exc if isinstance(exc, Exception) else Carried(exc))
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name=f"goes_lite-callback {work}", daemon=True).start()
    await done.wait()
    _adopt(context)
    return outcome.result()


def _adopt(context: Context) -> None:
    """Copy the context variables that were set in another context to the current one."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)
