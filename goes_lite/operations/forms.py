"""The forms of what a store holds: as data for programs, and as text for people, the same on every face."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

if TYPE_CHECKING:
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef

UNREADABLE = "payload-unreadable"
"""The finding for a payload that is stored as JSON but is none."""

LEVELS = 100
"""Levels of arrays and objects that are shown as data; what is written by a codec has no more."""


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
    """Return the payload as data that JSON can express; None for anything else, and for more than LEVELS levels.

    Whoever walks through the result, a page or the printer of JSON, finds room for it on its stack.
    """
    found = _loaded(payload)
    return found if found is not None and _is_plain(found[0]) else None


def is_unreadable(event: Event[Any]) -> bool:
    """Whether its payload is stored as JSON but is none."""
    return event.encoded.encoding == "json" and _loaded(event.encoded.payload) is None


def _loaded(payload: str | bytes) -> tuple[Any] | None:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        return (json.loads(payload, parse_constant=refuse),)
    except (ValueError, RecursionError):
        return None


def _is_plain(data: object) -> bool:
    """Whether it has at most LEVELS levels, and no number that was too large for a float, such as 1e999."""
    level = [data]
    for _ in range(LEVELS + 1):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += cast("dict[str, object]", one).values()
            elif isinstance(one, list):
                below += cast("list[object]", one)
            elif isinstance(one, float) and not math.isfinite(one):
                return False
        if not below:
            return True
        level = below
    return False


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
