"""A projection: which version made its read models, what any event makes of them, and whether they are what the program makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.contract.own_collections import PROJECTIONS, REBUILD
from goes_lite.errors.functions import failure
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.pieces import brief_document, changes, columns, document
from goes_lite.explorer.program import folding, projections
from goes_lite.explorer.shown import differences_shown, fields_of, problem, row_of
from goes_lite.explorer.shown import document as document_of
from goes_lite.operations.difference import differences
from goes_lite.operations.names import aggregate_names
from goes_lite.projection.stepping import Stepped, TooManyEvents, folded, step, step_in_memory

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView
    from goes_lite.events.event import Event
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source
    from goes_lite.projection import ModelProjection, Projection

FOLDED = 2_000
"""How many events are folded for a page …"""
FOLDED_IF_ASKED = 50_000
"""… and if it is asked for with `compute`."""
WRITTEN = 500
"""How many events a projection that writes by itself is told, in memory."""
SAMPLE = 20
"""How many read models are compared."""
NAMES = 50
SHOWN = 20
"""How many read models of one event are shown."""


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return the facts of a projection, and what the event `at` a position makes of its read models."""
    name = request.argument
    known = projections(source).get(name)
    models = folding(known)
    with source.db.view() as view:
        record = view.models.get(PROJECTIONS, name)
        checkpoint = view.checkpoints.get(name)
        head = view.events.head()
        if known is None and record is None:
            raise missing(f"there is no projection {name!r:.80}", "look at the read models")
        collection = name if models is None else models.collection or name
        building = _building(source, view, name, collection, models)
        names = source.run(aggregate_names(view.view, most=NAMES))
        live = view.models.query(collection, limit=SAMPLE).list() if models is not None else []
    position = checkpoint.position if checkpoint is not None else 0
    asked = bool(request.one("compute"))
    return {
        "name": name,
        "stored": {key: value for key, value in fields_of(record).items() if isinstance(value, int)} or None,
        "program": None if known is None else {"version": known.version, "class": type(known).__qualname__,
                                               "models": models is not None},
        "collection": collection,
        "position": None if checkpoint is None else position,
        "head": head,
        "rebuilding": building,
        "step": None if known is None else _stepped(source, known, request.number("at"), position or head, names, asked=asked),
        "parity": _parity(source, models, {one.id: one.data for one in live}, position, names, asked=asked)
        if models is not None and position else None,
    }  # fmt: skip


def _building(
    source: Source, view: BlockingView, name: str, collection: str, models: ModelProjection[Any] | None
) -> dict[str, Any] | None:
    """Compare some of the read models that are built next to the live ones with those; None if none are."""
    new = {one.id: one for one in view.models.query(REBUILD + collection, limit=SAMPLE)}
    if not new:
        return None
    live, kind = view.models.get_many(collection, new), None if models is None else models.model
    reached = view.checkpoints.get(REBUILD + name)
    different = [
        {"id": id, "live": document_of(source, live[id].data, kind) if id in live else None,
         "new": document_of(source, one.data, kind)}
        for id, one in new.items() if id not in live or not _same(live[id].data, one.data)
    ]  # fmt: skip
    return {"position": None if reached is None else reached.position, "compared": len(new), "different": different}


# --- the stepper ------------------------------------------------------------------------------------------------------


def _stepped(
    source: Source, projection: Projection, at: int | None, position: int, names: Sequence[str], *, asked: bool
) -> dict[str, Any]:
    """Return an event that the projection handles, by default the last one, and what it makes of the read models."""
    registry = source.db.registry
    try:
        query = projection.query(registry)
        found = source.db.events.query(query, upto=position if at is None else at, limit=1, reverse=True).list()
        if not found:
            return {"event": None, "at": at}
        event = found[0]
        before = (
            source.db.events.query(query, upto=event.position - 1, limit=1, reverse=True).list()
            if event.position > 1
            else []
        )
        after = source.db.events.query(query, after=event.position, limit=1).list()
        data: dict[str, Any] = {
            "event": row_of(source, event), "at": event.position, "before": before[0].position if before else None,
            "after": after[0].position if after else None,
        }  # fmt: skip
    except BaseException as exc:  # noqa: BLE001 - payloads, and functions of the program
        return {"event": None, "at": at, "problem": problem(source, failure(exc))}
    try:
        most = FOLDED_IF_ASKED if asked else FOLDED
        if (models := folding(projection)) is not None:
            made = source.run(step(source.db.backend, models, registry, event, most=most, names=names))
        else:
            made = _in_memory(source, projection, event)
    except TooManyEvents as exc:
        return {**data, "postponed": str(exc), "possible": not asked and folding(projection) is not None}
    except BaseException as exc:  # noqa: BLE001 - functions of the program
        return {**data, "problem": problem(source, failure(exc))}
    return {**data, **_shown(source, projection, made)}


