"""`goes-lite doctor`: what a store runs on, and what should be otherwise."""

from __future__ import annotations

import argparse

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import GREEN


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Look, and print what was found."""
    from goes_lite.blocking import operations

    with opened(arguments, out) as db:
        found = operations.doctor(db)
        facts = {"driver": getattr(db.backend, "driver", None), "durability": db.durability}
    for one in found:
        out.finding(one.code, one.message, one.fix)
    text = f"nothing to do: {facts['driver'] or 'the store'}, durability {facts['durability']}"
    out.result({**facts, "problems": len(found)}, lambda terminal: None if found else terminal.line(text, GREEN))


COMMAND = Command(
    "Look at what a store runs on: versions and their known bugs, settings as writers use them, the disk and the folder, rights, "
    "the clock, limits. Nothing is changed, and it is quick.",
    run,
    store_argument,
    ("goes-lite doctor shop.db", "goes-lite doctor postgresql://localhost/shop --json"),
)
