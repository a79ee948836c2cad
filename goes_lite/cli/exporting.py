"""`goes-lite export`: the log as lines of JSON."""

from __future__ import annotations

import argparse
import sys

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened, run_on
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import query_arguments, query_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument(
        "-o", "--out", metavar="FILE",
        help="write to this new file, which appears when it is complete; by default to stdout",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="continue the FILE.part of an export that was interrupted"
    )
    tables = parser.add_mutually_exclusive_group()
    for form in ("csv", "parquet"):
        tables.add_argument(
            f"--{form}", metavar="FOLDER",
            help=f"instead, write a {form.upper() if form == 'csv' else 'Parquet'} table for each event name, for analysis only",
        )  # fmt: skip
    query_arguments(parser)


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Export, and say what was written: on stderr if the export itself is on stdout."""
    from goes_lite.operations import export, export_to

    query = query_of(arguments)
    if arguments.csv or arguments.parquet:
        _tables(arguments, out)
        return
    if arguments.out is None:
        if out.json or arguments.resume:
            option = "--json" if out.json else "--resume"
            raise UsageError(f"{option} needs --out FILE, since the export would be on stdout")
        if sys.stdout.isatty():
            raise UsageError("an export is not for a terminal: add --out FILE, or a pipe", "goes-lite log")

    def progress(events: int) -> None:
        out.progress(f"{events} events")

    with opened(arguments, out) as db:
        if arguments.out is None:
            work = export(
                db.backend,
                sys.stdout.buffer,
                query=query,
                after=arguments.after,
                upto=arguments.upto,
                progress=progress,
            )
        else:
            work = export_to(
                db.backend, arguments.out, query=query, after=arguments.after, upto=arguments.upto,
                resume=arguments.resume, progress=progress,
            )  # fmt: skip
        end = run_on(db, work)
    out.progress("")
    told = f"{end.events} events up to position {end.upto}, with the hash {end.hash.hex()}"
    if arguments.out is None:
        out.note(told)
        return
    data = {"file": arguments.out, "events": end.events, "upto": end.upto, "hash": end.hash.hex()}
    out.result(data, lambda terminal: terminal.line(f"{arguments.out}: {told}"))


def _tables(arguments: argparse.Namespace, out: Output) -> None:
    from goes_lite.operations import write_tables

    if arguments.out or arguments.resume:
        raise UsageError("--csv and --parquet write into a folder: leave out --out and --resume")
    with opened(arguments, out) as db:
        work = write_tables(
            db.backend, arguments.csv or arguments.parquet, "csv" if arguments.csv else "parquet",
            query=query_of(arguments), after=arguments.after, upto=arguments.upto,
            progress=lambda events: out.progress(f"{events} events read, of twice those that there are"),
        )  # fmt: skip
        tables = run_on(db, work)
    out.progress("")
    data = [{"event": one.event, "file": str(one.file), "rows": one.rows, "columns": one.columns} for one in tables]
    rows = [(one.event, str(one.rows), str(len(one.columns)), str(one.file)) for one in tables]
    out.result(data, lambda terminal: terminal.table(("event", "rows", "columns", "file"), rows, right=(1, 2)))


COMMAND = Command(
    "Write the log as lines of JSON, with every field of every event as it is stored, and hashes. docs/export.md describes the "
    "format. With options that select events, the export says that it is partial.",
    run,
    configure,
    (
        "goes-lite export shop.db --out shop.jsonl",
        "goes-lite export shop.db --out shop.jsonl --resume",
        "goes-lite export shop.db | gzip > shop.jsonl.gz",
        "goes-lite export shop.db --aggregate order --out orders.jsonl",
        "goes-lite export shop.db --csv tables",
    ),
)
