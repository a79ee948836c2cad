"""`goes-lite digest`: a receipt of what a store holds, and whether it still holds that."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, cast

from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import DIM, PLAIN, Terminal
from goes_lite.operations.forms import iso

if TYPE_CHECKING:
    from goes_lite.operations import Receipt


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the receipt to this new file")
    parser.add_argument("--upto", type=number, metavar="POSITION", help="only of the log up to this position")
    parser.add_argument("--check", metavar="RECEIPT", help="compare the store with the receipt in this file")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Make a receipt, or compare the store with one."""
    if arguments.check is not None:
        if arguments.output is not None or arguments.upto is not None:
            raise UsageError("--check compares with a receipt and makes none: leave out --output and --upto")
        _check(arguments, out)
        return
    from goes_lite.blocking import operations

    with opened(arguments, out) as db:
        receipt = operations.digest(
            db, upto=arguments.upto, progress=lambda events: out.progress(f"{events:,} events read")
        )
    out.progress("")
    text = receipt.to_json()
    if arguments.output is not None:
        try:
            with open(arguments.output, "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise UsageError(f"{arguments.output!r} exists: a receipt is not overwritten") from None
    rows = [
        ("hash", receipt.hash.hex()),
        ("events", f"{receipt.events}, of {receipt.aggregates} aggregates, up to position {receipt.upto}"),
        ("store", f"{receipt.store} at {receipt.location}"),
        ("time", iso(receipt.time)),
        *([("receipt", str(arguments.output))] if arguments.output is not None else []),
    ]
    out.result(json.loads(text), lambda terminal: _lines(terminal, rows))


def _lines(terminal: Terminal, rows: list[tuple[str, str]]) -> None:
    for label, value in rows:
        terminal.parts((f"{label:<8}", DIM), (value, PLAIN))


def _check(arguments: argparse.Namespace, out: Output) -> None:
    from goes_lite.blocking import operations

    receipt = read_receipt(arguments.check)
    with opened(arguments, out) as db:
        compared = operations.check(db, receipt, progress=lambda events: out.progress(f"{events:,} events read"))
    out.progress("")
    difference = compared.difference
    data: dict[str, Any] = {
        "relation": compared.relation,
        "same_store": compared.same_store,
        "upto": compared.upto,
        "head": compared.head,
        "difference": None if difference is None else {"position": difference.position, "kind": difference.kind},
    }
    if not compared.holds:
        out.finding(f"receipt-{compared.relation}", str(compared), "goes-lite verify")
    out.result(data, lambda terminal: terminal.line(str(compared)) if compared.holds else None)


def read_receipt(path: str) -> Receipt:
    """Return the receipt in a file: as `digest --output` writes it, or the output of `digest --json`."""
    from goes_lite.operations import Receipt

    with open(path, "rb") as file:
        text = file.read()
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and "envelope" in found:
        text = json.dumps(cast("dict[str, Any]", found).get("data")).encode()
    return Receipt.from_json(text)


COMMAND = Command(
    "Read the whole log and print its hash, which is the same on every backend for the same log. The receipt in --output has a "
    "short hash of each event, too: with --check, the first event that differs is named.",
    run,
    configure,
    (
        "goes-lite digest shop.db",
        "goes-lite digest shop.db --output shop.receipt",
        "goes-lite digest postgresql://localhost/shop --check shop.receipt",
    ),
)
