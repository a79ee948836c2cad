"""`goes-lite delete`: an aggregate, for good."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.naming import check_aggregate
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import aggregate_of
from goes_lite.operations.forms import ref_text

if TYPE_CHECKING:
    from goes_lite.database import Database
    from goes_lite.events.fields import AggregateRef


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("aggregate", type=aggregate_of, metavar="NAME/ID", help="the aggregate")


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Count, ask, delete."""
    from goes_lite.events.query import EventQuery

    ref: AggregateRef = arguments.aggregate
    with opened(arguments, out) as db:
        check_aggregate(db, ref)
        snapshots = sum(1 for _ in db.snapshots.query(aggregate=ref))
        effect = {"events": db.events.count(EventQuery(aggregates=[ref])), "snapshots": snapshots}

    async def work(database: Database) -> Mapping[str, int]:
        return {"events": await database.events.delete(ref), "snapshots": snapshots}

    return carry_out(arguments, out, Change("delete", ref_text(ref), f"delete {ref_text(ref)} for good", effect), work)


COMMAND = Command(
    "Delete an aggregate for good: its events and snapshots. Positions are not used again, so the log has gaps. Read models, "
    "backups and other systems keep what they made of its events.",
    run,
    configure,
    (
        "goes-lite delete shop.db order/2026-001 --dry-run",
        "goes-lite delete shop.db order/2026-001 --yes --reason 'a test'",
    ),
    changes=True,
)
