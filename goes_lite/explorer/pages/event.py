"""One event: everything that is stored of it, what the program makes of it today, and what it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from goes_lite.errors import CodecError
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.pieces import changes, columns, document
from goes_lite.explorer.shown import MOST, differences_shown, event_shown, time_of
from goes_lite.operations.difference import differences
from goes_lite.operations.today import today_of
from goes_lite.operations.trace import Step, Trace, trace

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView
    from goes_lite.events.event import Event
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

READ = 1_500
"""How many events of the log are read for the tree."""
STEPS = 200
"""How many steps of the tree are shown."""
DEEPEST = 60
"""Levels of the tree that are shown."""


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return the event at a position, or with an id."""
    with source.db.view() as view:
        event = _found(view, request.argument)
        if event is None:
            raise missing(
                f"there is no event {request.argument!r:.80}: the head is {view.events.head()}", "look at the log"
            )
        before = view.events.query(upto=event.position - 1, limit=1, reverse=True).list() if event.position > 1 else []
        after = view.events.query(after=event.position, limit=1).list()
        try:
            belongs = source.run(trace(view.view, event, most=READ))
        except CodecError:  # its metadata, or that of a cause, cannot be read
            belongs = Trace("", [Step(str(event.id), event)], 1, complete=False)
    shown = event_shown(source, event)
    today = _today(source, event)
    steps, cut = _steps(belongs)
    return {
        "event": shown,
        "today": today,
        "changes": _changes(source, event, shown, today),
        "before": before[0].position if before else None,
        "after": after[0].position if after else None,
        "correlation": belongs.correlation,
        "related": belongs.events,
        "complete": belongs.complete and not cut,
        "steps": steps,
    }


def _found(view: BlockingView, text: str) -> Event[Any] | None:
    if text.isascii() and text.isdigit():
        position = int(text) if len(text) < 20 else 0
        found = view.events.query(after=position - 1, upto=position).list() if 0 < position < 2**63 else []
        return found[0] if found else None
    try:
        return view.events.find(UUID(text))
    except ValueError:
        return None


def _today(source: Source, event: Event[Any]) -> dict[str, Any] | None:
    registry = source.db.registry
    if len(event.encoded.payload) > MOST and event.name in registry:
        return {
            "event": registry.canonical(event.name),
            "type": None,
            "data": None,
            "problem": "it is too large for a page",
        }
    found = today_of(event, registry)
    if found is not None and "problem" in found:
        found["problem"] = source.disclosure.error(found["problem"])
    elif found is not None:
        found["data"] = source.disclosure.value(found["data"], registry.type_of(found["event"]))
    return found


def _changes(
    source: Source, event: Event[Any], shown: Mapping[str, Any], today: Mapping[str, Any] | None
) -> list[dict[str, Any]] | None:
    """Return what differs between the stored form and today's, as far as both are shown; None without today's."""
    if today is None or "problem" in today or "payload" in shown:
        return None
    return differences_shown(differences(shown["data"], today["data"]))


def _steps(found: Trace) -> tuple[list[dict[str, Any]], bool]:
    """Return the steps of the tree in the order of reading, each with its depth; and whether some were left out."""
    steps: list[dict[str, Any]] = []
    waiting = [(step, 0) for step in reversed(found.beginnings)]
    cut = False
    while waiting and len(steps) < STEPS:
        step, depth = waiting.pop()
        steps.append(_step(step, depth))
        if depth < DEEPEST:
            waiting += [(one, depth + 1) for one in reversed(step.consequences)]
        else:
            cut = cut or bool(step.consequences)
    return steps, cut or bool(waiting)


