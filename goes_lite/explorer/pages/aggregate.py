"""One aggregate: its timeline, its state at a version with what that version changed, and what happened to related ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from goes_lite.errors import InvalidQueryError
from goes_lite.errors.functions import failure
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.explorer.disclosure import MASK
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.lanes import lanes_of, lanes_table, windows
from goes_lite.explorer.pieces import brief_document, changes, columns, document
from goes_lite.explorer.program import aggregate_class, personal_state
from goes_lite.explorer.shown import (
    correlation_of,
    differences_shown,
    event_shown,
    mapping,
    problem,
    row_of,
    time_of,
)
from goes_lite.operations.difference import differences, plain
from goes_lite.operations.selecting import splits
from goes_lite.operations.today import state_of

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.blocking import BlockingView
    from goes_lite.events.event import Event
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

PAGE = 30
"""Events of the timeline on a page."""
REPLAYED = 2_500
"""Events from which a state is computed only if it is asked for."""
NEAR = 12
"""Events of the timeline around which related ones are looked for."""
NEVER = 10**9


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return a part of the timeline up to the version `upto`, and the state at the version `at`: the newest ones by default."""
    with source.db.view() as view:
        ref, newest = _found(view, request.argument)
        name, id = ref
        version = newest.version
        at = min(version, max(1, request.number("at", version) or version))
        upto = min(version, request.number("upto") or (version if version - at < PAGE else at))
        events = view.events.load(ref, after=max(0, upto - PAGE), upto=upto)
        chosen = view.events.load(ref, after=max(0, at - 2), upto=at)
        related = _related(view, [one for one in events if at - NEAR <= one.version <= at] or events[-NEAR:])
        snapshot = view.snapshots.latest(ref, upto=at)
    first = chosen[-1]
    lanes = lanes_of(
        [{**row_of(source, one), "correlation": correlation_of(one)} for one in related if time_of(one)], (name, id)
    )
    cls = aggregate_class(source, name)
    distance = at - (snapshot.version if snapshot is not None else 0)
    return {
        "aggregate": name,
        "aggregate_id": id,
        "version": version,
        "at": at,
        "time": time_of(first),
        "last_time": time_of(newest),
        "upto": upto,
        "page": PAGE,
        "events": [row_of(source, one) for one in events],
        "event": event_shown(source, first),
        "class": cls and cls.__qualname__,
        "state": _state(source, cls, ref, at, distance, asked=bool(request.one("compute"))) if cls else None,
        "payload_changes": _payload_changes(source, chosen),
        "lanes": lanes,
    }


def _found(view: BlockingView, text: str) -> tuple[AggregateRef, Event[Any]]:
    """Return the aggregate that is named as NAME/ID, and its newest event."""
    for name, id in splits(text):
        with suppress(InvalidQueryError):
            query = EventQuery(aggregates=[AggregateRef(name, id)])
            for event in view.events.query(query, limit=1, reverse=True):
                return AggregateRef(name, id), event
    raise missing(f"there is no aggregate {text!r:.80}: an address has NAME/ID", "look at the aggregates")


def _related(view: BlockingView, events: Sequence[Event[Any]]) -> list[Event[Any]]:
    """Return events of the same correlations that lie near some events of an aggregate, with those."""
    wanted = {correlation_of(one) for one in events} - {""}
    found = {one.position: one for one in events}
    for after, upto in windows(found):
        near = view.events.query(after=after, upto=upto).list()
        found |= {one.position: one for one in near if correlation_of(one) in wanted}
    return [found[position] for position in sorted(found)]


def _payload_changes(source: Source, chosen: Sequence[Event[Any]]) -> list[dict[str, Any]] | None:
    """Return what differs between the payload of a version and that of the one before; None if they are not alike."""
    if len(chosen) < 2 or chosen[0].name != chosen[1].name:
        return None
    before, after = (event_shown(source, one) for one in chosen)
    if "payload" in before or "payload" in after:
        return None
    return differences_shown(differences(before["data"], after["data"]))


def _state(
    source: Source, cls: type[Aggregate], ref: AggregateRef, at: int, distance: int, *, asked: bool
) -> dict[str, Any]:
    """Return the state at a version, and what that version changed; the functions of the program may fail."""
    if source.disclosure.level == "none":
        return {"data": MASK, "changes": []}
    if distance > REPLAYED and not asked:
        return {"postponed": distance}
    from goes_lite.repository.schedule import Every

    hidden = source.disclosure.level == "masked" or (source.disclosure.level != "full" and personal_state(source, cls))
    try:
        repository = source.db.repository(cls, snapshots=Every(NEVER))
        aggregate = repository.fetch_version(ref.id, at - 1, deleted=True) if at > 1 else cls(ref.id)
        before: Any = plain(state_of(aggregate)) if at > 1 else {}
        aggregate.replay(source.db.events.load(ref, after=at - 1, upto=at))
        after = plain(state_of(aggregate))
    except BaseException as exc:  # noqa: BLE001 - classes of the program
        return {"problem": problem(source, failure(exc))}
    return {
        "data": _hidden(after) if hidden else after,
        "deleted": aggregate.deleted,
        "changes": differences_shown(differences(before, after), hidden=hidden),
    }


