"""The URL of a bus: addresses, login, options.

nats://user:password@host:4222,other:4222?prefix=shop&replicas=3; tls:// is the same with tls=true
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from goes_lite.errors import ConfigError
from goes_lite.errors.options import did_you_mean

PORT = 4222

_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options after the `?` of the URL. Those of the stream are None if they are not given."""

    mode: Literal["jetstream", "core"] = "jetstream"
    prefix: str = "goes"
    """The prefix of all subjects. Services with the same prefix share a bus."""
    stream: str = ""
    """By default the prefix in capitals."""
    storage: Literal["file", "memory"] | None = None
    replicas: int | None = None
    max_age: float | None = None
    """Seconds after which the stream deletes a message."""
    max_bytes: int | None = None
    max_msgs: int | None = None
    duplicate_window: float | None = None
    """Seconds within which the broker drops an event that it has already."""
    create: bool = True
    """Whether missing streams are created."""
    lease: float = 10.0
    """Seconds after which the events of a killed member of a group go to another."""
    timeout: float = 10.0
    """Seconds that publishing and other calls wait for the broker before they raise BusError."""
    patience: float = 2.0
    """Seconds that connecting waits for a broker that does not respond; then it continues in the background."""
    domain: str = ""
    """Of JetStream."""
    name: str = "goes_lite"
    """The name of this connection in the reports of the broker."""
    token: str = ""
    creds: str = ""
    """Path of a file with the credentials of a user (JWT and nkey)."""
    nkey: str = ""
    """Path of a file with the seed of an nkey."""
    tls: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_hostname: str = ""

    @property
    def secure(self) -> bool:
        """Whether it talks to brokers over TLS, and to no other ones."""
        return self.tls or bool(self.tls_ca or self.tls_cert or self.tls_key or self.tls_hostname)

    @property
    def stream_name(self) -> str:
        """The name of the event stream."""
        return self.stream or re.sub(r"[^A-Z0-9_-]", "_", self.prefix.upper())


@dataclass(frozen=True)
class ServerAddress:
    """The addresses of the brokers, the login, and the options."""

    servers: tuple[str, ...]
    """Without user and password, so they may appear in messages."""
    user: str | None
    password: str | None
    options: Options

    @property
    def location(self) -> str:
        """For messages and reprs."""
        hosts = ",".join(server.partition("://")[2] for server in self.servers)
        return f"nats://{hosts}/{self.options.prefix}"


def parse(url: str, extra: Mapping[str, Any]) -> ServerAddress:
    """Return what the URL and further options say. ConfigError, which never shows a password."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if not hosts or parts.path not in ("", "/") or parts.fragment:
        raise ConfigError(
            f"the URL of a NATS bus has the form nats://[user:password@]host[:port][,host…][?option=value&…], not "
            f"{parts.scheme}://{'***@' if at else ''}{hosts}{parts.path}"
        )
    given: dict[str, Any] = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **extra}
    if parts.scheme == "tls":
        given = {**given, "tls": True}
    options = _parse_options(given)
    user, colon, password = login.partition(":")
    if at and not colon:  # a single word is a token, as in every NATS client
        options = _parse_options({**given, "token": unquote(user)})
        user = ""
    scheme = "tls" if options.secure else "nats"
    servers = tuple(f"{scheme}://{_host(host)}" for host in hosts.split(","))
    return ServerAddress(servers, unquote(user) or None, unquote(password) or None, options)


def with_prefix(url: str, prefix: str) -> str:
    """Return the URL with another prefix, and so with other streams."""
    parts = urlsplit(url)
    given = {key: value for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "stream"}
    return parts._replace(query=urlencode({**given, "prefix": prefix})).geturl()


def _host(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigError(f"{host!r} is not a host with a port: {exc}") from None
    if not name:
        raise ConfigError(f"{host!r} is not a host: use host, or host:port")
    return f"{f'[{name}]' if ':' in name else name}:{port or PORT}"


def _parse_options(given: Mapping[str, Any]) -> Options:
    known = {field.name for field in fields(Options)}
    read: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            hint = did_you_mean(key, known) or f"use {', '.join(sorted(known))}"
            raise ConfigError(f"a NATS bus has no option {key!r}: {hint}")
        try:
            read[key] = _PARSERS.get(key, str)(value)
        except (TypeError, ValueError) as exc:
            shown = "***" if key == "token" else repr(value)
            raise ConfigError(f"{key}={shown} is not valid: use {exc}") from None
    return Options(**read)


def _number(least: float, *, whole: bool = False) -> Callable[[Any], float]:
    kind = int if whole else float

    def read(value: Any) -> float:
        try:
            number = kind(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and least <= number <= 1e15):
            raise ValueError(f"{'a whole number' if whole else 'a number of seconds'} ≥ {least:g}")
        return number

    return read


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(" or ".join(repr(choice) for choice in choices))
        return str(value)

    return read


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not (isinstance(value, str) and pattern.fullmatch(value)):
            raise ValueError(what)
        return value

    return read


def _boolean(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError("true or false")
    return text in ("true", "1", "yes")


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "mode": _one_of("jetstream", "core"),
    "storage": _one_of("file", "memory"),
    "prefix": _matching(_PREFIX, "letters, digits, - and _, in words separated by dots"),
    "stream": _matching(_STREAM, "letters, digits, - and _"),
    "replicas": _number(1, whole=True),
    "max_bytes": _number(1, whole=True),
    "max_msgs": _number(1, whole=True),
    "max_age": _number(0.1),
    "duplicate_window": _number(0.1),
    "lease": _number(0.5),
    "timeout": _number(0.1),
    "patience": _number(0),
    "create": _boolean,
    "tls": _boolean,
}
