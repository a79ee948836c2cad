"""`goes-lite restore`: a backup back into a store, which must be empty."""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from goes_lite.cli.backup import progress_of
from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command
from goes_lite.cli.opening import for_import
from goes_lite.cli.output import Output

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.database import Database
    from goes_lite.operations import Restored


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="a finished backup")
    parser.add_argument(
        "store", nargs="?", metavar="STORE",
        help="a new file, or the URL of an empty store; by default GOES_LITE_URL, else the url in goes.toml",
    )  # fmt: skip


def run(arguments: argparse.Namespace, out: Output) -> int | None:
    """Restore the backup, and say what its consumers have to know."""
    from goes_lite.blocking import connect
    from goes_lite.database.config import read_configuration
    from goes_lite.database.connect import store_of
    from goes_lite.events.registry import Registry

    _, address = store_of(read_configuration(arguments.store))
    new_file = address.scheme == "sqlite" and not os.path.exists(address.location)
    name = os.path.basename(arguments.file)
    restored: list[Restored] = []
    with connect(Path(arguments.file), registry=Registry(), unknown="raw", read_only=True) as backup:
        effect = {"events": backup.events.count(), "head": backup.events.head()}

        @contextmanager
        def opening() -> Generator[BlockingDatabase]:
            if new_file:  # as the file is: with tables that goes_lite does not know
                from goes_lite.blocking import operations

                restored.append(operations.restore_file(backup, address.location))
            with for_import(arguments, out) as db:
                yield db

        async def work(db: Database) -> Mapping[str, int]:
            if not new_file:
                from goes_lite.operations import restore

                restored.append(await restore(db, arguments.file, progress=progress_of(out)))
                out.progress("")
            return {"events": restored[0].events, "head": restored[0].receipt.head}

        where = "a new file" if new_file else "the store"
        change = Change("restore", name, f"restore the backup {name} into {where}", effect)
        carry_out(arguments, out, change, work, opening=opening)
    for done in restored:
        _tell(done, out)
    return None


def _tell(done: Restored, out: Output) -> None:
    if not out.json:
        out.note(f"the store is {done.identity} now: what kept a position of the old one elsewhere notices")
    for one in done.foreign:
        out.note(f"the checkpoint of {one.name} belongs to another store, as it did in the backup: {one.store}")
    for one in done.ahead:
        out.finding(
            "consumer-ahead",
            f"{one.name} is at position {one.position}, but the store ends at {done.receipt.head}: it has handled events that "
            "are not there",
            "goes-lite consumers",
        )


COMMAND = Command(
    "Restore a backup into a new file, or into an empty store of any backend, and verify it. Nothing is overwritten; an "
    "interrupted restore goes on when it is repeated. The store gets an identity of its own.",
    run,
    configure,
    (
        "goes-lite restore /backup/2026-11-30.db shop.db --yes",
        "goes-lite restore /backup/2026-11-30.db postgresql://localhost/shop --dry-run",
    ),
    changes=True,
)
