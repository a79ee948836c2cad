"""About commands: dispatching them, and what became of them."""

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
            f"nothing handles the command {command!r}: register a handler with commands.handle(…), or an aggregate with "
            "commands.serve(…)",
            command_id=command_id,
        )


class CommandRejected(CommandError):
    """The command may not be done: raise it in a handler, with a code of your own that programs can tell it by.

        raise CommandRejected("order_closed", f"order {order.id} is closed", details={"order": order.id})

    `command` and `command_id` are filled in where it passes the command bus.
    """

    def __init__(self, code: str, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__("", message, details=details)
        self.code = code


class CommandTimeout(CommandError, TimeoutError):
    """The command was not handled by its deadline. Attribute: `begun` (whether a handler was called).

    If it was begun, what it has saved is saved: dispatch it again under the same id to be sure, it counts once.
    """

    code = "command_timeout"

    def __init__(self, command: str, command_id: Any, begun: bool) -> None:
        self.begun = begun
        way = (
            "what it saved before is saved; dispatched again under the same id it counts once"
            if begun
            else "it was not begun"
        )
        super().__init__(
            command, f"the command {command!r} was not handled by its deadline: {way}", command_id=command_id
        )


class CommandMismatch(CommandError, ValueError):
    """The id of the command was used before, by a command that differs. Attribute: `other` (the name of that one)."""

    code = "command_mismatch"

    def __init__(self, command: str, command_id: Any, other: str) -> None:
        self.other = other
        what = "with other data" if other == command else f"as {shown(other)}"
        super().__init__(
            command,
            f"the id {str(command_id)!r} of the command {command!r} was used before, {what}: give a new command a new id",
            command_id=command_id,
        )


class CommandFailed(CommandError):
    """An accepted command was given up. Attributes: `attempts`, `error` (what the last one raised, as text).

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
            f"the command {command!r} was given up after {attempts} attempt(s): {error}. Mend the cause and redrive it",
            command_id=command_id,
            details=details,
        )
        if code:
            self.code = code


class CommandNotFound(CommandError, LookupError):
    """No command with this id was accepted, or it was withdrawn, or its receipt was forgotten."""

    code = "command_not_found"

    def __init__(self, command_id: Any) -> None:
        super().__init__(
            "", f"no command with the id {str(command_id)!r} was accepted by this store", command_id=command_id
        )
