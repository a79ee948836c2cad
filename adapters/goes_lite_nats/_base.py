"""What the two buses over NATS share: the connection, what they say of themselves, and in which order they close."""

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
        """Whether what is published from now on will come; or never will."""
        ...

    async def ended(self) -> None:
        """Until it has come to its end, which its queue's end brings about."""
        ...


L = TypeVar("L", bound=Listener)


class NatsBus(InProcessBus, Generic[L]):
    """Within the process, what goes on is that of the bus within a process."""

    def __init__(self, connection: Connection, runtime: Runtime, reader: EventReader) -> None:
        super().__init__(runtime)
        self.connection = connection
        self.commands = NatsCommands(connection)
        """The way of commands to other services."""
        self.reader = reader
        self._listeners: set[L] = set()

    @property
    def driver(self) -> str:
        """What carries it, with versions."""
        return self.connection.driver

    def __repr__(self) -> str:
        members = sum(len(queue.members) for queue in self._queues)
        return (
            f"<{type(self).__name__} {self.connection.target.location} {self.connection.state}, {members} subscriptions, "
            f"{len(self._groups)} groups, {sum(queue.size for queue in self._queues)} queued>"
        )

    def check_loop(self) -> None:
        """BusError where there is no event loop to listen on."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise BusError(
                "a subscription over NATS needs a running event loop: subscribe in a coroutine, or use the blocking face"
            ) from None

    def ended(self, listener: L) -> None:
        """One has come to its end."""
        self._listeners.discard(listener)

    async def close(self) -> None:
        """See `EventBus.close`. What this process had not settled goes to others, if the broker keeps it."""
        if not self.connection.connected:
            self.connection.give_up()  # there is nobody to give anything back to
        await self.commands.close()
        await super().close()
        for listener in list(self._listeners):
            await listener.ended()
        with suppress(GoesError):
            await self.connection.close()
