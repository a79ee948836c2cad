"""The options of a handle, from a URL and keywords."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from goes_lite.errors import ConfigError
from goes_lite.errors.options import did_you_mean

SCHEMA = "goes_lite"
MIN_POOL, MAX_SECONDS = 4, 1_000_000.0
_SECRET = "password"  # noqa: S105 - the name of it


@dataclass(frozen=True)
class ServerAddress:
    """The server, and how to connect to it."""

    dsn: str = field(repr=False)
    """The URL for the driver, including the password: never shown."""
    location: str
    """The URL without a password, with the schema."""
    schema: str = SCHEMA
    pool_size: int = 10
    lock_timeout: float = 30.0
    connect_timeout: float = 10.0
    retry_timeout: float = 30.0
    command_timeout: float = 60.0
    durability: str = "full"
    application_name: str = "goes_lite"
    pooler: bool = False
    listen: bool = True
    jsonb: bool = False
    read_only: bool = False

    def table(self, name: str) -> str:
        """Return the qualified name of a table of the store."""
        return f"{quoted(self.schema)}.{name}"

    def key(self, what: str) -> int:
        """Return the key of an advisory lock of this store: 64 bits, so that no two stores of a database share one."""
        digest = hashlib.sha256(f"goes_lite {what} {self.schema}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @property
    def channel(self) -> str:
        """The channel on which commits of this store are announced: at most 63 bytes, whatever the name of the schema."""
        return f"goes_lite_{hashlib.sha256(self.schema.encode()).hexdigest()[:32]}"


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def address_of(url: str, options: dict[str, Any]) -> ServerAddress:
    """Return the address for a URL and options, which override those in the URL; raise ConfigError if one is invalid."""
    parts = urlsplit(url)
    given: dict[str, Any] = {}
    passed: list[tuple[str, str]] = []  # for the driver: sslmode, host, target_session_attrs, …
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in OPTIONS:
            given[name] = _parsed(name, value)
        else:
            passed.append((name, value))
    for name, value in options.items():
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS) or f"use one of {', '.join(OPTIONS)}; the driver's go into the URL"
            raise ConfigError(f"postgresql: unknown option {name!r}: {hint}")
        given[name] = value
    for name, value in given.items():
        given[name] = OPTIONS[name](name, value)
    schema = given.get("schema", SCHEMA)
    dsn = parts._replace(scheme="postgresql", query=urlencode(passed), fragment="").geturl()
    if parts.fragment or url.endswith("#"):
        raise ConfigError("postgresql: '#' ends the URL: write %23 in a password or name")
    for host in parts.netloc.rpartition("@")[2].split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not port.isdecimal():
            raise ConfigError(f"postgresql: the port {port!r} is not a number: write host, or host:5432")
    return ServerAddress(dsn, _shown(url, passed, schema), **given)


def with_schema(url: str, schema: str) -> str:
    """Return the URL with another schema."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "schema"]
    return parts._replace(query=urlencode([*query, ("schema", schema)])).geturl()


def _shown(url: str, passed: list[tuple[str, str]], schema: str) -> str:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    query = urlencode([*((name, value) for name, value in passed if _SECRET not in name), ("schema", schema)])
    netloc = f"{login.partition(':')[0]}{at}{hosts}"
    return f"postgresql://{netloc}{parts.path}?{query}"  # geturl() leaves the // out if there is no host


def _parsed(name: str, value: str) -> Any:
    """Parse the value of an option in a URL."""
    check = OPTIONS[name]
    if check is _flag:
        if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ConfigError(f"postgresql: {name}={value!r}: must be true or false")
        return value.lower() in ("true", "1", "yes")
    if check in (_seconds, _connections):
        try:
            return int(value) if check is _connections else float(value)
        except ValueError:
            raise ConfigError(f"postgresql: {name}={value!r}: must be a number") from None
    return value


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ConfigError(f"postgresql: {name}={value!r}: must be True or False")
    return value


def _seconds(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= MAX_SECONDS:
        raise ConfigError(f"postgresql: {name}={value!r}: must be a number of seconds > 0 and ≤ {MAX_SECONDS:g}")
    return float(value)


def _connections(name: str, value: Any) -> int:
    if type(value) is not int or not MIN_POOL <= value <= 1000:
        raise ConfigError(
            f"postgresql: {name}={value!r}: must be a number of connections from {MIN_POOL} (one that commits, one that "
            "listens, one for reads, one for other writes) to 1000"
        )
    return value


def _durability(name: str, value: Any) -> str:
    if value not in ("full", "normal"):
        raise ConfigError(f"postgresql: unknown {name}={value!r}: use 'full' (the default) or 'normal'")
    return str(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"postgresql: {name}={value!r:.80}: must be printable text")
    return value


def _schema(name: str, value: Any) -> str:
    text = _text(name, value)
    if len(text.encode()) > 63 or text.startswith("pg_"):
        raise ConfigError(f"postgresql: {name}={value!r:.80}: must have at most 63 bytes and not begin with pg_")
    return text


OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "schema": _schema,
    "pool_size": _connections,
    "lock_timeout": _seconds,
    "connect_timeout": _seconds,
    "retry_timeout": _seconds,
    "command_timeout": _seconds,
    "durability": _durability,
    "application_name": _text,
    "pooler": _flag,
    "listen": _flag,
    "jsonb": _flag,
    "read_only": _flag,
}
