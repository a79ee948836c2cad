"""`goes-lite copy`: a store into another one of any backend, verified; with --follow, kept current from then on."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.cli.changing import Change, confirmed, entry_of, tell_done
from goes_lite.cli.command import Command, moment, number
from goes_lite.cli.copy_plan import part_of, tell_plan
from goes_lite.cli.exits import OK, UsageError
from goes_lite.cli.opening import opened, place_of
from goes_lite.cli.output import Output
from goes_lite.cli.pace import Lag, Pace

if TYPE_CHECKING:
    from goes_lite.operations import Copied, PartCopied


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("store", metavar="SRC", help="the store to copy: a file or URL")
    parser.add_argument("target", metavar="DST", help="a new file, or the URL of an empty store, of any backend")
    parser.add_argument("--profile", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument(
        "--update",
        action="store_true",
        help="DST may be a complete copy of SRC: bring it up to date, unless events were written to it since",
    )
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on copying what is committed to SRC, until Ctrl-C (see below)"
    )
    parser.add_argument(
        "--interval", type=float, default=5.0, metavar="SECONDS",
        help="with --follow: how often everything but new events is compared, at most (default: 5)",
    )  # fmt: skip
    part = parser.add_argument_group(
        "a part of the log", "Only events are copied then; the command says what is left out."
    )
    part.add_argument("--upto", type=number, metavar="POSITION", help="a fork: the events up to this position")
    part.add_argument(
        "--until", type=moment, metavar="TIME", help="a fork: the events before the first that is later than this time"
    )
    part.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help="only aggregates, or events, of this name (can be repeated); positions are renumbered",
    )  # fmt: skip
    part.add_argument(
        "--transform", metavar="MODULE:FUNCTION",
        help="what becomes of each event: see operations.copy_part; positions are renumbered",
    )  # fmt: skip
    parser.add_argument("--receipt", metavar="FILE", help="write the receipt of the copied log to this new file")


def run(arguments: argparse.Namespace, out: Output) -> int | None:
    """Copy, and say what was copied."""
    from goes_lite.database.address import shown_url

    if not arguments.interval > 0:
        raise UsageError(f"--interval {arguments.interval}: a number of seconds > 0")
    part = part_of(arguments)
    if part and (arguments.follow or arguments.update):
        raise UsageError("a part of a log is copied once: leave out --follow and --update")
    with opened(arguments, out) as source:
        if arguments.dry_run:
            tell_plan(arguments, out, source)
            return None  # findings decide
        effect = {"events": source.events.count(), "head": source.events.head()}
        place = source.location
    change = Change("copy", place, f"copy {place} into {shown_url(arguments.target)}", effect)
    if confirmed(arguments, out, change):
        asyncio.run(_copied(arguments, out, change, part))
    return OK


async def _copied(arguments: argparse.Namespace, out: Output, change: Change, part: Mapping[str, Any]) -> None:
    """Copy on an event loop, where one store is read while the other one is written to."""
    from goes_lite import connect
    from goes_lite.events.registry import Registry
    from goes_lite.operations import copy, copy_part, follow
    from goes_lite.operations.audit import audited

    url, reading, _ = place_of(arguments)
    copied: list[Copied | PartCopied] = []
    async with (
        connect(url, registry=Registry(), unknown="raw", **reading) as source,
        connect(arguments.target, registry=Registry(), unknown="raw", unfinished=True) as target,
    ):
        out.store = target.location

        async def work() -> Mapping[str, int]:
            pace = Pace(out)
            if part:
                made = await copy_part(source, target, **part, progress=pace)
                copied.append(made)
                return {"events": made.receipt.events, "head": made.receipt.head, **_left_out(made)}
            if arguments.follow:
                done = await follow(source, target, interval=arguments.interval, progress=pace, told=Lag(out))
            else:
                done = await copy(source, target, update=arguments.update, progress=pace)
            copied.append(done)
            written, removed = done.records
            return {
                "events": done.events, "head": done.receipt.head, "deleted": done.deleted, "records": written + removed,
            }  # fmt: skip

        entry = await audited(target.backend, entry_of(arguments, change), work)
        out.progress("")
    tell_done(out, change, entry.effect)
    for done in copied:
        _tell(done, arguments, out)


def _left_out(made: PartCopied) -> dict[str, int]:
    return {f"{kind} left out": number for kind, number in made.left_out._asdict().items()}


def _tell(done: Copied | PartCopied, arguments: argparse.Namespace, out: Output) -> None:
    from goes_lite.operations import Copied

    receipt = done.receipt
    if arguments.receipt is not None:
        try:
            with open(arguments.receipt, "x", encoding="utf-8") as file:
                file.write(receipt.to_json())
        except FileExistsError:
            raise UsageError(f"{arguments.receipt!r} exists: a receipt is not overwritten") from None
    if isinstance(done, Copied):
        out.note(f"both logs have the hash {receipt.hash.hex()}, up to position {receipt.head}")
        return
    what = "positions are renumbered" if done.renumbered else "positions are kept"
    out.note(f"the part has the hash {receipt.hash.hex()}; {what}; consumers begin from the start in it")


COMMAND = Command(
    "Copy everything that a store holds at one moment into another one, of any backend: events with their positions, "
    "snapshots, read models, checkpoints, parked events, commands and receipts. Applications may write to SRC meanwhile. "
    "Each batch is read back and compared, and all of it at the end. A copy that was interrupted, in whatever way, resumes "
    "when it is repeated; until it is complete, nobody can open DST by mistake. With --follow it is completed by repeating "
    "the command with --update instead.",
    run,
    configure,
    (
        "goes-lite copy shop.db postgresql://localhost/shop --dry-run",
        "goes-lite copy shop.db postgresql://localhost/shop --yes",
        "goes-lite copy postgresql://localhost/shop shop.db --follow --yes",
        "goes-lite copy shop.db yesterday.db --until 1d --yes",
        "goes-lite copy shop.db test.db --only order --transform shop.testing:anonymous --yes",
    ),
    changes=True,
)
