"""Receipts: that a command was handled, and its result. They make an id count once.

A receipt commits together with what the command wrote, so a crash leaves both or neither. Where it cannot (a function that
writes elsewhere, a backend without transactions), a receipt says first that the command is begun: others with the same id
wait for it. It is a read model, in a collection whose name begins with `goes:`, so every backend stores it and other tools
can read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from goes_lite.commands._accepted import KeptCommand
from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._settling import asks, done, settle, settle_handled
from goes_lite.commands._wire import error_bytes, error_of
from goes_lite.commands.results import ResultCodec
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import RECEIPTS
from goes_lite.errors import CommandMismatch, CommandRejected, GoesError, ModelConflict, StoreError
from goes_lite.events.outcome import REDRIVEN
from goes_lite.runtime import Signal
from goes_lite.runtime.deadline import current_deadline, limited

PATIENCE = 5.0
"""How many seconds a command that was begun elsewhere keeps others with its id waiting: the one that began it may be dead."""


@dataclass(frozen=True)
class Receipt:
    """The receipt of a handled command; its id is that of the command."""

    command: str
    """Its registered name."""
    data: str
    """SHA-256 of the encoded command, so that another command is not mistaken for this one."""
    result: str | None
    """The result of its handler, as JSON; None for None."""
    time: datetime
    """When it was handled (aware, UTC)."""
    begun: bool = False
    """Whether it is only begun: there is no result yet."""
    rejection: str | None = None
    """What its handler raised to refuse it, as JSON; there is no result then."""


def receipts_of(store: Backend | Transaction) -> Models[Receipt]:
    """Return the receipts of a store, by the ids of commands."""
    return store.models_of(RECEIPTS, Receipt)


async def settle_done(backend: Backend, accepted: KeptCommand) -> None:
    """End an accepted command that was handled; the outcome that it may ask for is what its receipt says."""
    result: str | None = None
    if asks(accepted.metadata):
        receipt = await receipts_of(backend).find(str(accepted.id))
        result = None if receipt is None else receipt.result
    await settle(backend, accepted, done(result))


def _given(result: object, rejection: CommandRejected | None) -> object:
    if rejection is not None:
        raise rejection
    return result


def unknown_handler() -> None:
    """Stands for a handler that is not registered here."""


class Receipts:
    """The receipts of one kind of command."""

    def __init__(self, backend: Backend, handler: Callable[..., object]) -> None:
        self._backend = backend
        self._result = ResultCodec(handler)

    async def lookup(self, command: DispatchedCommand[Any]) -> Receipt | None:
        """Return the receipt, if it was handled before. CommandMismatch if that was another command with the same id."""
        receipt = await receipts_of(self._backend).find(str(command.id))
        if receipt is None:
            return None
        if receipt.command != command.name or receipt.data != self._digest(command):
            raise CommandMismatch(command.name, command.id, receipt.command)
        return None if receipt.begun else receipt

    async def find(self, command: DispatchedCommand[Any]) -> tuple[Any] | None:
        """Return the result, or raise the rejection, if it was handled before. CommandMismatch as `lookup`."""
        receipt = await self.lookup(command)
        return None if receipt is None else (self.result(receipt, command.id),)

    async def once(
        self, command: DispatchedCommand[Any], work: Callable[[], Awaitable[object]], *, atomic: bool
    ) -> object:
        """Return the result of a command: that of the work, or of another handler that ran before or at the same time.

        With `atomic`, the work itself commits the receipt together with what it writes.
        """
        receipt = await self.lookup(command)
        if receipt is not None and receipt.rejection is not None and REDRIVEN in command.metadata:
            await receipts_of(self._backend).delete(str(command.id))
        elif receipt is not None:
            return self.result(receipt, command.id)
        try:
            return await (work() if atomic else self._alone(command, work))
        except Exception as exc:
            if isinstance(exc, CommandRejected) and not atomic:
                raise  # its receipt says so
            # Its duplicate may have been faster, and this one ran into what that one wrote.
            with suppress(StoreError):
                if found := await self.find(command):
                    return found[0]
            if not isinstance(exc, CommandRejected):
                raise
            rejection = exc
        with limited(None), suppress(ModelConflict):  # it wrote nothing, so a deadline does not matter
            await self.put(self._backend, command, self.rejected(command, rejection))
            raise rejection
        if found := await self.find(command):  # its duplicate was faster nevertheless
            return found[0]
        raise rejection

    async def _alone(self, command: DispatchedCommand[Any], work: Callable[[], Awaitable[object]]) -> object:
        """Do the work while others with the same id wait, and store the receipt after it."""
        id, receipts = str(command.id), receipts_of(self._backend)
        while not (version := await self._begin(command)):
            if found := await self.find(command):
                return found[0]
        result: object = None
        rejection: CommandRejected | None = None
        try:
            try:
                result = await work()
                receipt = self.make(command, result)
            except CommandRejected as exc:
                receipt, rejection = self.rejected(command, exc), exc
            with suppress(ModelConflict), limited(None) if rejection else nullcontext():
                await receipts.put(id, receipt, expected=version)
                return _given(result, rejection)
        except CommandRejected:
            raise
        except BaseException:
            with limited(None), suppress(GoesError):  # another took over, or the store is gone
                await receipts.delete(id, expected=version)
            raise
        while not (found := await self.find(command)):  # another took over: whichever of the two ends first counts
            with suppress(ModelConflict):
                record = await self._backend.models.get(RECEIPTS, id)
                await receipts.put(id, receipt, expected=record.version if record else 0)
                return _given(result, rejection)
        return found[0]

    async def _begin(self, command: DispatchedCommand[Any]) -> int:
        """Note that the command is begun, and return the version of that receipt; 0 if it was handled elsewhere."""
        id, receipts, runtime = str(command.id), receipts_of(self._backend), self._backend.runtime
        begun = replace(self.make(command, None), begun=True)
        with suppress(ModelConflict):
            return await receipts.put(id, begun, expected=0)
        changed, watched, since = Signal(), 0, 0.0
        with self._backend.commits.watch(changed):
            while not await self.find(command):
                seen = changed.count
                record = await self._backend.models.get(RECEIPTS, id)
                now = runtime.clock.monotonic()  # not the time of day, which may be set
                if record is not None and record.version != watched:
                    watched, since = record.version, now
                if record is None or now - since >= PATIENCE:
                    with suppress(ModelConflict):
                        return await receipts.put(id, begun, expected=record.version if record else 0)
                elif (deadline := current_deadline.get()) is None:
                    await runtime.wait(changed, seen, since + PATIENCE - now)
                elif not await runtime.wait(changed, seen, min(since + PATIENCE - now, deadline.left)):
                    deadline.check()
        return 0

    def decode(self, text: str | None) -> Any:
        """Decode a result: as the annotated return type of the handler, else as plain JSON. DecodeError."""
        return self._result.decode(text)

    def result(self, receipt: Receipt, id: UUID) -> Any:
        """Return the result of its handler, or raise its rejection. DecodeError if that cannot be read."""
        if receipt.rejection is not None:
            raise error_of(receipt.rejection, receipt.command, id)
        return self._result.decode(receipt.result)

    def encode(self, result: object) -> str | None:
        """Return the result of a handler as JSON. EncodeError if it cannot be stored."""
        return self._result.encode(result)

    def make(self, command: DispatchedCommand[Any], result: object) -> Receipt:
        """Create a receipt. EncodeError if the result cannot be stored."""
        now = self._backend.runtime.clock.now()
        return Receipt(command.name, self._digest(command), self._result.encode(result), now)

    def rejected(self, command: DispatchedCommand[Any], error: CommandRejected) -> Receipt:
        """Create the receipt of a command that its handler refuses."""
        receipt = Receipt(command.name, self._digest(command), None, self._backend.runtime.clock.now())
        return replace(receipt, rejection=error_bytes(error).decode())

    async def put(self, store: Backend | Transaction, command: DispatchedCommand[Any], receipt: Receipt) -> None:
        """Store a receipt. ModelConflict if the command was handled elsewhere in the meantime."""
        await receipts_of(store).put(str(command.id), receipt, expected=0)

    async def put_in(self, tx: Transaction, command: DispatchedCommand[Any], receipt: Receipt) -> None:
        """Store a receipt as `put`, in the transaction in which the command was handled; and the outcome that it asks for."""
        await self.put(tx, command, receipt)
        if asks(command.metadata):
            await settle_handled(tx, self._backend, command.id, command.name, command.metadata, receipt.result)

    def _digest(self, command: DispatchedCommand[Any]) -> str:
        _, _, (encoding, schema, payload) = self._backend.registry.commands.capture(command.data, command.name)
        text = payload.encode() if isinstance(payload, str) else payload
        return hashlib.sha256(f"{encoding} {schema} ".encode() + text).hexdigest()
