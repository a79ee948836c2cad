"""`goes-lite backup`: a store in one file, verified, while others write to it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import DIM, PLAIN, Terminal
from goes_lite.operations.forms import iso, size

if TYPE_CHECKING:
    from goes_lite.operations import BackedUp, Restored, Step


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("file", metavar="FILE", help="the backup: a new file; nothing is overwritten")
    parser.add_argument(
        "--since", metavar="BACKUP", help="read only what is not in this earlier backup; FILE is complete all the same"
    )
    parser.add_argument(
        "--drill",
        action="store_true",
        help="restore the backup into a scratch file next to it as well, and verify that",
    )


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Write the backup, and say what it holds."""
    from goes_lite.blocking import operations

    with opened(arguments, out) as db:
        done = operations.backup(db, arguments.file, since=arguments.since, progress=progress_of(out))
        out.progress("")
        drilled: Restored | None = None
        if arguments.drill:
            drilled = operations.drill(db, done.path, progress=progress_of(out))
            out.progress("")
    out.result(_data(done, drilled), lambda terminal: _lines(terminal, done, drilled))


def progress_of(out: Output) -> Any:
    """Return what shows the progress of a copy."""

    def show(step: Step) -> None:
        of = f" of {step.total:,}" if step.total else ""
        out.progress(f"{step.what}: {step.done:,}{of}")

    return show


def _data(done: BackedUp, drilled: Restored | None) -> dict[str, object]:
    receipt = done.receipt
    return {
        "file": done.path, "receipt": done.receipt_path, "size": done.size, "time": receipt.time, "head": receipt.head,
        "events": receipt.events, "aggregates": receipt.aggregates, "hash": receipt.hash.hex(), "read": done.events,
        "drilled": drilled is not None,
    }  # fmt: skip


def _lines(terminal: Terminal, done: BackedUp, drilled: Restored | None) -> None:
    receipt = done.receipt
    rows = [
        ("backup", done.path),
        ("receipt", done.receipt_path),
        ("size", size(done.size)),
        ("time", iso(receipt.time)),
        ("events", f"{receipt.events}, of {receipt.aggregates} aggregates; head at position {receipt.head}"),
        ("read", f"{done.events} events from the store"),
        ("hash", receipt.hash.hex()),
        ("verified", "read back and compared" + ("; restored into a scratch file and compared" if drilled else "")),
    ]
    for label, value in rows:
        terminal.parts((f"{label:<12}", DIM), (value, PLAIN))


COMMAND = Command(
    "Write a store of any backend to one new file, of one moment, while others write to it, and verify the file. It is a store "
    "like any other, with a receipt next to it. An interrupted backup leaves FILE.part, never FILE.",
    run,
    configure,
    (
        "goes-lite backup shop.db /backup/2026-11-30.db",
        "goes-lite backup postgresql://localhost/shop today.db --since yesterday.db",
        "goes-lite backup shop.db /backup/2026-11-30.db --drill --json",
    ),
)
