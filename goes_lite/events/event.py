"""The event: an immutable record of something that happened, cheap to create and cheap to read back.

Rule of this file: an event is checked once, when it is created, for every backend. Backends build stored events with
`restore`, which checks nothing and converts ids, times, metadata and tags on first access: most readers use few of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime
from time import time_ns
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from goes_lite.errors import CodecError, DecodeError, InvalidEventError
from goes_lite.events.fields import (
    AggregateRef,
    aggregate_ref,
    check_metadata,
    check_tags,
    from_micros,
    plain,
    to_micros,
)
from goes_lite.events.ids import new_id_bytes
from goes_lite.events.registry import Encoded, Registry, default_registry

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)
V = TypeVar("V")


CORRELATION = "correlation"
CAUSATION = "causation"

context_here: ContextVar[Any] = ContextVar("goes_lite_context", default=None)
"""The `Context` of the running code, or the event whose handler it is: its context is computed on demand, since most
handlers do not ask for it. None where nothing is set. `goes_lite.events.context` sets it."""

_NO_METADATA: Mapping[str, str] = MappingProxyType({})
_NO_TAGS: frozenset[str] = frozenset()


class RecordingClock(Protocol):
    """What tells the time of an event."""

    def now(self) -> datetime: ...


recording_clock: ContextVar[RecordingClock | None] = ContextVar("goes_lite_clock", default=None)
"""The clock of the handle that calls the running code, unless it is that of the machine."""


class Event(Generic[D_co]):
    """Something that happened: immutable, and complete once it is created.

        Event(OrderPlaced(["tea"], 450), aggregate=("order", "2026-001"), version=1)

    Arguments
      data       an instance of a registered type. It is captured immediately: changing it later changes no event.
      name       the registered name; needed only where the type of `data` does not imply it (a TypedDict, an int).
      aggregate  the AggregateRef (or a (name, id) pair) that it happened to; None for an event without an aggregate.
      version    of that aggregate, 1, 2, 3, …; 0 without an aggregate.
      id         a UUID, a new one (version 7) by default. It makes appending idempotent.
      time       an aware datetime, stored as UTC with microseconds; now by default: by the clock of the handle in a function
                 that a handle calls (a handler, `use`, `decide`), else by that of the machine.
      metadata   str → str, for example the actor and the cause; added to that of the current `Context`, and takes precedence.
      tags       strings of the form `key:value`, for queries across aggregates.
      registry   where `data` is registered; the default registry by default.

    Raises InvalidEventError, UnregisteredTypeError or EncodeError. Two events are equal if everything but their
    `position` is equal.
    """

    __slots__ = (
        "_aggregate", "_data", "_encoding", "_id", "_metadata", "_name", "_payload", "_position", "_schema", "_tags",
        "_time", "_version",
    )  # fmt: skip

    _id: UUID | bytes
    _name: str
    _data: D_co
    _time: datetime | int
    _aggregate: AggregateRef | None
    _version: int
    _metadata: Mapping[str, str] | str | None
    _tags: frozenset[str] | str | None
    _position: int
    _encoding: str
    _schema: int
    _payload: str | bytes

    def __init__(
        self,
        data: D_co,
        *,
        name: str | None = None,
        aggregate: AggregateRef | tuple[str, str | UUID] | None = None,
        version: int = 0,
        id: UUID | None = None,
        time: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Iterable[str] = (),
        registry: Registry = default_registry,
    ) -> None:
        if aggregate is not None and not isinstance(aggregate, AggregateRef):
            aggregate = aggregate_ref(aggregate)
        if type(version) is not int or (version < 1) != (aggregate is None) or version < 0:
            raise InvalidEventError(
                f"version {version!r} with aggregate {aggregate and str(aggregate)!r}: an event of an aggregate has a "
                "version ≥ 1, an event without one has version 0"
            )
        if id is not None and not isinstance(id, UUID):
            raise InvalidEventError(f"an event id must be a UUID, not {type(id).__name__}: {id!r:.80}")
        if name is not None and not isinstance(name, str):
            raise InvalidEventError(f"an event name must be a str, not {type(name).__name__}: {name!r:.80}")
        if (context := context_here.get()) is not None:
            made_in = caused_by(context) if isinstance(context, _EVENT) else context.metadata
            metadata = {**made_in, **check_metadata(metadata)} if metadata else made_in
        if registry.__class__ is not Registry and not isinstance(registry, Registry):
            raise InvalidEventError(f"registry must be a Registry, not {registry!r:.80}")
        self._name, self._data, (self._encoding, self._schema, self._payload) = registry.capture(data, name)
        self._id = new_id_bytes() if id is None else id
        if time is not None:
            self._time = to_micros(time)
        elif (clock := recording_clock.get()) is None:
            self._time = time_ns() // 1000
        else:
            self._time = to_micros(clock.now())
        self._aggregate = aggregate
        self._version = version
        self._metadata = check_metadata(metadata) if metadata else None
        self._tags = check_tags(tags) if tags else None
        self._position = 0

    @property
    def id(self) -> UUID:
        """Unique across all stores; a UUIDv7 unless it was given."""
        value = self._id
        if not isinstance(value, UUID):
            value = self._id = self._read("id", _uuid, value)
        return value

    @property
    def name(self) -> str:
        """The registered name, such as `order.placed`."""
        return self._name

    @property
    def data(self) -> D_co:
        """What happened: an instance of the type that is registered under `name`."""
        return self._data

    @property
    def time(self) -> datetime:
        """When it was recorded (aware, UTC, microseconds), by the clock of the recording process; not an order."""
        value = self._time
        if not isinstance(value, datetime):
            value = self._time = self._read("time", from_micros, value)
        return value

    @property
    def aggregate(self) -> AggregateRef | None:
        """The aggregate that it happened to, if any."""
        return self._aggregate

    @property
    def aggregate_id(self) -> str:
        """The id of that aggregate; InvalidEventError for an event without one, whose `aggregate` is None."""
        if self._aggregate is None:
            at = f" at position {self._position}" if self._position else ""
            raise InvalidEventError(
                f"the event {self._name!r}{at} happened to no aggregate, so it has no aggregate_id: its .aggregate is None"
            )
        return self._aggregate.id

    @property
    def version(self) -> int:
        """The version of the aggregate after it (≥ 1); 0 without an aggregate."""
        return self._version

    @property
    def metadata(self) -> Mapping[str, str]:
        """Read-only str → str: correlation, causation, actor, and values of your own."""
        value = self._metadata
        if value is None:
            return _NO_METADATA
        if not isinstance(value, MappingProxyType):
            value = self._metadata = self._read("metadata", _metadata, value)
        return value

    @property
    def tags(self) -> frozenset[str]:
        """`key:value` strings, for queries across aggregates."""
        value = self._tags
        if value is None:
            return _NO_TAGS
        if not isinstance(value, frozenset):
            value = self._tags = self._read("tags", _tags, value)
        return value

    @property
    def position(self) -> int:
        """Its position in the global log (≥ 1) once it is stored; 0 before."""
        return self._position

    @property
    def encoded(self) -> Encoded:
        """The data as it is stored: encoding, schema version, payload."""
        return Encoded(self._encoding, self._schema, self._payload)

    def _read(self, field: str, convert: Callable[[Any], V], value: object) -> V:
        """Convert what is stored; DecodeError if that is impossible, since nothing was checked when it was read."""
        try:
            return convert(value)
        except (CodecError, ValueError, TypeError, AttributeError, RecursionError) as exc:
            problem = f"{value!r:.80} is stored, which cannot be: restore a backup"
            raise DecodeError(
                field, problem, name=self._name, position=self._position, aggregate=self._aggregate
            ) from exc

    def at(self, position: int) -> Event[D_co]:
        """Return the same event, stored at `position`."""
        return restore(
            self._id, self._name, self._data, self._time, self._aggregate, self._version, self._metadata, self._tags,
            position, self._encoding, self._schema, self._payload,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return (
            self.id == other.id
            and self._name == other._name
            and self._aggregate == other._aggregate
            and self._version == other._version
            and self.time == other.time
            and self.metadata == other.metadata
            and self.tags == other.tags
            and bool(self._data == other._data)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        )

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        # for copy and pickle, which do not support read-only mappings
        return restore, (
            self._id, self._name, self._data, self._time, self._aggregate, self._version, metadata_json(self),
            tags_json(self), self._position, self._encoding, self._schema, self._payload,
        )  # fmt: skip

    def __repr__(self) -> str:
        of = f" v{self._version} of {self._aggregate}" if self._aggregate else ""
        at = f" at position {self._position}" if self._position else ""
        data = repr(self._data)
        return f"<Event {plain(str(self._name))}{of}{at}: {data if len(data) <= 200 else data[:199] + '…'}>"


_EVENT: type[Any] = Event
"""For isinstance(), which with the generic class itself makes the type of its data unknown."""


def caused_by(event: Event[Any]) -> dict[str, str]:
    """Return the metadata of what the handler of an event causes: that of the event, with the event as the cause."""
    id = str(event.id)
    return {**event.metadata, CORRELATION: event.metadata.get(CORRELATION) or id, CAUSATION: id}


def _uuid(value: Any) -> UUID:
    return UUID(bytes=value)


def _metadata(value: Any) -> Mapping[str, str]:
    found = cast("dict[str, str]", json.loads(value) if type(value) is str else dict(value))
    _check_strings(found.values())
    return MappingProxyType(found)


def _tags(value: Any) -> frozenset[str]:
    found: object = json.loads(value)
    if not isinstance(found, list):
        raise TypeError(value)
    tags = cast("list[str]", found)
    _check_strings(tags)
    return frozenset(tags)


def _check_strings(values: Iterable[object]) -> None:
    if not {*map(type, values)} <= {str}:
        raise TypeError("not only strings")


_new = cast("Callable[[type[Any]], Any]", object.__new__)


def restore(
    id: UUID | bytes,
    name: str,
    data: D,
    time: datetime | int,
    aggregate: AggregateRef | None,
    version: int,
    metadata: Mapping[str, str] | str | None,
    tags: frozenset[str] | str | None,
    position: int,
    encoding: str,
    schema: int,
    payload: str | bytes,
) -> Event[D]:
    """Build an event from what a backend stored; nothing is checked, and fields are converted on first access.

    `id` may be 16 bytes, `time` microseconds since 1970 UTC, `metadata` and `tags` the JSON of `metadata_json` and
    `tags_json`.
    """
    event: Event[D] = _new(Event)
    event._id = id
    event._name = name
    event._data = data
    event._time = time
    event._aggregate = aggregate
    event._version = version
    event._metadata = metadata
    event._tags = tags
    event._position = position
    event._encoding = encoding
    event._schema = schema
    event._payload = payload
    return event


# Created once: json.dumps creates an encoder at each call with other than default options.
canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
"""Encodes metadata and tags: equal values, equal text."""


def metadata_json(event: Event[Any]) -> str | None:
    """Return the metadata as canonical JSON (keys sorted), None if there is none: equal metadata, equal text."""
    value = event._metadata
    return value if value is None or type(value) is str else canonical_json(dict(event.metadata))


def tags_json(event: Event[Any]) -> str | None:
    """Return the tags as canonical JSON (sorted), None if there are none."""
    value = event._tags
    return value if value is None or type(value) is str else canonical_json(sorted(event.tags))


def id_bytes(event: Event[Any]) -> bytes:
    """Return the 16 bytes of its id."""
    value = event._id
    return value if isinstance(value, bytes) else event.id.bytes


def time_micros(event: Event[Any]) -> int:
    """Return its time in microseconds since 1970 UTC."""
    value = event._time
    return value if isinstance(value, int) else to_micros(event.time)
