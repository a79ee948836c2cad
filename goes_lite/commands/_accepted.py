"""Accepted commands: kept in the store until a worker, or another service, has handled them.

Each is a read model, in a collection whose name begins with `goes:`, so every backend stores it and other tools can read it.
A handled command is removed from there; its receipt has the result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from goes_lite.codec.json_of import json_of
from goes_lite.codec.payload import payload_text, text_payload
from goes_lite.commands._command import Command
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import CodecError, CommandError, CommandFailed, CommandRejected, DecodeError
from goes_lite.errors.functions import error_text
from goes_lite.events.fields import from_micros, to_micros


@dataclass(frozen=True)
class AcceptedCommand:
    """A command that waits to be handled, or that failed; its id is that of the command."""

    id: UUID
    command: str
    """Its registered name."""
    encoding: str
    schema: int
    payload: str
    """The encoded command; base64 where the encoding produces bytes."""
    binary: bool
    metadata: dict[str, str]
    deadline: datetime | None
    time: datetime
    """When it was accepted (aware, UTC)."""
    due: int
    """The earliest time at which it may be begun (microseconds since 1970, UTC). A worker that begins it postpones this, so
    that no other begins it in the meantime, and another does if it is never finished."""
    state: Literal["waiting", "failed", "sent"] = "waiting"
    """`sent`: it was handed over to the queue of the event bus, for another service, and its outcome is not known yet."""
    attempts: int = 0
    """How often it was begun."""
    error: str = ""
    """The error of the last attempt, as text."""
    rejected: bool = False
    """Whether that error was a CommandRejected."""
    code: str = ""
    """Its code, for programs."""
    details: str = "{}"
    """Its details, as JSON."""
    at_once: bool = False
    """Whether it may be begun whatever the clock says: no time was given for it, and it was not begun yet."""
    place: str = ""
    """Its place in the queue of the event bus, if it was handed over to that."""
    checks: int = 0
    """How often the queue was asked for it since then, and still had it. `due` is when that will be the next time."""

    @property
    def said(self) -> tuple[str, str, int, str]:
        """What another command under the same id does not say."""
        return self.command, self.encoding, self.schema, self.payload

    @property
    def due_time(self) -> datetime:
        """`due`, as a time."""
        return from_micros(self.due)


def accepted_in(store: Backend | Transaction) -> Models[AcceptedCommand]:
    """Return the accepted commands of a store, by their ids as text."""
    return store.models_of(COMMANDS, AcceptedCommand)


def accept(backend: Backend, command: Command[Any], due: int | None) -> AcceptedCommand:
    """Return the command in its stored form, due at a time or at once. EncodeError if it does not fit its registered type."""
    now = backend.runtime.clock.now()
    _, _, (encoding, schema, payload) = backend.registry.commands.capture(command.data, command.name)
    return AcceptedCommand(
        command.id, command.name, encoding, schema, payload_text(payload), isinstance(payload, bytes),
        dict(command.metadata), command.deadline, now, to_micros(now) if due is None else due, at_once=due is None,
    )  # fmt: skip


def read(record: ModelRecord, now: datetime) -> AcceptedCommand:
    """Return an accepted command. For a record that cannot be read, a failed one that contains all of it as its payload."""
    try:
        accepted = json_of(AcceptedCommand).decode(record.data)
        if str(accepted.id) != record.id:
            raise DecodeError("$.id", f"it is {str(accepted.id)!r} in the record of another")
        return accepted
    except CodecError as exc:
        try:
            id = UUID(record.id)
        except ValueError:
            id = uuid5(NAMESPACE_OID, record.id)
        return AcceptedCommand(
            id, "?", "?", 0, record.data, False, {}, None, now, 0, state="failed",
            **error_fields(DecodeError("$", f"the record {record.id!r:.80} in {COMMANDS!r} is damaged: {exc}")),
        )  # fmt: skip


def restored(backend: Backend, accepted: AcceptedCommand) -> Command[Any]:
    """Return the command as it was dispatched, as the current type. DecodeError, UnknownEventError."""
    try:
        payload = text_payload(accepted.payload, binary=accepted.binary)
    except ValueError as exc:
        raise DecodeError("$", f"the payload is not base64: {exc}", name=accepted.command) from exc
    data = backend.registry.commands.decode(accepted.command, accepted.encoding, accepted.schema, payload)
    name = backend.registry.commands.canonical(accepted.command)
    return Command(accepted.id, name, data, accepted.metadata, accepted.deadline, once=True)


def plain(details: object) -> str:
    """Return details of an error as JSON; a value that JSON cannot express as its repr."""
    return json.dumps(details, default=lambda value: repr(value)[:200], ensure_ascii=False)


def error_fields(error: Exception) -> dict[str, Any]:
    """Return the fields that store the error of an attempt."""
    return {
        "error": error_text(error),
        "rejected": isinstance(error, CommandRejected),
        "code": error.code if isinstance(error, CommandError) else "",
        "details": plain(error.details) if isinstance(error, CommandError) else "{}",
    }


def failure(accepted: AcceptedCommand) -> CommandError:
    """Return why it failed, as an error: the type that its handler raised may be unknown here."""
    try:
        details = dict(json.loads(accepted.details))
    except (TypeError, ValueError):  # written by another tool
        details = {"details": accepted.details}
    if accepted.rejected:
        error: CommandError = CommandRejected(accepted.code, accepted.error.partition(": ")[2], details=details)
        error.command, error.command_id = accepted.command, accepted.id
        return error
    return CommandFailed(
        accepted.command, accepted.id, accepted.attempts, accepted.error, code=accepted.code, details=details
    )
