"""Commands that are to be done later: kept in the store until a worker has done them.

Each is a read model, in a collection whose name begins with `goes:`, so every backend keeps it and other tools can read
it. A command that was done is gone from there; its receipt says what came of it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from goes_lite.commands._command import Command
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.models import Models
from goes_lite.errors import CommandError, CommandFailed, CommandRejected
from goes_lite.events.fields import from_micros

COLLECTION = "goes:commands"

MAX_ERROR = 2000
"""How many characters of an error are kept."""


@dataclass(frozen=True)
class AcceptedCommand:
    """A command that is to be done, or that could not be done; its id is that of the command."""

    id: UUID
    command: str
    """Its registered name."""
    encoding: str
    schema: int
    payload: str
    """What it says, encoded; base64 where the encoding gives bytes."""
    binary: bool
    metadata: dict[str, str]
    deadline: datetime | None
    time: datetime
    """When it was accepted (aware, UTC)."""
    due: int
    """From when on it may be begun (microseconds since 1970, UTC). Whoever begins it moves that on, so that nobody else
    begins it meanwhile, and somebody does if it is never ended."""
    state: Literal["waiting", "failed", "sent"] = "waiting"
    """`sent`: the queue of the bus has it, for another service."""
    attempts: int = 0
    """How often it was begun."""
    error: str = ""
    """What the last attempt raised, as text."""
    rejected: bool = False
    """Whether that was a CommandRejected."""
    code: str = ""
    """Of that, for programs."""
    details: str = "{}"
    """Of that, as JSON."""

    @property
    def due_time(self) -> datetime:
        """`due`, as a time."""
        return from_micros(self.due)


def accepted_in(store: Backend | Transaction) -> Models[AcceptedCommand]:
    """By the ids of commands, as text."""
    return store.models_of(COLLECTION, AcceptedCommand)


def accept(backend: Backend, command: Command[Any], due: int) -> AcceptedCommand:
    """The command, to be kept. EncodeError if it does not fit the type that is registered for it."""
    _, _, (encoding, schema, payload) = backend.registry.commands.capture(command.data, command.name)
    binary = isinstance(payload, bytes)
    text = base64.b64encode(payload).decode() if isinstance(payload, bytes) else payload
    return AcceptedCommand(
        command.id, command.name, encoding, schema, text, binary, dict(command.metadata), command.deadline,
        backend.runtime.clock.now(), due,
    )  # fmt: skip


def restored(backend: Backend, accepted: AcceptedCommand) -> Command[Any]:
    """The command as it was dispatched, of today's type. DecodeError, UnknownEventError."""
    payload = base64.b64decode(accepted.payload) if accepted.binary else accepted.payload
    data = backend.registry.commands.decode(accepted.command, accepted.encoding, accepted.schema, payload)
    name = backend.registry.commands.canonical(accepted.command)
    return Command(accepted.id, name, data, accepted.metadata, accepted.deadline, once=True)


def plain(details: object) -> str:
    """Details of an error as JSON; what is no plain value as its repr."""
    return json.dumps(details, default=lambda value: repr(value)[:200], ensure_ascii=False)


def error_fields(error: Exception) -> dict[str, Any]:
    """What is kept of what an attempt raised."""
    return {
        "error": f"{type(error).__name__}: {error}"[:MAX_ERROR].encode("utf-8", "replace").decode(),
        "rejected": isinstance(error, CommandRejected),
        "code": error.code if isinstance(error, CommandError) else "",
        "details": plain(error.details) if isinstance(error, CommandError) else "{}",
    }


def failure(accepted: AcceptedCommand) -> CommandError:
    """Why it was given up, as an error: what its handler raised may be of a type that is unknown here."""
    details = json.loads(accepted.details)
    if accepted.rejected:
        error: CommandError = CommandRejected(accepted.code, accepted.error.partition(": ")[2], details=details)
        error.command, error.command_id = accepted.command, accepted.id
        return error
    return CommandFailed(
        accepted.command, accepted.id, accepted.attempts, accepted.error, code=accepted.code, details=details
    )
