"""Errors about commands: dispatching them, and their outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goes_lite.errors._base import GoesError, shown


class CommandError(GoesError):
    """Base of errors about one command.

    Attributes: `command` (its registered name), `command_id` (UUID; None where no dispatch is known), `code` (for
    programs, `command_rejected` and so on), `details` (plain values).
    """

    code: str = "command_error"

    def __init__(
        self, command: str, message: str, *, command_id: Any = None, details: Mapping[str, Any] | None = None
    ) -> None:
        self.command = command
        self.command_id = command_id
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(message)


class CommandNotHandled(CommandError, LookupError):
    """No handler is registered for the command."""

    code = "command_not_handled"

    def __init__(self, command: str, command_id: Any = None) -> None:
        super().__init__(
            command,
            f"no handler for the command {command!r}: register a handler with commands.handle(…), or an aggregate with "
            "commands.serve(…)",
            command_id=command_id,
        )


class CommandRejected(CommandError):
    """A handler refuses the command: raise it there, with a code of your own for programs.

        raise CommandRejected("order_closed", f"order {order.id} is closed", details={"order": order.id})

    The command bus fills in `command` and `command_id`.
    """

    def __init__(self, code: str, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__("", message, details=details)
        self.code = code


class CommandTimeout(CommandError, TimeoutError):
    """The command was not handled by its deadline.

    Attributes: `begun` (whether a handler was called), `written` (whether anything may have been written to the store; after
    the deadline nothing is).
    """

    code = "command_timeout"

    def __init__(self, command: str, command_id: Any, begun: bool, written: bool | None = None) -> None:
        self.begun = begun
        self.written = begun if written is None else written
        if self.written:
            way = "what it wrote until then stays; dispatch it again under the same id, and it counts once"
        elif begun:
            way = "it was begun, and nothing of it is stored"
        else:
            way = "it was not begun"
        super().__init__(
            command, f"the command {command!r} was not handled by its deadline: {way}", command_id=command_id
        )


class CommandMismatch(CommandError, ValueError):
    """The id of the command was used before by a different command. Attribute: `other` (the name of that command)."""

    code = "command_mismatch"

    def __init__(self, command: str, command_id: Any, other: str) -> None:
        self.other = other
        what = "with other data" if other == command else f"as {shown(other)}"
        super().__init__(
            command,
            f"the id {str(command_id)!r} of the command {command!r} was used before, {what}: use a new id for a new command",
            command_id=command_id,
        )


class CommandFailed(CommandError):
    """An accepted command failed for good. Attributes: `attempts`, `error` (of the last attempt, as text).

    `code` is that of the error, if it was a CommandError.
    """

    code = "command_failed"

    def __init__(
        self,
        command: str,
        command_id: Any,
        attempts: int,
        error: str,
        *,
        code: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.attempts = attempts
        self.error = error
        super().__init__(
            command,
            f"the command {command!r} failed after {attempts} attempt(s): {error}. Fix the cause and redrive it",
            command_id=command_id,
            details=details,
        )
        if code:
            self.code = code


class CommandNotFound(CommandError, LookupError):
    """No command with this id was accepted, or it was withdrawn, or its receipt was removed."""

    code = "command_not_found"

    def __init__(self, command_id: Any) -> None:
        super().__init__(
            "", f"no command with the id {str(command_id)!r} was accepted by this store", command_id=command_id
        )


class InvalidCommandKey(GoesError, ValueError):
    """What was given as the id of a command is neither a UUID nor a key: see `goes_lite.commands.command_id`."""
