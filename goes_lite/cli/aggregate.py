"""`goes-lite aggregate`: the history of one aggregate, its state at a version or time, and what changed between two."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, app_argument, moment, store_argument
from goes_lite.cli.event_view import EventLines
from goes_lite.cli.exits import UsageError
from goes_lite.cli.naming import aggregate_class, check_aggregate
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import aggregate_of
from goes_lite.cli.terminal import BOLD, DIM, GREEN, PLAIN, RED, Terminal
from goes_lite.operations.forms import event_data
from goes_lite.operations.today import state_of

if TYPE_CHECKING:
    from datetime import datetime

    from goes_lite.blocking import BlockingDatabase
    from goes_lite.events.fields import AggregateRef


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("aggregate", type=aggregate_of, metavar="NAME/ID", help="the aggregate")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--at", type=point, metavar="VERSION|TIME", help="its state at this version or time (with --app)")
    when.add_argument(
        "--diff",
        type=point,
        nargs=2,
        metavar=("A", "B"),
        help="what changed in its state between two versions or times",
    )
    when.add_argument("--state", action="store_true", help="its state now")
    app_argument(parser)


def point(text: str) -> int | datetime:
    """Parse an argument as a version, or a time."""
    return int(text) if text.isascii() and text.isdigit() else moment(text)


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the history, a state, or the difference of two."""
    ref: AggregateRef = arguments.aggregate
    wants_state = arguments.at is not None or arguments.diff or arguments.state
    if wants_state and not arguments.app:
        raise UsageError(
            "a state is computed by the program's class: name its module with --app", "goes-lite aggregate --help"
        )
    with opened(arguments, out) as db:
        check_aggregate(db, ref)
        if not wants_state:
            out.stream(db.events.load(ref), event_data, EventLines(out.terminal))
            return
        if not arguments.diff:
            state = _state(db, ref, arguments.at)
            out.result(state, lambda terminal: _show(terminal, ref, state))
            return
        before, after = (_state(db, ref, one) for one in arguments.diff)
    from goes_lite.operations.difference import differences

    changes = differences(before["state"], after["state"])
    data = {"before": before["version"], "after": after["version"], "changes": [one._asdict() for one in changes]}

    def show(terminal: Terminal) -> None:
        terminal.line(f"{ref.name}/{ref.id}: version {before['version']} to {after['version']}", BOLD)
        for one in changes:
            if one.kind != "added":
                terminal.line(f"  - {one.path}: {_text(one.before)}", RED)
            if one.kind != "removed":
                terminal.line(f"  + {one.path}: {_text(one.after)}", GREEN)
        if not changes:
            terminal.line("  the state is the same")

    out.result(data, show)


def _state(db: BlockingDatabase, ref: AggregateRef, at: int | datetime | None) -> dict[str, Any]:
    """Return the version and the state at a version or time, or now."""
    from goes_lite.operations.difference import plain

    repository = db.repository(aggregate_class(ref.name))
    found = repository.fetch(ref.id, deleted=True) if at is None else repository.fetch_version(ref.id, at, deleted=True)
    return {
        "aggregate": ref.name, "id": ref.id, "version": found.version, "deleted": found.deleted,
        "state": plain(state_of(found)),
    }  # fmt: skip


def _show(terminal: Terminal, ref: AggregateRef, state: dict[str, Any]) -> None:
    deleted = ", deleted" if state["deleted"] else ""
    terminal.line(f"{ref.name}/{ref.id} at version {state['version']}{deleted}", BOLD)
    whole: Any = state["state"]
    attributes: dict[str, Any] = whole if hasattr(whole, "items") else {"state": whole}
    for name, value in attributes.items():
        terminal.parts((f"  {name}: ", DIM), (_text(value), PLAIN))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


COMMAND = Command(
    "Show the history of an aggregate. With --app also its state: now (--state), at a version or time (--at), or what changed "
    "between two of them (--diff).",
    run,
    configure,
    (
        "goes-lite aggregate shop.db order/2026-001",
        "goes-lite aggregate shop.db order/2026-001 --at 3 --app shop.orders",
        "goes-lite aggregate shop.db order/2026-001 --diff 1 2 --app shop.orders",
    ),
)
