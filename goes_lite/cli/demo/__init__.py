"""`goes-lite demo`: a guided tour that shows what goes_lite does for a small shop in one file."""

from __future__ import annotations

import argparse

from goes_lite.cli.command import Commands
from goes_lite.cli.terminal import Terminal
from goes_lite.errors import ConfigError, NetworkFilesystem, StoreReadOnly, StoreUnavailable


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser(
        "demo", parents=[common], allow_abbrev=False, help="a guided tour, on a file of its own",
        description="A guided tour: a small shop in one file. It takes a few seconds; the next run continues with the file.",
    )  # fmt: skip
    demo.add_argument(
        "--db", metavar="FILE", default="goes_demo.db", help="the file to create or continue (default: %(default)s)"
    )
    demo.add_argument("--fast", action="store_true", help="no pauses between the sections (a pipe never has pauses)")
    demo.set_defaults(run=run)


def run(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Take the tour."""
    from goes_lite.cli.demo._tour import take_tour

    if arguments.fast:
        terminal.pause = 0.0
    try:
        take_tour(arguments.db, terminal)
    except (NetworkFilesystem, StoreReadOnly, StoreUnavailable) as error:
        raise ConfigError(f"{error}. The demo creates a file: choose another one with --db FILE") from error
