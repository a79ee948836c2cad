"""Turns of the writers of one handle: a user transaction alone, or other writes concurrently; first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from goes_lite.errors import StoreLocked


def locked(location: str, waited: float) -> StoreLocked:
    """Return the error for a log that others keep."""
    return StoreLocked(
        location,
        waited,
        "a transaction that is open for long, a program that writes without a pause, a server that is overloaded",
    )


class Turns:
    """A lock that one holds alone, or many share."""

    def __init__(self, location: str, timeout: float) -> None:
        self._location = location
        self._timeout = timeout
        self._gate = asyncio.Lock()
        self._sharing = 0
        self._none = asyncio.Event()
        self._none.set()

    @asynccontextmanager
    async def shared(self) -> AsyncGenerator[None]:
        """Hold the lock together with others; raise StoreLocked if a transaction holds it for too long."""
        await self._enter()
        self._sharing += 1
        self._none.clear()
        self._gate.release()
        try:
            yield
        finally:
            self._sharing -= 1
            if not self._sharing:
                self._none.set()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Hold the lock alone."""
        await self._enter()
        try:
            await self._none.wait()
            yield
        finally:
            self._gate.release()

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._gate.acquire()
        except TimeoutError:
            raise locked(self._location, self._timeout) from None
