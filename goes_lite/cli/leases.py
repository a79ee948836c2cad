"""`goes-lite leases`: which instance of each consumer is the active one, and until when."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.consumers import consumer_names
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.contract.own_collections import PROCESSORS
from goes_lite.operations.forms import iso

if TYPE_CHECKING:
    from goes_lite.database import Database


def _list(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        names = {*consumer_names(db, out), *(record.id for record in db.models.query(PROCESSORS))}
        found = [lease for name in sorted(names) if (lease := db.leases.get(name)) is not None]
    now = datetime.now(timezone.utc)
    rows = [
        (one.name, one.owner, one.token, iso(one.expires)[:19] + "Z", f"{(one.expires - now).total_seconds():.0f} s")
        for one in found
    ]
    head = ("lease", "held by", "token", "expires", "in")
    out.result(
        [one._asdict() for one in found],
        lambda terminal: terminal.table(head, rows, right=(2, 4)) if rows else terminal.line("no lease is held"),
    )


def _which(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("name", metavar="NAME", help="the name of the lease: that of its consumer")


def _release(arguments: argparse.Namespace, out: Output) -> int:
    with opened(arguments, out) as db:
        lease = db.leases.get(arguments.name)
    if lease is None:
        raise UsageError(f"nobody holds the lease {arguments.name!r:.80}", "goes-lite leases list")
    change = Change(
        "leases release", lease.name, f"release the lease {lease.name!r:.80} of {lease.owner}: another instance takes over",
        {"leases": 1},
    )  # fmt: skip

    async def work(database: Database) -> Mapping[str, int]:
        return {"leases": int(await database.leases.release(lease))}

    return carry_out(arguments, out, change, work)


COMMANDS = {
    "list": Command(
        "List the leases that are held: which instance of each consumer is active, and when its lease expires unless it is "
        "renewed. Leases of names that have no checkpoint are not known.",
        _list,
        store_argument,
        ("goes-lite leases list shop.db",),
    ),
    "release": Command(
        "Release a lease before it expires, so that another instance takes over: its holder hangs, or its machine is gone. "
        "What the holder still writes under the lease is refused.",
        _release,
        _which,
        ("goes-lite leases release shop.db letters --reason 'its machine is gone'",),
        changes=True,
    ),
}
