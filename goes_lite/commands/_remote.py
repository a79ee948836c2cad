"""Commands that another service handles: by request, or by the queue of the event bus; and their outcome."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from goes_lite.commands._accepted import AcceptedCommand, accepted_in, error_fields, restored
from goes_lite.commands._command import Command
from goes_lite.commands._deadline import DeadlinePassed, within
from goes_lite.commands._receipts import Receipts, unknown_handler
from goes_lite.commands._wire import answer_of, command_bytes
from goes_lite.contract.backend import Backend
from goes_lite.contract.command_transport import CommandTransport, Unheard
from goes_lite.errors import CommandError, CommandNotHandled, CommandTimeout, ModelConflict, ModelNotFound


class RemoteCommands:
    """The commands of other services, as a command bus uses them."""

    def __init__(self, backend: Backend, transport: CommandTransport) -> None:
        self._backend = backend
        self._receipts = Receipts(backend, unknown_handler)
        self.transport = transport

    async def ask(self, command: Command[Any]) -> Any:
        """Request the command and return its result. CommandNotHandled if no service handles it, CommandTimeout."""
        asking = self.transport.request(command.name, command.id, command_bytes(self._backend.registry, command))
        try:
            if command.deadline is None:
                answer = await asking
            else:
                left = (command.deadline - self._backend.runtime.clock.now()).total_seconds()
                answer = await within(self._backend.runtime, max(left, 0.0), asking)
        except Unheard:
            raise CommandNotHandled(command.name, command.id) from None
        except DeadlinePassed:
            raise CommandTimeout(command.name, command.id, begun=True) from None
        return answer_of(answer, command.name, command.id, self._receipts.decode)

    async def forward(self, command: Command[Any]) -> None:
        """Hand the command over to the queue, and note that. BusError if the queue does not accept it."""
        await self.transport.enqueue(command.name, command.id, command_bytes(self._backend.registry, command))
        with suppress(ModelNotFound):  # withdrawn in the meantime
            await accepted_in(self._backend).use(str(command.id), lambda found: replace(found, state="sent"))

    async def outcome(self, accepted: AcceptedCommand, timeout: float | None) -> Any:
        """Return the outcome of a forwarded command, and record it like that of a command that was handled here."""
        answer = await self.transport.outcome(accepted.id, timeout)
        if answer is None:
            raise CommandTimeout(accepted.command, accepted.id, begun=True)
        try:
            result = answer_of(answer, accepted.command, accepted.id, self._receipts.decode)
        except CommandError as exc:
            fields = {**error_fields(exc), "attempts": getattr(exc, "attempts", 1)}
            with suppress(ModelNotFound):
                await accepted_in(self._backend).use(
                    str(accepted.id), lambda found: replace(found, state="failed", **fields)
                )
            raise
        command = restored(self._backend, accepted)
        with suppress(ModelConflict):  # recorded elsewhere at the same time
            await self._receipts.put(self._backend, command, self._receipts.make(command, result))
        await accepted_in(self._backend).delete(str(accepted.id))
        return result
