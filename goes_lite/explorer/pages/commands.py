"""Commands that were accepted for later, and the receipts of those that were handled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from goes_lite.contract.own_collections import COMMANDS, RECEIPTS
from goes_lite.errors import CodecError
from goes_lite.events.fields import from_micros
from goes_lite.events.query import EventQuery
from goes_lite.explorer.disclosure import OURS, stored_type
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.moments import position_at
from goes_lite.explorer.pieces import columns, document, pager, status
from goes_lite.explorer.shown import causation_of, correlation_of, fields_of, mapping, row_of, stored_time, when
from goes_lite.explorer.shown import document as document_of

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView
    from goes_lite.contract.model_store import ModelRecord
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

READ = 300
"""How many of the newest accepted commands, and of the newest receipts, are read."""
PAGE = 50
STATES = ("waiting", "scheduled", "sent", "failed", "done", "rejected", "begun")
"""What a command can be: accepted and due; due later; in the queue of the bus; given up on; handled; refused; being handled."""
NEAR = 600
"""How many events around the moment at which a command was handled are looked at."""


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return the newest commands, those in `state` if that is given; of an argument: that one.

    `at` is the position of an event that it caused, where that is known: others are looked for near it.
    """
    if request.argument:
        return _one(source, request.argument, request.number("at"))
    now = source.db.backend.runtime.clock.now()
    with source.db.view() as view:
        accepted = view.models.query(COMMANDS, reverse=True, limit=READ).list()
        receipts = view.models.query(RECEIPTS, reverse=True, limit=READ).list()
    found = [_accepted(source, one, now) for one in accepted]
    known = {one["id"] for one in found}
    found += [_receipt(one) for one in receipts if one.id not in known]
    counts = Counter(one["state"] for one in found)
    state, skip = request.one("state"), request.number("skip", 0) or 0
    wanted = sorted((one for one in found if not state or one["state"] == state), key=_latest, reverse=True)
    return {
        "counts": {name: counts[name] for name in (*STATES, "unreadable") if counts[name]},
        "state": state or None, "skip": skip, "more": len(wanted) > skip + PAGE,
        "commands": wanted[skip : skip + PAGE],
        "bound": READ if len(accepted) == READ or len(receipts) == READ else None,
    }  # fmt: skip


def _latest(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["time"] or "", one["id"]


def _accepted(source: Source, record: ModelRecord, now: datetime) -> dict[str, Any]:
    """Return an accepted command in short. What cannot be read is shown as that."""
    found = fields_of(record)
    try:
        due, state = from_micros(found["due"]), str(found.get("state", "waiting"))
        if state == "waiting" and due > now and not found.get("at_once"):
            state = "scheduled"
        return {
            "id": record.id, "command": str(found["command"]), "state": state, "time": stored_time(found.get("time")),
            "due": when(due), "attempts": int(found.get("attempts", 0)),
            "error": _line(source.disclosure.error(str(found.get("error", "")))),
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, CodecError):
        return _unreadable(record)


def _receipt(record: ModelRecord) -> dict[str, Any]:
    found = fields_of(record)
    if not isinstance(found.get("command"), str):
        return _unreadable(record)
    state = "begun" if found.get("begun") else "rejected" if found.get("rejection") else "done"
    return {
        "id": record.id, "command": found["command"], "state": state, "time": stored_time(found.get("time")), "due": None,
        "attempts": None, "error": "",
    }  # fmt: skip


def _unreadable(record: ModelRecord) -> dict[str, Any]:
    return {
        "id": record.id, "command": "?", "state": "unreadable", "time": None, "due": None, "attempts": 0, "error": "",
    }  # fmt: skip


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:199]}…"


def _one(source: Source, id: str, at: int | None) -> dict[str, Any]:
    """Return all that is kept of a command: as it was accepted, its receipt, the events that it caused."""
    now = source.db.backend.runtime.clock.now()
    with source.db.view() as view:
        accepted, receipt = view.models.get(COMMANDS, id), view.models.get(RECEIPTS, id)
        handled = _text(fields_of(receipt).get("time")) or _text(fields_of(accepted).get("time"))
        events = _caused(source, view, id, handled, at)
    if accepted is None and receipt is None and not events:
        raise missing(f"nothing is kept of a command {id!r:.80}", "look at the commands")
    short = (
        _accepted(source, accepted, now) if accepted is not None else _receipt(receipt) if receipt is not None else None
    )
    return {
        "id": id,
        "command": short and short["command"],
        "state": short and short["state"],
        "accepted": None if accepted is None or short is None else {**short, **_as_accepted(source, accepted)},
        "receipt": None if receipt is None else {**_receipt(receipt), **_as_handled(source, receipt)},
        "events": events,
    }


def _as_accepted(source: Source, record: ModelRecord) -> dict[str, Any]:
    found = fields_of(record)
    payload, command = str(found.get("payload", "")), str(found.get("command"))
    kind, current = stored_type(source.db.registry.commands, command, found.get("schema"))
    if found.get("encoding") == "json" and not found.get("binary"):
        said = document_of(source, payload, kind, current=current)
    else:
        said = {"data": None, "payload": source.disclosure.text(payload, kind)}
    return {
        "said": said if found else document_of(source, record.data, OURS),
        "encoding": found.get("encoding"), "schema": found.get("schema"),
        "error": source.disclosure.error(str(found.get("error", ""))),
        "code": found.get("code") or None, "deadline": stored_time(found.get("deadline")), "version": record.version,
        "metadata": {key: str(value) for key, value in mapping(found.get("metadata")).items()},
    }  # fmt: skip


