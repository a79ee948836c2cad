"""The consumers of the log: how far each is, who runs it, and what it gave up on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from goes_lite.contract.checkpoints import check_owned_name
from goes_lite.contract.own_collections import PROCESSORS, PROJECTIONS, parked_collection
from goes_lite.errors import InvalidQueryError
from goes_lite.explorer.disclosure import OURS
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.pieces import age, columns, more_than, pager, status
from goes_lite.explorer.shown import document as document_of
from goes_lite.explorer.shown import fields_of, mapping, sequence, stored_time, when
from goes_lite.operations.info import ConsumerInfo, consumers_of

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

COUNTED = 100
"""How far parked events are counted in the list."""
PAGE = 50
CONSUMERS = 60
"""Consumers on a page of the list."""
LOOKED_AT = 2_000
"""How many parked events of a consumer can be paged through."""


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return the consumers; of an argument: that one, with its parked events from `skip` on."""
    if request.argument:
        return _one(source, request.argument, min(LOOKED_AT, request.number("skip", 0) or 0))
    skip = request.number("skip", 0) or 0
    names = [point.name for point in source.db.checkpoints.all()]
    shown = names[skip : skip + CONSUMERS]
    found = source.run(consumers_of(source.db.backend, names=shown, many=COUNTED)) if shown else ()
    return {
        "head": source.db.events.head(), "consumers": [_data(source, one) for one in found], "skip": skip,
        "count": len(names), "more": len(names) > skip + CONSUMERS,
    }  # fmt: skip


def _data(source: Source, one: ConsumerInfo) -> dict[str, Any]:
    return {
        "name": one.name, "state": "active" if one.owner else "idle", "position": one.position, "lag": one.lag,
        "lag_seconds": one.lag_seconds, "saved": when(one.saved), "owner": one.owner, "expires": when(one.expires),
        "parked": one.parked, "mismatched": one.mismatched, "store": one.store if one.mismatched else None,
    }  # fmt: skip


def _one(source: Source, name: str, skip: int) -> dict[str, Any]:
    found = source.run(consumers_of(source.db.backend, names=[name], many=LOOKED_AT))
    if not found:
        raise missing(f"there is no consumer {name!r:.80}", "look at the consumers")
    letters: tuple[list[dict[str, Any]], bool] = [], False
    lease, requests, projection = None, dict[str, Any](), dict[str, Any]()
    with suppress(InvalidQueryError):  # a name that was stored by others, by which nobody can run
        check_owned_name(name)
        lease = source.db.leases.get(name)
        with source.db.view() as view:
            letters = _parked(source, view, name, skip)
            requests = fields_of(view.models.get(PROCESSORS, name))
            projection = fields_of(view.models.get(PROJECTIONS, name))
    return {
        "head": source.db.events.head(),
        "consumer": _data(source, found[0]),
        "token": None if lease is None else lease.token,
        "requests": {key: value for key, value in requests.items() if isinstance(value, int)},
        "projection": {key: value for key, value in projection.items() if isinstance(value, int)} or None,
        "parked": letters[0], "skip": skip, "more": letters[1],
    }  # fmt: skip


def _parked(source: Source, view: BlockingView, name: str, skip: int) -> tuple[list[dict[str, Any]], bool]:
    """Return a page of parked events, in the order of the log, and whether there are more."""
    try:
        pages = view.models.query(parked_collection(name), limit=skip + PAGE + 1)
    except InvalidQueryError:  # the name of a checkpoint may be longer than that of a processor
        return [], False
    records = list(islice(pages, skip, None))
    letters: list[dict[str, Any]] = []
    for record in records[:PAGE]:
        letter = fields_of(record)
        if not isinstance(letter.get("position"), int):
            letters.append({"id": record.id, "unreadable": document_of(source, record.data, OURS)})
            continue
        ref = letter.get("aggregate")
        pair = [*mapping(ref).values()] or sequence(ref)
        letters.append(
            {
                "id": record.id, "position": letter["position"], "event": str(letter.get("name", "")),
                "aggregate": str(pair[0]) if len(pair) == 2 else None,
                "aggregate_id": str(pair[1]) if len(pair) == 2 else None,
                "attempts": letter.get("attempts"), "error": source.disclosure.error(str(letter.get("error", ""))),
                "time": stored_time(letter.get("time")),
                "behind": letter.get("behind") or None, "due": letter.get("due") or 0,
            }
        )  # fmt: skip
    return letters, len(records) > PAGE


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return data["consumer"]["name"] if "consumer" in data else "Consumers"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    return _one_consumer(data, frame) if "consumer" in data else _list(data, frame)


