"""Storing one message in a stream, which may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from goes_lite.errors import BusError
from goes_lite_nats._api import DUPLICATE_IN_PROGRESS, ApiError, api_result
from goes_lite_nats._connection import POLL, Connection
from goes_lite_nats._replies import NoResponders

ACK_TIMEOUT = 2.0
"""Seconds after which what a stream has not acknowledged is sent again."""


class Repairable(Protocol):
    """Streams that may be gone."""

    async def again(self) -> None:
        """Check them, and make those that are gone. BusError or ConfigError if they cannot be used."""
        ...


async def store(
    connection: Connection, subject: str, payload: bytes, headers: Mapping[str, str] | None, streams: Repairable
) -> dict[str, Any]:
    """Publish a message, and wait until a stream has stored it; return the reply. InvalidEventError if it is too large.

    Unless a stream replies, the streams are checked, and the message is sent again, so it must not matter if it is there
    twice. BusError if none has stored it in time.
    """
    loop = asyncio.get_running_loop()
    timeout = connection.options.timeout
    end = loop.time() + timeout
    while True:
        await connection.wait_connected(max(0.0, end - loop.time()))
        try:
            reply = await connection.request(subject, payload, min(ACK_TIMEOUT, timeout), headers)
            return api_result(subject, reply.data)
        except ApiError as exc:
            if exc.err_code != DUPLICATE_IN_PROGRESS or loop.time() > end:
                raise
        except BusError:
            if loop.time() > end:
                raise
            with suppress(ApiError, NoResponders):  # JetStream has no leader at the moment, say
                await streams.again()  # someone may listen to the subject, so that nothing says that no stream has it
                continue
        await asyncio.sleep(POLL)
