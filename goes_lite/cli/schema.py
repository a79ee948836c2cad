"""`goes-lite schema`: the statements that create the store of a server."""

from __future__ import annotations

import argparse

from goes_lite.cli.command import Commands
from goes_lite.cli.terminal import Terminal
from goes_lite.database.connect import factory_for
from goes_lite.errors import ConfigError


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    schema = commands.add_parser(
        "schema", parents=[common], allow_abbrev=False, help="the statements that create a server's store",
        description="Print the statements that create the tables or collections of a store, for programs without the right to "
        "create them. No server is contacted.",
    )  # fmt: skip
    schema.add_argument("scheme", metavar="SCHEME", help="the scheme of the URL, such as postgresql")
    schema.add_argument(
        "--schema",
        metavar="NAME",
        help="the store: a schema of PostgreSQL, a prefix of MongoDB (default: as in a URL that names none)",
    )
    schema.set_defaults(run=run)


def run(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Print the statements."""
    statements = getattr(factory_for(arguments.scheme), "ddl", None)
    if statements is None:
        raise ConfigError(f"{arguments.scheme!r} has no schema to create by hand: its backend creates what it needs")
    for statement in statements() if arguments.schema is None else statements(arguments.schema):
        for line in f"{statement};".splitlines():
            terminal.line(line)
