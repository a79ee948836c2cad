"""What `connect` accepts: a path or a URL. What looks like one thing and would silently be another is refused."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from goes_lite.errors import ConfigError
from goes_lite.events.fields import is_unicode

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How a URL begins; a drive of Windows (C:) has one letter."""
_OPTIONS_OF_A_PATH = re.compile(r"\?(durability|driver|read_only|lock_timeout|mode|cache|immutable|nolock|vfs)=")
_SECRET = re.compile(r"pass|secret|token|key|cred|authmechanismproperties", re.IGNORECASE)


class Address(NamedTuple):
    """A parsed URL."""

    scheme: str
    location: str
    options: dict[str, Any]


def parse(url: str | os.PathLike[str]) -> Address:
    """Parse a URL or a path into an address; ConfigError if it is neither. Its message contains no password."""
    if isinstance(url, os.PathLike):
        return Address("sqlite", _checked(os.fspath(url)), {})
    if not isinstance(url, str) or not url:
        raise ConfigError(f"connect() takes a path or URL such as 'app.db' or 'postgresql://…', not {_named(url)}")
    scheme, separator, _ = url.partition("://")
    if not separator:
        return Address("sqlite", _path(url), {})
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text may contain the password
        parts = None
    if parts is None or _cut_password(parts):
        raise ConfigError(
            f"the {scheme}:// URL cannot be read: percent-encode special characters of user and password "
            "(urllib.parse.quote), and write an IPv6 address in brackets"
        )
    if scheme != "sqlite":
        return Address(scheme, url, {})
    if parts.netloc:
        host = parts.netloc.rpartition("@")[2]
        raise ConfigError(
            f"the sqlite:// URL names a host, {host!r}: write sqlite:///relative.db, sqlite:////absolute.db or "
            "sqlite:///:memory:"
        )
    if not parts.path[1:]:
        raise ConfigError(f"{url!r} names no file: write sqlite:///app.db, or sqlite:///:memory: for one in memory")
    if parts.fragment or url.endswith("#"):
        raise ConfigError(f"{url!r} has a #, which ends a URL: write %23 for a # in the name of the file")
    _checked(url)  # urlsplit drops white space without a word
    try:
        path = _checked(unquote(parts.path[1:], errors="strict"))
    except UnicodeDecodeError:
        raise ConfigError(f"{url!r} does not decode to UTF-8: write the name of the file in UTF-8") from None
    options: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "read_only" in options:
        options["read_only"] = _boolean("read_only", options["read_only"])
    if "lock_timeout" in options:
        options["lock_timeout"] = _number("lock_timeout", options["lock_timeout"])
    return Address(scheme, path, options)


def is_secret(name: str) -> bool:
    """Whether an option of that name may hold a password, or what is as good as one."""
    return _SECRET.search(name) is not None


def shown_url(url: str) -> str:
    """Return a URL or path for messages, with stars in the place of what may be a password."""
    if "://" not in url:
        return url if "@" not in url else f"…@{url.rpartition('@')[2]}"
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{scheme}://…"
    if "@" in parts.path + parts.query.partition("=")[0] + parts.fragment:  # perhaps cut out of a password
        return f"{scheme}://…"
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")  # a word alone may be a token, as at NATS
    query = "&".join(
        f"{name}=***" if is_secret(unquote(name)) else f"{name}{equals}{value}"
        for name, equals, value in (part.partition("=") for part in parts.query.split("&"))
    )
    shown = f"{user}:***" if colon else "***" if user else ""
    return f"{scheme}://{shown}{at}{hosts}{parts.path}{'?' if query else ''}{query}"


def _cut_password(parts: SplitResult) -> bool:
    """Whether a / or ? in a password ends what should be the host, so that the password would be shown as part of one."""
    rest = parts.path + parts.query.partition("=")[0]
    return ":" in parts.netloc and "@" not in parts.netloc and "@" in rest


def _checked(text: object) -> str:
    """Return a path or URL of a file; ConfigError for what no file should be called."""
    if not isinstance(text, str) or "\0" in text:
        raise ConfigError(f"connect() takes a path or URL such as 'app.db' or 'postgresql://…', not {_named(text)}")
    if not is_unicode(text):
        raise ConfigError(f"{text!r} is not valid Unicode: choose another name for the file")
    if text.strip() != text or any(character < " " or character == "\x7f" for character in text):
        raise ConfigError(f"{text!r} begins or ends with white space, or contains control characters: remove them")
    if text.endswith(("/", os.sep)):
        raise ConfigError(f"{text!r} names a folder: name a file in it, such as {text + 'app.db'!r}")
    return text


def _path(text: str) -> str:
    """Return a path that was given as a string; ConfigError if it was probably meant as a URL."""
    if scheme := _SCHEME.match(text):
        # not quoted, since what follows may be a password
        raise ConfigError(
            f"{scheme[0]!r} begins a URL that has no //: write sqlite:///app.db, a path, or another backend's URL such as "
            f"postgresql://…; for a file of such a name pass {'./' + scheme[0] + '…'!r}"
        )
    _checked(text)
    if text.startswith(":") and text != ":memory:":
        raise ConfigError(f"{text!r}: write ':memory:' for a store in memory; for a file of this name {'./' + text!r}")
    if _OPTIONS_OF_A_PATH.search(text):
        raise ConfigError(
            f"{text!r} is a path, which has no options: pass them as keywords, as in connect('app.db', read_only=True), "
            "or write sqlite:///app.db?read_only=true; for a file of this name pass a pathlib.Path"
        )
    return text


def _named(value: object) -> str:
    """Return how a message names what cannot be an address: whole, unless it may contain a password."""
    text = repr(value)
    return f"{text:.80}" if "@" not in text else f"a {type(value).__name__}"


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ConfigError(f"{name}={value!r}: must be true or false")
    return value.lower() in ("true", "1", "yes")


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{name}={value!r}: must be a number of seconds") from None
