"""Checks of the fields of events (names, ids, tags, times, metadata), the same for every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

from goes_lite.errors import DecodeError, InvalidEventError, RegistrationError

MAX_ID_BYTES = 1024
"""The maximum length of an aggregate id or tag, in bytes of UTF-8: what every backend can index."""


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


_MICROSECOND = timedelta(microseconds=1)


_FIRST_MICROS = (datetime.min.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND


_LAST_MICROS = (datetime.max.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND


class _Ref(NamedTuple):
    name: str
    id: str


class AggregateRef(_Ref):
    """Identifies an aggregate: its name (`order`) and its id, a non-empty string. A UUID becomes its canonical text.

    Raises `InvalidEventError` for a name or id that not every backend can store: empty, longer than 1024 bytes of
    UTF-8, with a NUL or a lone surrogate.
    """

    __slots__ = ()

    if not TYPE_CHECKING:
        # For parts that are known to be valid, from a store or a class: as of namedtuple, without its two calls.
        _make = classmethod(tuple.__new__)

    def __new__(cls, name: str, id: str | UUID) -> Self:
        try:
            return cls._make((check_name(name, "an aggregate name"), aggregate_id(id)))
        except RegistrationError as exc:
            raise InvalidEventError(str(exc)) from None

    def __str__(self) -> str:
        return plain(f"{self.name}({self.id if len(self.id) <= 80 else self.id[:79] + '…'})")


def plain(text: str) -> str:
    """Return the text as it is, or escaped if it could move a cursor, break a line or turn its direction."""
    return text if text.isprintable() else repr(text)[1:-1]


def aggregate_ref(value: object) -> AggregateRef:
    """Return an AggregateRef for an AggregateRef or a (name, id) pair; InvalidEventError for anything else."""
    if isinstance(value, AggregateRef):
        return value
    if isinstance(value, tuple) and len(value) == 2:  # pyright: ignore[reportUnknownArgumentType]
        return AggregateRef(*value)  # pyright: ignore[reportUnknownArgumentType]
    raise InvalidEventError(f"an aggregate must be an AggregateRef or a (name, id) pair, not {value!r:.80}")


def aggregate_id(value: str | UUID) -> str:
    """Return `value` as the id of an aggregate; InvalidEventError if it cannot be one."""
    if type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ID_BYTES:
        return value  # the common case, for the cost of four C calls
    if isinstance(value, UUID):
        return str(value)
    return check_text(value, "an aggregate id")


def check_text(value: object, what: str) -> str:
    """Return `value` as text that every backend can index; InvalidEventError otherwise, naming it as `what`."""
    if not isinstance(value, str):
        raise InvalidEventError(f"{what} must be a non-empty str, not {type(value).__name__}: {value!r:.80}")
    if not value:
        raise InvalidEventError(f"{what} must be a non-empty str, not '': use new_id() for a new one")
    if "\0" in value:
        raise InvalidEventError(f"{what} must not contain NUL, which not every backend can store: {value!r:.80}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidEventError(f"{what} must be valid Unicode without lone surrogates: {value!r:.80}") from None
    if size > MAX_ID_BYTES:
        raise InvalidEventError(
            f"{what} must have at most {MAX_ID_BYTES} bytes of UTF-8, this one has {size}: {value!r:.80}…"
        )
    return str(value)


def is_unicode(text: str) -> bool:
    """Return whether the text has no lone surrogates, which cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_tag(value: object) -> str:
    """Return `value` as a tag (`key:value`, both non-empty); InvalidEventError otherwise."""
    tag = check_text(value, "a tag")
    key, colon, rest = tag.partition(":")
    if not (key and colon and rest):
        raise InvalidEventError(f"a tag must have the form 'key:value', such as 'course:c-101', not {tag!r:.80}")
    return tag


def to_micros(time: datetime) -> int:
    """Return exact microseconds since 1970 UTC; InvalidEventError unless it is an aware datetime that UTC can express."""
    if not isinstance(time, datetime):
        raise InvalidEventError(f"a time must be an aware datetime, not {type(time).__name__}: {time!r:.80}")
    if time.tzinfo is None or time.utcoffset() is None:
        raise InvalidEventError(
            f"a time needs a zone, {time!r} has none: use datetime.now(timezone.utc), or .astimezone() if it is local time"
        )
    micros = (time - _EPOCH) // _MICROSECOND
    if not _FIRST_MICROS <= micros <= _LAST_MICROS:
        raise InvalidEventError(f"{time!r} lies outside the years 1 to 9999 in UTC, which is the range of times")
    return micros


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of so many microseconds: the inverse of `to_micros`. DecodeError if there is none."""
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except (OverflowError, TypeError) as exc:
        raise DecodeError("time", f"{micros!r:.80} is no time in microseconds since 1970") from exc


def is_micros(value: int) -> bool:
    """Return whether `from_micros` has a time for it."""
    return _FIRST_MICROS <= value <= _LAST_MICROS


def check_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return a read-only copy of the metadata; InvalidEventError unless it maps non-empty str to str."""
    if not isinstance(metadata, Mapping):
        raise InvalidEventError(f"metadata must be a mapping str → str, not {metadata!r:.80}")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or not key:
            raise InvalidEventError(f"metadata must be str → str with non-empty keys, not {key!r:.60}: {value!r:.60}")
        try:
            f"{key}{value}".encode()
        except UnicodeEncodeError:
            problem = f"metadata must be valid Unicode without lone surrogates: {key!r:.60}: {value!r:.60}"
            raise InvalidEventError(problem) from None
    return MappingProxyType(dict(metadata))


def check_tags(tags: Iterable[str]) -> frozenset[str] | None:
    """Return the tags as a set, None if there are none; InvalidEventError unless all are tags."""
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise InvalidEventError(f"tags must be a collection of 'key:value' strings, not {tags!r:.80}")
    return frozenset(check_tag(tag) for tag in tags) or None


def check_name(name: object, what: str) -> str:
    """Return the name if it is valid on every backend: 1 to 255 characters, no whitespace, no control character, no `*`.

    `what` is its description in the RegistrationError, such as "an event name".
    """
    if not isinstance(name, str):
        raise RegistrationError(f"{what} must be a str, not {type(name).__name__}")
    if not name:
        raise RegistrationError(f"{what} must not be empty")
    if len(name) > 255:
        raise RegistrationError(f"{what} must have at most 255 characters, {name[:40]!r}… has {len(name)}")
    for character in name:
        control = character < " " or "\x7f" <= character <= "\x9f"
        if control or character == "*" or character.isspace() or "\ud800" <= character <= "\udfff":
            raise RegistrationError(f"{what} must not contain {character!r}: {name!r}")
    return name


OF_WORKFLOWS = "workflow:"
"""Begins the names of the aggregates and processors of workflows, and the tags of what they dispatch."""


def check_not_of_workflows(name: str, what: str) -> None:
    """RegistrationError for a name that is kept for workflows: what has it would be taken for a part of one."""
    if name.startswith(OF_WORKFLOWS):
        raise RegistrationError(
            f"{what} {name!r:.80} begins with {OF_WORKFLOWS!r}, which is kept for workflows: choose another one"
        )
