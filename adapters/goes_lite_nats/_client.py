"""The driver's client, with what it lacks: TLS that was asked for is a must, and no attempt to connect leaves a socket open.

Rule of this file: the client of the driver begins TLS if the broker requires it, and sends user and password either way. So
an attacker who can change the greeting of the broker on its way would receive them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError


class NoTls(NatsError):
    """The broker offers no TLS."""

    def __str__(self) -> str:
        return "it offers no TLS, so nothing was sent to it"


class BusClient(Client):
    """A client that, if it is `secure`, talks to brokers over TLS and not otherwise."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__()
        self._secure = secure

    def abandon(self) -> None:
        """Close the sockets of the last attempt to connect, which may have failed."""
        for name in ("_io_writer", "_bare_io_writer"):
            writer: Any = getattr(self._transport, name, None)
            if writer is not None:
                writer.transport.abort()  # or what is still to be published would be sent when the client is closed

    async def end(self) -> None:
        """Close, and see that no attempt to connect goes on."""
        try:
            await self.close()
        finally:
            task: asyncio.Task[None] | None = getattr(self, "_reconnection_task", None)
            while (
                task is not None and not task.done()
            ):  # it may swallow a cancellation, and begins with the next attempt then
                task.cancel()
                await asyncio.wait({task}, timeout=0.2)
            self.abandon()

    async def _connect_to_server(self, s: Any) -> None:
        self.abandon()
        await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Look at the greeting before anything is sent."""
        if self._secure and initial_connection and not info.get("tls_required"):
            if not info.get("tls_available"):
                self.abandon()
                raise NoTls
            info["tls_required"] = True  # it also accepts clients without TLS, of which this is none
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        """Make the message with user and password."""
        writer: Any = getattr(self._transport, "_io_writer", None)
        if self._secure and (writer is None or writer.get_extra_info("ssl_object") is None):
            self.abandon()
            raise NoTls
        return super()._connect_command()
