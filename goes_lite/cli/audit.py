"""`goes-lite audit`: who changed a store with the command line, when, what and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.contract.own_collections import AUDIT
from goes_lite.operations.forms import iso


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("--last", type=number, metavar="N", help="only the last N entries")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the entries, oldest first."""
    from goes_lite.operations.audit import AuditEntry

    with opened(arguments, out) as db:
        newest = db.models_of(AUDIT, AuditEntry).query(reverse=True, limit=arguments.last)
        entries = newest.list()[::-1]
    rows = [
        (iso(one.time)[:19] + "Z", one.who, one.action, one.target, _counts(one.effect), one.outcome, one.reason)
        for one in entries
    ]
    head = ("time", "who", "action", "target", "effect", "outcome", "reason")
    out.result(
        [asdict(one) for one in entries],
        lambda terminal: terminal.table(head, rows) if rows else terminal.line("no change was made by hand"),
    )


def _counts(effect: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in effect.items())


COMMAND = Command(
    "Show who changed the store with the command line, when, what and why. An entry that stays 'begun' is a change that was "
    "cut short.",
    run,
    configure,
    ("goes-lite audit shop.db", "goes-lite audit shop.db --last 20 --json"),
)
