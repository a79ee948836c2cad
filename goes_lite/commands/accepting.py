"""Accepting many commands at once, in a transaction: for features that dispatch commands by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from goes_lite.commands._accepted import accept, accepted_in, read
from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._receipts import receipts_of
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.own_collections import COMMANDS


class Postponed(Exception):
    """Raised by handlers of goes_lite: the command cannot be handled by this program, or not yet. No attempt counts."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
        """How long it waits for its next attempt."""


async def accept_all(
    backend: Backend, tx: Transaction, commands: Iterable[tuple[DispatchedCommand[object], int | None]]
) -> None:
    """Accept commands if the transaction commits, each due at a time (microseconds since 1970, UTC), or at once.

    Their ids must be new: one that was accepted under the same id is replaced. EncodeError if one does not fit its type.
    """
    kept = {str(command.id): accept(backend, command, due) for command, due in commands}
    if kept:
        await accepted_in(tx).put_many(kept)


async def take_back(tx: Transaction, id: UUID) -> bool:
    """Remove a command that has failed, so that nobody can redrive it; the transaction decides.

    False if it was done, or is going to be handled: then it stays, and counts. ModelConflict if somebody changes it just now.
    """
    record = await tx.models.get(COMMANDS, str(id))
    if record is not None:
        failed = read(record, tx.runtime.clock.now()).state == "failed"
        return failed and await accepted_in(tx).delete(str(id), expected=record.version)
    receipt = await receipts_of(tx).find(str(id))
    return receipt is None or receipt.begun or receipt.rejection is not None