def _hidden(state: Any) -> Any:
    """Return a state with the names of its attributes, and none of their values."""
    return dict.fromkeys(mapping(state), MASK) or MASK


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return f"{data['aggregate']}/{data['aggregate_id']}"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    at, version = data["at"], data["version"]
    return join(
        frame.facts(
            ("Aggregate", frame.link(data["aggregate"], "/aggregates", name=data["aggregate"])),
            ("Version", f"{version:,}"),
            ("Last event (UTC)", frame.time(data["last_time"])),
            ("Events", frame.link("in the log", "/log", aggregate=f"{data['aggregate']}/{data['aggregate_id']}")),
        ),
        _stepper(frame, at, version),
        _state_section(data, frame),
        _timeline(data, frame),
        _lanes_section(data, frame),
    )


def _stepper(frame: Frame, at: int, version: int) -> Html:
    def step(label: str, to: int, possible: bool) -> Html:
        if not possible:
            return tag("span", label, aria_disabled="true")
        return tag("a", label, href=frame.again(at=to, upto=None, compute=None))

    return tag(
        "nav",
        step("⇤ First", 1, at > 1),
        step("← Before", at - 1, at > 1),
        tag("strong", f"Version {at:,} of {version:,}"),
        step("After →", at + 1, at < version),
        step("Newest ⇥", version, at < version),
        class_="pager", aria_label="Versions",
    )  # fmt: skip


def _state_section(data: Mapping[str, Any], frame: Frame) -> Html:
    state, event = data["state"], data["event"]
    said = join(
        tag("p", frame.event_link(event["position"], event["event"]), " at ", frame.time(event["time"])),
        document(frame, event),
    )
    if state is None:
        body: Html = said
        if data["payload_changes"] is not None:
            body = join(said, changes(
                frame, data["payload_changes"], caption="What differs from the payload of the version before",
                empty="The payload is the same as that of the version before.",
            ))  # fmt: skip
        hint = tag(
            "p", "With --app, or in the program itself, this shows the state that the class computes.", class_="faint"
        )
        return frame.section(f"Version {data['at']:,}: what it says", body, hint)
    if "postponed" in state:
        body = tag("p", f"The state is computed from {state['postponed']:,} events: ",
                   tag("a", "compute it", href=frame.again(compute=1)), ".")  # fmt: skip
    elif "problem" in state:
        body = frame.notice("The state cannot be computed: ", state["problem"], kind="bad")
    else:
        deleted = frame.notice("It is deleted at this version.", kind="") if state.get("deleted") else None
        body = join(
            deleted,
            changes(
                frame, state["changes"], caption="What this version changed", empty="This version changed nothing."
            ),
            frame.value(state["data"]),
        )
    return columns(
        frame.section(f"State at version {data['at']:,}", body, note=data["class"]),
        frame.section("The event of this version", said),
    )


def _timeline(data: Mapping[str, Any], frame: Frame) -> Html:
    rows = [
        (
            tag("a", f"{one['version']:,}", href=frame.again(at=one["version"], upto=data["upto"], compute=None),
                aria_current="true" if one["version"] == data["at"] else None),
            frame.time(one["time"]),
            frame.event_link(one["position"], one["event"]),
            brief_document(one),
        )
        for one in reversed(data["events"])
    ]  # fmt: skip
    upto, page = data["upto"], data["page"]
    older = frame.again(at=upto - page, upto=upto - page) if upto > page else None
    newer = None
    if upto < data["version"]:
        to = min(data["version"], upto + page)
        newer = frame.again(at=to, upto=to)
    table = frame.table(("Version", "Time (UTC)", "Event", "Data"), rows, right=(0,), caption="Timeline")
    pager = frame.pager(older, newer) if older or newer else None
    return frame.section("Timeline", table, pager, note="newest first")


def _lanes_section(data: Mapping[str, Any], frame: Frame) -> Html | None:
    lanes = data["lanes"]
    if len(lanes["lanes"]) < 2:
        return None
    positions = {one["position"] for one in data["events"] if one["version"] == data["at"]}
    shown = lanes_table(lanes, frame, lambda one: one["position"] in positions)
    earlier = tag("p", f"and {lanes['earlier']:,} earlier times", class_="faint") if lanes["earlier"] else None
    return frame.section(
        "Related", shown, earlier, note="what has a correlation in common, near these versions in the log"
    )
