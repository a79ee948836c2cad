"""How commands reach other services: the protocol of `bus.commands`, on a bus that carries commands.

Without it, commands are handled in the process that dispatches them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable
from uuid import UUID

Handle = Callable[[bytes], Awaitable[bytes]]
"""Handles a command given as bytes and returns its outcome as bytes. It never raises what the handler raised."""


class HandleQueued(Protocol):
    """Handles an accepted command from the queue."""

    async def __call__(self, body: bytes, attempt: int, /) -> bytes | float:
        """Return the final outcome, or the number of seconds after which to try again."""
        ...


class NoService(Exception):
    """No service handles the command at the moment."""


class TooLarge(Exception):
    """A service has handled the command, but its outcome does not fit into a message."""


class CommandDelivery(Protocol):
    """The delivery of commands of some names to a process."""

    async def close(self, timeout: float | None = None) -> None:
        """Take no more, and give running ones `timeout` seconds to finish; other services get what did not finish."""
        ...


class CommandTransport(Protocol):
    """Carries commands between services without looking into them."""

    @property
    def queues(self) -> bool:
        """Whether it has a queue for accepted commands: `enqueue`, `queued`, `outcome`."""
        ...

    async def request(self, name: str, id: UUID, body: bytes) -> bytes:
        """Have one service handle the command and return the outcome. Cancel the call to stop waiting.

        Raises NoService, at once, if no service does. If the one that began dies, another is asked, so a service must make
        a command that it gets count once. Raises TooLarge if the outcome cannot be sent, InvalidEventError if the command
        cannot, BusError if no service can be reached any more.
        """
        ...

    async def serve(
        self, names: Sequence[str], handle: Handle, attempt: HandleQueued, concurrency: int
    ) -> CommandDelivery:
        """Deliver commands of these names here from now on; each goes to one of the services that serve it."""
        ...

    async def enqueue(self, name: str, id: UUID, body: bytes, lost: str = "") -> str:
        """Keep a command until a service has handled it, once per id; return its place in the queue, for `queued`.

        A queue is not the store: it may lose what it keeps, so the caller keeps the command as well until its outcome is
        known. To keep it once more, also if it was handled and has failed, pass the place that `lost` it.

        Raises InvalidEventError if the command is too large, BusError if it cannot be kept at the moment.
        """
        ...

    async def queued(self, id: UUID, place: str) -> bool:
        """Return whether the command is still in that place: False once it is handled, or if the queue has lost it.

        A service stores the outcome before the command leaves its place. So a command that is not there any more, and has no
        outcome after that, is lost. Raises BusError if that cannot be found out at the moment.
        """
        ...

    async def outcome(self, id: UUID, timeout: float | None) -> bytes | None:
        """Return the outcome of an enqueued command as soon as it is known, or None after `timeout` seconds.

        Raises TooLarge if it could not be stored.
        """
        ...


@runtime_checkable
class BusWithCommands(Protocol):
    """A bus that carries commands as well."""

    @property
    def commands(self) -> CommandTransport:
        """What brings commands to the services that handle them."""
        ...
