"""`goes-lite consumers`: the processors, projections and relays of a store, and how far each is behind."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from goes_lite.cli.catalog import did_you_mean
from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened, run_on
from goes_lite.cli.output import Output
from goes_lite.contract.checkpoints import check_owned_name
from goes_lite.errors import InvalidQueryError

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.operations.info import ConsumerInfo


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print a line for each consumer."""
    from goes_lite.operations.info import consumers_of

    with opened(arguments, out) as db:
        names = consumer_names(db, out)
        consumers = [one for one in run_on(db, consumers_of(db.backend)) if one.name in names]
        identity, head = db.identity, db.events.head()
        found = [_consumer(db, one, head) for one in consumers]
    for one in consumers:
        if one.store != identity:
            message = f"the checkpoint of {one.name!r:.80} belongs to another store, or another epoch of it"
            out.finding("checkpoint-foreign", message, "let it start again: `reset()`, or `goes-lite rebuild`")
        elif one.mismatched:
            message = f"{one.name!r:.80} is at position {one.position}, past the head {head}"
            out.finding("checkpoint-ahead", message, "let it start again: `reset()`, or `goes-lite rebuild`")
        if one.parked:
            message = f"{one.name!r:.80} has {one.parked} parked events"
            out.finding("parked", message, f"goes-lite parked list --of {one.name}")
    rows = [
        (
            one["name"], one["state"], one["position"], one["lag"],
            "?" if one["lag_seconds"] is None else f"{one['lag_seconds']:.0f} s", one["parked"], one["owner"] or "-",
        )
        for one in found
    ]  # fmt: skip
    head_line = ("consumer", "state", "position", "lag", "behind", "parked", "active instance")
    out.result(
        found,
        lambda terminal: (
            terminal.table(head_line, rows, right=(2, 3, 4, 5))
            if rows
            else terminal.line("no consumer has a checkpoint")
        ),
    )


def _consumer(db: BlockingDatabase, consumer: ConsumerInfo, head: int) -> dict[str, Any]:
    """Return what is known of a consumer, for programs."""
    last_error = None
    if consumer.parked:
        letters = [letter for letter in parked_of(db, consumer.name) if letter.error]
        last_error = max(letters, key=lambda letter: letter.time).error if letters else None
    return {
        "name": consumer.name, "state": "active" if consumer.owner else "idle", "position": consumer.position,
        "head": head, "lag": consumer.lag, "lag_seconds": consumer.lag_seconds, "parked": consumer.parked,
        "owner": consumer.owner, "last_error": last_error,
    }  # fmt: skip


def consumer_names(db: BlockingDatabase, out: Output) -> list[str]:
    """Return the names of the consumers that have a checkpoint; one that no consumer can have is a finding."""
    names: list[str] = []
    for point in db.checkpoints.all():
        try:
            check_owned_name(point.name)
        except InvalidQueryError as error:
            out.finding("checkpoint-name", str(error), "goes-lite verify")
        else:
            names.append(point.name)
    return names


def parked_of(db: BlockingDatabase, name: str) -> list[Any]:
    """Return the parked events of a consumer."""
    from goes_lite.processor import ByName

    return run_on(db, ByName(db.backend, name).parked())


def check_consumer(db: BlockingDatabase, name: str) -> None:
    """Raise UsageError, with what may be meant, unless a consumer of this name has a checkpoint."""
    known = [point.name for point in db.checkpoints.all()]
    if name not in known:
        raise UsageError(f"there is no consumer {name!r:.80}{did_you_mean(name, known)}", "goes-lite consumers")


COMMAND = Command(
    "Show the consumers of the log: processors, projections and relays that have a checkpoint. The lag is in positions, so at "
    "most so many events wait; 'behind' is the age of the oldest of them. Parked events are findings (exit code 1).",
    run,
    store_argument,
    ("goes-lite consumers shop.db", "goes-lite consumers postgresql://localhost/shop --json"),
)
