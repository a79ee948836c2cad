"""The command line itself: `goes-lite`, or `python -m goes_lite`.

Every command except `demo` only reads. Errors of goes_lite are one line on stderr. Exit codes: 0 success, 2 an error or a
wrong argument, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import goes_lite
from goes_lite.cli import demo, info, log, schema
from goes_lite.cli.terminal import Terminal, printable
from goes_lite.errors import GoesError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. A wrong argument raises SystemExit(2), as argparse does."""
    known = parser()
    arguments = known.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # do not fail on characters that the terminal lacks
    if arguments.command is None:
        known.print_help()
        return 2
    terminal = Terminal(sys.stdout, color=False if arguments.no_color else None, pause=0.2)
    try:
        arguments.run(arguments, terminal)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe. The flush when the interpreter exits must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (GoesError, OSError) as error:
        Terminal(sys.stderr, color=False).line("error: " + " ".join(str(error).split()))
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    """Shows wrong arguments escaped: they may be names of files."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    known = _Parser(prog="goes-lite", description="Event sourcing in one SQLite file.", allow_abbrev=False)
    known.add_argument("-V", "--version", action="version", version=f"goes-lite {goes_lite.__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--no-color", action="store_true", help="no colours (as with NO_COLOR set, or in a pipe)")
    commands = known.add_subparsers(dest="command", metavar="COMMAND")

    for command in (demo, log, info, schema):
        command.add(commands, common)
    return known
