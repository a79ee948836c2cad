"""Commands that another service handles: by request, or by the queue of the event bus; and their outcome.

Rule of this file: a command in the queue stays in the store until its outcome is known, for a queue may lose what it keeps.
Then it is sent once more: it counts once by its id, so one that was not lost does no harm.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

from goes_lite.commands._accepted import KeptCommand, accepted_in, read, restored
from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._deadline import DeadlinePassed, within
from goes_lite.commands._receipts import Receipts, unknown_handler
from goes_lite.commands._settling import Verdict, done, failed, settle
from goes_lite.commands._wire import answer_of, command_bytes
from goes_lite.contract.backend import Backend
from goes_lite.contract.command_transport import CommandTransport, NoService, TooLarge
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import (
    CommandError,
    CommandFailed,
    CommandNotHandled,
    CommandTimeout,
    InvalidEventError,
    ModelConflict,
    ModelNotFound,
)
from goes_lite.events.fields import to_micros
from goes_lite.runtime.backoff import Backoff

CHECK = 5.0
"""Seconds after which a caller that waits for an outcome asks whether the queue still has the command."""

TOO_LARGE = "it was handled, but its outcome is too large for a message of the bus: let the handler return a reference"

recheck = Backoff(2.0, maximum=600.0)
"""When workers ask the queue for what it keeps: seldom, the longer it is there."""


class RemoteCommands:
    """The commands of other services, as a command bus uses them."""

    def __init__(self, backend: Backend, transport: CommandTransport) -> None:
        self._backend = backend
        self._receipts = Receipts(backend, unknown_handler)
        self.transport = transport

    async def ask(self, command: DispatchedCommand[Any]) -> Any:
        """Request the command and return its result. CommandNotHandled if no service handles it, CommandTimeout."""
        asking = self.transport.request(command.name, command.id, command_bytes(self._backend.registry, command))
        try:
            if command.deadline is None:
                answer = await asking
            else:
                left = (command.deadline - self._backend.runtime.clock.now()).total_seconds()
                answer = await within(self._backend.runtime, max(left, 0.0), asking)
        except NoService:
            raise CommandNotHandled(command.name, command.id) from None
        except TooLarge:
            raise CommandFailed(command.name, command.id, 1, TOO_LARGE) from None
        except DeadlinePassed:
            raise CommandTimeout(command.name, command.id, begun=True) from None
        return answer_of(answer, command.name, command.id, self._receipts.decode)

    async def forward(self, command: DispatchedCommand[Any], lost: str = "") -> None:
        """Hand the command over to the queue, and note that. BusError if the queue does not accept it at the moment.

        `lost` is its place, if it was there before. One that is too large for the queue has failed.
        """
        body = command_bytes(self._backend.registry, command)
        try:
            place = await self.transport.enqueue(command.name, command.id, body, lost)
        except InvalidEventError as exc:
            await self._settle(command.id, failed(exc))
            return
        await self._change(command.id, state="sent", place=place, checks=0, due=self._after(recheck(1)))

    async def look_after(self, accepted: KeptCommand) -> bool:
        """Record the outcome of a command in the queue, if it is known; return whether the queue has lost it.

        Then it is sent once more. BusError if the queue cannot be asked at the moment.
        """
        command = restored(self._backend, accepted)
        with suppress(CommandError):  # the outcome, which is recorded
            if await self._outcome(accepted, 0):
                return False
            if await self.transport.queued(accepted.id, accepted.place):
                checks = accepted.checks + 1
                await self._change(accepted.id, checks=checks, due=self._after(recheck(checks + 1)))
                return False
            if await self._outcome(accepted, 0):  # it was handled in between
                return False
            await self.forward(command, accepted.place)
            return True
        return False

    async def outcome(self, accepted: KeptCommand, timeout: float | None) -> tuple[Any] | None:
        """Wait a while for the outcome of a command in the queue; return the result, or raise what the handler raised.

        None if the command has to be looked up in the store again; CommandTimeout after `timeout` seconds.
        """
        found = await self._outcome(accepted, CHECK if timeout is None else min(timeout, CHECK))
        if found is None:
            if timeout is not None and timeout <= CHECK:
                raise CommandTimeout(accepted.command, accepted.id, begun=True)
            await self.look_after(accepted)
        return found

    async def _outcome(self, accepted: KeptCommand, timeout: float) -> tuple[Any] | None:
        """Return the outcome of a command in the queue, and record it like that of one that was handled here."""
        try:
            answer = await self.transport.outcome(accepted.id, timeout)
            if answer is None:
                return None
            result = answer_of(answer, accepted.command, accepted.id, self._receipts.decode)
        except (CommandError, TooLarge) as exc:
            if isinstance(exc, TooLarge):
                exc = CommandFailed(accepted.command, accepted.id, 1, TOO_LARGE)
            await self._settle(accepted.id, failed(exc, attempts=getattr(exc, "attempts", 1)))
            raise exc from None
        command = restored(self._backend, accepted)
        receipt = self._receipts.make(command, result)
        with suppress(ModelConflict):  # recorded elsewhere at the same time, or by the service, in the same store
            await self._receipts.put(self._backend, command, receipt)
        await self._settle(accepted.id, done(receipt.result))
        return (result,)

    async def _settle(self, id: UUID, said: Verdict) -> None:
        record = await self._backend.models.get(COMMANDS, str(id))
        if record is not None:
            await settle(self._backend, read(record, self._backend.runtime.clock.now()), said)

    async def _change(self, id: UUID, **fields: Any) -> None:
        with suppress(ModelNotFound):  # withdrawn, or its outcome was recorded, in the meantime
            await accepted_in(self._backend).use(str(id), lambda found: replace(found, **fields))

    def _after(self, seconds: float) -> int:
        return to_micros(self._backend.runtime.clock.now()) + round(seconds * 1_000_000)
