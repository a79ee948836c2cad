"""`goes-lite info`: what is in a store, and what it runs on."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import DIM, PLAIN, Terminal
from goes_lite.operations.forms import iso, size

if TYPE_CHECKING:
    from goes_lite.operations.info import CommandsInfo, Info

_DURABILITY = {
    "memory": "everything is lost when the store is closed",
    "process-crash": "an acknowledged append survives a killed process",
    "os-crash": "an acknowledged append survives a power cut",
    "replicated": "an acknowledged append survives the loss of a machine",
}


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print a line for each fact."""
    with opened(arguments, out) as db:
        found = db.info()
    out.result(asdict(found), lambda terminal: _lines(terminal, found))


def _lines(terminal: Terminal, info: Info) -> None:
    rows = [("store", info.location), ("identity", info.identity)]
    if info.moved_to is not None:
        rows.append(("moved to", f"{info.moved_to}: writers are kept out here"))
    if info.sizes:
        rows.append(("size", ", ".join(f"{part} {size(count)}" for part, count in info.sizes.items())))
    rows.append(("durability", f"{info.durability}: {_DURABILITY[info.durability]} (the default of connect)"))
    rows.append(("events", f"{info.events}, head at position {info.head}"))
    if info.first_time and info.last_time:
        rows.append(("time", f"{iso(info.first_time)} to {iso(info.last_time)}"))
    if info.aggregates:
        rows.append(("aggregates", ", ".join(f"{name} {count}" for name, count in info.aggregates.items())))
    if info.consumers:
        rows.append(("checkpoints", ", ".join(f"{one.name} at {one.position}" for one in info.consumers)))
    if counts := _counts(info.commands):
        rows.append(("commands", counts))
    for label, value in rows:
        terminal.parts((f"{label:<12}", DIM), (value, PLAIN))


def _counts(commands: CommandsInfo) -> str:
    counts = {
        "waiting": commands.waiting, "due": commands.due, "sent": commands.sent, "given up": commands.failed,
        "unreadable": commands.unreadable,
    }  # fmt: skip
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


COMMAND = Command(
    "Show what is in a store, and what it runs on.",
    run,
    store_argument,
    ("goes-lite info shop.db", "goes-lite info postgresql://localhost/shop --json"),
)
