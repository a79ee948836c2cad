"""`goes-lite info`: what is in a store, and what it runs on."""

from __future__ import annotations

import argparse
import os
from collections import Counter

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import DIM, PLAIN, Terminal, iso, size

_DURABILITY = {
    "memory": "everything is lost when the store is closed",
    "process-crash": "an acknowledged append survives a killed process",
    "os-crash": "an acknowledged append survives a power cut",
    "replicated": "an acknowledged append survives the loss of a machine",
}


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print a line for each fact."""
    from goes_lite.sqlite import SQLiteBackend

    with opened(arguments, out) as db:
        backend = db.backend
        rows: list[tuple[str, str]] = [("store", db.location)]
        if isinstance(backend, SQLiteBackend):
            log = db.location + "-wal"
            waiting = os.path.getsize(log) if os.path.exists(log) else 0
            rows.append(
                ("size", size(os.path.getsize(db.location)) + (f", and {size(waiting)} in the -wal" if waiting else ""))
            )
            rows.append(("identity", backend.identity))
            bug = (
                "with the WAL-reset bug, so checkpoints block writers"
                if backend.wal_reset_bug
                else "without the WAL-reset bug"
            )
            rows.append(("driver", f"{backend.driver}, {bug}"))
        rows.append(("durability", f"{db.durability}: {_DURABILITY[db.durability]} (the default of connect)"))
        rows.append(("events", f"{db.events.count()}, head at position {db.events.head()}"))
        first = next(db.events.query(limit=1), None)
        last = next(db.events.query(limit=1, reverse=True), None)
        if first and last:
            rows.append(("time", f"{iso(first.time)} to {iso(last.time)}"))
        names = Counter(info.aggregate.name for info in db.events.aggregates())
        if names:
            rows.append(("aggregates", ", ".join(f"{name} {count}" for name, count in names.items())))
        checkpoints = [f"{point.name} at {point.position}" for point in db.checkpoints.all()]
        if checkpoints:
            rows.append(("checkpoints", ", ".join(checkpoints)))
    out.result(dict(rows), lambda terminal: _lines(terminal, rows))


def _lines(terminal: Terminal, rows: list[tuple[str, str]]) -> None:
    for label, value in rows:
        terminal.parts((f"{label:<12}", DIM), (value, PLAIN))


COMMAND = Command(
    "Show what is in a store, and what it runs on.",
    run,
    store_argument,
    ("goes-lite info shop.db", "goes-lite info postgresql://localhost/shop --json"),
)
