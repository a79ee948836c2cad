"""A request and the response to it, whatever serves them: the server, a WSGI or an ASGI application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

MAX_TARGET = 8_192
"""Bytes of a path with its query."""
MAX_BODY = 65_536
"""Bytes of a form that is sent."""
MAX_FIELDS = 200
"""Parameters of a query, or fields of a form."""


class Refused(Exception):
    """Ends a request with an error page: 400 for what was asked, 404 for what is not there."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


def missing(message: str, hint: str = "") -> Refused:
    """Return what to raise for something that is not there."""
    return Refused(404, message, hint)


@dataclass(frozen=True)
class Request:
    """What a browser asks."""

    method: str
    path: str
    """Decoded, below `base`: `/log`."""
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name in lower case."""
    body: bytes = b""
    base: str = ""
    """The path below which the explorer is mounted, without a slash at the end."""
    argument: str = ""
    """What follows the path of the page: `12` in `/event/12`. The application sets it."""

    def one(self, name: str, default: str = "") -> str:
        """Return the last value of a parameter, without space around it."""
        values = self.query.get(name, ())
        return values[-1].strip() if values else default

    def exact(self, name: str) -> str:
        """Return the last value of a parameter as it is, such as an id, which may be a space; "" without one."""
        return self.query.get(name, ("",))[-1]

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a parameter that are not empty."""
        return tuple(value.strip() for value in self.query.get(name, ()) if value.strip())

    def all_exact(self, name: str) -> tuple[str, ...]:
        """Return the values of a parameter as they are, such as tags, which may begin with a space; without those of space."""
        return tuple(value for value in self.query.get(name, ()) if value.strip())

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return a parameter as an int ≥ 0; Refused if it is none."""
        text = self.one(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) >= 2**63:
            raise Refused(400, f"{name} is a number ≥ 0, not {text!r:.80}")
        return int(text)


@dataclass(frozen=True)
class Response:
    """What is sent back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | Iterator[bytes] = b""
    """Pieces are sent as they come: of a page that is followed live."""


def parsed_query(text: str) -> Mapping[str, tuple[str, ...]]:
    """Return the parameters of a query or of a form; Refused if there are too many."""
    try:
        found = parse_qs(text, keep_blank_values=True, errors="surrogatepass", max_num_fields=MAX_FIELDS)
    except ValueError as exc:
        raise Refused(400, f"the query cannot be read: {exc}") from exc
    return {name: tuple(values) for name, values in found.items()}


def check_size(target: str | bytes, body: int) -> None:
    """Raise Refused for a path with query, or a body, that is longer than any of ours."""
    if len(target) > MAX_TARGET:
        raise Refused(414, f"the address has {len(target)} characters, at most {MAX_TARGET} are read")
    if body > MAX_BODY:
        raise Refused(413, f"the body has {body} bytes, at most {MAX_BODY} are read")


def decoded(path: str) -> str:
    """Return a path whose characters were percent-encoded."""
    try:
        return unquote(path, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(path, errors="replace")
