"""The streams of commands: the queue, and the outcomes of what was in it.

Rule of this file: they are made when they are first needed, and again when they are gone; their content is not ours to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goes_lite.errors import BusError, ConfigError
from goes_lite_nats._api import NANO
from goes_lite_nats._connection import Connection
from goes_lite_nats._storing import store
from goes_lite_nats._streams import common_options, ensure_stream

OUTCOME_MAX_AGE = 7 * 86_400.0
"""Seconds for which the outcome of a queued command is kept."""


class CommandStreams:
    """The queue of accepted commands, and their outcomes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = connection.options.prefix
        self.queue = f"{connection.options.stream_name}-COMMANDS"
        self.outcomes = f"{connection.options.stream_name}-OUTCOMES"
        self._ready = False

    async def again(self) -> None:
        """Check them again, and make those that are gone: storage=memory after a restart, or somebody deleted one."""
        self._ready = False
        await self.ready()

    async def ready(self) -> None:
        """Wait until they exist. BusError if they do not match the options, or must not be made."""
        if self._ready:
            return
        connection, prefix = self._connection, self._prefix
        await connection.wait_connected()
        wanted = common_options(connection.options)
        outcome_options = {**wanted, "max_msgs_per_subject": 1, "max_age": round(OUTCOME_MAX_AGE * NANO)}
        try:
            await ensure_stream(connection, self.queue, [f"{prefix}.queue.>"], wanted, retention="workqueue")
            await ensure_stream(connection, self.outcomes, [f"{prefix}.outcomes.>"], outcome_options)
        except ConfigError as exc:
            raise BusError(f"commands cannot be queued: {exc}") from exc
        self._ready = True

    async def store(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Store a message in one of them and return what the broker says of it. See `_storing.store`."""
        await self.ready()
        return await store(self._connection, subject, payload, headers, self)
