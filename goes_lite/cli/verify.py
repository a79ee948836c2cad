"""`goes-lite verify`: whether a store is sound."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from goes_lite.cli.command import Command, app_argument, number, store_argument
from goes_lite.cli.digest import read_receipt
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import GREEN, Terminal, counted

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.operations import Findings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    app_argument(parser)
    parser.add_argument(
        "--receipt", metavar="FILE", help="a receipt of `goes-lite digest`: every event must be as it was"
    )
    parser.add_argument(
        "--collection",
        action="append",
        metavar="NAME",
        help="of the read models, check this collection only (repeatable; all by default)",
    )
    parser.add_argument("--limit", type=number, default=100, metavar="N", help="stop after N findings (default: 100)")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Check, and print what is wrong."""
    from goes_lite.blocking import operations

    if not arguments.limit:
        raise UsageError("--limit 0: at least one finding is needed to stop")
    receipt = None if arguments.receipt is None else read_receipt(arguments.receipt)
    with opened(arguments, out) as db:
        found = operations.verify(
            db,
            aggregates=_classes() if arguments.app else (),
            collections=arguments.collection,
            receipt=receipt,
            strict=bool(arguments.app),
            limit=arguments.limit,
            progress=lambda events: out.progress(f"{events:,} events checked"),
        )
    out.progress("")
    for problem in found.problems:
        out.finding(problem.code, problem.message, problem.fix)
    for note in found.notes:
        out.note(f"note: {note}")
    data = {**found._asdict(), "problems": len(found.problems)}
    out.result(data, lambda terminal: _summary(terminal, found))


def _classes() -> list[type[Aggregate]]:
    """Return the aggregates of the program that was imported: their snapshots are compared with a replay."""
    from goes_lite.aggregate import Aggregate

    found: list[type[Aggregate]] = []
    left = [Aggregate]
    while left:
        classes = left.pop().__subclasses__()
        left += classes
        found += [one for one in classes if _is_whole(one)]
    return found


def _is_whole(aggregate: type[Aggregate]) -> bool:
    """Return whether it is an aggregate, rather than a base of some that lacks a name."""
    try:
        return bool(aggregate("any").ref.name)
    except Exception:  # noqa: BLE001 - the constructor is code of the program
        return False


def _summary(terminal: Terminal, found: Findings) -> None:
    checked = ", ".join(
        counted(number, what)
        for what, number in zip(found._fields[1:-1], found[1:-1], strict=True)
        if number or what == "events"
    )
    if found.problems:
        terminal.line(f"{counted(len(found.problems), 'findings')}; checked {checked}")
    else:
        terminal.line(f"sound: {checked}", GREEN)


COMMAND = Command(
    "Read everything in a store and check it: files and indexes, positions, versions, ids, tags, that every payload can be "
    "decoded, snapshots, checkpoints, parked events, commands. With --app, payloads are decoded into today's types, and "
    "snapshots are compared with a replay. Nothing is changed.",
    run,
    configure,
    (
        "goes-lite verify shop.db",
        "goes-lite verify shop.db --app shop --collection orders",
        "goes-lite verify shop.db --receipt shop.receipt --json",
    ),
)
