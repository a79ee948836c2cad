"""Replies to messages: each goes to the future that waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from goes_lite.errors import BusError

if TYPE_CHECKING:
    from nats.aio.msg import Msg


class NoResponders(BusError):
    """Nobody listens to a subject: no stream, no JetStream, no handler."""


def no_responders(message: Msg) -> bool:
    """Whether a reply says that nobody listens."""
    return bool(message.headers) and not message.data and (message.headers or {}).get("Status") == "503"


class Replies:
    """Futures for the replies to an inbox."""

    def __init__(self, inbox: str) -> None:
        self.prefix = f"{inbox}."
        self._number = 0
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    def expect(self) -> tuple[str, asyncio.Future[Msg]]:
        """Return a new reply subject and the future of its reply. Cancel the future to stop waiting."""
        self._number += 1
        token = str(self._number)
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        future.add_done_callback(lambda _: self._waiting.pop(token, None))
        return f"{self.prefix}{token}", future

    async def receive(self, message: Msg) -> None:
        """Hand a reply to its future."""
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is not None and not future.done():
            future.set_result(message)

    def cancel(self) -> None:
        """Cancel every future: no reply will arrive any more."""
        for future in list(self._waiting.values()):
            future.cancel()
