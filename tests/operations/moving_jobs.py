"""Processes of the tests of moves: writers that count what was acknowledged, and movers that are killed on the way.

python moving_jobs.py write URL NAME      appends until the store was moved, then prints the place and the number
python moving_jobs.py move SRC DST STEP   moves, and kills itself before the step of that number (0: never)
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from goes_lite_conformance.harness.samples import note, registry

import goes_lite as goes
from goes_lite.contract.fence import Fence
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import StoreMoved
from goes_lite.operations import cutover


class Steps:
    """Counts the steps of a move, and ends the process before one of them as kill -9 does."""

    def __init__(self, last: int) -> None:
        self.number = 0
        self._last = last

    def step(self) -> None:
        self.number += 1
        if self.number == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


class Stepped(WrappedBackend):
    """A backend each operation of which is a step."""

    def __init__(self, backend: goes.Backend, steps: Steps) -> None:
        class Store(WrappedStore):
            async def around(self, operation: Callable[[], Awaitable[Any]]) -> Any:
                steps.step()
                return await operation()

        super().__init__(backend, Store)
        self._steps = steps

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        self._steps.step()
        await self.backend.set_fence(fence, expected=expected, lasts=lasts)
        self._steps.step()


async def move(source: str, target: str, step: int) -> int:
    """Move, and return the number of steps that it took. Where it is killed, the source is to open again soon."""
    steps, budget = Steps(step), 2.0 if step else 60.0
    async with (
        goes.connect(source, registry=registry, unfinished=True) as one,
        goes.connect(target, registry=registry, unfinished=True) as two,
    ):
        await cutover(Stepped(one.backend, steps), Stepped(two.backend, steps), budget=budget)
    return steps.number


def write(url: str, name: str) -> None:
    """Append to one aggregate until the store was moved."""
    with goes.blocking.connect(url, registry=registry) as db:
        done = len(db.events.load(goes.AggregateRef("writer", name)))
        print("ready", flush=True)
        try:
            while True:
                db.events.append([note(f"{name}-{done + 1}", ("writer", name), done + 1)])
                done += 1
        except StoreMoved as moved:
            print(done, moved.to, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(*sys.argv[2:])
    else:
        print(asyncio.run(move(sys.argv[2], sys.argv[3], int(sys.argv[4]))), flush=True)
