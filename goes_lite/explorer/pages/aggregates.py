"""The aggregates of a store, by name and id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.events.fields import MAX_ID_BYTES, AggregateRef
from goes_lite.explorer.html import Href, Html, join, tag
from goes_lite.explorer.pieces import pager
from goes_lite.explorer.shown import when
from goes_lite.operations.names import aggregate_names

if TYPE_CHECKING:
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

PAGE = 100
NAMES = 100
"""How many names of aggregates are offered."""


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return a page of aggregates: `name` keeps those of one, `after_name` and `after_id` begin after one, `id` at an id."""
    name, id = request.exact("name"), request.exact("id")
    after: AggregateRef | None = None
    if after_name := request.exact("after_name"):
        after = AggregateRef(after_name, request.exact("after_id"))
    elif name and id:
        after = ref_before(name, id)
    with source.db.view() as view:
        names = source.run(aggregate_names(view.view, most=NAMES + 1))
        found = view.events.aggregates(name or None, after=after, limit=PAGE + 1).list()
    rows = [
        {
            "aggregate": one.aggregate.name, "aggregate_id": one.aggregate.id, "version": one.version,
            "first_time": when(one.first_time), "last_time": when(one.last_time),
        }
        for one in found[:PAGE]
    ]  # fmt: skip
    return {
        "names": names[:NAMES], "more_names": len(names) > NAMES, "name": name or None, "id": id or None,
        "aggregates": rows, "more": len(found) > PAGE,
    }  # fmt: skip


def ref_before(name: str, id: str) -> AggregateRef:
    """Return what no aggregate of a name lies between and the first id that begins so, in the order of code points."""
    last = ord(id[-1])
    if not last:
        return AggregateRef(name, id[:-1] or "\0")
    before = chr(0xD7FF if last == 0xE000 else last - 1)
    room = (MAX_ID_BYTES - len(f"{id[:-1]}{before}".encode(errors="replace"))) // 4
    return AggregateRef(name, f"{id[:-1]}{before}{chr(0x10FFFF) * max(0, room)}")


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    rows = [
        (
            frame.aggregate_link(one["aggregate"], one["aggregate_id"]), f"{one['version']:,}",
            frame.time(one["first_time"]), frame.time(one["last_time"]),
        )
        for one in data["aggregates"]
    ]  # fmt: skip
    last = data["aggregates"][-1] if data["more"] else None
    older = None if last is None else frame.again(after_name=last["aggregate"], after_id=last["aggregate_id"], id=None)
    return join(
        _names(data, frame),
        _jump(data, frame),
        frame.table(
            ("Aggregate", "Version", "First event (UTC)", "Last event (UTC)"), rows, right=(1,),
            caption="Aggregates by name and id", empty="No aggregate follows from here.",
        ),
        pager(_first(data, frame), older),
    )  # fmt: skip


def _first(data: Mapping[str, Any], frame: Frame) -> Href | None:
    """Return the address of the first page; None on it."""
    asked = frame.query or {}
    return frame.again(after_name=None, after_id=None, id=None) if data["id"] or "after_name" in asked else None


def _names(data: Mapping[str, Any], frame: Frame) -> Html:
    links = [
        tag(
            "a", label, href=frame.href("/aggregates", name=name), aria_current="page" if name == data["name"] else None
        )
        for label, name in (("All", None), *((one, one) for one in data["names"]))
    ]
    more = tag("span", "… and more", class_="faint") if data["more_names"] else None
    return tag("nav", links, more, class_="choices", aria_label="Names of aggregates")


def _jump(data: Mapping[str, Any], frame: Frame) -> Html | None:
    """Return the form that goes to an id, for the aggregates of one name."""
    if data["name"] is None:
        return None
    return tag(
        "form",
        tag("input", type="hidden", name="name", value=data["name"]),
        tag("label", "From id ", tag("input", name="id", value=data["id"] or "", size="30")),
        tag("button", "Go"),
        action=frame.href("/aggregates"), method="get", class_="row",
    )  # fmt: skip