def _in_memory(source: Source, projection: Projection, event: Event[Any]) -> Stepped | None:
    """Run a projection that writes by itself in an empty store in memory, from the first event on."""
    from goes_lite.blocking import connect

    registry = source.db.registry
    earlier = source.db.events.query(projection.query(registry), upto=event.position - 1, limit=WRITTEN + 1).list() \
        if event.position > 1 else []  # fmt: skip
    if len(earlier) > WRITTEN:
        raise TooManyEvents(f"it writes by itself, so it would have to handle more than {WRITTEN:,} events first")
    with connect("sqlite:///:memory:", registry=registry) as memory:
        return memory._portal.run(step_in_memory(memory.backend, projection, memory.database.face, earlier, event))


def _shown(source: Source, projection: Projection, made: Stepped | None) -> dict[str, Any]:
    if made is None:
        return {"models": [], "about": 0, "folded": 0}
    kind = None if (found := folding(projection)) is None else found.model
    models: list[dict[str, Any]] = []
    for id in [*made.after][:SHOWN]:
        before, after = (
            None if text is None else document_of(source, text, kind) for text in (made.before[id], made.after[id])
        )
        models.append({"id": id, "before": before, "after": after, "changes": _changes(before, after)})
    return {"models": models, "about": len(made.after), "folded": made.folded}


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if any(one is not None and "payload" in one for one in (before, after)):
        return []
    return differences_shown(differences(before["data"] if before else {}, after["data"] if after else {}))


# --- parity -----------------------------------------------------------------------------------------------------------


def _parity(
    source: Source,
    projection: ModelProjection[Any],
    live: Mapping[str, str],
    position: int,
    names: Sequence[str],
    *,
    asked: bool,
) -> dict[str, Any]:
    """Compare read models of the store with what the program makes of the events up to its checkpoint."""
    most = FOLDED_IF_ASKED if asked else FOLDED
    try:
        made = source.run(
            folded(source.db.backend, projection, source.db.registry, [*live], position, most=most, names=names)
        )
    except TooManyEvents as exc:
        return {"compared": 0, "postponed": str(exc), "possible": not asked, "different": []}
    except BaseException as exc:  # noqa: BLE001 - functions of the program
        return {"compared": 0, "problem": problem(source, failure(exc)), "different": []}
    different = [
        {"id": id, "live": document_of(source, text, projection.model),
         "new": None if (new := made[id]) is None else document_of(source, new, projection.model)}
        for id, text in live.items() if not _same(text, made[id])
    ]  # fmt: skip
    return {"compared": len(live), "different": different}


def _same(live: str, made: str | None) -> bool:
    if made is None or live == made:
        return made is not None
    try:
        return bool(json.loads(live) == json.loads(made))
    except (ValueError, RecursionError):
        return False


# --- the page ---------------------------------------------------------------------------------------------------------


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return f"Projection {data['name']}"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    stored, program = data["stored"], data["program"]
    version = stored.get("version") if stored else None
    differs = None
    if program is not None and version not in (None, program["version"]):
        told = f"Version {version} made the read models, the program has version {program['version']}."
        differs = frame.notice(told)
    links: list[Html | str] = [frame.link("read models", f"/models/{data['collection']}")]
    if data["rebuilding"]:
        links += [" · ", frame.link("the new ones", f"/models/{REBUILD}{data['collection']}")]
    return join(
        differs,
        frame.facts(
            ("Version in the store", version or "none yet"),
            ("Version of the program",
             f"{program['version']} ({program['class']})" if program else "not known: name it with --app"),
            ("Position", None if data["position"] is None else frame.link(f"{data['position']:,}", f"/consumers/{data['name']}")),
            ("Head", f"{data['head']:,}"),
            ("Read models", join(links)),
        ),
        _step_section(data["step"], frame),
        _parity_section(data["parity"], frame),
        _building_section(data["rebuilding"], frame),
    )  # fmt: skip


