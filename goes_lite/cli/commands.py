"""`goes-lite commands`: commands that were accepted for later, and those that failed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import uuid
from goes_lite.cli.terminal import BOLD, Terminal
from goes_lite.operations.forms import iso, parsed_json

if TYPE_CHECKING:
    from uuid import UUID

    from goes_lite.blocking import BlockingDatabase
    from goes_lite.database import Database


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("--failed", action="store_true", help="only those that failed for good")
    parser.add_argument("--name", metavar="COMMAND", help="only those of this name")


def _list(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        found = _all(db, failed_only=arguments.failed)
    found = [one for one in found if arguments.name is None or one.name == arguments.name]
    for one in found:
        if one.state == "failed":
            message = f"the command {one.name!r:.80} {one.id} failed: {one.error:.200}"
            out.finding("command-failed", message, f"goes-lite commands show {one.id}")
    rows = [(one.id, one.name, one.state, iso(one.due)[:19] + "Z", one.attempts, one.error) for one in found]
    head = ("id", "command", "state", "due", "attempts", "error")
    out.result(
        [_data(one) for one in found],
        lambda terminal: terminal.table(head, rows, right=(4,)) if rows else terminal.line("no command waits"),
    )


def _all(db: BlockingDatabase, *, failed_only: bool = False) -> list[Any]:
    """Return the accepted commands: those that wait, in the order in which they are due, then those that failed."""
    waiting: list[Any] = [] if failed_only else db.commands.accepted()
    return [*waiting, *db.commands.accepted(failed=True)]


def _data(one: Any) -> dict[str, Any]:
    encoding, schema, payload = one.encoded
    parsed = parsed_json(payload) if encoding == "json" else None
    return {
        "id": one.id, "command": one.name, "state": one.state, "time": one.time, "due": one.due,
        "deadline": one.deadline, "attempts": one.attempts, "error": one.error or None, "rejected": one.rejected,
        "code": one.code or None, "encoding": encoding, "schema": schema, "metadata": one.metadata,
        "data": parsed[0] if parsed else None, **({} if parsed else {"payload": _text(payload)}),
    }  # fmt: skip


def _text(payload: str | bytes) -> str:
    return payload if isinstance(payload, str) else payload.hex()


def _which(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("id", metavar="ID", type=uuid, help="the id of the command")


def _one(db: BlockingDatabase, id: UUID) -> Any:
    for one in _all(db):
        if one.id == id:
            return one
    raise UsageError(
        f"no accepted command has the id {id}: it was handled, withdrawn, or never accepted", "goes-lite commands list"
    )


def _show(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        one = _one(db, arguments.id)

    def show(terminal: Terminal) -> None:
        terminal.line(f"{one.name} {one.id}: {one.state}", BOLD)
        terminal.line(f"accepted at {iso(one.time)}, due at {iso(one.due)}, begun {one.attempts} times")
        for key, value in sorted(one.metadata.items()):
            terminal.line(f"metadata {key}: {value}")
        terminal.line(f"payload: {_text(one.encoded.payload)}")
        for line in one.error.splitlines():
            terminal.line(f"  {line}")

    out.result(_data(one), show)


def _withdraw(arguments: argparse.Namespace, out: Output) -> int:
    with opened(arguments, out) as db:
        one = _one(db, arguments.id)
    sentence = f"withdraw {one.name!r:.80} {one.id}: it is never handled"
    change = Change("commands withdraw", str(one.id), sentence, {"commands": 1})

    async def work(database: Database) -> Mapping[str, int]:
        return {"commands": int(await database.commands.withdraw(one.id))}

    return carry_out(arguments, out, change, work)


def _retry(arguments: argparse.Namespace, out: Output) -> int:
    with opened(arguments, out) as db:
        one = _one(db, arguments.id)
    if one.state != "failed":
        raise UsageError(f"{one.name!r:.80} {one.id} has not failed: it is {one.state}", "goes-lite commands list")
    sentence = f"have {one.name!r:.80} {one.id} tried again, by the next worker"
    change = Change("commands retry", str(one.id), sentence, {"commands": 1})

    async def work(database: Database) -> Mapping[str, int]:
        return {"commands": int(await database.commands.redrive(one.id))}

    return carry_out(arguments, out, change, work)


COMMANDS = {
    "list": Command(
        "List the commands that were accepted and are not handled yet, in the order in which they are due, and those that "
        "failed for good, which are findings (exit code 1).",
        _list,
        _list_arguments,
        ("goes-lite commands list shop.db", "goes-lite commands list shop.db --failed --json"),
    ),
    "show": Command(
        "Show one accepted command, with what it says and the error of its last attempt.",
        _show,
        _which,
        ("goes-lite commands show shop.db 01a230f9-f7d2-7629-98ec-9429aacfd4aa",),
    ),
    "withdraw": Command(
        "Remove an accepted command, waiting or failed: it is never handled, unless it has begun already.",
        _withdraw,
        _which,
        ("goes-lite commands withdraw shop.db 01a230f9-f7d2-7629-98ec-9429aacfd4aa --dry-run",),
        changes=True,
    ),
    "retry": Command(
        "Have a failed command tried again, with all its attempts, by the next worker that is free.",
        _retry,
        _which,
        ("goes-lite commands retry shop.db 01a230f9-f7d2-7629-98ec-9429aacfd4aa --yes",),
        changes=True,
    ),
}
