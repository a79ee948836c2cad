"""Which commands there are: by name, with the module that has each, and a line for the overview.

The modules are not imported here, so that the overview and each command start fast. Other packages add commands by an entry
point of the group `goes_lite.commands`, which names a `Command`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from goes_lite.cli.command import Command
from goes_lite.cli.exits import UsageError
from goes_lite.errors import options

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from goes_lite.cli.terminal import Terminal

ENTRY_POINTS = "goes_lite.commands"


class Row(NamedTuple):
    """A command, or a group of them: `goes-lite NAME ACTION`."""

    module: str
    """In `goes_lite.cli`; it has `COMMAND`, or for a group `COMMANDS`, by action."""
    summary: str
    actions: Mapping[str, str] = {}
    """The summaries of a group's actions."""


CATALOG: dict[str, dict[str, Row]] = {
    "Look into a store": {
        "ui": Row("ui", "a store in the browser, live"),
        "log": Row("log", "the events of a store"),
        "show": Row("show", "one event, as it is stored and as the program reads it"),
        "aggregate": Row("aggregate", "the history of an aggregate, its state, and what changed"),
        "aggregates": Row("aggregates", "which aggregates there are"),
        "trace": Row("trace", "what caused an event, and what followed from it"),
        "stats": Row("stats", "how many events, of what, and when"),
        "consumers": Row("consumers", "processors, projections and relays, and how far each is behind"),
        "models": Row("models", "read models, as they are stored"),
        "info": Row("info", "what is in a store, and what it runs on"),
        "audit": Row("audit", "who changed a store with these commands, when and why"),
    },
    "Check, keep and carry": {
        "verify": Row("verify", "whether a store is sound"),
        "doctor": Row("doctor", "what a store runs on, and what should be otherwise"),
        "digest": Row("digest", "a hash of all that is stored, to compare stores with"),
        "backup": Row("backup", "write a store to one file, while others use it"),
        "restore": Row("restore", "a backup back into an empty store"),
        "copy": Row("copying", "a store into another one of any backend, once or all the time"),
        "cutover": Row("cutover", "move a live store to another place, and back"),
        "export": Row("exporting", "write the log as lines of JSON, with every field and hashes"),
        "import": Row("importing", "read an export into an empty store"),
    },
    "Change": {
        "parked": Row(
            "parked",
            "events that a consumer gave up on",
            {
                "list": "all of them, or those of one consumer",
                "show": "one of them",
                "redrive": "have them handled again",
                "drop": "never handle one",
            },
        ),
        "commands": Row(
            "commands",
            "commands accepted for later, and failed ones",
            {
                "list": "all of them",
                "show": "one of them",
                "retry": "have a failed one tried again",
                "withdraw": "never handle one",
            },
        ),
        "workflows": Row(
            "workflows",
            "instances of workflows, and those that cannot go on",
            {
                "list": "all of them, or those of one workflow",
                "show": "one of them: what it was told, and did",
                "stuck": "those that cannot handle their next input",
                "retry": "have a stuck one try again",
                "skip": "let a stuck one go on without that input",
                "cancel": "end one",
            },
        ),
        "snapshots": Row(
            "snapshots",
            "stored states of aggregates, for faster loading",
            {"list": "all of them, or those of some aggregates", "prune": "remove old ones"},
        ),
        "leases": Row(
            "leases",
            "which instance of a consumer is active",
            {"list": "those that are held", "release": "let another instance take over"},
        ),
        "rebuild": Row("rebuild", "the read model of a projection, from the first event on"),
        "delete": Row("delete", "an aggregate, for good"),
    },
    "Set up": {
        "config": Row("config", "which store and bus would be used, and whether that works"),
        "completion": Row("completion", "let a shell complete commands and options"),
        "schema": Row(
            "schema",
            "what an upgrade changes in stored events; the store of a server",
            {
                "events": "the JSON Schema of a program's events and commands",
                "diff": "whether a new program reads what an old one stored",
                "store": "the statements that create a server's store",
            },
        ),
        "demo": Row("demo", "a guided tour, on a file of its own"),
    },
}
"""By heading. Each command is described here in one line, for the overview, and in its module in full."""


def rows() -> dict[str, Row]:
    """Return the rows of all headings, by name."""
    return {name: row for section in CATALOG.values() for name, row in section.items()}


