"""Running coroutines for threads that have no event loop: inline, or on one loop thread that somebody owns."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

from goes_lite.errors import StoreClosed
from goes_lite.runtime import drive

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

_UNSET: Any = object()


class Portal(Protocol):
    """Runs a coroutine to its end for a thread that waits for it."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...

    def callback(self, function: Callable[P, R], /) -> Callable[P, R | Awaitable[R]]:
        """The user's function as what runs here may call it: one that blocks keeps nobody else waiting."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it runs nothing any more."""
        ...

    def close(self) -> None: ...


class InlinePortal:
    """For backends whose coroutines never suspend: a plain function call, no loop, no thread."""

    closed = False

    run = staticmethod(drive)

    def callback(self, function: Callable[P, R], /) -> Callable[P, R | Awaitable[R]]:
        return function

    def close(self) -> None:
        return None


class _Call(Generic[T]):
    """One coroutine on its way through the loop, and the thread that waits for it."""

    __slots__ = ("_coroutine", "context", "ended", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.context = copy_context()
        self.ended = threading.Lock()
        """Taken until the task has ended. A lock alone: a Future would cost as much as the rest of the way."""
        self.ended.acquire()
        self.task: asyncio.Task[T]

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.task = loop.create_task(self._coroutine, context=self.context)
        self.task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        self.ended.release()

    def cancel(self) -> None:
        self.task.cancel()


class LoopPortal:
    """One thread with one event loop, started here and joined by `close`. Any thread may call `run`."""

    def __init__(self, location: str = "") -> None:
        self.location = location
        """Of what is reached through it, for error messages."""
        self.closed = False
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, name="goes_lite-loop", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _serve(self) -> None:
        import asyncio

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._end = asyncio.Event()
            self._ready.set()
            await self._end.wait()

        asyncio.run(main())

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        loop = self._loop
        if loop is None or self.closed:
            coroutine.close()
            raise StoreClosed(self.location)
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError(
                "a blocking call from a callback on the loop thread would wait for itself: use the async face"
            )
        # As inline: the coroutine sees the caller's context variables, and what it sets is set for the caller.
        call = _Call(coroutine)
        try:
            loop.call_soon_threadsafe(call.start, loop)
        except RuntimeError:  # the loop ended in this very moment
            coroutine.close()
            raise StoreClosed(self.location) from None
        try:
            call.ended.acquire()
        except BaseException:  # an interrupt of the waiting thread, such as Ctrl-C, ends what it waited for
            loop.call_soon_threadsafe(call.cancel)
            raise
        finally:
            _adopt(call.context)
        task = call.task
        if self.closed and task.cancelled():  # its loop has ended under it
            raise StoreClosed(self.location)
        return task.result()

    def callback(self, function: Callable[P, R], /) -> Callable[P, R | Awaitable[R]]:
        import inspect

        if inspect.iscoroutinefunction(function) or not callable(function):  # which is for whoever calls it to refuse
            return function

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            result = await _in_thread(functools.partial(function, *args, **kwargs))
            return cast("R", await result) if isinstance(result, Awaitable) else result

        return call

    def close(self) -> None:
        self.closed = True
        loop, end = self._loop, self._end
        if loop is not None and end is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(end.set)
            self._thread.join()


async def _in_thread(work: Callable[[], T]) -> T:
    """What blocking work answers. Its thread is its own: work that never returns keeps nobody, and no exit, waiting."""
    import asyncio
    from concurrent.futures import Future

    loop = asyncio.get_running_loop()
    context = copy_context()
    outcome: Future[T] = Future()
    done = asyncio.Event()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as exc:  # noqa: BLE001 - it is raised where the work is waited for
            outcome.set_exception(exc)
        with suppress(RuntimeError):  # the loop was closed under it
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name=f"goes_lite-callback {work}", daemon=True).start()
    await done.wait()
    _adopt(context)
    return outcome.result()


def _adopt(context: Context) -> None:
    """Set here what was set there."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)
