"""What pages show of events and documents: as much of a payload as may be shown, and never more than fits on a page.

Rule of this file: whatever is stored, it can be shown; a payload that is too large to be parsed for a page is shown as the
beginning of its text, with its size.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from goes_lite.errors import CodecError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import CAUSATION, CORRELATION, Event, restore
from goes_lite.explorer.disclosure import MASK, stored_type
from goes_lite.operations.difference import Difference
from goes_lite.operations.forms import iso, parsed_json

if TYPE_CHECKING:
    from goes_lite.contract.model_store import ModelRecord
    from goes_lite.explorer.source import Source

MOST = 65_536
"""Characters (or bytes) of a payload that a page parses."""
BEGINNING = 4_096
"""Characters that are shown of a larger one."""
IN_LISTS = 4_096
"""Characters of a payload that a row of a list parses: it shows the first hundred of them."""


def mapping(value: object) -> dict[str, Any]:
    """Return an object of JSON; an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return an array of JSON; an empty one for anything else."""
    found: list[Any] | None = value
    return found if isinstance(found, list) else []


def fields_of(record: ModelRecord | None) -> dict[str, Any]:
    """Return the fields of a record that a feature keeps; none if it cannot be read. Numbers that are none become text."""
    try:
        if record is None:
            return {}
        return mapping(json.loads(record.data, parse_constant=str, parse_float=_finite))
    except (ValueError, RecursionError):
        return {}


def _finite(text: str) -> float | str:
    """Return a number; its text if it is too large for one, such as 1e999."""
    number = float(text)
    return number if math.isfinite(number) else text


def when(time: datetime | None) -> str | None:
    """Return a time as ISO 8601."""
    return None if time is None else iso(time)


def time_of(event: Event[Any]) -> str | None:
    """Return the time of an event as ISO 8601; None if what is stored is no time."""
    try:
        return iso(event.time)
    except CodecError:
        return None


def stored_time(text: object) -> str | None:
    """Return a time that a record keeps as text in the form of all others; as it is if it is no time."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
        return iso(time.astimezone(timezone.utc)) if time.tzinfo is not None else text
    except (ValueError, OverflowError):
        return text


def event_shown(source: Source, event: Event[Any], most: int = MOST) -> dict[str, Any]:
    """Return an event as data, with `size`; of a payload that is larger than `most`, only the beginning, as text.

    It raises for nothing that is stored: of an event that cannot be shown, such as one with damaged metadata, `payload` says why.
    """
    try:
        return _event_shown(source, event, most)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it does not keep away the other events of a page
        ref, (encoding, schema, payload) = event.aggregate, event.encoded
        return {
            "position": event.position, "time": time_of(event), "event": event.name, "aggregate": ref and ref.name,
            "aggregate_id": ref and ref.id, "version": event.version, "id": str(event.id), "encoding": encoding,
            "schema": schema, "data": None, "payload": problem(source, exc), "metadata": {}, "tags": [], "size": len(payload),
        }  # fmt: skip


def _event_shown(source: Source, event: Event[Any], most: int) -> dict[str, Any]:
    encoding, schema, payload = event.encoded
    if len(payload) <= most:
        return {**source.event(event), "size": len(payload)}
    small = restore(
        event.id, event.name, None, event.time, event.aggregate, event.version, event.metadata, event.tags,
        event.position, "json", schema, "null",
    )  # fmt: skip
    beginning = payload[:BEGINNING]
    kind, _ = stored_type(source.db.registry, event.name, schema)
    text = source.disclosure.text(beginning if isinstance(beginning, str) else beginning.hex(), kind)
    return {**source.event(small), "encoding": encoding, "payload": text, "size": len(payload), "truncated": True}


def row_of(source: Source, event: Event[Any]) -> dict[str, Any]:
    """Return an event as a row of a list."""
    return event_shown(source, event, IN_LISTS)


def document(source: Source, text: str, kind: Any = None, most: int = MOST, *, current: bool = True) -> dict[str, Any]:
    """Return a document that is stored as JSON, such as a read model, with its size.

    `kind` is its type, if that is known, and `current` whether it has the form of today's.
    """
    if len(text) > most:
        shown = source.disclosure.text(text[:BEGINNING], kind)
        return {"data": None, "payload": shown, "size": len(text), "truncated": True}
    parsed = parsed_json(text)
    if parsed is None:
        return {"data": None, "payload": source.disclosure.text(text, kind), "size": len(text)}
    return {"data": source.disclosure.value(parsed[0], kind, current=current), "size": len(text)}


def differences_shown(found: list[Difference], *, hidden: bool = False, most: int = 200) -> list[dict[str, Any]]:
    """Return where two states differ, as data; `hidden` tells of which attributes, and no more."""
    if hidden:
        return [
            {"path": name, "kind": "changed", "before": MASK, "after": MASK}
            for name in dict.fromkeys(re.split(r"[.\[]", one.path, maxsplit=1)[0] for one in found)
        ][:most]
    return [{"path": one.path, "kind": one.kind, "before": one.before, "after": one.after} for one in found[:most]]


def problem(source: Source, error: Exception) -> str:
    """Return an error of what is stored, or of a function of the program, as text for a page."""
    if isinstance(error, GoesError) and source.disclosure.level == "full":
        return str(error)
    return source.disclosure.error(error_text(error, 500))


def correlation_of(event: Event[Any]) -> str:
    """Return what an event has in common with others; its own id if nothing was noted."""
    try:
        return event.metadata.get(CORRELATION) or str(event.id)
    except CodecError:
        return ""


def causation_of(event: Event[Any]) -> str | None:
    """Return the id of the cause of an event."""
    try:
        return event.metadata.get(CAUSATION)
    except CodecError:
        return None
