"""Commands and their outcomes as JSON, for services in any language.

    {"command": "order.place", "id": "0199…", "encoding": "json", "schema": 1, "data": {…}, "metadata": {"actor": "ann"},
     "deadline": "2026-03-01T12:00:00+00:00"}

    {"result": …}   or   {"error": {"kind": "rejected", "code": "order_closed", "message": …, "details": {…}}}

Rule of this file: no name from outside is ever imported. A rejection of a class of your own is restored as that class if
the program has one of that name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from goes_lite.commands._accepted import plain
from goes_lite.commands._command import DispatchedCommand
from goes_lite.errors import (
    CommandError,
    CommandFailed,
    CommandMismatch,
    CommandNotHandled,
    CommandRejected,
    CommandTimeout,
    DecodeError,
    GoesError,
)
from goes_lite.events.outcome import REPORT
from goes_lite.events.registry import Registry

MAX_ERROR = 2000
"""How many characters of an error are sent."""


def command_bytes(registry: Registry, command: DispatchedCommand[Any]) -> bytes:
    """Return a command as a message. EncodeError if it does not fit its type."""
    _, _, (encoding, schema, payload) = registry.commands.capture(command.data, command.name)
    said: dict[str, Any] = {
        "command": command.name, "id": str(command.id), "encoding": encoding, "schema": schema,
        "metadata": {key: value for key, value in command.metadata.items() if key != REPORT},
    }  # fmt: skip
    if command.deadline is not None:
        said["deadline"] = command.deadline.isoformat()
    if isinstance(payload, bytes):
        said["data_base64"] = base64.b64encode(payload).decode()
    else:
        said["data"] = json.loads(payload) if encoding == "json" else payload
    return json.dumps(said, ensure_ascii=False).encode()


def command_of(registry: Registry, body: bytes) -> DispatchedCommand[Any]:
    """Return the command in a message, which counts once. DecodeError, UnknownEventError if it cannot be read."""
    try:
        said = json.loads(body)
        name, id = registry.commands.canonical(said["command"]), UUID(said["id"])
        encoding, metadata = str(said["encoding"]), {str(k): str(v) for k, v in said.get("metadata", {}).items()}
        deadline = datetime.fromisoformat(said["deadline"]) if "deadline" in said else None
        payload: str | bytes
        if "data_base64" in said:
            payload = base64.b64decode(said["data_base64"], validate=True)
        else:
            payload = json.dumps(said["data"], ensure_ascii=False) if encoding == "json" else str(said["data"])
        schema = int(said.get("schema", 1))
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise DecodeError("$", f"the message is no command: {exc!r:.200}") from exc
    data = registry.commands.decode(said["command"], encoding, schema, payload)
    return DispatchedCommand(id, name, data, metadata, deadline, once=True)


def result_bytes(text: str | None) -> bytes:
    """Return the result of a handler, which is already JSON, as a message."""
    return b'{"result":' + (text or "null").encode() + b"}"


def error_bytes(error: BaseException, attempts: int = 1) -> bytes:
    """What a handler raised."""
    said: dict[str, Any] = {"message": _cut(str(error))}
    if isinstance(error, CommandError):
        said |= {"code": error.code, "details": json.loads(plain(error.details))}
    if isinstance(error, CommandRejected):
        said |= {"kind": "rejected", "type": _name(type(error))}
    elif isinstance(error, CommandTimeout):
        said |= {"kind": "timeout", "begun": error.begun, "written": error.written}
    elif isinstance(error, CommandMismatch):
        said |= {"kind": "mismatch", "other": error.other}
    elif isinstance(error, CommandNotHandled):
        said |= {"kind": "not_handled"}
    else:
        said |= {"kind": "failed", "attempts": attempts, "message": _cut(f"{type(error).__name__}: {error}")}
    return json.dumps({"error": said}).encode()


def _cut(text: str) -> str:
    return text[:MAX_ERROR]


def answer_of(body: bytes, name: str, id: UUID, decode: Callable[[str | None], Any]) -> Any:
    """Return the result in a message, or raise its error. DecodeError for a message that has neither."""
    try:
        said = json.loads(body)
        if "error" in said:
            error = _error(said["error"], name, id)
        else:
            return decode(None if said["result"] is None else json.dumps(said["result"], ensure_ascii=False))
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        if isinstance(exc, GoesError):
            raise
        raise DecodeError("$", f"the message is no outcome of a command: {exc!r:.200}", name=name) from exc
    raise error


def error_of(text: str, name: str, id: UUID) -> CommandError:
    """Return the error that `error_bytes` has as JSON. DecodeError if it has none."""
    try:
        return _error(json.loads(text)["error"], name, id)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise DecodeError("$", f"the text is no error of a command: {exc!r:.200}", name=name) from exc


def _error(said: dict[str, Any], name: str, id: UUID) -> CommandError:
    kind, message, details = said["kind"], str(said.get("message", "")), dict(said.get("details") or {})
    if kind == "timeout":
        return CommandTimeout(name, id, bool(said["begun"]), bool(said.get("written", said["begun"])))
    if kind == "mismatch":
        return CommandMismatch(name, id, str(said["other"]))
    if kind == "not_handled":
        return CommandNotHandled(name, id)
    if kind == "rejected":
        error: CommandError = CommandRejected(str(said["code"]), message, details=details)
        error.command, error.command_id = name, id
        known = {_name(cls): cls for cls in _subclasses(CommandRejected)}
        if (cls := known.get(said.get("type", ""))) is not None:
            own = cls.__new__(cls)  # not called: its constructor may take any arguments
            own.args = error.args
            own.__dict__.update(error.__dict__)
            return own
        return error
    return CommandFailed(name, id, int(said.get("attempts", 1)), message, code=said.get("code", ""), details=details)


def _name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls: type[CommandRejected]) -> Iterator[type[CommandRejected]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)
