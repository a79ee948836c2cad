"""How commands get to other services: what a bus offers that carries them, as `bus.commands`.

A bus without it carries none, and commands are handled in the process that dispatches them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable
from uuid import UUID

Handle = Callable[[bytes], Awaitable[bytes]]
"""Has a command done that came as bytes, and answers what came of it as bytes. It never raises what the handler did."""


class Attempt(Protocol):
    """What does an accepted command, from the queue."""

    async def __call__(self, body: bytes, attempt: int, /) -> bytes | float:
        """What came of it for good; or the seconds after which it is to be tried again."""
        ...


class Unheard(Exception):
    """Nobody handles the command just now."""


class Serving(Protocol):
    """Commands of some names are brought to a process."""

    async def close(self, timeout: float | None = None) -> None:
        """Take no more, and let what was begun finish, for so many seconds; what was not goes to others."""
        ...


class CommandTransport(Protocol):
    """Carries commands between services, and says nothing of what is in them."""

    @property
    def queues(self) -> bool:
        """Whether it has a queue for accepted commands: `enqueue`, `outcome`."""
        ...

    async def request(self, name: str, id: UUID, body: bytes) -> bytes:
        """Have one service handle the command, and answer what came of it. Cancel it to wait no longer.

        Unheard, at once, if none does. If the one that had begun dies, another is asked: so a service handles a command
        that it was brought as one that counts once. BusError if none is reached any more.
        """
        ...

    async def serve(self, names: Sequence[str], handle: Handle, attempt: Attempt, concurrency: int) -> Serving:
        """From now on bring commands of these names here, each to one service of those that serve it."""
        ...

    async def enqueue(self, name: str, id: UUID, body: bytes) -> None:
        """Keep a command until a service has done it; once for each id. BusError if it is not kept."""
        ...

    async def outcome(self, id: UUID, timeout: float | None) -> bytes | None:
        """What came of a command that was enqueued, as soon as that is known; None after `timeout` seconds."""
        ...


@runtime_checkable
class CarriesCommands(Protocol):
    """A bus that carries commands as well."""

    @property
    def commands(self) -> CommandTransport: ...
