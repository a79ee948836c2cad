"""Accepted commands: kept in the store until a worker, or another service, has handled them.

Each is a read model, in a collection whose name begins with `goes:`, so every backend stores it and other tools can read it.
A handled command is removed from there; its receipt has the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

from goes_lite.codec.json_of import json_of
from goes_lite.codec.payload import Raw, payload_text, text_payload
from goes_lite.commands._command import DispatchedCommand
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import CodecError, CommandError, CommandFailed, CommandRejected, DecodeError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.events.registry import Encoded


class AcceptedCommand(NamedTuple):
    """A command that waits to be handled, or that failed."""

    id: UUID
    name: str
    """The registered name of its type."""
    data: Any
    """The command itself; a `Raw` if its name is not registered here, or what is stored cannot be read."""
    time: datetime
    """When it was accepted (aware, UTC)."""
    due: datetime
    """The earliest time at which it may be begun (aware, UTC)."""
    state: Literal["waiting", "failed", "sent"]
    """`sent`: it was handed over to the queue of the event bus, for another service, and its outcome is not known yet."""
    attempts: int
    """How often it was begun."""
    error: str
    """The error of the last attempt, as text; empty without one."""
    code: str
    """The code of that error, for programs."""
    rejected: bool
    """Whether that error was a CommandRejected."""
    deadline: datetime | None
    metadata: Mapping[str, str]
    encoded: Encoded
    """The command as it is stored: encoding, schema version, payload."""

    def __repr__(self) -> str:
        return f"<AcceptedCommand {self.name!r} {self.id}, {self.state}, due {self.due:%Y-%m-%d %H:%M:%S}Z: {self.data!r:.200}>"


@dataclass(frozen=True)
class KeptCommand:
    """The stored form of an accepted command."""

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


def accepted_in(store: Backend | Transaction) -> Models[KeptCommand]:
    """Return the accepted commands of a store, by their ids as text."""
    return store.models_of(COMMANDS, KeptCommand)


def accept(backend: Backend, command: DispatchedCommand[Any], due: int | None) -> KeptCommand:
    """Return the command in its stored form, due at a time or at once. EncodeError if it does not fit its registered type."""
    now = backend.runtime.clock.now()
    _, _, (encoding, schema, payload) = backend.registry.commands.capture(command.data, command.name)
    return KeptCommand(
        command.id, command.name, encoding, schema, payload_text(payload), isinstance(payload, bytes),
        dict(command.metadata), command.deadline, now, to_micros(now) if due is None else due, at_once=due is None,
    )  # fmt: skip


def read(record: ModelRecord, now: datetime) -> KeptCommand:
    """Return an accepted command. For a record that cannot be read, a failed one that contains all of it as its payload."""
    try:
        accepted = json_of(KeptCommand).decode(record.data)
        if str(accepted.id) != record.id:
            raise DecodeError("$.id", f"it is {str(accepted.id)!r} in the record of another")
        return accepted
    except CodecError as exc:
        try:
            id = UUID(record.id)
        except ValueError:
            id = uuid5(NAMESPACE_OID, record.id)
        return KeptCommand(
            id, "?", "?", 0, record.data, False, {}, None, now, 0, state="failed",
            **error_fields(DecodeError("$", f"the record {record.id!r:.80} in {COMMANDS!r} is damaged: {exc}")),
        )  # fmt: skip


def restored(backend: Backend, accepted: KeptCommand) -> DispatchedCommand[Any]:
    """Return the command as it was dispatched, as the current type. DecodeError, UnknownEventError."""
    try:
        payload = text_payload(accepted.payload, binary=accepted.binary)
    except ValueError as exc:
        raise DecodeError("$", f"the payload is not base64: {exc}", name=accepted.command) from exc
    data = backend.registry.commands.decode(accepted.command, accepted.encoding, accepted.schema, payload)
    name = backend.registry.commands.canonical(accepted.command)
    return DispatchedCommand(accepted.id, name, data, accepted.metadata, accepted.deadline, once=True)


def shown(backend: Backend, kept: KeptCommand) -> AcceptedCommand:
    """Return what a program is shown of it."""
    payload: str | bytes = kept.payload
    try:
        payload = text_payload(kept.payload, binary=kept.binary)
        data = backend.registry.commands.decode(kept.command, kept.encoding, kept.schema, payload)
    except (GoesError, ValueError):
        data = Raw(kept.command, kept.encoding, kept.schema, payload)
    return AcceptedCommand(
        kept.id, kept.command, data, kept.time, from_micros(kept.due), kept.state, kept.attempts, kept.error, kept.code,
        kept.rejected, kept.deadline, kept.metadata, Encoded(kept.encoding, kept.schema, payload),
    )  # fmt: skip


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


def failure(accepted: KeptCommand) -> CommandError:
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
