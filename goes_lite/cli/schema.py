"""`goes-lite schema`: what a program stores, what an upgrade changes in it, and the statements that create a server's store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, app_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import application
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import BOLD, DIM, GREEN, PLAIN, RED, Terminal
from goes_lite.errors import ConfigError

if TYPE_CHECKING:
    from goes_lite.schema import Catalogue, Change, Gap


def _store_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scheme", metavar="SCHEME", help="the scheme of the URL, such as postgresql")
    parser.add_argument(
        "--schema",
        metavar="NAME",
        help="the store: a schema of PostgreSQL, a prefix of MongoDB (default: as in a URL that names none)",
    )


def _store(arguments: argparse.Namespace, out: Output) -> None:
    """Print the statements."""
    from goes_lite.database.connect import factory_for

    ddl = getattr(factory_for(arguments.scheme), "ddl", None)
    if ddl is None:
        raise ConfigError(f"{arguments.scheme!r} has no schema to create by hand: its backend creates what it needs")
    statements = [*(ddl() if arguments.schema is None else ddl(arguments.schema))]

    def show(terminal: Terminal) -> None:
        for statement in statements:
            for line in f"{statement};".splitlines():
                terminal.line(line)

    out.result(statements, show)


def _events(arguments: argparse.Namespace, out: Output) -> None:
    """Print the document."""
    document = _described(arguments.app, "goes-lite schema events --app shop")

    def show(terminal: Terminal) -> None:
        for line in json.dumps(document, indent=2).splitlines():
            terminal.line(line)

    out.result(document, show)


def _described(app: str | None, hint: str) -> dict[str, Any]:
    from goes_lite.schema import describe

    if app is None:
        raise UsageError("name the module of the program: --app MODULE, or MODULE:REGISTRY", hint)
    return describe(application(app))


REQUIRED = ("backward", "forward", "full")


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="what `goes-lite schema events` printed for the old program")
    parser.add_argument("new", metavar="NEW", nargs="?", help="the same for the new one; instead of it, --app")
    app_argument(parser)
    parser.add_argument(
        "--require", choices=REQUIRED, default="backward",
        help="who must be able to read what the other stores: the new program (backward, the default), the old one "
        "(forward), or both (full), as while an upgrade is rolled out",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="show those, too, of which nothing has changed")


def _diff(arguments: argparse.Namespace, out: Output) -> None:
    """Compare, and note what is not as required."""
    from goes_lite.schema import changes, parse

    hint = "goes-lite schema diff events.json --app shop"
    if (arguments.new is None) == (arguments.app is None):
        raise UsageError("name the new program once: by its document, or with --app", hint)
    old = _read(arguments.old)
    new = parse(_described(arguments.app, hint)) if arguments.new is None else _read(arguments.new)
    found = changes(old, new)
    for change in found:
        _judge(change, arguments.require, out)
    out.result([_data(change) for change in found], lambda terminal: _show(terminal, found, arguments.all))


def _read(path: str) -> Catalogue:
    from goes_lite.schema import parse

    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path!r:.80} is no text in UTF-8") from None
    try:
        return parse(text)
    except ConfigError as error:
        raise UsageError(f"{path}: {error}", "goes-lite schema events --app MODULE > events.json") from None


def _judge(change: Change, required: str, out: Output) -> None:
    from goes_lite.schema import Verdict

    if change.verdict is Verdict.UNKNOWN:
        out.note(f"{change.kind} {change.name!r}: {_reason(change.backward)}")
        return
    if change.backward and required != "forward":
        out.finding("not-backward", f"{change.kind} {change.name!r}: {_reason(change.backward)}", change.fix)
    if change.forward and change.before is not None and required != "backward":
        out.finding(
            "not-forward",
            f"{change.kind} {change.name!r}: the old program cannot read what the new one stores: {_reason(change.forward)}",
            "update all programs that read it before any stores it",
        )


def _reason(found: tuple[Gap, ...]) -> str:
    first, *others = found
    more = f", and {len(others)} more" if others else ""
    return f"{first.path}: {first.problem}{more}" if first.path else f"{first.problem}{more}"


def _data(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind, "name": change.name, "verdict": change.verdict.value, "before": change.before,
        "after": change.after, "backward": [_gap(one) for one in change.backward],
        "forward": [_gap(one) for one in change.forward], "fix": change.fix,
    }  # fmt: skip


def _gap(gap: Gap) -> dict[str, Any]:
    return {"path": gap.path, "problem": gap.problem, "example": gap.example}


def _show(terminal: Terminal, found: list[Change], everything: bool) -> None:
    colours = {"FULL": GREEN, "BACKWARD": GREEN, "FORWARD": RED, "BREAKING": RED, "UNKNOWN": PLAIN}
    shown = [change for change in found if everything or change.verdict.value != "FULL"]
    width = max((len(change.name) for change in shown), default=0)
    for change in shown:
        verdict = change.verdict.value
        terminal.parts(
            (f"{verdict:<9} ", colours[verdict]), (f"{change.name:<{width}}  ", BOLD), (_versions(change), DIM)
        )
        for gap in change.backward:
            _show_gap(terminal, "", gap)
        for gap in change.forward if change.forward != change.backward else ():
            _show_gap(terminal, "old program: ", gap)
        if change.fix:
            terminal.parts(("    → ", DIM), (change.fix, PLAIN))
    same = len(found) - len(shown)
    if same:
        terminal.line(f"{same} {'is' if same == 1 else 'are'} read by both programs")
    elif not found:
        terminal.line("no events and no commands")


def _versions(change: Change) -> str:
    if change.before is None:
        return f"{change.kind}, new"
    if change.after is None:
        return f"{change.kind}, gone"
    versions = (
        f"schema {change.before}" if change.before == change.after else f"schema {change.before} → {change.after}"
    )
    return f"{change.kind}, {versions}"


def _show_gap(terminal: Terminal, who: str, gap: Gap) -> None:
    example = f", such as {json.dumps(gap.example)}" if gap.path else ""
    where = f"{gap.path}: " if gap.path else ""
    terminal.line(f"    {who}{where}{gap.problem}{example}")


COMMANDS = {
    "events": Command(
        "Print the JSON Schema of each event and command of a program, with the versions and upcasters that it knows: the "
        "document that `schema diff` compares. Keep it in the repository of the program.",
        _events,
        app_argument,
        ("goes-lite schema events --app shop > events.json",),
    ),
    "diff": Command(
        "Say for each event and command what an upgrade of the program changes. FULL: both programs read what the other "
        "stores. BACKWARD: the new one reads what is stored. FORWARD: only the old one reads what the new one stores. "
        "BREAKING: neither. What is not as required is a finding (exit code 1), with what is missing.",
        _diff,
        _diff_arguments,
        (
            "goes-lite schema diff events.json --app shop",
            "goes-lite schema diff old.json new.json --require full --json",
        ),
    ),
    "store": Command(
        "Print the statements that create the tables or collections of a store, for programs without the right to create "
        "them. No server is contacted.",
        _store,
        _store_arguments,
        ("goes-lite schema store postgresql | psql shop", "goes-lite schema store postgresql --schema shop_events"),
    ),
}
