"""The driver's client, with one thing added: where TLS was asked for, a broker that offers none receives nothing.

Rule of this file: the client of the driver begins TLS if the broker requires it, and sends user and password either way. So
whoever can change the greeting of the broker on its way would receive them.
"""

from __future__ import annotations

from typing import Any, cast

from nats.aio.client import Client
from nats.errors import Error as NatsError


class NoTls(NatsError):
    """The broker offers no TLS."""

    def __str__(self) -> str:
        return "it offers no TLS, so nothing was sent to it"


class TlsClient(Client):
    """A client that talks to brokers over TLS and not otherwise."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Look at the greeting before anything is sent."""
        if initial_connection and not info.get("tls_required"):
            if not info.get("tls_available"):
                self._hang_up()
                raise NoTls
            info["tls_required"] = True  # it also accepts clients without TLS, of which this is none
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        """Make the message with user and password."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is None or writer.get_extra_info("ssl_object") is None:
            self._hang_up()
            raise NoTls
        return super()._connect_command()

    def _hang_up(self) -> None:
        if self._transport is not None:
            cast(
                "Any", self._transport
            ).close()  # or what is still to be published would be sent when the client is closed
