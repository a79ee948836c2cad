"""An event loop without real time, threads or sockets: whenever nothing is ready to run, the simulation decides what happens.

Callbacks run in the order of their calls, as on any event loop. So everything that a program does between two decisions is
determined by what it did before.
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio import Future, SelectorEventLoop, Task
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from goes_lite.runtime import Clock, LoopRuntime
from goes_lite.testing.clock import FakeClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Idle = Callable[[float | None], None]
"""Decides what happens next; called with the seconds until the next timer of the loop, None without one."""


class _Nothing(selectors.SelectSelector):
    """Never finds anything to read: asking it means that no callback is ready."""

    def __init__(self, idle: Idle) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []


class SimulatedLoop(SelectorEventLoop):
    """Lives by a `FakeClock`, which only `idle` advances. `began` is told of each new task."""

    def __init__(self, clock: FakeClock, idle: Idle, began: Callable[[Task[Any]], None]) -> None:
        super().__init__(_Nothing(idle))
        self.clock = clock
        self._began = began
        self.set_task_factory(cast("Any", self._make))

    def time(self) -> float:
        return self.clock.monotonic()

    def _make(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any) -> Future[T]:
        task = Task(coroutine, loop=loop, **options)
        self._began(task)
        return task

    def run_in_executor(self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> Future[T]:
        """Run it at once, as threads are not repeatable."""
        future: Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 - raised where it is awaited
            future.set_exception(exc)
        return future


class SimulatedRuntime(LoopRuntime):
    """Waits on a `SimulatedLoop`, by default on the running one, and has no threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or cast("SimulatedLoop", asyncio.get_running_loop()).clock)

    async def call(self, work: Callable[[], T]) -> T:
        return work()