def _step_section(step: Mapping[str, Any] | None, frame: Frame) -> Html:
    if step is None:
        return frame.section(
            "Stepper", frame.empty("The program is not known: with --app, this shows what each event changes.")
        )
    if step["event"] is None:
        bad = step.get("problem")
        return frame.section(
            "Stepper", frame.notice(bad, kind="bad") if bad else frame.empty("It handles no event up to here.")
        )
    older = frame.again(at=step["before"], compute=None) if step["before"] else None
    newer = frame.again(at=step["after"], compute=None) if step["after"] else None
    jump = tag(
        "form", tag("label", "Position ", tag("input", name="at", value=step["at"], inputmode="numeric", size="12")),
        tag("button", "Go"), action=frame.again(at=None, compute=None), method="get", class_="row",
    )  # fmt: skip
    return frame.section(
        "Stepper", jump, frame.pager(older, newer), frame.events([step["event"]]), _outcome(step, frame),
        note="what an event makes of the read models, computed without writing",
    )  # fmt: skip


def _outcome(step: Mapping[str, Any], frame: Frame) -> Html:
    if "problem" in step:
        return frame.notice("It cannot be computed: ", step["problem"], kind="bad")
    if "postponed" in step:
        return _postponed(step, frame)
    if not step["models"]:
        return frame.empty("This event changes no read model.")
    more = (
        tag("p", f"and {step['about'] - SHOWN:,} more read models", class_="faint") if step["about"] > SHOWN else None
    )
    return join([_model(one, frame) for one in step["models"]], more,
                tag("p", f"{step['folded']:,} earlier events were folded for this.", class_="faint"))  # fmt: skip


def _postponed(found: Mapping[str, Any], frame: Frame) -> Html:
    link = (
        tag("a", f"Compute with up to {FOLDED_IF_ASKED:,}", href=frame.again(compute=1)) if found["possible"] else None
    )
    return frame.notice("Not computed: ", found["postponed"], ". ", link, kind="")


def _model(one: Mapping[str, Any], frame: Frame) -> Html:
    def side(title: str, shown: Mapping[str, Any] | None) -> Html:
        return tag("div", tag("h4", title), frame.empty("does not exist") if shown is None else document(frame, shown))

    return tag(
        "article",
        tag("h3", tag("code", one["id"])),
        changes(frame, one["changes"], caption=f"Changes of {one['id']}", empty="It stays as it is."),
        columns(side("Before", one["before"]), side("After", one["after"])),
    )


def _parity_section(parity: Mapping[str, Any] | None, frame: Frame) -> Html | None:
    if parity is None:
        return None
    if "problem" in parity:
        body = frame.notice("Not compared: ", parity["problem"], kind="bad")
    elif "postponed" in parity:
        body = _postponed(parity, frame)
    elif not parity["different"]:
        body = frame.notice(
            f"The same: {parity['compared']} read models of the store are what the program makes.", kind="good"
        )
    else:
        told = f"{len(parity['different'])} of {parity['compared']} read models differ from what the program makes."
        body = join(frame.notice(told), _different(parity["different"], "As the program makes it", frame))
    return frame.section("Parity", body, note=f"of the first {SAMPLE} read models, up to the checkpoint")


def _building_section(found: Mapping[str, Any] | None, frame: Frame) -> Html | None:
    if found is None:
        return None
    reached = "" if found["position"] is None else f", up to position {found['position']:,}"
    told = f"New read models are being built next to the live ones{reached}: {len(found['different'])} of the first "
    return frame.section(
        "Rebuild", frame.notice(told, f"{found['compared']} differ.", kind=""),
        _different(found["different"], "New", frame) if found["different"] else None,
    )  # fmt: skip


def _different(found: Sequence[Mapping[str, Any]], new: str, frame: Frame) -> Html:
    def side(one: Mapping[str, Any] | None) -> Html | str:
        return "does not exist" if one is None else brief_document(one)

    rows = [(tag("code", one["id"]), side(one["live"]), side(one["new"])) for one in found]
    return frame.table(("Id", "In the store", new), rows, caption="Read models that differ")
