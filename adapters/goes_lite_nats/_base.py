"""What both buses over NATS share: the connection, their repr, and the order in which they close."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from goes_lite.errors import BusError, GoesError
from goes_lite.kit.bus import InProcessBus
from goes_lite.kit.reading import EventReader
from goes_lite.runtime import Runtime
from goes_lite_nats._commands import NatsCommands
from goes_lite_nats._connection import Connection


class Listener(Protocol):
    """Brings events to one queue of this process."""

    @property
    def opened(self) -> asyncio.Event:
        """Set once events that are published from now on will arrive, or if they never will."""
        ...

    async def wait_closed(self) -> None:
        """Wait until it has ended, which the end of its queue causes."""
        ...


L = TypeVar("L", bound=Listener)


class NatsBus(InProcessBus, Generic[L]):
    """A bus whose events come from a broker. Inside the process it works as `InProcessBus` does."""

    def __init__(self, connection: Connection, runtime: Runtime, reader: EventReader) -> None:
        super().__init__(runtime)
        self.connection = connection
        self.commands = NatsCommands(connection)
        """Carries commands to other services."""
        self.reader = reader
        self._listeners: set[L] = set()

    @property
    def driver(self) -> str:
        """The driver and the broker, with versions."""
        return self.connection.driver

    def __repr__(self) -> str:
        members = sum(len(queue.members) for queue in self._queues)
        return (
            f"<{type(self).__name__} {self.connection.address.location} {self.connection.state}, {members} subscriptions, "
            f"{len(self._groups)} groups, {sum(len(queue.backlog) for queue in self._queues)} queued>"
        )

    def _check_loop(self) -> None:
        """Raise BusError if no event loop is running."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise BusError(
                "a subscription over NATS needs a running event loop: subscribe in a coroutine, or use the blocking face"
            ) from None

    def ended(self, listener: L) -> None:
        """Forget a listener that has ended."""
        self._listeners.discard(listener)

    async def close(self) -> None:
        """See `EventBus.close`. Unsettled events go to other processes, if the broker keeps them."""
        if not self.connection.connected:
            self.connection.abort()  # there is no broker to give anything back to
        await self.commands.close()
        await super().close()
        for listener in list(self._listeners):
            await listener.wait_closed()
        with suppress(GoesError):
            await self.connection.close()
