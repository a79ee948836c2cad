"""How a handler is held to its deadline, by the clock of the handle, which in tests is a fake one.

One that awaits is cancelled. One that blocks cannot be; it is refused whatever it writes after the deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

from goes_lite.commands._command import DispatchedCommand
from goes_lite.errors import CommandTimeout
from goes_lite.runtime import Runtime, SystemClock
from goes_lite.runtime.deadline import Deadline, limited

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


async def in_time(
    runtime: Runtime,
    command: DispatchedCommand[Any],
    end: datetime,
    handling: Callable[[DispatchedCommand[Any]], Awaitable[Any]],
) -> Any:
    """Handle a command by its deadline and return the result; else CommandTimeout."""
    left = (end - runtime.clock.now()).total_seconds()
    if left <= 0:
        raise CommandTimeout(command.name, command.id, begun=False)
    deadline = Deadline(runtime.clock, left, command.name, command.id)
    with limited(deadline):
        try:
            result = await within(runtime, left, handling(command))
        except DeadlinePassed:
            raise deadline.end() from None
    if not deadline.left:  # it blocked, so nothing could cancel it
        raise deadline.end()
    return result