def _step(step: Step, depth: int) -> dict[str, Any]:
    event = step.event
    if event is None:
        return {"depth": depth, "id": step.id, "position": None, "command": _is_uuid(step.id)}
    ref = event.aggregate
    return {
        "depth": depth, "id": step.id, "position": event.position, "event": event.name,
        "aggregate": ref and ref.name, "aggregate_id": ref and ref.id, "version": event.version, "time": time_of(event),
    }  # fmt: skip


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return f"{data['event']['event']} at position {data['event']['position']}"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    event = data["event"]
    place = None
    if event["aggregate"] is not None:
        place = join(
            frame.aggregate_link(event["aggregate"], event["aggregate_id"]), " version ",
            frame.link(event["version"], f"/aggregate/{event['aggregate']}/{event['aggregate_id']}", at=event["version"]),
        )  # fmt: skip
    metadata = [(tag("code", key), _metadata(frame, key, value)) for key, value in sorted(event["metadata"].items())]
    return join(
        _neighbours(data, frame),
        frame.facts(
            ("Event", frame.link(event["event"], "/log", name=event["event"])),
            ("Aggregate", place or "none"),
            ("Time (UTC)", frame.time(event["time"])),
            ("Id", tag("code", event["id"])),
            ("Tags", frame.tags(event["tags"]) if event["tags"] else "none"),
            ("Payload", f"{event['encoding']}, schema {event['schema']}, {event['size']:,} characters"),
        ),
        columns(
            frame.section("Stored", document(frame, event), note="as the log has it"),
            _today_section(data, frame),
        ),
        frame.section(
            "Metadata", frame.table(("Key", "Value"), metadata, caption="Metadata", empty="This event has none.")
        ),
        _tree(data, frame),
    )


def _metadata(frame: Frame, key: str, value: str) -> Html:
    shown = tag("code", value)
    if key in ("causation", "correlation"):
        return join(shown, " ", frame.link("search", "/search", q=value))
    return shown


def _neighbours(data: Mapping[str, Any], frame: Frame) -> Html:
    before, after = data["before"], data["after"]
    older = None if before is None else frame.href(f"/event/{before}")
    newer = None if after is None else frame.href(f"/event/{after}")
    return frame.pager(older, newer)


def _today_section(data: Mapping[str, Any], frame: Frame) -> Html | None:
    today = data["today"]
    if today is None:
        return None
    if "problem" in today:
        body: Html = frame.notice("It cannot be read: ", today["problem"], kind="bad")
    elif not data["changes"]:
        body = frame.empty("The same as stored.")
    else:
        body = join(
            frame.value(today["data"]),
            changes(frame, data["changes"], caption="What differs from the stored form", empty="The same as stored."),
        )
    note = f"{today['type']}, {today['event']}" if today["type"] else today["event"]
    return frame.section("Today", body, note=note)


def _tree(data: Mapping[str, Any], frame: Frame) -> Html:
    steps = data["steps"]
    note = f"{data['related']:,} events of one correlation"
    more = None
    if not data["complete"]:
        more = frame.notice(
            "Only a part of the log was read: there may be more. ",
            frame.link("Search for the correlation", "/search", q=data["correlation"]), kind="",
        )  # fmt: skip
    if len(steps) == 1:
        body: Html = frame.empty("Nothing in this store caused it, and nothing that was read follows from it.")
    else:
        body = _branches(steps, frame, data["event"]["id"], data["event"]["position"])
    return frame.section("Causes and consequences", body, more, note=note)


def _branches(steps: list[dict[str, Any]], frame: Frame, this: str, at: int) -> Html:
    """Return nested lists, built from the last step to the first: each takes the deeper ones after it as its own."""
    below: dict[int, list[Html]] = {}
    for step in reversed(steps):
        inside = below.pop(step["depth"] + 1, [])
        item = tag("li", _line(step, frame, this, at), tag("ul", reversed(inside)) if inside else None)
        below.setdefault(step["depth"], []).append(item)
    return tag("ul", reversed(below.get(0, [])), class_="tree")


def _line(step: Mapping[str, Any], frame: Frame, this: str, at: int) -> Html:
    if step["position"] is None and step["command"]:
        return tag("span", "command ", frame.link(tag("code", step["id"]), f"/commands/{step['id']}", at=at))
    if step["position"] is None:
        return tag("span", "something called ", frame.link(tag("code", step["id"]), "/search", q=step["id"]))
    parts: list[object] = [
        frame.event_link(step["position"]),
        " ",
        tag("strong" if step["id"] == this else "span", step["event"]),
    ]
    if step["aggregate"] is not None:
        parts += [
            " ",
            frame.aggregate_link(step["aggregate"], step["aggregate_id"]),
            tag("small", f" v{step['version']}"),
        ]
    parts += [" ", tag("small", frame.time(step["time"]))]
    if step["id"] == this:
        parts += [" ", frame.badge("this event", "good")]
    return tag("span", parts, aria_current="true" if step["id"] == this else None)
