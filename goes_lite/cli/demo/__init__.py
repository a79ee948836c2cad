"""`goes-lite demo`: a guided tour that shows what goes_lite does for a small shop in one file."""

from __future__ import annotations

import argparse

from goes_lite.cli.command import Command
from goes_lite.cli.exits import UsageError
from goes_lite.cli.output import Output
from goes_lite.errors import ConfigError, NetworkFilesystem, StoreReadOnly, StoreUnavailable


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--db", metavar="FILE", default="goes_demo.db", help="the file to create or continue (default: %(default)s)"
    )
    parser.add_argument("--fast", action="store_true", help="no pauses between the sections (a pipe never has pauses)")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Take the tour."""
    from goes_lite.cli.demo._tour import take_tour

    if out.json:
        raise UsageError("the demo is for people: leave out --json")
    if arguments.fast:
        out.terminal.pause = 0.0
    try:
        take_tour(arguments.db, out.terminal)
    except (NetworkFilesystem, StoreReadOnly, StoreUnavailable) as error:
        raise ConfigError(f"{error}. The demo creates a file: choose another one with --db FILE") from error


COMMAND = Command(
    "A guided tour: a small shop in one file. It takes a few seconds; the next run continues with the file.",
    run,
    configure,
    ("goes-lite demo", "goes-lite demo --db /tmp/shop.db --fast"),
)
