"""What runs in the background of a handle: processors, relays, workers, services, handlers of the bus; `close` ends it.

Rule of this file: first all are asked to stop, then each is waited for. So closing takes as long as the slowest, and gives
back what they hold, such as leases.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from goes_lite.errors import GoesError

if TYPE_CHECKING:
    from goes_lite.runtime import Runtime

MOMENT = 1.0
"""Seconds for which closing waits for what is in progress, unless it is told for how long."""

in_transaction: list[Callable[[], bool]] = []
"""Functions that say whether the running code is inside a transaction block, for whose end work may have to wait."""


class Work(Protocol):
    """Something that runs."""

    @property
    def inside(self) -> bool:
        """Whether it is running the code that asks."""
        ...

    def halt(self) -> bool:
        """Ask it to stop soon, from any thread; return whether that suffices."""
        ...

    async def stop(self, timeout: float | None = None) -> None:
        """Wait until it has stopped; after `timeout` seconds abandon it."""
        ...


class Works:
    """The work that a handle has in the background."""

    def __init__(self) -> None:
        from goes_lite.runtime import Signal

        self._running: dict[int, Work] = {}
        self._ended = Signal()
        self._process = os.getpid()

    def add(self, work: Work) -> None:
        """Note that it runs."""
        self._running[id(work)] = work

    def remove(self, work: Work) -> None:
        """Note that it has ended."""
        self._running.pop(id(work), None)
        self._ended.notify()

    async def stop(self, runtime: Runtime, timeout: float | None) -> tuple[str, ...]:
        """Stop all of it, and return what still runs after so many seconds. The caller's own work is not waited for.

        Without a timeout, what is in progress has a `MOMENT` to finish; it is neither cancelled nor reported after that.
        """
        if self._process != os.getpid():  # it runs in the parent of this forked child
            return ()
        if any(inside() for inside in in_transaction):
            return ()
        works = [work for work in list(self._running.values()) if not work.inside]
        halting = [work for work in works if work.halt()]
        if timeout is None:
            await self._wait(type(runtime)(), halting, MOMENT)  # a moment for people, whatever clock the handle has
            return ()
        end = runtime.clock.monotonic() + timeout
        for work in works:
            with suppress(GoesError):
                await work.stop(max(0.0, end - runtime.clock.monotonic()))
        return await self._wait(runtime, works, max(0.0, end - runtime.clock.monotonic()))

    async def _wait(self, runtime: Runtime, works: Sequence[Work], timeout: float) -> tuple[str, ...]:
        end = runtime.clock.monotonic() + timeout
        while True:
            seen = self._ended.count
            left = [work for work in works if self._running.get(id(work)) is work]
            patience = end - runtime.clock.monotonic()
            if not left or patience <= 0 or not await runtime.wait(self._ended, seen, patience):
                return tuple(repr(work) for work in left)
