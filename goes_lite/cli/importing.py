"""`goes-lite import`: an export into an empty store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import for_import
from goes_lite.cli.output import Output

if TYPE_CHECKING:
    from goes_lite.database import Database

STDIN = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="the export; - for stdin")
    store_argument(parser)
    parser.add_argument("--partial", action="store_true", help="also take an export of only part of a log")
    parser.add_argument(
        "--max-line", type=number, default=64, metavar="MIB", help="how long a line may be, in MiB (default: 64)"
    )


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Check the whole file, ask, import."""
    limit = max(1, arguments.max_line) << 20
    effect = _checked(arguments, out, limit)
    name = "stdin" if arguments.file == STDIN else arguments.file

    async def work(database: Database) -> Mapping[str, int]:
        from goes_lite.operations import import_log

        with _stream(arguments.file) as stream:
            done = await import_log(
                database, stream, partial=arguments.partial, max_line=limit, progress=lambda events: _told(out, events)
            )
        out.progress("")
        return {"events": done.events} | ({"resumed": done.resumed} if done.resumed else {})

    change = Change("import", name, f"import {name}", effect)
    return carry_out(arguments, out, change, work, opening=lambda: for_import(arguments, out))


def _checked(arguments: argparse.Namespace, out: Output, limit: int) -> Mapping[str, int]:
    """Read the export, unless it can be read only once, and return how many events it has."""
    if arguments.file == STDIN:
        if not arguments.dry_run:
            if not arguments.yes:
                raise UsageError("import - reads stdin and cannot ask there: add --yes")
            return {}
        from goes_lite.operations import ExportReader
        from goes_lite.operations.imports import check_partial

        reader = ExportReader(sys.stdin.buffer, max_line=limit)
        check_partial(reader, arguments.partial)
        while reader.next_batch():
            _told(out, reader.events)
    else:
        from goes_lite.operations.export_check import ExportCheck
        from goes_lite.operations.imports import check_partial

        check = ExportCheck(arguments.file, max_line=limit)
        try:
            reader = check.reader
            check_partial(reader, arguments.partial)
            while check.step():
                _told(out, reader.events)
        finally:
            check.close()
    out.progress("")
    return {"events": reader.events}


def _stream(file: str) -> BinaryIO:
    return open(0, "rb", closefd=False) if file == STDIN else open(file, "rb")


def _told(out: Output, events: int) -> None:
    out.progress(f"{events} events")


COMMAND = Command(
    "Read an export into an empty store, which is created if it does not exist. The whole file is checked first. An import that "
    "was interrupted goes on if it is repeated with the same file; until then, nothing else opens the store.",
    run,
    configure,
    (
        "goes-lite import shop.jsonl new.db --dry-run",
        "goes-lite import shop.jsonl postgresql://localhost/shop --yes",
        "goes-lite import - new.db --yes < shop.jsonl",
    ),
    changes=True,
)
