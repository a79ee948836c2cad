"""`goes-lite schema`: the statements that create the store of a server."""

from __future__ import annotations

import argparse

from goes_lite.cli.command import Command
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import Terminal
from goes_lite.database.connect import factory_for
from goes_lite.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("scheme", metavar="SCHEME", help="the scheme of the URL, such as postgresql")
    parser.add_argument(
        "--schema",
        metavar="NAME",
        help="the store: a schema of PostgreSQL, a prefix of MongoDB (default: as in a URL that names none)",
    )


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the statements."""
    ddl = getattr(factory_for(arguments.scheme), "ddl", None)
    if ddl is None:
        raise ConfigError(f"{arguments.scheme!r} has no schema to create by hand: its backend creates what it needs")
    statements = [*(ddl() if arguments.schema is None else ddl(arguments.schema))]

    def show(terminal: Terminal) -> None:
        for statement in statements:
            for line in f"{statement};".splitlines():
                terminal.line(line)

    out.result(statements, show)


COMMAND = Command(
    "Print the statements that create the tables or collections of a store, for programs without the right to create them. "
    "No server is contacted.",
    run,
    configure,
    ("goes-lite schema postgresql | psql shop", "goes-lite schema postgresql --schema shop_events"),
)
