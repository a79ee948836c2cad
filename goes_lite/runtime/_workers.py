"""Worker threads for the blocking work of an event loop: as few as can keep up.

Short jobs gain nothing from several threads, since one interpreter runs them all, and waking threads is expensive. So one
thread runs the jobs one after another; another thread joins when nothing was finished for a moment although a job waits; and
a thread that returns from a long job while others are running leaves. Results that are ready while the event loop is busy
are delivered with one call of it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors.functions import escaped

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

STALL = 0.001
"""Seconds for which a job may wait without any job being finished before another thread joins."""


class Workers:
    """At most so many threads, started on demand. For one or several event loops."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._active = 0
        """How many threads are running."""
        self._finished = 0
        self._watching: set[asyncio.AbstractEventLoop] = set()
        """The loops that will soon check whether anything was finished, unless they are closed before."""
        self._answers: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        """Finished results, by the loop that was notified and has not fetched them yet."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run a job in a thread and return its result. If cancelled before it begins, it does not run."""
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
                future.cancel()  # so that no thread runs it later
                raise
        elif loop not in self._watching:
            self._watch(loop)
        return await future

    def close(self, *, wait: bool = True) -> None:
        """End the threads when all jobs are done; wait for that or not."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            executor.shutdown(wait=wait)

    def _start(self) -> None:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(self._most, thread_name_prefix="goes_lite-reader")
        try:
            self._executor.submit(self._serve)
        except BaseException:  # too many threads, or the interpreter is shutting down
            with self._lock:
                self._active -= 1
            raise

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = {other for other in self._watching if not other.is_closed()} | {loop}
        nothing = Context()  # that of the caller would be kept alive until the check, with everything in it
        loop.call_later(STALL, self._look, loop, self._finished, context=nothing)

    def _look(self, loop: asyncio.AbstractEventLoop, finished: int) -> None:
        self._watching.discard(loop)
        with self._lock:
            if not self._jobs or self._active == self._most:
                return
            joins = self._finished == finished
            self._active += joins
        if joins:
            with contextlib.suppress(RuntimeError):  # the existing threads continue, and the check is repeated
                self._start()
        self._watch(loop)

    def _serve(self) -> None:
        while self._serve_next():  # in a frame of its own, so that nothing of the last job is kept
            pass

    def _serve_next(self) -> bool:
        with self._lock:
            if not self._jobs:
                # never negative: a thread that failed to start may still run later
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
        except BaseException as exc:  # noqa: BLE001 - passed on to the caller, whose loop SystemExit would end
            error = escaped(exc) or exc
        self._answer(future, result, error)
        with self._lock:
            self._finished += 1
            leaves = self._active > 1 and time.monotonic() - began > STALL
            self._active -= leaves
        return not leaves

    def _answer(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        loop = future.get_loop()
        with self._lock:
            told = loop in self._answers
            if self._answers and not told:  # possibly of a loop that was closed before it fetched them
                self._answers = {other: done for other, done in self._answers.items() if not other.is_closed()}
            self._answers.setdefault(loop, []).append((future, result, error))
        if not told:
            try:
                loop.call_soon_threadsafe(self._settle, loop)
            except RuntimeError:  # the loop was closed: nobody waits
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
