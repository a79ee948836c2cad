"""The options of a handle, from a URL and keywords."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from goes_lite.errors import ConfigError
from goes_lite.errors.options import did_you_mean

DATABASE = "goes_lite"
MAX_SECONDS = 1_000_000.0
_SECRET = ("authMechanismProperties", "tlsCertificateKeyFilePassword")
_DECIDED = frozenset((
    "readpreference", "readpreferencetags", "maxstalenessseconds", "readconcernlevel",
    "w", "wtimeoutms", "wtimeout", "journal", "j", "fsync", "timeoutms", "serverselectiontimeoutms",
))  # fmt: skip
"""Parameters of the driver that a store decides for itself: which member it asks, what a write waits for, and how long."""
_TIMES = {"lock_timeout": 30.0, "connect_timeout": 10.0, "retry_timeout": 30.0}
_KNOWN = ("database", "prefix", "read_only", *_TIMES)


@dataclass(frozen=True)
class ServerAddress:
    """The servers, and how to connect to them."""

    url: str = field(repr=False)
    """The URL for the driver, including the password: never shown."""
    location: str
    """The URL without a password, with the database and the prefix."""
    database: str = DATABASE
    prefix: str = ""
    lock_timeout: float = 30.0
    connect_timeout: float = 10.0
    retry_timeout: float = 30.0
    members: tuple[str, ...] = field(default=(), repr=False)
    """The URL for the driver of each server that is named."""
    read_only: bool = False
    replica_set: str = ""
    direct: bool = False
    """Whether the driver is told to use that one server only."""
    tls: bool = False


def address_of(url: str, options: dict[str, Any]) -> ServerAddress:
    """Return the address for a URL and options, which override those in the URL; raise ConfigError if one is invalid."""
    parts = urlsplit(url)
    if parts.fragment or url.endswith("#"):
        raise ConfigError("mongodb: '#' ends the URL: write %23 in a password or name")
    query = parse_qsl(parts.query, keep_blank_values=True)
    given: dict[str, Any] = {}
    for name, value in query:
        if name in _KNOWN:
            given[name] = (
                _number(name, value) if name in _TIMES else _boolean(name, value) if name == "read_only" else value
            )
    for name in options:
        if name not in _KNOWN:
            hint = did_you_mean(name, _KNOWN) or f"use one of {', '.join(_KNOWN)}; the driver's go into the URL"
            raise ConfigError(f"mongodb: unknown option {name!r}: {hint}")
    given.update(options)
    database = _database("database", given.get("database", unquote(parts.path.strip("/")) or DATABASE))
    prefix = _prefix("prefix", given.get("prefix", ""))
    read_only = _flag("read_only", given.get("read_only", False))
    times = {name: _seconds(name, given.get(name, default)) for name, default in _TIMES.items()}
    passed = [(name, value) for name, value in query if name not in _KNOWN]
    login, at, hosts = parts.netloc.rpartition("@")
    shown = [(name, value) for name, value in passed if name not in _SECRET]
    shown += [("prefix", prefix)] if prefix else []
    location = (
        f"{parts.scheme}://{login.partition(':')[0]}{at}{hosts}/{database}{'?' if shown else ''}{urlencode(shown)}"
    )
    path, passed = parts.path or "/", [(name, value) for name, value in passed if name.lower() not in _DECIDED]
    # one connection is for the change stream, which occupies it while it waits
    passed = [(name, "2" if name.lower() == "maxpoolsize" and value == "1" else value) for name, value in passed]
    driver_url = parts._replace(path=path, query=urlencode(passed)).geturl()
    said = {name.lower(): value for name, value in passed}
    single = [(name, value) for name, value in passed if name.lower() not in ("replicaset", "directconnection")]
    members = () if parts.scheme.endswith("srv") else tuple(
        parts._replace(netloc=f"{login}{at}{host}", path=path, query=urlencode(single)).geturl() for host in hosts.split(",")
    )  # fmt: skip
    return ServerAddress(
        driver_url, location, database, prefix, **times, members=members, read_only=read_only,
        replica_set=said.get("replicaset", ""), direct=said.get("directconnection", "").lower() == "true",
        tls="true" in (said.get("tls", "").lower(), said.get("ssl", "").lower()),
    )  # fmt: skip


def with_prefix(url: str, prefix: str) -> str:
    """Return the URL with another prefix."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "prefix"]
    return parts._replace(path=parts.path or "/", query=urlencode([*query, ("prefix", prefix)])).geturl()


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"mongodb: {name}={value!r}: must be a number of seconds") from None


def _seconds(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= MAX_SECONDS:
        raise ConfigError(f"mongodb: {name}={value!r}: must be a number of seconds > 0 and ≤ {MAX_SECONDS:g}")
    return float(value)


def _name(name: str, value: Any, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ConfigError(f"mongodb: {name}={value!r:.80}: not a valid name in MongoDB; use letters, digits and _")
    return value


def _database(name: str, value: Any) -> str:
    return _name(name, value, r"[^\s/\\.\"$*<>:|?\0]{1,38}")


def _prefix(name: str, value: Any) -> str:
    return _name(name, value, r"(?:[A-Za-z_][\w.-]{0,99})?")


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ConfigError(f"mongodb: {name}={value!r}: must be true or false")
    return value.lower() in ("true", "1", "yes")


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ConfigError(f"mongodb: {name}={value!r}: must be True or False")
    return value


OPTIONS: dict[str, Callable[[str, Any], object]] = {
    "database": _database,
    "prefix": _prefix,
    "read_only": _flag,
    **dict.fromkeys(_TIMES, _seconds),
}
"""The options, and what refuses a wrong value."""
