"""`goes-lite workflows`: instances of workflows, what became of them, and those that cannot go on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from goes_lite.cli.catalog import did_you_mean
from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import imported, opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import BOLD, Terminal
from goes_lite.events.fields import from_micros
from goes_lite.operations.forms import iso, parsed_json
from goes_lite.workflow.describing import STATUSES, effects_of, happened, instance_data

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.database import Database
    from goes_lite.workflow import Instance, Moment, Workflow

FINDING = "workflow-stuck"
LOOKED_AT = 10_000
"""How many keys are compared with one that does not exist."""


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("--workflow", metavar="NAME", help="only those of this workflow")
    parser.add_argument(
        "--status", choices=STATUSES, metavar="STATUS", help=f"only those that are {', '.join(STATUSES)}"
    )
    parser.add_argument("--live", action="store_true", help="only those that have not ended")
    parser.add_argument("--first", type=number, metavar="N", help="at most so many of each workflow")


def _list(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        found = db.workflows.list(
            arguments.workflow, status=arguments.status, live=arguments.live, limit=arguments.first
        )
    _table(found, out, "no instance")


def _stuck_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("--workflow", metavar="NAME", help="only those of this workflow")


def _stuck(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        found = db.workflows.stuck(arguments.workflow)
    _table(found, out, "no instance is stuck")


def _table(found: list[Instance], out: Output, nothing: str) -> None:
    for one in found:
        if one.failing is not None:
            name = _named(one)
            message = f"{name} cannot go on since {iso(one.failing.since)[:19]}Z: {one.failing.error:.200}"
            out.finding(FINDING, message, f"goes-lite workflows show {name}")
    rows = [
        (_named(one), one.status, f"v{one.version}", one.inputs, iso(one.updated)[:19] + "Z", _next(one))
        for one in found
    ]
    head = ("instance", "status", "version", "inputs", "updated", "next")
    out.result(
        [instance_data(one) for one in found],
        lambda terminal: terminal.table(head, rows, right=(3,)) if rows else terminal.line(nothing),
    )


def _named(one: Instance) -> str:
    return f"{one.workflow}/{one.key}"


def _next(one: Instance) -> str:
    """Return what happens next, as far as it is known."""
    if one.failing is not None:
        retry = (
            f"tries again at {iso(from_micros(one.failing.retry))[:19]}Z" if one.failing.retry else "waits for a person"
        )
        return f"{retry}: {one.failing.error}"
    if one.ended:
        return one.reason
    timers = [
        f"{name} at {iso(from_micros(due))[:19]}Z" for name, due in sorted(one.timers.items(), key=lambda row: row[1])
    ]
    return ", ".join(timers)


# --- one instance -----------------------------------------------------------------------------------------------------


def _which(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("instance", metavar="WORKFLOW/KEY", help="the instance, such as fulfilment/2026-001")


def _one(db: BlockingDatabase, text: str) -> Instance:
    """Return the instance that an argument names; UsageError if there is none."""
    name, slash, key = text.partition("/")
    if not slash:
        raise UsageError(
            f"{text!r:.80} is no instance: write WORKFLOW/KEY, such as fulfilment/2026-001", "goes-lite workflows list"
        )
    names = db.workflows.names()
    if name not in names:
        raise UsageError(
            f"there is no workflow {name!r:.80} in this store{did_you_mean(name, names)}", "goes-lite workflows list"
        )
    found = db.workflows.find(name, key)
    if found is None:
        keys = [one.key for one in db.workflows.list(name, limit=LOOKED_AT)]
        raise UsageError(
            f"{name} has no instance {key!r:.80}{did_you_mean(key, keys)}",
            f"goes-lite workflows list --workflow {name}",
        )
    return found


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    _which(parser)
    parser.add_argument(
        "--app", metavar="MODULE",
        help="import this module (or MODULE:REGISTRY), which has the workflow: its state is shown after each input",
    )  # fmt: skip


def _defined(app: str, name: str) -> list[Workflow[Any]]:
    """Return the definitions of a workflow that a module has, the newest version first; UsageError if there is none."""
    from goes_lite.workflow import Workflow

    module, _ = imported("--app", app)
    found: dict[str, dict[int, Workflow[Any]]] = {}
    for value in vars(module).values():
        one: object = value
        if isinstance(value, type) and issubclass(value, Workflow) and value.name == name:
            try:
                one = cast("Callable[[], object]", value)()
            except TypeError as error:
                raise UsageError(
                    f"--app {app}: {value.__qualname__} cannot be made without arguments: {error}"
                ) from None
        if isinstance(one, Workflow):
            found.setdefault(one.name, {})[one.version] = one
    if name not in found:
        raise UsageError(f"--app {app}: {module.__name__} has no workflow {name!r:.80}{did_you_mean(name, found)}")
    return [found[name][version] for version in sorted(found[name], reverse=True)]


def _show(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        one = _one(db, arguments.instance)
        newest, *earlier = _defined(arguments.app, one.workflow) if arguments.app else [one.workflow]
        history = db.workflows.show(newest, one.key, earlier=[one for one in earlier if not isinstance(one, str)])
    if one.failing is not None:
        out.finding(
            FINDING, f"{_named(one)} cannot go on: {one.failing.error:.200}", f"goes-lite workflows retry {_named(one)}"
        )

    def show(terminal: Terminal) -> None:
        terminal.line(f"{_named(one)}  {one.status}, version {one.version}, run {one.run}", BOLD)
        terminal.line(f"started {iso(one.started)}, {one.inputs} inputs, last {iso(one.updated)}")
        for label, text in (
            ("next", _next(one)),
            ("associated", ", ".join(one.associations)),
            ("undo", ", ".join(stored.command for stored in one.undo)),
        ):
            if text:
                terminal.line(f"{label}: {text}")
        terminal.line(f"state: {one.state}")
        for moment in history:
            terminal.line()
            terminal.line(f"{moment.position}  {iso(moment.time)[:19]}Z  {happened(moment.data, moment.version)}")
            for effect in _effects(moment):
                terminal.line(f"    {effect}")
            if arguments.app:
                terminal.line(f"    state: {moment.state}" if not moment.problem else f"    no state: {moment.problem}")

    out.result(
        {**instance_data(one), "history": [_moment(moment, asked=bool(arguments.app)) for moment in history]}, show
    )


def _effects(moment: Moment) -> list[str]:
    """Return the effects of an event of a history as lines."""
    lines: list[str] = []
    for effect in effects_of(moment.data):
        parsed = parsed_json(effect.data) if effect.encoding == "json" and effect.effect != "publish" else None
        due = f" at {iso(from_micros(effect.due))[:19]}Z" if effect.due else ""
        lines.append(f"{effect.effect} {effect.name}{due}{f' {parsed[0]}' if parsed else ''}".rstrip())
    return lines


def _moment(moment: Moment, *, asked: bool) -> dict[str, Any]:
    return {
        "version": moment.version, "position": moment.position, "time": moment.time,
        "what": happened(moment.data, moment.version), "effects": _effects(moment), "state": _plain(moment.state),
        "problem": (moment.problem or None) if asked else None,
    }  # fmt: skip


def _plain(state: object) -> object:
    """Return a state as JSON has it."""
    from goes_lite.codec.json_of import json_of

    kind: type[Any] = type(state)
    return None if state is None else json.loads(json_of(kind).encode(state))


# --- changing ---------------------------------------------------------------------------------------------------------


def _change(
    arguments: argparse.Namespace,
    out: Output,
    action: str,
    sentence: Callable[[Instance], str],
    work: Callable[[Database, Instance], Awaitable[None]],
    *,
    stuck: bool = False,
) -> int:
    with opened(arguments, out) as db:
        one = _one(db, arguments.instance)
    if one.ended:
        raise UsageError(f"{_named(one)} has ended: it is {one.status}", f"goes-lite workflows show {_named(one)}")
    if stuck and one.failing is None:
        raise UsageError(
            f"{_named(one)} is {one.status}, and not stuck: it goes on by itself", "goes-lite workflows stuck"
        )

    async def changed(database: Database) -> Mapping[str, int]:
        await work(database, one)
        return {"instances": 1}

    change = Change(f"workflows {action}", _named(one), sentence(one), {"instances": 1})
    return carry_out(arguments, out, change, changed)


def _retry(arguments: argparse.Namespace, out: Output) -> int:
    return _change(
        arguments, out, "retry", lambda one: f"have {_named(one)} try {_failed(one)} again, now and with all its patience",
        lambda database, one: database.workflows.retry(one.workflow, one.key), stuck=True,
    )  # fmt: skip


def _skip(arguments: argparse.Namespace, out: Output) -> int:
    return _change(
        arguments, out, "skip", lambda one: f"let {_named(one)} go on without {_failed(one)}",
        lambda database, one: database.workflows.skip(one.workflow, one.key), stuck=True,
    )  # fmt: skip


def _failed(one: Instance) -> str:
    return repr(one.failing.input) if one.failing is not None and one.failing.input else "its next step"


def _cancel(arguments: argparse.Namespace, out: Output) -> int:
    return _change(
        arguments, out, "cancel", lambda one: f"end {_named(one)} as cancelled: nothing is undone",
        lambda database, one: database.workflows.cancel(one.workflow, one.key, reason=arguments.reason),
    )  # fmt: skip


COMMANDS = {
    "list": Command(
        "List the instances of workflows by their keys, with what happens next. Those that cannot go on are findings (exit "
        "code 1).",
        _list,
        _list_arguments,
        ("goes-lite workflows list shop.db", "goes-lite workflows list shop.db --status suspended --json"),
    ),
    "show": Command(
        "Show one instance: its status, its state, and all that it was told and did; with --app, its state after each input.",
        _show,
        _show_arguments,
        (
            "goes-lite workflows show shop.db fulfilment/2026-001",
            "goes-lite workflows show shop.db fulfilment/2026-001 --app shop",
        ),
    ),
    "stuck": Command(
        "List the instances that cannot handle their next input, and since when and why. They are findings (exit code 1).",
        _stuck,
        _stuck_arguments,
        ("goes-lite workflows stuck shop.db",),
    ),
    "retry": Command(
        "Have an instance that is stuck try again; what waited for it follows, in order.",
        _retry,
        _which,
        ("goes-lite workflows retry shop.db fulfilment/2026-001 --reason 'the printer is back'",),
        changes=True,
    ),
    "skip": Command(
        "Let an instance that is stuck go on without the input that it cannot handle, or without the undo that failed.",
        _skip,
        _which,
        ("goes-lite workflows skip shop.db fulfilment/2026-001 --dry-run",),
        changes=True,
    ),
    "cancel": Command(
        "End an instance as cancelled: its timers and what waits for it are removed, and nothing is undone. --reason is kept "
        "in its history.",
        _cancel,
        _which,
        ("goes-lite workflows cancel shop.db fulfilment/2026-001 --reason 'ordered twice' --yes",),
        changes=True,
    ),
}
