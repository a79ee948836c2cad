"""Read models: which collections there are, the records of one, and one record in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from goes_lite.contract.own_collections import PROJECTIONS, REBUILD, RESERVED
from goes_lite.explorer.disclosure import OURS
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.pieces import brief_document, document, pager
from goes_lite.explorer.program import folding, projections
from goes_lite.explorer.shown import IN_LISTS, MOST, fields_of
from goes_lite.explorer.shown import document as document_of

if TYPE_CHECKING:
    from goes_lite.contract.model_store import ModelRecord
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

PAGE = 50
LOOKED_AT = 2_000
"""How many records of a collection are read for one page, from either end."""
COLLECTIONS = 500


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return the collections; those of an argument: its records, or with `id` one of them."""
    if not request.argument:
        return _collections(source)
    collection, id = request.argument, request.exact("id")
    kind = kinds_of(source).get(collection, OURS if collection.startswith(RESERVED) else None)
    with source.db.view() as view:
        if id:
            record = view.models.get(collection, id)
            if record is None:
                raise missing(f"{collection!r:.80} has no {id!r:.80}", "look at the collection")
            return {"collection": collection, "record": _record(source, record, kind, MOST)}
        skip, reverse = request.number("skip", 0) or 0, request.one("order") == "last"
        contains = request.one("contains")
        looked = 0
        rows: list[dict[str, Any]] = []
        more = False
        for record in islice(view.models.query(collection, reverse=reverse, limit=LOOKED_AT), skip, None):
            if len(rows) == PAGE:
                more = True
                break
            looked += 1
            if contains and not _may_contain(record, contains):
                continue
            row = _record(source, record, kind, IN_LISTS)
            if not contains or contains in record.id or _contains(row, contains):
                rows.append(row)
    return {
        "collection": collection, "order": "last" if reverse else "first", "contains": contains or None, "skip": skip,
        "records": rows, "looked": looked, "more": more, "bound": skip + looked >= LOOKED_AT,
    }  # fmt: skip


def _collections(source: Source) -> dict[str, Any]:
    known = projections(source)
    with source.db.view() as view:
        names = view.models.collections()
        built = view.models.query(PROJECTIONS, limit=COLLECTIONS).list()
    versions = {one.id: fields_of(one).get("version") for one in built}
    listed = [
        {"name": name, "version": versions.get(name), "program": known[name].version if name in known else None}
        for name in sorted({*versions, *known})
    ]
    own = [name for name in names if name.startswith(RESERVED)]
    others = [name for name in names if not name.startswith(RESERVED)]
    return {
        "collections": others[:COLLECTIONS], "own": own[:COLLECTIONS], "projections": listed,
        "more": max(len(own), len(others)) > COLLECTIONS,
    }  # fmt: skip


def kinds_of(source: Source) -> dict[str, Any]:
    """Return the types of the read models that the program declares, by collection."""
    found: dict[str, Any] = {}
    for one in projections(source).values():
        if (models := folding(one)) is not None:
            collection = models.collection or models.name
            found |= {collection: models.model, REBUILD + collection: models.model}
    return found


def _record(source: Source, record: ModelRecord, kind: Any, most: int) -> dict[str, Any]:
    return {"id": record.id, "version": record.version, **document_of(source, record.data, kind, most)}


def _may_contain(record: ModelRecord, text: str) -> bool:
    """Whether it is worth parsing a record: JSON may have escaped the text."""
    return text in record.id or text in record.data or "\\" in record.data or '"' in text


def _contains(row: Mapping[str, Any], text: str) -> bool:
    """Whether what is shown of a record has the text: what is hidden is not found either."""
    if "payload" in row:
        return text in row["payload"]
    return any(text in found for found in _texts(row["data"]))


def _texts(value: Any) -> Iterator[str]:
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            yield from one
        elif isinstance(one, list):
            waiting += one
        else:
            yield str(one)


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    if "record" in data:
        return f"{data['record']['id']} of {data['collection']}"
    return data.get("collection") or "Read models"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    if "collections" in data:
        return _overview(data, frame)
    if "record" in data:
        record = data["record"]
        return join(
            frame.facts(
                ("Collection", frame.link(data["collection"], f"/models/{data['collection']}")),
                ("Id", tag("code", record["id"])),
                ("Written", f"{record['version']:,} times"),
                ("Size", f"{record['size']:,} characters"),
            ),
            document(frame, record),
        )
    return _records(data, frame)


def _overview(data: Mapping[str, Any], frame: Frame) -> Html:
    def linked(names: list[str]) -> list[tuple[Html]]:
        return [(frame.link(name, f"/models/{name}"),) for name in names]

    projections = [
        (frame.link(one["name"], f"/projection/{one['name']}"), one["version"] or "–", one["program"] or "not known")
        for one in data["projections"]
    ]
    return join(
        frame.section("Projections", frame.table(
            ("Projection", "Version in the store", "Version of the program"), projections, right=(1, 2),
            caption="Projections", empty="No projection has run.",
        )),
        frame.section("Collections", frame.table(
            ("Collection",), linked(data["collections"]), caption="Collections", empty="There are no read models.",
        )),
        frame.section("Of goes_lite itself", frame.table(
            ("Collection",), linked(data["own"]), caption="Collections of goes_lite", empty="There are none.",
        )),
        frame.notice("There are more collections than are shown.", kind="") if data["more"] else None,
    )  # fmt: skip


def _records(data: Mapping[str, Any], frame: Frame) -> Html:
    rows = [
        (
            frame.link(one["id"] or "(empty)", f"/models/{data['collection']}", id=one["id"]),
            f"{one['version']:,}", brief_document(one), f"{one['size']:,}",
        )
        for one in data["records"]
    ]  # fmt: skip
    skip, last = data["skip"], data["order"] == "last"
    older = frame.again(skip=skip + data["looked"]) if data["more"] else None
    newer = frame.again(skip=max(0, skip - PAGE) or None) if skip else None
    bound = None
    if data["bound"]:
        turn = tag("a", "from the other end", href=frame.again(order=None if last else "last", skip=None))
        bound = frame.notice(f"Only the {LOOKED_AT:,} records from this end are listed: read ", turn,
                             ", or open a record by its id.", kind="")  # fmt: skip
    return join(
        _filter(data, frame),
        frame.table(
            ("Id", "Written", "Data", "Size"), rows, right=(1, 3), caption=f"Records of {data['collection']}",
            empty="No record is here.",
        ),
        bound,
        pager(newer, older, first=frame.again(skip=None)),
    )  # fmt: skip


def _filter(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the form that looks for text, or opens a record by its id."""
    last = data["order"] == "last"
    order = [tag("option", label, value=value, selected=last is (value == "last"))
             for value, label in (("first", "first ids first"), ("last", "last ids first"))]  # fmt: skip
    action = frame.href(f"/models/{data['collection']}")
    return tag(
        "div",
        tag("form",
            tag("label", "Contains ", tag("input", name="contains", value=data["contains"] or "")),
            tag("label", "Order ", tag("select", order, name="order")),
            tag("button", "List"), action=action, method="get", class_="row"),
        tag("form", tag("label", "Id ", tag("input", name="id", size="36")), tag("button", "Open"),
            action=action, method="get", class_="row"),
        class_="spread",
    )  # fmt: skip
