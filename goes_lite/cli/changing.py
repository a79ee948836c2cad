"""How a command changes a store: it says what would change, asks, does it, and leaves an entry in the audit log."""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from goes_lite.cli.exits import OK, UsageError
from goes_lite.cli.opening import opened, run_on

if TYPE_CHECKING:
    import argparse

    from goes_lite.blocking import BlockingDatabase
    from goes_lite.cli.output import Output
    from goes_lite.cli.terminal import Terminal
    from goes_lite.database import Database
    from goes_lite.operations.audit import AuditEntry


class Change(NamedTuple):
    """What is to be done."""

    action: str
    """The name of the command."""
    target: str
    """What it is done to."""
    sentence: str
    """What it does, in the imperative, such as `delete order/7 for good`."""
    effect: Mapping[str, int]
    """How much it will change, by kind: counted just now."""


def carry_out(
    arguments: argparse.Namespace,
    out: Output,
    change: Change,
    work: Callable[[Database], Awaitable[Mapping[str, int]]],
    *,
    loop: bool = False,
    opening: Callable[[], AbstractContextManager[BlockingDatabase]] | None = None,
) -> int:
    """Do a change that a command has planned on a read-only handle; return the exit code.

    The work gets a database, on the blocking face, and returns what it has changed. With --dry-run nothing is opened for
    writing. `loop` is for work that calls coroutine functions of the program, which need an event loop; `opening` opens a
    store that does not have to exist.
    """
    if not confirmed(arguments, out, change):
        return OK
    from goes_lite.operations.audit import audited

    entry = entry_of(arguments, change)
    with opening() if opening else opened(arguments, out, write=True, loop=loop) as db:
        done = run_on(db, audited(db.backend, entry, lambda: work(db.database)))
    tell_done(out, change, done.effect)
    return OK


def entry_of(arguments: argparse.Namespace, change: Change) -> AuditEntry:
    """Return the entry of the audit log with which a change begins."""
    from goes_lite.operations.audit import AuditEntry

    now = datetime.now(timezone.utc)
    return AuditEntry(now, user(), change.action, change.target, dict(change.effect), arguments.reason)


def tell_done(out: Output, change: Change, effect: Mapping[str, int]) -> None:
    """Print what was done, as counts."""
    out.result(
        {**_planned(change), "effect": dict(effect), "done": True},
        lambda terminal: _say(terminal, "done: ", change, effect),
    )


def confirmed(arguments: argparse.Namespace, out: Output, change: Change) -> bool:
    """Return whether to do a change: asked on the terminal, or said with --yes. With --dry-run, say what it would be."""
    if arguments.dry_run:
        out.result(
            {**_planned(change), "done": False}, lambda terminal: _say(terminal, "would ", change, change.effect)
        )
        return False
    if not arguments.yes:
        _ask(out, change)
    return True


def _planned(change: Change) -> dict[str, object]:
    return {"action": change.action, "target": change.target, "effect": dict(change.effect)}


def _say(terminal: Terminal, start: str, change: Change, effect: Mapping[str, int]) -> None:
    terminal.line(f"{start}{change.sentence}{_counts(effect)}")


def _counts(effect: Mapping[str, int]) -> str:
    return " (" + ", ".join(f"{kind}: {count}" for kind, count in effect.items()) + ")" if effect else ""


def _ask(out: Output, change: Change) -> None:
    """Ask on the terminal; UsageError without one, or for any answer but yes."""
    if not sys.stdin.isatty() or out.json:
        raise UsageError(
            f"{change.action} changes the store and cannot ask here: add --yes, or --dry-run to see what it would change"
        )
    out.errors.line(f"About to {change.sentence}{_counts(change.effect)}.")
    out.errors.prompt("Continue? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed")


def user() -> str:
    """Return who runs the command, for the audit log."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without a name
        user = "?"
    return f"{user}@{socket.gethostname()}"