def _as_handled(source: Source, record: ModelRecord) -> dict[str, Any]:
    found = fields_of(record)
    rejection, result = _text(found.get("rejection")), _text(found.get("result"))
    return {
        "result": None if result is None else document_of(source, result, OURS),
        "rejection": None if rejection is None else document_of(source, rejection, OURS),
    }


def _caused(source: Source, view: BlockingView, id: str, handled: str | None, at: int | None) -> list[dict[str, Any]]:
    """Return events that a command caused: those that carry its tag, and those near the moment at which it was handled."""
    try:
        UUID(id)
    except ValueError:
        return []
    found = {one.position: one for one in view.events.query(EventQuery(tags=[f"command:{id}"]), limit=PAGE)}
    if at is None and handled is not None:
        with suppress(ValueError, TypeError):  # a time that was stored by others
            at = position_at(view, datetime.fromisoformat(handled))
    if at is not None:
        for one in view.events.query(after=max(0, at - NEAR // 2), limit=NEAR):
            if id in (causation_of(one), correlation_of(one)):
                found[one.position] = one
    return [row_of(source, found[at]) for at in sorted(found)][:PAGE]


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return (data["command"] or "Command") if "id" in data else "Commands"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    return _command(data, frame) if "id" in data else _list(data, frame)


def _list(data: Mapping[str, Any], frame: Frame) -> Html:
    choices = [
        tag("a", f"{label} {count:,}", href=frame.href("/commands", state=state),
            aria_current="page" if state == data["state"] else None)
        for label, count, state in (
            ("All", sum(data["counts"].values()), None),
            *((name, count, name) for name, count in data["counts"].items()),
        )
    ]  # fmt: skip
    rows = [
        (
            frame.link(one["command"], f"/commands/{one['id']}"), status(frame, one["state"]),
            frame.time(one["time"]), frame.time(one["due"]), "" if one["attempts"] is None else one["attempts"], one["error"],
            frame.link(tag("code", one["id"]), f"/commands/{one['id']}"),
        )
        for one in data["commands"]
    ]  # fmt: skip
    skip = data["skip"]
    bound = None
    if data["bound"]:
        bound = tag("p", f"Counted among the newest {data['bound']:,} accepted and {data['bound']:,} handled ones, by their ids.",
                    class_="faint")  # fmt: skip
    older = frame.again(skip=skip + PAGE) if data["more"] else None
    newer = frame.again(skip=max(0, skip - PAGE) or None) if skip else None
    return join(
        tag("nav", choices, class_="choices", aria_label="States"),
        bound,
        frame.table(
            ("Command", "State", "Accepted or handled (UTC)", "Due (UTC)", "Attempts", "Error", "Id"), rows, right=(4,),
            caption="Commands", empty="No command is kept here.",
        ),
        pager(newer, older),
    )  # fmt: skip


def _command(data: Mapping[str, Any], frame: Frame) -> Html:
    return join(
        frame.facts(
            ("Id", tag("code", data["id"])),
            ("Command", data["command"] or "not known"),
            ("State", status(frame, data["state"]) if data["state"] else "nothing is kept but its events"),
        ),
        tag(
            "p",
            frame.action("Retry …", "commands/retry", id=data["id"]) if data["state"] == "failed" else None, " ",
            frame.action("Withdraw …", "commands/withdraw", id=data["id"]) if data["accepted"] else None,
        ),
        columns(_accepted_section(data["accepted"], frame), _receipt_section(data["receipt"], frame)),
        frame.section("What it caused", frame.events(data["events"], empty="No event near the moment of its handling."),
                      frame.link("Search the whole log", "/search", q=data["id"])),
    )  # fmt: skip


def _accepted_section(one: Mapping[str, Any] | None, frame: Frame) -> Html | None:
    if one is None:
        return None
    metadata = [(key, tag("code", value)) for key, value in sorted(one["metadata"].items())]
    return frame.section(
        "Accepted",
        frame.facts(
            ("Accepted (UTC)", frame.time(one["time"])),
            ("Due (UTC)", frame.time(one["due"])),
            ("Deadline (UTC)", frame.time(one["deadline"])),
            ("Attempts", one["attempts"]),
            ("Code", one["code"]),
        ),
        tag("pre", one["error"], class_="error", tabindex="0") if one["error"] else None,
        document(frame, one["said"]),
        frame.facts(*metadata) if metadata else None,
    )


def _receipt_section(one: Mapping[str, Any] | None, frame: Frame) -> Html | None:
    if one is None:
        return None
    said = one["rejection"] or one["result"]
    return frame.section(
        "Receipt",
        frame.facts(("Handled (UTC)", frame.time(one["time"])), ("Outcome", status(frame, one["state"]))),
        document(frame, said) if said else frame.empty("It has no result."),
    )
