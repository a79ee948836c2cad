"""Search: what an id, a name or a tag stands for at once, and text in payloads and metadata by reading the log bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from goes_lite.contract.own_collections import COMMANDS, RECEIPTS
from goes_lite.errors import GoesError, InvalidQueryError
from goes_lite.events.event import Event, metadata_json, tags_json
from goes_lite.events.query import EventQuery
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.pages.aggregates import ref_before
from goes_lite.explorer.shown import row_of
from goes_lite.operations.names import aggregate_names

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

READ = 2_000
"""How many events a request reads; the next one goes on from there."""
BYTES = 4_000_000
"""How much of payloads a request looks through: with large ones, it reads fewer events."""
FOUND = 50
"""How many found events a page shows; the next one goes on after the last of them."""
NAMES = 40
"""In the aggregates of how many names an id is looked for."""
EACH = 5
LONGEST = 500


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return what `q` stands for, and events that have it as text: among those before the position `before`, the newest first."""
    text = request.one("q")[:LONGEST]
    before = request.number("before")
    if not text:
        return {
            "q": "",
            "things": [],
            "searched": 0,
            "head": source.db.events.head(),
            "events": [],
            "next": None,
            "from": None,
        }
    with source.db.view() as view:
        head = view.events.head()
        things = _things(source, view, text, head) if before is None else []
        upto = head if before is None else min(head, max(0, before - 1))
        events, searched, reached = _scan(source, view, text, upto)
    return {
        "q": text,
        "things": things,
        "searched": searched,
        "from": upto,
        "head": head,
        "events": events,
        "next": reached if reached > 1 else None,
    }


def _things(source: Source, view: BlockingView, text: str, head: int) -> list[dict[str, Any]]:
    """Return what the text is the id or name of: found by indexes, whatever the size of the store."""
    found: list[dict[str, Any]] = []
    if text.isascii() and text.isdigit() and len(text) < 19 and 0 < int(text) <= head:
        found += [_thing("position", f"event at position {text}", f"/event/{text}")]
    try:
        id = UUID(text)
    except ValueError:
        pass
    else:
        if event := view.events.find(id):
            found.append(_thing("event", f"{event.name} at position {event.position}", f"/event/{event.position}"))
        for collection, what in ((COMMANDS, "accepted command"), (RECEIPTS, "handled command")):
            if view.models.get(collection, str(id)) is not None:
                found.append(_thing(what, str(id), f"/commands/{id}"))
    try:
        if ":" in text and (tagged := view.events.query(EventQuery(tags=[text]), reverse=True, limit=1).list()):
            found.append(
                _thing("tag", f"events with the tag {text}, the last at {tagged[0].position}", "/log", tag=text)
            )
    except InvalidQueryError:
        pass
    try:
        if named := view.events.query(EventQuery([text]), reverse=True, limit=1).list():
            found.append(
                _thing("event name", f"events named {text}, the last at {named[0].position}", "/log", name=text)
            )
    except InvalidQueryError:
        pass
    return found + _aggregates(source, view, text) + _stored(view, text)


def _aggregates(source: Source, view: BlockingView, text: str) -> list[dict[str, Any]]:
    """Return aggregates whose id begins with the text, or that it names as NAME/ID."""
    name, slash, id = text.partition("/")
    found: list[dict[str, Any]] = []
    for one in source.run(aggregate_names(view.view, most=NAMES)):
        if one == text:
            found.append(_thing("aggregate name", f"aggregates named {one}", "/aggregates", name=one))
        wanted = id if slash and one == name and id else text
        try:
            infos = view.events.aggregates(one, after=ref_before(one, wanted), limit=EACH).list()
        except InvalidQueryError:  # too long for an id
            continue
        for info in infos:
            if info.aggregate.id.startswith(wanted):
                found.append(_thing("aggregate", f"{one}/{info.aggregate.id}", f"/aggregate/{one}/{info.aggregate.id}"))
    return found


