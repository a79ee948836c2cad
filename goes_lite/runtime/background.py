"""Background work: a task on the running event loop, or a daemon thread of a blocking program.

Rule of this file: only this file decides which of the two it is. The owner who starts such work also ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors import GoesError
from goes_lite.runtime import Runtime, Signal, drive

if TYPE_CHECKING:
    import asyncio


T = TypeVar("T")

_running: ContextVar[Background | None] = ContextVar("_running", default=None)
"""The background work that the running code is a part of."""


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Run work on an event loop to its end; a cancellation of the caller is raised only after that."""
    import asyncio

    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, because the cancellation is raised instead
        raise


class DetachedTasks:
    """Tasks of a handle on an event loop that run to their end even if their callers are cancelled; `join` waits for all."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work and return its result; a cancelled caller stops waiting, but the work continues."""
        import asyncio

        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved; it is raised where a caller still waits

    async def join(self) -> None:
        """Wait until all tasks have ended."""
        import asyncio

        while self._running:
            await asyncio.wait(self._running)


class Done:
    """Awaitable, and already done."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


def at_once(runtime: Runtime, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | Done:
    """Run a short coroutine, with the context variables of the caller: inline to its end, else in a task."""
    if not runtime.inline:
        return _running_loop(coroutine, name).create_task(coroutine, name=name)
    drive(coroutine)
    return Done()


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended; the caller has another error to raise."""
    import asyncio

    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved


def _running_loop(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.AbstractEventLoop:
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        coroutine.close()
        raise GoesError(
            f"{name} needs a running event loop: start it in a coroutine, or use the blocking face"
        ) from None


class Background:
    """One coroutine that runs in the background once it is started."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime = runtime
        self._name = name
        self._done = Signal()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Background {self._name}: {'ended' if self.ended else 'running'}>"

    def start(self, coroutine: Coroutine[Any, Any, None], ended: Callable[[], None] = lambda: None) -> None:
        """Start it, and call `ended` when it ends, in whatever way.

        GoesError, and nothing is started, if the runtime needs an event loop and none is running in this thread.
        """

        def finish(task: object = None) -> None:
            ended()
            self._done.notify()

        if self._runtime.inline:

            def run() -> None:
                _running.set(self)
                try:
                    drive(coroutine)
                finally:
                    finish()

            self._thread = threading.Thread(target=run, name=self._name, daemon=True)
            self._thread.start()
            return
        self._loop = _running_loop(coroutine, self._name)
        context = copy_context()
        context.run(_running.set, self)
        self._task = self._loop.create_task(coroutine, name=self._name, context=context)
        self._task.add_done_callback(finish)

    @property
    def inside(self) -> bool:
        """Whether it is running the code that asks: in its task, its thread, or anything that they started."""
        return _running.get() is self

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._done.count > 0 or self._gone

    @property
    def _gone(self) -> bool:
        """Whether its thread does not run: in a forked child, which has only the thread that forked."""
        return self._thread is not None and not self._thread.is_alive()

    @property
    def cancelling(self) -> bool:
        """Whether it is being cancelled; a thread never is."""
        return self._task is not None and self._task.cancelling() > 0

    def cancel(self) -> None:
        """Cancel the task, from any thread. A thread cannot be cancelled and is left alone."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, also because its loop was closed; False after `timeout` seconds, or for itself."""
        if self.inside:
            return False
        if self._gone or (self._loop is not None and self._loop.is_closed()):
            return True
        if not await self._runtime.wait(self._done, 0, timeout):
            return False
        if self._thread is not None:
            self._thread.join()
        return True
