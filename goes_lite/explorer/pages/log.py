"""The events of the store, in the order of the log: filtered, page by page, live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goes_lite.explorer.exchange import Request
from goes_lite.explorer.frame import Frame
from goes_lite.explorer.html import Child, Href, Html, join, tag
from goes_lite.explorer.selection import FIELDS, Selection
from goes_lite.explorer.source import Source

PAGE = 50
"""Events on a page, unless `limit` says otherwise."""
MOST = 500


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return a page of events.

    Newest first, those at the position `from` and before; with `order=oldest`, those at that position and after. `older` and
    `newer` are the `from` of the pages next to it: None where there is none, and 0 for the page of the newest.
    """
    selection = Selection.of(request, source)
    head = source.db.events.head()
    begin = request.number("from")
    limit = min(max(request.number("limit", PAGE) or PAGE, 1), MOST)
    oldest_first = request.one("order") == "oldest"
    if oldest_first:
        found = selection.read(source, after=max((begin or 1) - 1, 0), upto=head, limit=limit)
        before = (begin or 1) - 1
    else:
        upto = head if begin is None else min(begin, head)
        found = selection.read(source, after=0, upto=upto, limit=limit, reverse=True)
        before = upto + 1
    return {
        "events": found.events,
        "head": head,
        "order": "oldest" if oldest_first else "newest",
        "from": begin,
        "limit": limit,
        "looked_at": found.looked_at,
        "ended": found.ended,
        "live": not oldest_first and begin is None,
        "names": sorted(source.tally.names),
        "filters": {name: list(request.all(name)) for name in FIELDS if request.all(name)},
        **_next_to(selection, source, head, before, found, oldest_first=oldest_first, limit=limit),
    }


def _next_to(
    selection: Selection, source: Source, head: int, before: int, found: Any, *, oldest_first: bool, limit: int
) -> dict[str, int | None]:
    """Return where the pages begin that come before and after this one."""
    if oldest_first:
        newer = None if found.ended or found.reached >= head else found.reached + 1
        past = selection.read(source, after=0, upto=before, limit=limit, reverse=True) if before > 0 else None
        older = None if past is None or not (past.events or not past.ended) else max(_last(past), 1)
        return {"newer": newer, "older": older}
    older = None if found.ended or found.reached <= 1 else found.reached - 1
    past = selection.read(source, after=before - 1, upto=head, limit=limit) if before <= head else None
    newer = None
    if past is not None:
        newer = 0 if past.ended else _last(past)
    return {"newer": newer, "older": older}


def _last(found: Any) -> int:
    return int(found.events[-1]["position"] if found.events else found.reached)


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    filters, oldest_first = data["filters"], data["order"] == "oldest"
    ends = [join(f"Looked at {data['looked_at']:,} events. ")] if data["looked_at"] > len(data["events"]) else []
    older = None if data["older"] is None else frame.again(**{"from": data["older"]})
    newer = None if data["newer"] is None else frame.again(**{"from": data["newer"] or None})
    first = frame.again(**{"from": None, "order": None}) if data["from"] is not None or oldest_first else None
    pager = frame.pager(older, newer, first=first)
    nothing = "No event matches." if data["ended"] else "None of these events matches: go on to look at more."
    return join(
        _form(data, frame),
        tag("div", tag("div", _live(data, frame), class_="row"), pager, class_="spread"),
        frame.events(data["events"], id="live" if data["live"] else None, empty=nothing),
        frame.empty(nothing) if data["live"] and not data["events"] else None,
        tag("div", tag("small", ends, f"Head: {data['head']:,}."), pager, class_="spread"),
        tag("p", "Payloads are compared as they are shown: masked values match nothing.", class_="faint")
        if filters.get("where")
        else None,
    )


def _live(data: Mapping[str, Any], frame: Frame) -> Child:
    if not data["live"]:
        return tag(
            "span", "oldest first" if data["order"] == "oldest" else f"up to position {data['from']:,}", class_="live"
        )
    address = frame.address("/live", {**data["filters"], "after": data["head"]})
    return tag("span", "reload to see more", class_="live", data_live=address, role="status")


def _form(data: Mapping[str, Any], frame: Frame) -> Html:
    filters: Mapping[str, Sequence[str]] = data["filters"]

    def fields(label: str, name: str, hint: str, **more: object) -> list[Html]:
        """Return a field for each value; there is at least one."""
        return [
            tag("label", label, tag("input", name=name, value=value or None, placeholder=hint, **more))
            for value in filters.get(name) or [""]
        ]

    begin = data["from"]
    order = [
        tag("option", label, value=value, selected=value == data["order"])
        for value, label in (("newest", "newest first"), ("oldest", "oldest first"))
    ]
    return tag(
        "form",
        tag("datalist", [tag("option", value=name) for name in data["names"]], id="names"),
        fields("Event", "name", "order.placed", list="names"),
        fields("Not", "not", "order.viewed", list="names"),
        fields("Aggregate", "aggregate", "order or order/2026-001"),
        fields("Tag", "tag", "customer:ada"),
        fields("Payload", "where", "customer.city=Bonn"),
        fields("Since (UTC)", "since", "2026-11-30 or 2h"),
        fields("Until (UTC)", "until", "2026-11-30T12:00"),
        tag(
            "label", "From position", tag("input", name="from", value=begin, inputmode="numeric", placeholder="the end")
        ),
        tag("label", "Order", tag("select", order, name="order")),
        tag(
            "div",
            tag("button", "Filter", type="submit", class_="main"),
            tag("a", "Clear", href=frame.href("/log"), class_="button") if filters or begin else None,
            class_="row",
        ),
        method="get",
        action=Href(frame.href("/log")),
        class_="filters",
        role="search",
    )
