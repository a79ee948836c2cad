"""What is sent without waiting for it: acknowledgements, heartbeats, replies. Queued at once, and sent in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

Send = Callable[[str, bytes, dict[str, str] | None], Awaitable[bool]]
"""Sends a message to a subject, with headers; False if there is no broker."""


class Outbox:
    """Messages on their way to the broker, which may be away for a while."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: deque[tuple[str, bytes, dict[str, str] | None]] = deque()
        self._woken = asyncio.Event()
        self._sending = asyncio.Lock()
        self.writer: asyncio.Task[None] | None = None
        """Sends them, from `start` on."""

    def start(self) -> None:
        """Send what is put in from now on."""
        self.writer = asyncio.create_task(self._run(), name="goes_lite_nats-outbox")

    def put(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a message as soon as there is a broker, in the order of these calls."""
        self._messages.append((subject, payload, headers))
        self._woken.set()

    def wake(self) -> None:
        """Try again, because there is a broker."""
        self._woken.set()

    async def flush(self) -> None:
        """Send what was put in so far, if there is a broker."""
        async with self._sending:
            while self._messages and await self._send(*self._messages[0]):
                self._messages.popleft()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.flush()
