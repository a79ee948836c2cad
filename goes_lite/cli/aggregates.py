"""`goes-lite aggregates`: which aggregates a store has."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import aggregate_of
from goes_lite.operations.forms import iso, ref_text

if TYPE_CHECKING:
    from goes_lite.contract.event_store import AggregateInfo


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("--name", metavar="NAME", help="only those of this name")
    parser.add_argument("--after", type=aggregate_of, metavar="NAME/ID", help="only those that follow this one")
    parser.add_argument("--first", type=number, metavar="N", help="only the first N of them")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the aggregates, by name and id."""
    with opened(arguments, out) as db:
        found = db.events.aggregates(arguments.name, after=arguments.after, limit=arguments.first)
        count = out.stream(found, _data, lambda info: out.terminal.line(_line(info)))
        if not count and arguments.name and not out.json:
            from goes_lite.cli.naming import missing_aggregate

            out.note(missing_aggregate(db, arguments.name))


def _data(info: AggregateInfo) -> dict[str, Any]:
    return {
        "aggregate": info.aggregate.name, "id": info.aggregate.id, "version": info.version,
        "first_time": info.first_time, "last_time": info.last_time,
    }  # fmt: skip


def _line(info: AggregateInfo) -> str:
    return f"{ref_text(info.aggregate):<32}  v{info.version:<6}  {iso(info.first_time)[:19]}Z to {iso(info.last_time)[:19]}Z"


COMMAND = Command(
    "List the aggregates of a store by name and id, with their version and the times of their first and newest event.",
    run,
    configure,
    ("goes-lite aggregates shop.db", "goes-lite aggregates shop.db --name order --first 20"),
)
