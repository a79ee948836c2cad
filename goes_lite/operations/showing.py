"""What is stored, as data for people and programs to look at: whatever it is, it can be shown.

Rule of this file: nothing here raises because of what is stored. A payload that is no JSON is shown as it is stored; what the
program's type makes of it, or why it makes nothing of it, is shown next to that.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from goes_lite.errors import AggregateError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Raw, Registry

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate


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


def today_of(event: Event[Any], registry: Registry) -> dict[str, Any] | None:
    """Return the event as its registered type is written today: renamed and upcast; None if its name is not registered.

    If its payload does not fit, `problem` says why.
    """
    if event.name not in registry:
        return None
    name = registry.canonical(event.name)
    type = registry.type_of(name)
    shown: dict[str, Any] = {"event": name, "type": getattr(type, "__qualname__", str(type))}
    try:
        data: Any = event.data
        if isinstance(data, Raw):
            data = registry.decode(event.name, *event.encoded, position=event.position)
        encoded = registry.encode_value(type, data)
    except (GoesError, ImportError) as exc:
        return {**shown, "data": None, "problem": error_text(exc)}
    if encoded.encoding == "json" and (parsed := parsed_json(encoded.payload)) is not None:
        return {**shown, "data": parsed[0]}
    return {**shown, "data": encoded.payload if isinstance(encoded.payload, str) else f"{data!r:.2000}"}


def state_of(aggregate: Aggregate) -> Any:
    """Return what a snapshot of an aggregate would have; of one that cannot have any, the attributes that are set."""
    try:
        return aggregate.snapshot_state()
    except AggregateError:
        return vars(aggregate)
