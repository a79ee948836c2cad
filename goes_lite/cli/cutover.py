"""`goes-lite cutover`: a live store moves to another place, and back, while applications write to it."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from goes_lite.cli.backup import progress_of
from goes_lite.cli.changing import Change, confirmed, entry_of
from goes_lite.cli.command import Command
from goes_lite.cli.exits import OK, UsageError
from goes_lite.cli.opening import opened, place_of
from goes_lite.cli.output import Output

if TYPE_CHECKING:
    from goes_lite.database import Database
    from goes_lite.operations import Moved


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("store", metavar="SRC", help="the store that is written to: a file or URL")
    parser.add_argument(
        "target", metavar="DST", help="where it moves to: a new file, the URL of an empty store, or a copy of SRC"
    )
    parser.add_argument("--profile", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument(
        "--budget", type=float, default=5.0, metavar="SECONDS",
        help="how long writers may be kept out, before SRC is opened again and nothing has happened (default: 5)",
    )  # fmt: skip
    parser.add_argument(
        "--undo", action="store_true", help="give up a move that was not finished: SRC takes writes again"
    )


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Move the store, and say where it is."""
    from goes_lite import blocking
    from goes_lite.database.address import shown_url
    from goes_lite.events.registry import Registry

    if not 0 < arguments.budget <= 3600:
        raise UsageError(f"--budget {arguments.budget}: a number of seconds > 0, and ≤ 3600")
    with opened(arguments, out) as source:
        effect = {"events": source.events.count(), "head": source.events.head()}
        place = source.location
    if arguments.undo:  # the target is there, perhaps unfinished; a name that is misspelt must not become a store
        url, reading, _ = place_of(argparse.Namespace(store=arguments.target))
        with blocking.connect(url, registry=Registry(), unknown="raw", unfinished=True, **reading):
            pass
    to = shown_url(arguments.target)
    sentence = f"undo the move of {place} to {to}" if arguments.undo else f"move {place} to {to}"
    change = Change("cutover", place, sentence, effect)
    if not confirmed(arguments, out, change):
        return OK
    asyncio.run(_moved(arguments, out, change))
    return OK


async def _moved(arguments: argparse.Namespace, out: Output, change: Change) -> None:
    from goes_lite import connect
    from goes_lite.events.registry import Registry
    from goes_lite.operations import cutover, undo

    url, _, writing = place_of(arguments)
    async with (
        connect(url, registry=Registry(), unknown="raw", unfinished=True, **writing) as source,
        connect(arguments.target, registry=Registry(), unknown="raw", unfinished=True) as target,
    ):
        if arguments.undo:
            undone = await undo(source.backend, target.backend)
            out.result(
                {"undone": undone, "store": source.location},
                lambda terminal: terminal.line(
                    f"{source.location} takes writes{'' if undone else ': nothing to undo'}"
                ),
            )
            return
        moved = await cutover(source.backend, target.backend, budget=arguments.budget, progress=progress_of(out))
        out.progress("")
        await _note(target, arguments, change, moved)
        found = {**moved._asdict(), "store": target.location}
        out.result(found, lambda terminal: terminal.line(_sentence(moved, source, target)))
        if not out.json:
            out.note(f"{source.location} can be read, and sends its writers to {target.location}")


async def _note(target: Database, arguments: argparse.Namespace, change: Change, moved: Moved) -> None:
    """Leave an entry in the audit log, which is that of the target now."""
    from goes_lite.events.ids import new_id_text
    from goes_lite.operations.audit import DONE, audit_log

    effect = {"events": moved.events, "head": moved.head}
    entry = replace(entry_of(arguments, change), effect=effect, outcome=DONE)
    await audit_log(target.models, target.runtime).put(new_id_text(), entry)


def _sentence(moved: Moved, source: Database, target: Database) -> str:
    if moved.finished:
        return f"{target.location} takes writes: {source.location} was moved there before"
    return f"{target.location} takes writes, from position {moved.head + 1} on; writers had to wait for {moved.paused:.2f} s"


COMMAND = Command(
    "Move a store that is in use to another place, of any backend, and back. DST is filled while applications go on; then "
    "writers are kept out of SRC for a moment, the rest is copied, both are compared, and DST is opened. If that takes longer "
    "than the budget, or this command is killed, SRC opens again by itself. SRC stays as it is, for readers, and tells its "
    "writers where the store is: programs that connected with on_moved='follow' go on there. The move back is the same command "
    "the other way round.",
    run,
    configure,
    (
        "goes-lite cutover shop.db postgresql://localhost/shop --dry-run",
        "goes-lite cutover shop.db postgresql://localhost/shop --yes",
        "goes-lite cutover postgresql://localhost/shop shop.db --budget 2 --yes",
    ),
    changes=True,
)