def _stored(view: BlockingView, text: str) -> list[dict[str, Any]]:
    found = [_thing("collection", text, f"/models/{text}")] if text in view.models.collections() else []
    try:
        if view.checkpoints.get(text) is not None:
            found.append(_thing("consumer", text, f"/consumers/{text}"))
    except GoesError:
        pass
    return found


def _thing(kind: str, label: str, path: str, **query: str) -> dict[str, Any]:
    return {"kind": kind, "label": label, "path": path, "query": query}


def _scan(source: Source, view: BlockingView, text: str, upto: int) -> tuple[list[dict[str, Any]], int, int]:
    """Return events with the text, how many were read, and the position of the last one that was; 0 at the end of the log."""
    found: list[dict[str, Any]] = []
    searched = reached = size = 0
    pages = view.events.query(upto=upto, limit=READ, reverse=True)
    while page := pages.next_page():
        for event in page:
            searched, reached, size = searched + 1, event.position, size + len(event.encoded.payload)
            where = _where(source, event, text)
            if where:
                found.append({**row_of(source, event), "where": where})
            if len(found) == FOUND or size > BYTES:
                return found, searched, reached
    return found, searched, reached if searched == READ else 0


def _where(source: Source, event: Event[Any], text: str) -> str:
    """Return what of an event has the text; nothing if none of it has. Hidden payloads are not searched."""
    folded = text.casefold()
    if event.name.casefold() == folded or folded in (event.aggregate.id.casefold() if event.aggregate else ""):
        return "id or name"
    if folded in (tags_json(event) or "").casefold() and any(folded in one.casefold() for one in event.tags):
        return "tag"
    metadata = metadata_json(event) or ""
    if folded in metadata.casefold() and any(folded in one.casefold() for one in event.metadata.values()):
        return "metadata"
    payload = event.encoded.payload
    if isinstance(payload, str) and source.disclosure.level != "none" and _in_payload(payload, text, folded):
        shown = row_of(source, event)
        return "payload" if _has(shown.get("payload") if "payload" in shown else shown["data"], folded) else ""
    return ""


def _in_payload(payload: str, text: str, folded: str) -> bool:
    """Whether a payload may have the text: JSON may have escaped it."""
    return folded in payload.casefold() or ("\\" in payload and not text.isascii()) or ('"' in text or "\\" in text)


def _has(value: Any, folded: str) -> bool:
    """Whether a value, as it is shown, has the text."""
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif folded in (one if isinstance(one, str) else str(one)).casefold():
            return True
    return False


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return f"Search: {data['q']}" if data["q"] else "Search"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    form = tag(
        "form",
        tag("label", "Id, name, tag or text ", tag("input", name="q", value=data["q"], size="40", type="search")),
        tag("button", "Search"),
        action=frame.href("/search"), method="get", class_="row",
    )  # fmt: skip
    if not data["q"]:
        return join(
            form,
            frame.empty(
                "Ids, names and tags are found in the whole store; text is looked for in the newest events first."
            ),
        )
    things = [(one["kind"], frame.link(one["label"], one["path"], **one["query"])) for one in data["things"]]
    return join(
        form,
        frame.section("Found by id or name", frame.table(("What", "Where"), things, caption="Found by id or name"))
        if things else None,
        frame.section("Events that have this text", _events(data, frame), _progress(data, frame)),
    )  # fmt: skip


def _events(data: Mapping[str, Any], frame: Frame) -> Html:
    return frame.events(data["events"], empty="None among the events that were searched.")


def _progress(data: Mapping[str, Any], frame: Frame) -> Html:
    begun = data["from"] == data["head"]
    which = "the newest" if begun else f"before position {data['from'] + 1:,},"
    told = f"Searched {which} {data['searched']:,} events; the head of the log is at {data['head']:,}."
    if data["next"] is None:
        return tag("p", told, " This was all.", class_="faint")
    more = tag("a", "Search on →", href=frame.again(before=data["next"]), rel="next")
    return join(tag("p", told, class_="faint"), tag("nav", more, class_="pager", aria_label="Pages"))
