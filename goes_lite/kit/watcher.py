"""Watch for commits by others while the log is followed, for backends on an event loop.

A backend provides the watch itself; this module starts and ends it. `goes_lite.sqlite` watches files in a thread instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator

from goes_lite.runtime import Signal


class LoopWatcher(ABC):
    """Notifies a signal of commits by others. A watch outlives its last follower by `linger` seconds, as most return soon."""

    def __init__(self, signal: Signal, linger: float) -> None:
        self.signal = signal
        self._linger = linger
        self._loop = asyncio.get_running_loop()
        self._followers = 0
        self._last_used = 0.0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @abstractmethod
    async def watch(self) -> None:
        """Watch while `wanted`, despite failures, and notify the signal of each commit and once when the watch begins."""

    @abstractmethod
    def interrupt(self, watch: asyncio.Task[None]) -> None:
        """Make the watch end soon."""

    @property
    def wanted(self) -> bool:
        """Whether there are followers, or were within the last `linger` seconds."""
        return not self._closed and (self._followers > 0 or self._loop.time() - self._last_used <= self._linger)

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs. Any thread may enter it."""
        self._call(self._enter)
        try:
            yield
        finally:
            self._call(self._leave)

    def _call(self, function: Callable[[], None]) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            function()
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the watch with it
                self._loop.call_soon_threadsafe(function)

    def _enter(self) -> None:
        self._followers += 1
        if not self._closed and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self.watch(), name="goes_lite-watcher")

    def _leave(self) -> None:
        self._followers -= 1
        self._last_used = self._loop.time()

    async def close(self) -> None:
        """End the watch, wait for its end, and start no other."""
        self._closed = True
        if self._task is not None:
            self.interrupt(self._task)
            await asyncio.wait([self._task])
