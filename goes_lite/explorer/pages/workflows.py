"""Instances of workflows: what became of each, what it waits for, and what it did after each input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from goes_lite.codec.types import runtime_class
from goes_lite.contract.own_collections import COMMANDS, RECEIPTS, WORKFLOWS, instances_collection, waiting_collection
from goes_lite.errors import CodecError, GoesError, InvalidQueryError
from goes_lite.errors.functions import failure
from goes_lite.events.fields import AggregateRef, from_micros
from goes_lite.events.workflow import EffectRecord
from goes_lite.explorer.disclosure import OURS
from goes_lite.explorer.exchange import missing
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.instance import render_instance
from goes_lite.explorer.pieces import pager, status
from goes_lite.explorer.program import workflows
from goes_lite.explorer.shown import MOST, fields_of, mapping, problem, sequence, stored_time, when
from goes_lite.explorer.shown import document as document_of
from goes_lite.operations.difference import plain
from goes_lite.operations.selecting import splits
from goes_lite.workflow.describing import STATUSES, effects_of, happened

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView
    from goes_lite.contract.model_store import ModelRecord
    from goes_lite.events.event import Event
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

READ = 500
"""How many instances of a workflow are read for the list, by their keys."""
NAMES = 20
"""How many workflows are listed at once."""
PAGE = 50
HISTORY = 100
"""How many events of a history are shown at once."""
COMPUTED = 300
"""Events of a history up to which the states are computed."""
WAITING = 50
AGGREGATE = "workflow:"
"""Begins the names of the aggregates that are the histories of instances."""


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return instances, those of `name` and `status` if given; of an argument NAME/KEY: that one."""
    if request.argument:
        return _one(source, request.argument, request.number("upto"))
    name, wanted = request.exact("name"), request.one("status")
    skip = request.number("skip", 0) or 0
    counts: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    bound = False
    with source.db.view() as view:
        names = [one.removeprefix(WORKFLOWS) for one in view.models.collections() if one.startswith(WORKFLOWS)]
        for one in [name] if name else names[:NAMES]:
            each = READ if name else max(PAGE, READ // max(1, min(len(names), NAMES)))
            records = view.models.query(instances_collection(one), limit=each).list()
            bound = bound or len(records) == each
            for record in records:
                instance = _short(source, one, record)
                counts[instance["status"]] += 1
                if not wanted or instance["status"] == wanted:
                    found.append(instance)
    return {
        "names": names, "name": name or None, "status": wanted or None, "skip": skip,
        "counts": {one: counts[one] for one in (*STATUSES, "unreadable") if counts[one]},
        "instances": found[skip : skip + PAGE], "more": len(found) > skip + PAGE, "bound": bound or len(names) > NAMES,
    }  # fmt: skip


def _short(source: Source, name: str, record: ModelRecord) -> dict[str, Any]:
    """Return an instance in short; one whose record cannot be read as that."""
    found = fields_of(record)
    failing = mapping(found.get("failing"))
    try:
        return {
            "workflow": name, "key": record.id, "status": str(found["status"]), "version": int(found["version"]),
            "run": int(found.get("run", 1)), "inputs": int(found.get("inputs", 0)), "events": int(found.get("events", 0)),
            "started": stored_time(found["started"]), "updated": stored_time(found["updated"]),
            "reason": str(found.get("reason") or ""),
            "timers": _timers(found.get("timers")),
            "failing": _failing(source, failing) if failing else None,
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, CodecError):
        return {
            "workflow": name, "key": record.id, "status": "unreadable", "version": 0, "run": 0, "inputs": 0, "events": 0,
            "started": None, "updated": None, "reason": "", "timers": [], "failing": None,
        }  # fmt: skip


def _timers(timers: object) -> list[dict[str, Any]]:
    """Return the timers in the order in which they are due."""
    rows = sorted(mapping(timers).items(), key=lambda one: one[1])
    return [{"name": name, "due": when(from_micros(due))} for name, due in rows]


def _failing(source: Source, found: Mapping[str, Any]) -> dict[str, Any]:
    retry = found.get("retry")
    return {
        "since": stored_time(found.get("since")), "attempts": found.get("attempts"),
        "error": source.disclosure.error(str(found.get("error", ""))),
        "input": str(found.get("input", "")), "position": found.get("position") or None,
        "retry": when(from_micros(retry)) if isinstance(retry, int) and retry else None,
    }  # fmt: skip


# --- one instance -----------------------------------------------------------------------------------------------------


def _one(source: Source, text: str, upto: int | None) -> dict[str, Any]:
    with source.db.view() as view:
        name, record = _found(view, text)
        key = record.id
        instance = _short(source, name, record)
        newest = max(1, instance["events"])
        upto = newest if upto is None else max(1, min(upto, newest))
        events = view.events.load(AggregateRef(AGGREGATE + name, key), after=max(0, upto - HISTORY), upto=upto)
        told = _decoded(source, events)
        outbox = _outbox(view, told)
        waiting = _waiting(view, name, key)
    found, states = fields_of(record), _states(source, name, key, instance)
    if len(record.data) > MOST:
        state = document_of(source, record.data, OURS)
    else:
        kind, current = states["kind"]
        state = {"data": source.disclosure.value(found.get("state"), kind, current=current), "size": len(record.data)}
    return {
        "instance": instance,
        "correlation": str(found.get("correlation") or ""),
        "associations": [str(one) for one in sequence(found.get("associations"))],
        "undo": [str(mapping(one).get("command")) for one in sequence(found.get("undo"))],
        "state": state,
        "waiting": waiting,
        "upto": upto,
        "history": [_moment(one, data, states["states"].get(one.version), outbox) for one, data in told],
        "states": states["problem"],
        "outbox": list(outbox.values()),
    }  # fmt: skip


def _found(view: BlockingView, text: str) -> tuple[str, ModelRecord]:
    """Return the record of the instance that is named as WORKFLOW/KEY, and the name of its workflow."""
    for name, key in splits(text):
        with suppress(InvalidQueryError):
            if (record := view.models.get(instances_collection(name), key)) is not None:
                return name, record
    raise missing(f"there is no instance {text!r:.80}: an address has WORKFLOW/KEY", "look at the workflows")


def _decoded(source: Source, events: Iterable[Event[Any]]) -> list[tuple[Event[Any], object]]:
    """Return the events of a history with what they say: goes_lite's own events are known to every program."""
    found: list[tuple[Event[Any], object]] = []
    for event in events:
        try:
            found.append((event, source.db.registry.decode(event.name, *event.encoded, position=event.position)))
        except GoesError:  # an event of the workflow's own, whose type is not known here
            found.append((event, None))
    return found


def _outbox(view: BlockingView, told: Sequence[tuple[Event[Any], object]]) -> dict[str, dict[str, Any]]:
    """Return the commands that were dispatched, with what became of each."""
    sent = {one.id: one for _, data in told for one in effects_of(data) if one.effect == "dispatch" and one.id}
    accepted, receipts = view.models.get_many(COMMANDS, sent), view.models.get_many(RECEIPTS, sent)
    found: dict[str, dict[str, Any]] = {}
    for id, effect in sent.items():
        state = "handled or withdrawn"
        if id in accepted:
            state = str(fields_of(accepted[id]).get("state", "waiting"))
        elif id in receipts:
            receipt = fields_of(receipts[id])
            state = "begun" if receipt.get("begun") else "rejected" if receipt.get("rejection") else "done"
        found[id] = {"id": id, "command": effect.name, "state": state, "due": _due(effect)}
    return found


def _waiting(view: BlockingView, name: str, key: str) -> list[dict[str, Any]]:
    try:
        records = view.models.query(waiting_collection(name, key), limit=WAITING).list()
    except InvalidQueryError:
        return []
    fields = [fields_of(one) for one in records]
    return [
        {"position": one["position"], "event": str(one.get("name"))}
        for one in fields
        if isinstance(one.get("position"), int)
    ]


def _states(source: Source, name: str, key: str, instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state after each version of the history, where the program knows the workflow, and the type of the stored one.

    `kind` is that type, and whether the definition under which the instance runs is known.
    """
    definitions = workflows(source).get(name)
    if not definitions:
        return {"states": {}, "problem": None, "kind": (None, True)}
    known, *earlier = definitions
    running = next((one for one in definitions if one.version == instance["version"]), None)
    kind = (known.state, False) if running is None else (running.state, True)
    if instance["events"] > COMPUTED:
        told = f"States are computed of up to {COMPUTED} events: it has {instance['events']:,}."
        return {"states": {}, "problem": told, "kind": kind}
    try:
        moments = source.db.workflows.show(known, key, earlier=earlier)
        states = {one.version: _state(source, one.state, known.state) for one in moments if not one.problem}
        problems = [source.disclosure.error(one.problem) for one in moments if one.problem]
        return {"states": states, "problem": problems[0] if problems else None, "kind": kind}
    except BaseException as exc:  # noqa: BLE001 - functions of the program
        return {"states": {}, "problem": problem(source, failure(exc)), "kind": kind}


def _state(source: Source, state: object, declared: Any) -> Any:
    """Return a state as it may be shown: by its declared type, unless it was made by a definition with another one."""
    made = type(state)
    return source.disclosure.value(plain(state), declared if runtime_class(declared) in (made, None) else made)


def _moment(event: Event[Any], data: object, state: Any, outbox: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    input = getattr(data, "input", None)
    return {
        "version": event.version, "position": event.position, "time": when(event.time), "event": event.name,
        "what": happened(data, event.version), "state": state,
        "input": getattr(input, "position", 0) or None,
        "effects": [
            {"effect": one.effect, "name": one.name, "id": one.id or None, "due": _due(one),
             "state": outbox[one.id]["state"] if one.id in outbox else None}
            for one in effects_of(data)
        ],
    }  # fmt: skip


def _due(effect: EffectRecord) -> str | None:
    try:
        return when(from_micros(effect.due)) if effect.due else None
    except CodecError:
        return None


# --- the pages --------------------------------------------------------------------------------------------------------


def title(data: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    if "instance" in data:
        return f"{data['instance']['workflow']}/{data['instance']['key']}"
    return "Workflows"


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    return render_instance(data, frame) if "instance" in data else _list(data, frame)


def _list(data: Mapping[str, Any], frame: Frame) -> Html:
    def choice(label: str, current: bool, **query: object) -> Html:
        return tag("a", label, href=frame.href("/workflows", **query), aria_current="page" if current else None)

    names = [choice("All", data["name"] is None, status=data["status"])]
    names += [choice(one, one == data["name"], name=one, status=data["status"]) for one in data["names"]]
    states = [choice(f"Any {sum(data['counts'].values()):,}", data["status"] is None, name=data["name"])]
    states += [choice(f"{one} {count:,}", one == data["status"], name=data["name"], status=one)
               for one, count in data["counts"].items()]  # fmt: skip
    rows = [
        (
            frame.link(f"{one['workflow']}/{one['key']}", f"/workflows/{one['workflow']}/{one['key']}"),
            status(frame, one["status"]), f"v{one['version']}", f"{one['inputs']:,}", frame.time(one["updated"]),
            _next(one, frame),
        )
        for one in data["instances"]
    ]  # fmt: skip
    skip = data["skip"]
    older = frame.again(skip=skip + PAGE) if data["more"] else None
    newer = frame.again(skip=max(0, skip - PAGE) or None) if skip else None
    bound = None
    if data["bound"]:
        bound = tag("p", "Counted among the first instances of each workflow, by their keys: choose one workflow to see more, "
                    "or open an instance by its address.", class_="faint")  # fmt: skip
    return join(
        tag("nav", names, class_="choices", aria_label="Workflows"),
        tag("nav", states, class_="choices", aria_label="States"),
        bound,
        frame.table(
            ("Instance", "Status", "Version", "Inputs", "Updated (UTC)", "Next"), rows, right=(3,), caption="Instances",
            empty="No instance is here.",
        ),
        pager(newer, older),
    )  # fmt: skip


def _next(one: Mapping[str, Any], frame: Frame) -> Html | str:
    """Return what happens next, as far as it is known."""
    failing = one["failing"]
    if failing is not None:
        before = join("tries again at ", frame.time(failing["retry"])) if failing["retry"] else "waits for a person"
        return join(before, ": ", tag("code", failing["error"][:200]))
    if one["timers"]:
        timer = one["timers"][0]
        more = f" and {len(one['timers']) - 1} more" if len(one["timers"]) > 1 else ""
        return join("timer ", timer["name"], " at ", frame.time(timer["due"]), more)
    return str(one["reason"])
