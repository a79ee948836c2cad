"""Blocking work of an event loop: done by as few threads as keep up with it, and answered in one go.

Short pieces of work gain nothing from several threads, since one interpreter runs them all, and lose much by waking them.
So one thread does what there is, one piece after another; another one joins when nothing was finished for a moment
although something waits; and whoever comes back from something long, to find that others work, leaves it to them. What is
finished while the event loop is busy is answered with one call of it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

PATIENCE = 0.001
"""How many seconds work may wait without anything being finished before another thread joins."""


class Workers:
    """At most so many threads, which are started when they are needed first. For any event loop, or several."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._active = 0
        """How many threads are at work."""
        self._finished = 0
        self._watching: set[asyncio.AbstractEventLoop] = set()
        """The loops that will look soon whether anything was finished, unless they are closed before."""
        self._answers: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        """What is finished, by the loop that was told so and has not come for it yet."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do it in a thread, and answer its result. Cancelled before it has begun, it is not done."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._jobs.append((work, future))
            first = not self._active
            if first:
                self._active = 1
        if first:
            try:
                self._start()
            except BaseException:
                future.cancel()  # so that it is not done by somebody later
                raise
        elif loop not in self._watching:
            self._watch(loop)
        return await future

    def close(self, *, wait: bool = True) -> None:
        """End the threads when all is done: wait for that, or do not."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            executor.shutdown(wait=wait)

    def _start(self) -> None:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(self._most, thread_name_prefix="goes_lite-reader")
        try:
            self._executor.submit(self._serve)
        except BaseException:  # there are too many threads, or the interpreter ends
            with self._lock:
                self._active -= 1
            raise

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = {other for other in self._watching if not other.is_closed()} | {loop}
        nothing = Context()  # the caller's own would be kept alive until the look, with all that is in it
        loop.call_later(PATIENCE, self._look, loop, self._finished, context=nothing)

    def _look(self, loop: asyncio.AbstractEventLoop, finished: int) -> None:
        self._watching.discard(loop)
        with self._lock:
            if not self._jobs or self._active == self._most:
                return
            joins = self._finished == finished
            self._active += joins
        if joins:
            with contextlib.suppress(RuntimeError):  # those there are go on, and are looked after again
                self._start()
        self._watch(loop)

    def _serve(self) -> None:
        while self._serve_next():  # in a frame of its own, so that nothing is kept of the last one
            pass

    def _serve_next(self) -> bool:
        with self._lock:
            if not self._jobs:
                # not below none: one that failed to start may have been noted all the same, and be served later
                self._active = max(0, self._active - 1)
                return False
            work, future = self._jobs.popleft()
        if future.cancelled():
            return True
        began = time.monotonic()
        result: Any = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - it goes to whoever brought the work
            error = exc
        self._answer(future, result, error)
        with self._lock:
            self._finished += 1
            leaves = self._active > 1 and time.monotonic() - began > PATIENCE
            self._active -= leaves
        return not leaves

    def _answer(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        loop = future.get_loop()
        with self._lock:
            told = loop in self._answers
            if self._answers and not told:  # maybe one that was closed before it came
                self._answers = {other: done for other, done in self._answers.items() if not other.is_closed()}
            self._answers.setdefault(loop, []).append((future, result, error))
        if not told:
            try:
                loop.call_soon_threadsafe(self._settle, loop)
            except RuntimeError:  # the loop was closed: nobody waits any more
                self._answers.pop(loop, None)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            answers = self._answers.pop(loop)
        for future, result, error in answers:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
