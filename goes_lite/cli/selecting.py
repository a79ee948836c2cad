"""Arguments that select events, as the fields of an `EventQuery`, and aggregates."""

from __future__ import annotations

import argparse
from uuid import UUID

from goes_lite.cli.command import moment, number
from goes_lite.cli.exits import UsageError
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.operations.selecting import query_by


def query_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `query_of`."""
    group = parser.add_argument_group(
        "which events", "All given options must match; of one given several times, any does."
    )
    group.add_argument("--name", action="append", default=[], metavar="EVENT", help="of this name")
    group.add_argument(
        "--aggregate", action="append", default=[], metavar="NAME[/ID]", help="of this aggregate, or of all of a name"
    )
    group.add_argument(
        "--tag", action="append", default=[], metavar="KEY:VALUE", help="with this tag (given several times: with all)"
    )
    group.add_argument("--id", action="append", default=[], type=uuid, metavar="UUID", help="with this id")
    group.add_argument(
        "--min-version", type=number, metavar="N", help="of this version of its aggregate, or a later one"
    )
    group.add_argument(
        "--max-version", type=number, metavar="N", help="of this version of its aggregate, or an earlier one"
    )
    group.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="not older: 2026-11-30, 2026-11-30T12:00 (UTC), or an age: 30m, 2h, 7d",
    )
    group.add_argument("--until", type=moment, metavar="TIME", help="not newer")
    group.add_argument("--after", type=number, default=0, metavar="POSITION", help="after this position")
    group.add_argument("--upto", type=number, metavar="POSITION", help="up to this position")


def uuid(text: str) -> UUID:
    """Parse an argument as the id of an event."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UUID") from None


def query_of(arguments: argparse.Namespace) -> EventQuery:
    """Return the query that the arguments describe, without positions. InvalidQueryError for what no event can have."""
    return query_by(
        arguments.name, arguments.aggregate, tags=arguments.tag, ids=arguments.id, min_version=arguments.min_version,
        max_version=arguments.max_version, min_time=arguments.since, max_time=arguments.until,
    )  # fmt: skip


def aggregate_of(text: str) -> AggregateRef:
    """Return the aggregate that an argument names, as NAME/ID; UsageError if it does not."""
    name, slash, id = text.partition("/")
    if not slash:
        raise UsageError(f"{text!r} is no aggregate: write NAME/ID, such as order/2026-001", "goes-lite aggregates")
    return AggregateRef(name, id)
