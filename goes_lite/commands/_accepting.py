"""Accepting commands, and what can be done with accepted ones: withdraw them, retry them, wait for their outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from goes_lite.commands._accepted import KeptCommand, accept, accepted_in, failure, read
from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._receipts import Receipt, Receipts, receipts_of, unknown_handler
from goes_lite.commands._remote import RemoteCommands
from goes_lite.commands._settling import Verdict, asks, done, failed, merged, settle, tell_once, withdrawn
from goes_lite.commands._wire import error_of
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.commits import check_wait
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import (
    CodecError,
    CommandMismatch,
    CommandNotFound,
    CommandRejected,
    CommandTimeout,
    ConfigError,
    ModelConflict,
    ModelNotFound,
)
from goes_lite.events.fields import to_micros
from goes_lite.events.outcome import REDRIVEN, REPORT, report_to
from goes_lite.runtime import Signal

Store = Backend | Transaction


def reporting(metadata: dict[str, str], report: bool | Iterable[str]) -> dict[str, str]:
    """Return the metadata of a command, which asks for its outcome if `report` says so. ConfigError."""
    if report is False:
        return metadata
    if isinstance(report, str) or not (report is True or isinstance(report, Iterable)):
        raise ConfigError(f"report must be a bool, or the tags of the event: a list of 'key:value', not {report!r:.80}")
    return {**metadata, REPORT: report_to(() if report is True else report)}


class AcceptedCommands:
    """The accepted commands of a store, as a command bus uses them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._receipts = Receipts(backend, unknown_handler)

    async def accept(self, command: DispatchedCommand[Any], due: int | None, store: Store) -> KeptCommand | None:
        """Store a command; return it as it was accepted before if it was, None if it is new. CommandMismatch.

        One that was handled before is not stored; if it asks for its outcome, that is written unless it was.
        """
        kept = accept(self._backend, command, due)
        if command.once and (receipt := await self._receipts.lookup(command)) is not None:
            if asks(kept.metadata):
                said = verdict_of(receipt, command.id)
                await tell_once(store, self._backend, command.id, command.name, kept.metadata, said)
            return kept
        try:
            await accepted_in(store).put(str(command.id), kept, expected=0)
        except ModelConflict:
            there = await accepted_in(store).find(str(command.id))
            if there is not None and there.said != kept.said:
                raise CommandMismatch(command.name, command.id, there.command) from None
            if there is not None and asks(kept.metadata):
                there = await self._ask_too(there, kept, store)
            return there or kept
        return None

    async def _ask_too(self, there: KeptCommand, kept: KeptCommand, store: Store) -> KeptCommand:
        """Let a command that was accepted before report to those who accept it now, too."""
        metadata = merged(there.metadata, kept.metadata)
        if metadata != there.metadata:
            with suppress(ModelNotFound):  # it ended in the meantime
                there = await accepted_in(store).use(
                    str(there.id), lambda found: replace(found, metadata=merged(found.metadata, kept.metadata))
                )
        if there.state == "failed":
            said = failed(failure(there)) if there.rejected else Verdict("failed", None, _error_of(there))
            await tell_once(store, self._backend, there.id, there.command, there.metadata, said)
        return there

    async def outcome(
        self, id: UUID, timeout: float | None, queue: RemoteCommands | None, receipts: Callable[[str], Receipts]
    ) -> Any:
        """Wait for the outcome of a command: see `CommandBus.outcome`."""
        clock = self._backend.runtime.clock
        timeout = check_wait(0, timeout)
        deadline = None if timeout is None else clock.monotonic() + timeout
        changed = Signal()
        with self._backend.commits.watch(changed):
            while True:
                seen = changed.count
                record = await self._backend.models.get(COMMANDS, str(id))
                if record is None:
                    receipt = await receipts_of(self._backend).find(str(id))
                    if receipt is None or receipt.begun:
                        raise CommandNotFound(id)
                    return receipts(receipt.command).result(receipt, id)
                accepted = read(record, clock.now())
                if accepted.state == "failed":
                    raise failure(accepted)
                left = None if deadline is None else deadline - clock.monotonic()
                if accepted.state == "sent" and queue is not None:
                    if (found := await queue.outcome(accepted, left)) is not None:
                        return found[0]
                    continue
                if left is not None and left <= 0:
                    raise CommandTimeout(accepted.command, id, begun=accepted.attempts > 0)
                await self._backend.runtime.wait(changed, seen, left)

    async def withdraw(self, id: UUID, tx: Transaction | None) -> bool:
        """Remove a command; see `CommandBus.withdraw`."""
        store = tx or self._backend
        record = await store.models.get(COMMANDS, str(id))
        if record is None:
            return False
        found = read(record, store.runtime.clock.now())
        if found.state == "failed":
            receipt = await receipts_of(store).find(str(id)) if found.rejected else None
            if receipt is not None and receipt.rejection is not None:
                await receipts_of(store).delete(str(id))
            return await accepted_in(store).delete(str(id))
        return await settle(self._backend, found, withdrawn, tx)

    async def redrive(self, id: UUID, store: Store) -> bool:
        """Let a failed command wait again; see `CommandBus.redrive`."""
        now, redriven = to_micros(self._backend.runtime.clock.now()), False

        def change(found: KeptCommand) -> KeptCommand:
            nonlocal redriven
            redriven = found.state == "failed"
            metadata = {**found.metadata, REDRIVEN: "1"}
            waiting = replace(found, state="waiting", attempts=0, due=now, at_once=True, metadata=metadata)
            return waiting if redriven else found

        with suppress(ModelNotFound):
            await accepted_in(store).use(str(id), change)
        return redriven

    async def forget(self, before: datetime, store: Store) -> int:
        """Remove receipts; see `CommandBus.forget`."""
        to_micros(before)
        receipts, removed = receipts_of(store), 0
        async for record in receipts.store.query(receipts.collection):
            with suppress(CodecError):  # one that cannot be read may be needed once it is repaired
                receipt = await receipts.find(record.id)
                if receipt is not None and receipt.time < before:
                    removed += await receipts.delete(record.id)
        return removed


def verdict_of(receipt: Receipt, id: UUID) -> Verdict:
    """Return the outcome that a receipt has."""
    if receipt.rejection is None:
        return done(receipt.result)
    error = error_of(receipt.rejection, receipt.command, id)
    return failed(error if isinstance(error, CommandRejected) else CommandRejected(error.code, str(error)))


def _error_of(accepted: KeptCommand) -> dict[str, Any]:
    return {"error": accepted.error, "code": accepted.code, "details": accepted.details, "attempts": accepted.attempts}
