"""What a command is: what it says about itself, its arguments, and the function that does it.

A command is a module of this package with a constant `COMMAND` (or `COMMANDS`, by action), and a row in
`goes_lite.cli.catalog`. It is imported only when it is chosen, and imports what is slow inside its function.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from goes_lite.cli.exits import UsageError
from goes_lite.operations.forms import printable

if TYPE_CHECKING:
    from goes_lite.cli.output import Output


def nothing(parser: argparse.ArgumentParser) -> None:
    """Add no argument."""


class Command(NamedTuple):
    """One command."""

    description: str
    """What it does, in one or two sentences."""
    run: Callable[[argparse.Namespace, Output], int | None]
    """Does it, and returns the exit code (None: 0, or 1 with findings)."""
    configure: Callable[[argparse.ArgumentParser], None] = nothing
    """Adds its arguments."""
    examples: tuple[str, ...] = ()
    """Lines for its help, such as `goes-lite log shop.db --last 5`."""
    changes: bool = False
    """Whether it changes a store: then it has --dry-run, --yes and --reason. See `goes_lite.cli.changing`."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError for wrong arguments, instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(printable(message), f"{self.prog} --help")


def parser_of(name: str, command: Command) -> Parser:
    """Return the parser of a command, with what all commands have."""
    description = textwrap.fill(command.description, 79)
    epilog = "\n".join(["examples:", *(f"  {line}" for line in command.examples)]) if command.examples else None
    parser = Parser(
        prog=f"goes-lite {name}", description=description, epilog=epilog, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.configure(parser)
    if command.changes:
        change = parser.add_argument_group("changing")
        change.add_argument(
            "--dry-run", action="store_true", help="say what would change, with counts, and change nothing"
        )
        change.add_argument("-y", "--yes", action="store_true", help="do not ask; needed without a terminal")
        change.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit log of the store")
    form = parser.add_argument_group("output")
    form.add_argument("--json", action="store_true", help="one JSON document for programs, and nothing else on stdout")
    form.add_argument("--no-color", action="store_true", help="no colours (as with NO_COLOR set, or in a pipe)")
    return parser


def store_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument and the option that name the store; `opened` opens it."""
    parser.add_argument(
        "store", nargs="?", metavar="STORE",
        help="a file or URL; by default GOES_LITE_URL, else the url in goes.toml",
    )  # fmt: skip
    parser.add_argument("--profile", metavar="NAME", help="use this profile of goes.toml")


def app_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the module of the program; `application` imports it."""
    parser.add_argument(
        "--app", metavar="MODULE",
        help="import this module (or MODULE:REGISTRY), which registers the events: they are shown as today's types",
    )  # fmt: skip


def number(text: str) -> int:
    """Parse an argument as an int ≥ 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number ≥ 0")
    return int(text)


def moment(text: str) -> datetime:
    """Parse an argument as a time: ISO 8601 (UTC unless it names a zone), or an age such as 90s, 30m, 2h, 7d or 4w."""
    from goes_lite.operations.selecting import moment_of

    try:
        return moment_of(text, datetime.now(timezone.utc))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
