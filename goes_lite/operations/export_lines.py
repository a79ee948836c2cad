"""The lines of an export: what docs/export.md describes, as pure functions.

Rule of this file: it is a format that other programs read and write. A change of anything here is a new `VERSION`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from goes_lite.errors import GoesError, StoreDamaged
from goes_lite.events.event import Event, canonical_json, metadata_json, tags_json
from goes_lite.events.query import EventQuery, QueryItem, Span
from goes_lite.operations.canonical import Block

FORMAT = "goes_lite export"
VERSION = 1

MAX_DEPTH = 100
"""How deep a payload may be nested to be written as JSON; a deeper one is written as text, which every parser can read."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


class Header(NamedTuple):
    """The first line: of which store the export is, and which part of its log."""

    store: str
    """The identity of the store, with its epoch."""
    location: str
    """Where the store was, without a password."""
    time: datetime
    """When the export was begun (aware, UTC)."""
    after: int
    """The export has events with after < position ≤ upto."""
    upto: int
    query: Any
    """Which of these it has, as `query_data` returns it; None for all."""

    @property
    def partial(self) -> bool:
        """Whether events up to `upto` are left out."""
        return self.after > 0 or self.query is not None


class End(NamedTuple):
    """The last line: what an export has that is complete."""

    events: int
    """The number of events."""
    upto: int
    """Positions up to this one are used: an import continues after it."""
    hash: bytes
    """The hash of all events, as a digest of the store has it."""


def header_line(header: Header) -> str:
    """Return the first line."""
    return _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "store": header.store,
            "location": header.location,
            "time": time_text(header.time),
            "after": header.after,
            "upto": header.upto,
            "partial": header.partial,
            "query": header.query,
        }
    )


def block_line(block: Block) -> str:
    """Return the line after the events of a block."""
    return _line({"block": block.number, "events": len(block.positions), "hash": block.hash.hex()})


def end_line(end: End) -> str:
    """Return the last line."""
    return _line({"end": True, "events": end.events, "upto": end.upto, "hash": end.hash.hex()})


def event_line(event: Event[Any], location: str) -> str:
    """Return the line of an event, as `EventStore.stored` returns it.

    The payload comes last: JSON is written as it is stored, byte for byte, where it is fit for a line (`is_readable`), other
    text as a string, bytes as base64. StoreDamaged for an event with a field that cannot be.
    """
    encoding, schema, payload = event.encoded
    try:
        metadata, tags = _canonical(metadata_json(event)), _canonical(tags_json(event))
        ref = event.aggregate
        of = (
            f'"aggregate":{_text(ref.name)},"aggregate_id":{_text(ref.id)}'
            if ref
            else '"aggregate":null,"aggregate_id":null'
        )
        if isinstance(payload, bytes):
            data = f'"binary":"{b64encode(payload).decode("ascii")}"'
        elif encoding == "json" and is_readable(payload):
            data = f'"data":{payload}'
        else:
            data = f'"text":{_text(payload)}'
        return (
            f'{{"position":{event.position},"id":"{event.id}","event":{_text(event.name)},"time":"{time_text(event.time)}",'
            f'{of},"version":{event.version},"metadata":{metadata or "{}"},"tags":{tags or "[]"},'
            f'"encoding":{_text(encoding)},"schema":{schema},{data}}}\n'
        )
    except (GoesError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        what = f"the event at position {event.position} has a field that cannot be: {exc}"
        raise StoreDamaged(location, what) from exc


def time_text(time: datetime) -> str:
    """Return a time as the format has it: ISO 8601 in UTC, with microseconds and Z."""
    return time.isoformat(timespec="microseconds")[:26] + "Z"


def is_readable(payload: str) -> bool:
    """Return whether a payload can be part of a line as it is: strict JSON in one line that any parser can read."""
    if "\n" in payload or "\r" in payload:
        return False
    try:
        strict_json(payload)
    except (ValueError, RecursionError):
        return False
    return not too_deep(payload)


def too_deep(text: str) -> bool:
    """Return whether JSON is nested deeper than `MAX_DEPTH`."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


strict_json: Callable[[str], object] = json.JSONDecoder(parse_constant=_refuse).decode
"""Raises ValueError unless the text is JSON that Python can read: among others, no NaN and no number of 5,000 digits."""

_text = encode_basestring


def _canonical(text: str | None) -> str | None:
    """Return stored metadata or tags; ValueError unless they are as goes_lite stores them."""
    if text is not None and (not (value := json.loads(text)) or canonical_json(value) != text):
        raise ValueError(f"{text!r:.80} is not in the form in which it is stored")
    return text


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def query_data(query: EventQuery) -> list[dict[str, Any]] | None:
    """Return a query as the header has it: its alternatives; None for one that matches everything."""
    return None if query.is_everything else [_item(item) for item in query.items]


def _item(item: QueryItem) -> dict[str, Any]:
    """Return an alternative of a query, with the fields that it has; times in microseconds since 1970 UTC."""
    return {field: [_plain(value) for value in values] for field, values in item._asdict().items() if values}


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    return list(value) if isinstance(value, (Span, tuple)) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
