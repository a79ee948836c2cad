"""How one instance of a workflow looks: what it waits for, its outbox, and its history with the state after each input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.pieces import changes, columns, document, status
from goes_lite.explorer.shown import differences_shown
from goes_lite.operations.difference import differences

ENDED = ("completed", "failed", "cancelled")

if TYPE_CHECKING:
    from goes_lite.explorer.frame import Frame


def render_instance(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page of one instance."""
    one = data["instance"]
    return join(
        _failing(one, frame),
        columns(
            frame.section("Instance", frame.facts(
                ("Status", status(frame, one["status"])),
                ("Version of the definition", one["version"]),
                ("Run", one["run"]),
                ("Inputs", f"{one['inputs']:,}"),
                ("Started (UTC)", frame.time(one["started"])),
                ("Updated (UTC)", frame.time(one["updated"])),
                ("Reason", one["reason"] or None),
                ("Associated", ", ".join(data["associations"]) or None),
                ("To undo", ", ".join(data["undo"]) or None),
                ("Correlation", frame.link(tag("code", data["correlation"]), "/search", q=data["correlation"])
                 if data["correlation"] else None),
                ("History", frame.aggregate_link(f"workflow:{one['workflow']}", one["key"], "as an aggregate")),
            )),
            frame.section("State", document(frame, data["state"])),
        ),
        _waits(data, frame),
        _outbox(data, frame),
        _history(data, frame),
    )  # fmt: skip


def _failing(one: Mapping[str, Any], frame: Frame) -> Html | None:
    failing = one["failing"]
    if failing is None:
        return None
    then = join("it is tried again at ", frame.time(failing["retry"])) if failing["retry"] else "it waits for a person"
    what = failing["input"] or "an undo"
    return frame.notice(
        f"It cannot handle {what} since ", frame.time(failing["since"]), f", after {failing['attempts']} attempts: ", then, ". ",
        tag("code", failing["error"]), kind="bad",
    )  # fmt: skip


def _waits(data: Mapping[str, Any], frame: Frame) -> Html:
    rows: list[tuple[object, ...]] = [
        ("timer", one["name"], frame.time(one["due"])) for one in data["instance"]["timers"]
    ]
    rows += [
        ("command", frame.link(one["command"], f"/commands/{one['id']}"), frame.time(one["due"]) or "being handled, or soon")
        for one in data["outbox"] if one["state"] in ("waiting", "sent", "begun")
    ]  # fmt: skip
    rows += [
        ("input that it is not ready for", frame.event_link(one["position"], one["event"]), "")
        for one in data["waiting"]
    ]
    return frame.section("What it waits for", frame.table(
        ("What", "Which", "When (UTC)"), rows, caption="What it waits for",
        empty="It has ended." if data["instance"]["status"] in ENDED else "Nothing that is known here.",
    ))  # fmt: skip


def _outbox(data: Mapping[str, Any], frame: Frame) -> Html | None:
    rows = [
        (frame.link(tag("code", one["id"]), f"/commands/{one['id']}"), one["command"], status(frame, one["state"]),
         frame.time(one["due"]))
        for one in data["outbox"]
    ]  # fmt: skip
    if not rows:
        return None
    return frame.section(
        "Outbox", frame.table(("Id", "Command", "State", "Due (UTC)"), rows, caption="Dispatched commands")
    )


def _history(data: Mapping[str, Any], frame: Frame) -> Html:
    upto, newest = data["upto"], data["instance"]["events"]
    items: list[Html] = []
    before: Any = None
    for one in data["history"]:
        items.append(_moment(one, before, frame))
        before = one["state"] if one["state"] is not None else before
    shown = len(data["history"])
    older = frame.again(upto=upto - shown) if upto > shown else None
    newer = frame.again(upto=min(newest, upto + shown)) if upto < newest else None
    problem = frame.notice(data["states"], kind="") if data["states"] else None
    pager = frame.pager(older, newer) if older or newer else None
    return frame.section(
        "History", problem, tag("ol", items, class_="history"), pager, note="what it was told, and what it did"
    )


def _moment(one: Mapping[str, Any], before: Any, frame: Frame) -> Html:
    told = join(" ", frame.link("the event", f"/event/{one['input']}")) if one["input"] else None
    effects = [_effect(effect, frame) for effect in one["effects"]]
    state = None
    if one["state"] is not None:
        found = differences_shown(differences(before, one["state"]) if before is not None else [])
        state = tag(
            "details",
            tag("summary", "State after it", _counted(len(found))),
            changes(frame, found, caption="What changed", empty="") if found else None,
            frame.value(one["state"]),
        )
    return tag(
        "li",
        tag(
            "p",
            frame.event_link(one["position"]),
            " ",
            tag("strong", one["what"]),
            told,
            " ",
            tag("small", frame.time(one["time"])),
        ),
        tag("ul", effects, class_="effects") if effects else None,
        state,
    )


def _counted(number: int) -> str | None:
    return None if not number else ", 1 change" if number == 1 else f", {number} changes"


def _effect(one: Mapping[str, Any], frame: Frame) -> Html:
    due = join(" at ", frame.time(one["due"])) if one["due"] else None
    name: object = one["name"]
    if one["effect"] == "dispatch" and one["id"]:
        name = frame.link(one["name"], f"/commands/{one['id']}")
    state = join(" ", status(frame, one["state"])) if one["state"] else None
    return tag("li", tag("span", one["effect"], class_="faint"), " ", name, due, state)
