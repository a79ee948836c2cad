"""Cancel a coroutine at an exact point: the n-th time that it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Timing = Literal["when it begins to wait", "when what it waits for is there"]
"""The second is the harder one: something has been done or fetched already, and nothing is left to take it."""

TIMINGS: tuple[Timing, ...] = ("when it begins to wait", "when what it waits for is there")
MANY = 1000
"""More often than any operation waits."""


class Interruption(NamedTuple):
    """Where to cancel a coroutine."""

    wait: int
    """The number of the wait: 1, 2, 3, …"""
    timing: Timing


class _Watched(Generic[T]):
    """A coroutine that counts its waits, and whose task is cancelled when the number is reached."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], interruption: Interruption) -> None:
        self._coroutine = coroutine
        self._interruption = interruption
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, T]:
        task = asyncio.current_task()
        assert task is not None
        inner = self._coroutine.__await__()

        def cancel(_: object) -> None:
            task.cancel()

        thrown: BaseException | None = None
        while True:
            try:
                future = inner.send(None) if thrown is None else inner.throw(thrown)
            except StopIteration as end:
                result: T = end.value
                return result
            self.waits += 1
            if self.waits == self._interruption.wait:
                if future is None or self._interruption.timing == "when it begins to wait":
                    asyncio.get_running_loop().call_soon(task.cancel)
                else:
                    future.add_done_callback(cancel)
            try:
                thrown = yield future
            except BaseException as error:
                thrown = error


async def interrupt(coroutine: Coroutine[Any, Any, T], interruption: Interruption) -> tuple[T | BaseException, bool]:
    """Return the outcome of a coroutine that is cancelled there, and whether that point was reached.

    An operation may finish although it is cancelled; it then returns its usual result.
    """
    watched = _Watched(coroutine, interruption)

    async def run() -> T:
        return await watched

    (outcome,) = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
    return outcome, watched.waits >= interruption.wait


async def at_every_wait(attempt: Callable[[Interruption], Awaitable[bool]]) -> None:
    """Attempt something with one interruption after another, until it returns that the point was not reached."""
    for timing in TIMINGS:
        for interruption in _each(timing):
            if not await attempt(interruption):
                break


def _each(timing: Timing) -> Iterator[Interruption]:
    for wait in range(1, MANY):
        yield Interruption(wait, timing)
    raise AssertionError(f"it waits more than {MANY} times, and never ends")
