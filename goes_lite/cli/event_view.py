"""How an event looks: as data for programs, and as a line for people."""

from __future__ import annotations

import json
from typing import Any

from goes_lite.cli.terminal import CYAN, DIM, PLAIN, Terminal, cut, iso, printable
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


class EventLines:
    """Prints events as lines: complete in a pipe; on a terminal cut to the width, under a heading for each day."""

    def __init__(self, terminal: Terminal) -> None:
        self._out = terminal
        self._day = ""

    def __call__(self, event: Event[Any]) -> None:
        out = self._out
        place = f"{ref_text(event.aggregate)} v{event.version}" if event.aggregate else "-"
        if not out.interactive:
            out.line(f"{event.position:>6}  {iso(event.time)}  {event.name:<24}  {place:<24}  {payload_text(event)}")
            return
        day = f"{event.time:%Y-%m-%d}"
        if day != self._day:
            self._day = day
            out.line(f"─── {day}, UTC", DIM)
        start = f"{event.position:>6}  {event.time:%H:%M:%S.%f}"[:-3]
        title = printable(event.name)
        line = cut(printable(f"{start}  {title:<18}  {place:<18}  {payload_text(event)}"), out.width - 1)
        end = len(start) + 2 + len(title)
        out.parts((line[: len(start)], DIM), (line[len(start) : end], CYAN), (line[end:], PLAIN))
