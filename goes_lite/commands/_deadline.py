"""How a handler is cancelled at its deadline: by the clock of the handle, which in tests is a fake one."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from goes_lite.runtime import Runtime, SystemClock

T = TypeVar("T")


class DeadlinePassed(Exception):
    """The work was not finished in time and was cancelled."""


async def within(runtime: Runtime, seconds: float, work: Awaitable[T]) -> T:
    """Return the result of the work; DeadlinePassed after so many seconds. Needs an event loop to cancel anything."""
    if runtime.inline:
        return await work
    import asyncio

    if type(runtime.clock) is SystemClock:  # it runs with the loop, so no task has to watch it
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                return await work
        except TimeoutError as exc:
            if scope.expired():
                raise DeadlinePassed from exc
            raise
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)

    async def ring() -> None:
        await runtime.sleep(seconds)
        scope.reschedule(loop.time())

    alarm: asyncio.Task[None] | None = None
    try:
        async with scope:
            alarm = asyncio.create_task(ring())
            try:
                return await work
            finally:
                alarm.cancel()
    except TimeoutError as exc:
        if scope.expired():
            raise DeadlinePassed from exc
        raise
