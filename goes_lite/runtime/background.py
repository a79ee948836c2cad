"""Work that goes on beside its caller: a task on the running event loop, or a daemon thread of a blocking program.

Rule of this file: which of the two it is, is decided here and nowhere else. Whoever starts such work owns it, and ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors import GoesError
from goes_lite.runtime import Runtime, Signal, drive

if TYPE_CHECKING:
    import asyncio


T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """What it answers, on an event loop. Whoever is cancelled meanwhile hears of that once it has come to its end."""
    import asyncio

    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # the cancellation is what is raised
        raise


class DetachedTasks:
    """Work of a handle on an event loop that comes to its end, though whoever waits for it be cancelled; `join` waits for all."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it answers; whoever is cancelled does not wait for it any longer."""
        import asyncio

        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # is raised where somebody still waits for it

    async def join(self) -> None:
        """Until all of it has come to its end."""
        import asyncio

        while self._running:
            await asyncio.wait(self._running)


class Background:
    """One coroutine at work beside its caller, once it is started."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime = runtime
        self._name = name
        self._done = Signal()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Background {self._name}: {'ended' if self.ended else 'at work'}>"

    def start(self, coroutine: Coroutine[Any, Any, None], ended: Callable[[], None] = lambda: None) -> None:
        """Begin, and call `ended` when it has come to its end, however that is.

        GoesError, and nothing is begun, if the runtime needs an event loop and none is running in this thread.
        """

        def finish(task: object = None) -> None:
            ended()
            self._done.notify()

        if self._runtime.inline:

            def run() -> None:
                try:
                    drive(coroutine)
                finally:
                    finish()

            self._thread = threading.Thread(target=run, name=self._name, daemon=True)
            self._thread.start()
            return
        import asyncio

        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            coroutine.close()
            raise GoesError(
                f"{self._name} needs a running event loop: begin it in a coroutine, or use the blocking face"
            ) from None
        self._task = self._loop.create_task(coroutine, name=self._name)
        self._task.add_done_callback(finish)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._done.count > 0

    @property
    def cancelling(self) -> bool:
        """Whether it is asked to end by cancellation; a thread never is."""
        return self._task is not None and self._task.cancelling() > 0

    def cancel(self) -> None:
        """Cancel the task, from any thread. A thread cannot be cancelled: it is left."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def join(self, timeout: float | None = None) -> bool:
        """Until it has ended: True; or until `timeout` seconds have passed: False. An end with its loop is one, too."""
        if self._loop is not None and self._loop.is_closed():
            return True
        if not await self._runtime.wait(self._done, 0, timeout):
            return False
        if self._thread is not None:
            self._thread.join()
        return True
