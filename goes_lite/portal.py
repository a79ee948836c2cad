"""Running coroutines for threads that have no event loop: inline, or on one loop thread that somebody owns."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from goes_lite.runtime import drive

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Portal(Protocol):
    """Runs a coroutine to its end for a thread that waits for it."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...
    def close(self) -> None: ...


class InlinePortal:
    """For backends whose coroutines never suspend: a plain function call, no loop, no thread."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        return drive(coroutine)

    def close(self) -> None:
        return None


class LoopPortal:
    """One thread with one event loop, started here and joined by `close`. Any thread may call `run`."""

    def __init__(self) -> None:
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
        import asyncio

        if self._loop is None or not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("the loop thread has ended: the blocking backend is closed")
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a blocking call from a callback on the loop thread would wait for itself: use the async face")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt of the waiting thread, such as Ctrl-C, ends what it waited for
            raise

    def close(self) -> None:
        loop, end = self._loop, self._end
        if loop is not None and end is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(end.set)
            self._thread.join()
