"""The streams of the bus: created as the options say, or used as they are.

Rule of this file: an existing stream is never changed. If it does not match, the ConfigError says what differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from goes_lite.errors import BusError, ConfigError
from goes_lite_nats._api import NANO, STREAM_NAME_IN_USE, SUBJECTS_OVERLAP, ApiError
from goes_lite_nats._connection import Connection
from goes_lite_nats._options import Options

DUPLICATE_WINDOW = 120.0
OLDEST = (2, 10)
"""The first server version in which a consumer may have several filters."""


class Streams:
    """The streams of a bus: checked as soon as a broker is reached, and again when one of them may be gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._done = False
        self.born = ""
        """When the broker made the event stream: another one of that name has other sequences."""

    async def again(self) -> None:
        """Check them again, and make those that are gone: storage=memory after a restart, or somebody deleted one."""
        self._done = False
        await self.ready()

    async def ready(self) -> None:
        """Wait until they exist. BusError while no broker is reached, ConfigError if they do not match the options."""
        if not self._done:
            async with self._lock:
                if not self._done:
                    self.born = await ensure_streams(self._connection)
                    self._done = True


async def ensure_streams(connection: Connection) -> str:
    """Create the streams of a bus that do not exist, and check those that do; return when the event stream was made."""
    options = connection.options
    await connection.wait_connected()
    if connection.version[:2] < OLDEST:
        version = ".".join(map(str, connection.version))
        raise ConfigError(f"{connection.address.location} is a NATS server {version}: use version 2.10 or newer")
    prefix = options.prefix
    born = await ensure_stream(
        connection, options.stream_name, [f"{prefix}.events.>", f"{prefix}.redrive.>"], stream_options(options)
    )
    await ensure_stream(connection, dead_letter_stream(options), [f"{prefix}.dead.>"], common_options(options))
    return born


async def delete_streams(connection: Connection) -> None:
    """Delete all streams of a bus."""
    for ending in ("", "-DEAD", "-COMMANDS", "-OUTCOMES"):
        await connection.find(f"STREAM.DELETE.{connection.options.stream_name}{ending}")


def dead_letter_stream(options: Options) -> str:
    """The name of the stream of the dead letters."""
    return f"{options.stream_name}-DEAD"


def stream_options(options: Options) -> dict[str, Any]:
    """The options of the event stream, as the server names them."""
    wanted: dict[str, Any] = {
        "storage": options.storage,
        "num_replicas": options.replicas,
        "max_age": None if options.max_age is None else round(options.max_age * NANO),
        "max_bytes": options.max_bytes,
        "max_msgs": options.max_msgs,
        "duplicate_window": None if options.duplicate_window is None else round(options.duplicate_window * NANO),
    }
    return {key: value for key, value in wanted.items() if value is not None}


def common_options(options: Options) -> dict[str, Any]:
    """The options that hold for every stream of the bus."""
    return {key: value for key, value in stream_options(options).items() if key in ("storage", "num_replicas")}


async def ensure_stream(
    connection: Connection, name: str, subjects: list[str], wanted: Mapping[str, Any], retention: str = "limits"
) -> str:
    """Create the stream, or check the existing one; return when it was made.

    ConfigError if it does not match, or must not be created.
    """
    for _ in range(2):  # another client may create it in between
        found = await connection.find(f"STREAM.INFO.{name}")
        if found is not None:
            _check(connection, name, found["config"], subjects, {**wanted, "retention": retention})
            return str(found["created"])
        if not connection.options.create:
            raise ConfigError(
                f"{connection.address.location} has no stream {name!r}, and create=false: create it with the tools of NATS"
            )
        window = round(DUPLICATE_WINDOW * NANO)
        if "max_age" in wanted:
            window = min(window, int(wanted["max_age"]))
        config = {
            "name": name, "subjects": subjects, "retention": retention, "storage": "file", "num_replicas": 1,
            "duplicate_window": window, "discard": "old", "metadata": {"goes_lite": "1"}, **wanted,
        }  # fmt: skip
        with suppress(_NameTaken):
            return await _create(connection, name, config)
    raise BusError(f"the stream {name!r} of {connection.address.location} is made and deleted again and again")


class _NameTaken(Exception):
    """Another client has created a stream of that name."""


async def _create(connection: Connection, name: str, config: Mapping[str, Any]) -> str:
    try:
        return str((await connection.api(f"STREAM.CREATE.{name}", config))["created"])
    except ApiError as exc:
        if exc.err_code == STREAM_NAME_IN_USE:
            raise _NameTaken from None
        if exc.err_code == SUBJECTS_OVERLAP:
            raise ConfigError(
                f"another stream of {connection.address.location} has some of the subjects {config['subjects']!r}: use it with "
                "?stream=…, or choose another ?prefix=…"
            ) from exc
        raise ConfigError(f"the stream {name!r} cannot be created as the URL says: {exc}") from exc


def _check(
    connection: Connection, name: str, config: Mapping[str, Any], subjects: list[str], wanted: Mapping[str, Any]
) -> None:
    problems = [
        f"{key} is {config.get(key)!r}, not {value!r}" for key, value in wanted.items() if config.get(key) != value
    ]
    if set(config.get("subjects") or ()) != set(subjects):
        problems.append(f"its subjects are {config.get('subjects')!r}, not {subjects!r}")
    problems += [
        f"it has {key}" for key in ("no_ack", "sealed", "mirror", "sources", "subject_transform") if config.get(key)
    ]
    if problems:
        raise ConfigError(
            f"the stream {name!r} of {connection.address.location} does not match the URL, and was not changed "
            f"({'; '.join(problems)}): change the URL, or the stream with the tools of NATS"
        )
