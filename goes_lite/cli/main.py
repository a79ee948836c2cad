"""The command line itself: `goes-lite`, or `python -m goes_lite`.

It finds the command, parses its arguments and says how it ended. Errors of goes_lite are one line on stderr, and the command
that helps. Exit codes: 0 success, 1 findings, 2 wrong use, 3 the store cannot be used, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import goes_lite
from goes_lite.cli import catalog
from goes_lite.cli.command import Command, parser_of
from goes_lite.cli.exits import DEFECT, OK, USAGE, UsageError
from goes_lite.cli.failures import exit_code, hint_for
from goes_lite.cli.output import Output
from goes_lite.errors import GoesError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `--help` raises SystemExit, as argparse does."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # do not fail on characters that the terminal lacks
    # Known before the words are parsed, for errors of parsing.
    out = Output(words[0] if words else "", json="--json" in words, color=False if "--no-color" in words else None)
    try:
        code = _run(words, out)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe. The flush when the interpreter exits must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return out.interrupted()
    return code


def parse(words: list[str]) -> tuple[str, Command | catalog.Row, argparse.Namespace]:
    """Return the command that the words name, and its arguments; of a group without an action, its row. UsageError."""
    name, command, rest = catalog.find(words)
    if isinstance(command, catalog.Row):
        return name, command, argparse.Namespace()
    # Intermixed: an optional STORE before other arguments would be taken as left out as soon as an option comes between.
    return name, command, parser_of(name, command).parse_intermixed_args(rest)


def _run(words: list[str], out: Output) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if words[1:]:
            return _run([*words[1:], "--help"], out)
        catalog.overview(out.terminal)
        return OK if words else USAGE
    if words[0] in ("-V", "--version"):
        out.terminal.line(f"goes-lite {goes_lite.__version__}")
        return OK
    try:
        name, command, arguments = parse(words)
        if isinstance(command, catalog.Row):
            catalog.group_overview(name, command, out.terminal)
            return OK if words[1:] else USAGE
        out.command = name
        return out.end(command.run(arguments, out))
    except UsageError as error:
        return out.fail(USAGE, "UsageError", str(error), error.hint)
    except BrokenPipeError:
        raise
    except (GoesError, OSError) as error:
        return out.fail(exit_code(error), type(error).__name__, str(error), hint_for(error))
    except Exception as error:  # noqa: BLE001 - a defect of goes_lite or of a program's module, told in printable lines
        return _defect(error, out)


def _defect(error: Exception, out: Output) -> int:
    from traceback import format_exception

    for line in "".join(format_exception(error)).splitlines():
        out.errors.line(line)
    return out.fail(DEFECT, type(error).__name__, f"this is a defect, please report it: {error!r:.200}")