def find(words: list[str]) -> tuple[str, Command | Row, list[str]]:
    """Return the name of the command that the words begin with, the command, and the other words.

    For a group without an action, its row. UsageError if there is no such command.
    """
    name, rest = words[0], words[1:]
    known = rows()
    row = known.get(name)
    if row is None:
        return name, _plugin(name, [*known]), rest
    module: Any = import_module(f"goes_lite.cli.{row.module}")
    if not row.actions:
        return name, module.COMMAND, rest
    if not rest or rest[0] in ("-h", "--help"):
        return name, row, rest
    action = rest[0]
    if action not in row.actions:
        raise UsageError(
            f"{name} has no action {action!r}{did_you_mean(action, row.actions)}", f"goes-lite {name} --help"
        )
    return f"{name} {action}", module.COMMANDS[action], rest[1:]


def _plugin(name: str, known: list[str]) -> Command:
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise UsageError(f"there is no command {name!r}{did_you_mean(name, [*known, *found])}", "goes-lite --help")
    try:
        command: object = found[name].load()
    except (Exception, SystemExit) as error:  # whatever the module of another package raises while it is imported
        raise UsageError(
            f"the command {name!r}{_origin(found[name])} cannot be loaded: {type(error).__name__}: {error}",
            "goes-lite --help",
        ) from error
    if not isinstance(command, Command):
        raise UsageError(f"the entry point {found[name].value!r} of the command {name!r} must be a Command")
    return command


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about a word that does not exist: which one it may be."""
    meant = options.did_you_mean(word, known, 3)
    return f": {meant}" if meant else ""


def overview(terminal: Terminal) -> None:
    """Print all commands."""
    terminal.line("usage: goes-lite COMMAND [STORE] …")
    terminal.line()
    terminal.line("Look into an event store, check it, keep it safe and change it.")
    sections = {heading: {name: row.summary for name, row in rows.items()} for heading, rows in CATALOG.items()}
    sections["Of other packages"] = _plugins()
    width = max(len(name) for section in sections.values() for name in section)
    for heading, section in sections.items():
        if section:
            terminal.line()
            terminal.line(f"{heading}:")
        for name, summary in section.items():
            terminal.line(f"  {name:<{width}}  {summary}")
    terminal.line()
    terminal.line("STORE is a file, or the URL of a server; by default GOES_LITE_URL, else the url")
    terminal.line("in goes.toml here. `goes-lite COMMAND --help` explains a command.")
    terminal.line("Exit codes: 0 success, 1 findings, 2 wrong use, 3 the store cannot be used,")
    terminal.line("130 interrupted.")


def group_overview(name: str, row: Row, terminal: Terminal) -> None:
    """Print the actions of a group."""
    terminal.line(f"usage: goes-lite {name} ACTION …")
    terminal.line()
    width = max(map(len, row.actions))
    for action, summary in row.actions.items():
        terminal.line(f"  {action:<{width}}  {summary}")
    terminal.line()
    terminal.line(f"`goes-lite {name} ACTION --help` explains an action.")


def _plugins() -> dict[str, str]:
    """Return the commands of other packages, with the package that each comes from."""
    if not _mentioned():
        return {}
    from importlib.metadata import entry_points

    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    return {name: _origin(point).lstrip() or point.value for name, point in sorted(points.items())}


def _origin(point: EntryPoint) -> str:
    """Return which package a command comes from, as the end of a phrase; nothing if its metadata do not say so."""
    # where there is no name, ["Name"] warns, and will raise
    names: list[str] | None = point.dist.metadata.get_all("Name") if point.dist else None
    return f" from {names[0]}" if names else ""


def _mentioned() -> bool:
    """Whether an installed package may have commands; reading the packaging metadata properly costs 60 ms."""
    for folder in sys.path:
        try:
            packages = [entry.path for entry in os.scandir(folder or ".") if entry.name.endswith(("-info", ".zip"))]
        except OSError:
            if os.path.isfile(folder):  # a zip file, which can have metadata, too
                return True
            continue
        for package in packages:
            try:
                with open(os.path.join(package, "entry_points.txt"), encoding="utf-8", errors="replace") as file:
                    if ENTRY_POINTS in file.read():
                        return True
            except OSError:
                continue
    return False