def _list(data: Mapping[str, Any], frame: Frame) -> Html:
    rows = [
        (
            frame.link(one["name"], f"/consumers/{one['name']}"),
            join(status(frame, one["state"]), " ", frame.badge("mismatched", "bad") if one["mismatched"] else None),
            f"{one['position']:,}", f"{one['lag']:,}", age(one["lag_seconds"]), _parked_count(one, COUNTED, frame),
            tag("code", one["owner"]) if one["owner"] else "–",
        )
        for one in data["consumers"]
    ]  # fmt: skip
    skip = data["skip"]
    older = frame.again(skip=skip + CONSUMERS) if data["more"] else None
    newer = frame.again(skip=max(0, skip - CONSUMERS) or None) if skip else None
    return join(
        tag("p", f"{data['count']:,} consumers have a checkpoint; the head of the log is at {data['head']:,}.", class_="faint"),
        frame.table(
            ("Consumer", "State", "Position", "Lag", "Behind", "Parked", "Active instance"), rows, right=(2, 3, 4, 5),
            caption="Consumers", empty="No consumer has a checkpoint.",
        ),
        pager(newer, older),
    )  # fmt: skip


def _parked_count(one: Mapping[str, Any], most: int, frame: Frame) -> Html | str:
    return frame.badge(more_than(one["parked"], most), "bad") if one["parked"] else "0"


def _one_consumer(data: Mapping[str, Any], frame: Frame) -> Html:
    one, projection = data["consumer"], data["projection"]
    version = projection.get("version") if projection else None
    return join(
        _mismatch(one, frame),
        columns(
            frame.section("Progress", frame.facts(
                ("State", status(frame, one["state"])),
                ("Position", frame.event_link(one["position"]) if one["position"] else "0, at the beginning"),
                ("Head", f"{data['head']:,}"),
                ("Lag", f"{one['lag']:,} positions"),
                ("Behind", age(one["lag_seconds"])),
                ("Saved (UTC)", frame.time(one["saved"])),
                ("Parked", _parked_count(one, LOOKED_AT, frame)),
            )),
            frame.section("Who runs it", frame.facts(
                ("Active instance", tag("code", one["owner"]) if one["owner"] else "none"),
                ("Lease until (UTC)", frame.time(one["expires"])),
                ("Fencing token", data["token"]),
                ("Projection", frame.link(f"version {version}", f"/projection/{one['name']}") if version else None),
                *((f"Requests: {name}", number) for name, number in data["requests"].items()),
            )),
        ),
        tag("p", frame.action("Rebuild …", "rebuild", projection=one["name"])) if version else None,
        _letters(data, frame),
    )  # fmt: skip


def _mismatch(one: Mapping[str, Any], frame: Frame) -> Html | None:
    if not one["mismatched"]:
        return None
    return frame.notice(
        "Its checkpoint belongs to another store or epoch, or lies past the head: it will refuse to run. "
        "Let it start again with reset(), or goes-lite rebuild.", kind="bad",
    )  # fmt: skip


def _letters(data: Mapping[str, Any], frame: Frame) -> Html:
    name = data["consumer"]["name"]
    rows = [_letter(one, name, frame) for one in data["parked"]]
    everything = frame.action("Redrive all …", "parked/redrive", consumer=name) if rows else None
    skip = data["skip"]
    older = frame.again(skip=skip + PAGE) if data["more"] else None
    newer = frame.again(skip=max(0, skip - PAGE) or None) if skip else None
    return frame.section(
        "Parked events",
        frame.table(
            ("Position", "Event", "Aggregate", "Attempts", "Why", "Time (UTC)", ""), rows, right=(0, 3), caption="Parked events",
            empty="It has given up on no event.",
        ),
        pager(newer, older),
        everything,
        note="in the order of the log",
    )  # fmt: skip


def _letter(one: Mapping[str, Any], name: str, frame: Frame) -> tuple[object, ...]:
    if "unreadable" in one:
        return one["id"], "cannot be read", "", "", "the record is damaged: goes-lite verify", "", ""
    place = frame.aggregate_link(one["aggregate"], one["aggregate_id"]) if one["aggregate"] is not None else "–"
    why: object = tag("pre", one["error"], class_="error", tabindex="0")
    if not one["error"] and one["behind"]:
        why = join("held back because of ", frame.event_link(one["behind"]))
    asked = frame.badge("a retry was asked for") if one["due"] else None
    return (
        frame.event_link(one["position"]), one["event"], place, one["attempts"], join(why, asked),
        frame.time(one["time"]),
        join(
            frame.action("Redrive …", "parked/redrive", consumer=name, position=one["position"]), " ",
            frame.action("Drop …", "parked/drop", consumer=name, position=one["position"]),
        ),
    )  # fmt: skip
