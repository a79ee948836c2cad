"""The forms of what a store holds: as data for programs, and as text for people, the same on every face."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef

UNREADABLE = "payload-unreadable"
"""The finding for a payload that is stored as JSON but is none."""


def event_data(event: Event[Any]) -> dict[str, Any]:
    """Return the event as data. A payload that is no JSON is `payload`, as it is stored; bytes are hexadecimal."""
    encoding, schema, payload = event.encoded
    shown: dict[str, Any] = {
        "position": event.position,
        "time": event.time,
        "event": event.name,
        "aggregate": event.aggregate and event.aggregate.name,
        "aggregate_id": event.aggregate and event.aggregate.id,
        "version": event.version,
        "id": event.id,
        "encoding": encoding,
        "schema": schema,
    }
    if encoding == "json" and (parsed := parsed_json(payload)) is not None:
        shown["data"] = parsed[0]
    else:
        shown["data"] = None
        shown["payload"] = payload if isinstance(payload, str) else payload.hex()
    return {**shown, "metadata": dict(event.metadata), "tags": sorted(event.tags)}


def parsed_json(payload: str | bytes) -> tuple[Any] | None:
    """Return the payload as what `json.dumps` prints; None if that is impossible."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        data = json.loads(payload, parse_constant=refuse)
        json.dumps(data)  # of which Python can nest fewer levels
    except (ValueError, RecursionError):
        return None
    return (data,)


def is_unreadable(event: Event[Any]) -> bool:
    """Whether its payload is stored as JSON but is none."""
    return event.encoded.encoding == "json" and parsed_json(event.encoded.payload) is None


def payload_text(event: Event[Any]) -> str:
    """Return the payload as it is stored, or how many bytes it has."""
    payload = event.encoded.payload
    return payload if isinstance(payload, str) else f"({len(payload)} bytes of {event.encoded.encoding})"


def ref_text(ref: AggregateRef | None) -> str:
    """Return an aggregate as the arguments of commands name it: NAME/ID; `-` for none."""
    return f"{ref.name}/{ref.id}" if ref else "-"


def printable(text: str) -> str:
    """Escape everything that could move the cursor, break the line or turn its direction."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def iso(time: datetime) -> str:
    """Format a time as ISO 8601 in UTC, with microseconds."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def size(count: int) -> str:
    """Format a number of bytes for people."""
    return (
        f"{count} bytes"
        if count < 1024
        else f"{count / 1024:.0f} KiB"
        if count < 1 << 20
        else f"{count / (1 << 20):.1f} MiB"
    )


def dumps(value: object) -> str:
    """Return the value as JSON in plain ASCII without control characters: times as ISO 8601, UUIDs as text."""
    return json.dumps(value, default=_plain, allow_nan=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise TypeError(f"{value!r:.80} has no form in JSON")
