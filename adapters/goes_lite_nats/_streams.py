"""The streams that the bus keeps messages in: made as the options say, or taken as they are.

Rule of this file: a stream that is there is never changed. One that does not fit is a ConfigError that says what differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from goes_lite.errors import ConfigError
from goes_lite_nats._connection import ApiError, Connection
from goes_lite_nats._options import Options

NOT_FOUND = 404
NAME_IN_USE = 10058
SUBJECTS_OVERLAP = 10065
NANO = 1_000_000_000

DUPLICATE_WINDOW = 120.0
OLDEST = (2, 10)
"""The first version of the server in which a consumer may have several filters."""


class SetUp:
    """The streams of a bus: looked at once, as soon as a broker is reached."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._done = False

    async def ready(self) -> None:
        """Until they are there. BusError while no broker is reached, ConfigError if they do not fit."""
        if not self._done:
            async with self._lock:
                if not self._done:
                    await set_up(self._connection)
                    self._done = True


async def set_up(connection: Connection) -> None:
    """Make the streams of a bus that are not there, and look at those that are."""
    options = connection.options
    await connection.up()
    if connection.version[:2] < OLDEST:
        version = ".".join(map(str, connection.version))
        raise ConfigError(f"{connection.target.location} is a NATS server {version}: 2.10 or newer is needed")
    prefix = options.prefix
    await ensure(connection, options.stream_name, [f"{prefix}.events.>", f"{prefix}.redrive.>"], chosen(options))
    await ensure(connection, dead(options), [f"{prefix}.dead.>"], _kept(options))


async def remove(connection: Connection) -> None:
    """Delete the streams that a bus makes."""
    for ending in ("", "-DEAD", "-COMMANDS", "-OUTCOMES"):
        name = f"{connection.options.stream_name}{ending}"
        try:
            await connection.api(f"STREAM.DELETE.{name}")
        except ApiError as exc:
            if exc.code != NOT_FOUND:
                raise


def dead(options: Options) -> str:
    """The stream of the dead letters."""
    return f"{options.stream_name}-DEAD"


def chosen(options: Options) -> dict[str, Any]:
    """What the options say of the stream of the events, as the server calls it."""
    said: dict[str, Any] = {
        "storage": options.storage,
        "num_replicas": options.replicas,
        "max_age": None if options.max_age is None else round(options.max_age * NANO),
        "max_bytes": options.max_bytes,
        "max_msgs": options.max_msgs,
        "duplicate_window": None if options.duplicate_window is None else round(options.duplicate_window * NANO),
    }
    return {key: value for key, value in said.items() if value is not None}


def _kept(options: Options) -> dict[str, Any]:
    return {key: value for key, value in chosen(options).items() if key in ("storage", "num_replicas")}


async def ensure(
    connection: Connection, name: str, subjects: list[str], said: Mapping[str, Any], retention: str = "limits"
) -> None:
    """Make the stream, or look whether the one of that name fits. ConfigError if it does not, or may not be made."""
    for _ in range(2):  # somebody else may make it in between
        try:
            found = await connection.api(f"STREAM.INFO.{name}")
        except ApiError as exc:
            if exc.code != NOT_FOUND:
                raise
        else:
            _check(connection, name, found["config"], subjects, {**said, "retention": retention})
            return
        if not connection.options.create:
            raise ConfigError(f"{connection.target.location} has no stream {name!r}, and create=false: have it made")
        window = round(DUPLICATE_WINDOW * NANO)
        if "max_age" in said:
            window = min(window, int(said["max_age"]))
        config = {
            "name": name, "subjects": subjects, "retention": retention, "storage": "file", "num_replicas": 1,
            "duplicate_window": window, "discard": "old", "metadata": {"goes_lite": "1"}, **said,
        }  # fmt: skip
        with suppress(_Taken):
            await _create(connection, name, config)
            return


class _Taken(Exception):
    """Somebody else made a stream of that name."""


async def _create(connection: Connection, name: str, config: Mapping[str, Any]) -> None:
    try:
        await connection.api(f"STREAM.CREATE.{name}", config)
    except ApiError as exc:
        if exc.err_code == NAME_IN_USE:
            raise _Taken from None
        if exc.err_code == SUBJECTS_OVERLAP:
            raise ConfigError(
                f"another stream of {connection.target.location} takes some of the subjects {config['subjects']!r}: "
                "name it with ?stream=…, or choose another ?prefix=…"
            ) from exc
        raise ConfigError(f"the stream {name!r} cannot be made as the URL says: {exc}") from exc


def _check(
    connection: Connection, name: str, config: Mapping[str, Any], subjects: list[str], said: Mapping[str, Any]
) -> None:
    problems = [
        f"{key} is {config.get(key)!r}, not {value!r}" for key, value in said.items() if config.get(key) != value
    ]
    if set(config.get("subjects") or ()) != set(subjects):
        problems.append(f"its subjects are {config.get('subjects')!r}, not {subjects!r}")
    problems += [
        f"it has {key}" for key in ("no_ack", "sealed", "mirror", "sources", "subject_transform") if config.get(key)
    ]
    if problems:
        raise ConfigError(
            f"the stream {name!r} of {connection.target.location} is another than the URL asks for, and was left as it is "
            f"({'; '.join(problems)}): change the URL, or the stream with the tools of NATS"
        )
