"""How a batch is processed: its events are handled, retried, parked or held back, and then the checkpoint is saved.

Rule of this file: the checkpoint is right even if the process is killed at any moment. It is saved in the transaction in
which the handlers write; for handlers outside of any transaction it is saved after they return, so that after a crash they
repeat events and skip none. A dead letter is never part of the transaction that failed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS, Transaction, ended_by_store
from goes_lite.contract.checkpoints import CheckpointStore, Lease
from goes_lite.contract.models import Models
from goes_lite.errors import CodecError, ModelNotFound, ProcessorStopped, UnknownEventError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.processor.feed import Batch, Unreadable
from goes_lite.processor.records import ParkedEvent, parked_events
from goes_lite.processor.target import Displaced, HandlerFailed, Host, Stopping


class BatchRunner:
    """Processes batches for a processor under one lease, and keeps its position."""

    def __init__(self, processor: Host, lease: Lease) -> None:
        self._processor = processor
        self._backend = processor.backend
        self._lease = lease
        self._clock = self._backend.runtime.clock
        self._strict = processor.retry.order == "strict"
        self._parked = parked_events(self._backend.models, processor.name, self._backend.runtime)
        self._held: dict[AggregateRef, int] = {}
        """In strict order: aggregates with parked events, and the position of the first of these."""
        self.position = 0
        """The events after it are still to be handled."""
        self._saved = 0  # the checkpoint, as this instance left it
        self.unsaved_since: float | None = None
        """Since when the checkpoint lags behind the position, which is harmless; None if it does not."""

    async def begin(self, position: int, *, known: bool) -> None:
        """Start from a position. If it is not stored yet, because the processor is new, it is saved immediately."""
        self.position = self._saved = position
        self.unsaved_since = None
        if not known:
            await self._backend.checkpoints.save(self._processor.name, position, lease=self._lease)
        await self._load_held()
        self._processor.reached(position)

    def move(self, position: int) -> None:
        """Advance to a position without handling anything."""
        if position != self.position:
            self.position = position
            if self.unsaved_since is None:
                self.unsaved_since = self._clock.monotonic()
            self._processor.reached(position)

    async def settle(self) -> None:
        """Save the checkpoint if it lags behind. Displaced if it was reset or moved past the position in the meantime.

        An inline projection may have moved it to somewhere before the position: nothing is left to handle between the two.
        """
        if self.unsaved_since is None:
            return
        if self._processor.transactional:
            async with self._backend.transaction() as tx:
                checkpoint = await tx.checkpoints.get(self._processor.name)
                if checkpoint is None or not self._saved <= checkpoint.position <= self.position:
                    raise Displaced
                await self._processor.check(tx)
                await self._save(tx.checkpoints, self.position)
        else:
            await self._save(self._backend.checkpoints, self.position)
        self._stand(self.position)

    async def together(self, work: Callable[[Transaction], Awaitable[object]]) -> None:
        """Do something besides events, in one transaction with the checkpoint. Displaced if another instance has moved that."""
        async with self._backend.transaction() as tx:
            await self._check(tx)
            await work(tx)
            await self._save(tx.checkpoints, self.position)
        self._stand(self.position)

    # --- handling -----------------------------------------------------------------------------------------------------

    async def handle(self, batch: Batch) -> None:
        """Handle or park each event of the batch. Raises Stopping, ProcessorStopped, and errors of the store."""
        left = batch.events
        while left:
            try:
                await self._commit(left, batch.position)
                return
            except HandlerFailed as failed:
                if failed.index is None:  # it is unknown which of them failed
                    for event in left:
                        if not self._processor.at_work:
                            raise Stopping from None
                        await self._handle_alone(event)
                    return
                index, error = failed.index, failed.error
            before, event, left = left[:index], left[index], left[index + 1 :]
            if before and self._processor.transactional:
                await self.handle(Batch(before, before[-1].position))  # rolled back together with the one that failed
            elif before:
                await self._hold(before, self._parked)
                await self._save(self._backend.checkpoints, before[-1].position)
                self._done(before, before[-1].position)
            await self._handle_alone(event, error)

    async def _handle_alone(self, event: Event[Any], error: Exception | None = None) -> None:
        """Retry one event until it is handled or parked; with an error, the first attempt has already failed."""
        attempts = 0 if error is None else 1
        while True:
            if error is not None and not await self._should_retry(event, attempts, error):
                return
            try:
                await self._commit([event], event.position)
                return
            except HandlerFailed as failed:
                error, attempts = failed.error, attempts + 1

    async def _should_retry(self, event: Event[Any], attempts: int, error: Exception) -> bool:
        """Wait until the next attempt and return True; False if the event was parked instead."""
        processor = self._processor
        processor.failed(error, event)
        if attempts < processor.retry.attempts:
            if not await processor.sleep(processor.retry.pause(attempts)):
                raise Stopping
            return True
        await self._give_up(event.position, event.name, event.aggregate, attempts, error)
        return False

    async def give_up(self, unreadable: Unreadable) -> None:
        """Stop the processor or park the event: an unreadable event is not retried."""
        self._processor.failed(unreadable.error)
        await self._give_up(unreadable.position, unreadable.name, unreadable.aggregate, 1, unreadable.error)

    async def _give_up(
        self, position: int, name: str, aggregate: AggregateRef | None, attempts: int, error: Exception
    ) -> None:
        processor = self._processor
        if processor.retry.then == "stop":
            await self.settle()
            raise ProcessorStopped(processor.name, position, name, attempts) from error
        parked = ParkedEvent(processor.name, position, name, aggregate, attempts, error_text(error), self._clock.now())
        async with self._together() as (letters, checkpoints):
            await letters.put(parked.key, parked)
            await self._save(checkpoints, position)
        if aggregate is not None and self._strict:
            self._held.setdefault(aggregate, position)
        self._stand(position)

    async def _commit(self, events: Sequence[Event[Any]], position: int) -> None:
        """Handle the events and save the checkpoint, in one transaction if there is one; park those of held aggregates.

        HandlerFailed has the index of the event that failed.
        """
        processor = self._processor
        free = [index for index, event in enumerate(events) if event.aggregate not in self._held]
        try:
            if processor.transactional:
                async with self._backend.transaction() as tx:
                    await self._check(tx)
                    await self._apply([events[index] for index in free], tx)
                    await self._hold(events, self._letters(tx))
                    await self._save(tx.checkpoints, position)
            else:
                await processor.target.apply([events[index] for index in free], None)
                await self._hold(events, self._parked)
                await self._save(self._backend.checkpoints, position)
        except HandlerFailed as failed:
            if failed.index is not None:
                failed.index = free[failed.index]
            elif len(free) == 1:
                failed.index = free[0]
            raise
        self._done(events, position)

    async def _apply(self, events: Sequence[Event[Any]], tx: Transaction) -> None:
        """Handle the events in a transaction. If the store has ended it, raise its error instead: no event is to blame."""
        try:
            await self._processor.target.apply(events, tx)
        except HandlerFailed as failed:
            if (error := await ended_by_store(tx)) is not None:
                raise error from failed
            raise

    def _done(self, events: Sequence[Event[Any]], position: int) -> None:
        """Note that the events are handled or held back, and the checkpoint is saved at the position."""
        self._processor.handled(sum(event.aggregate not in self._held for event in events), position)
        self._stand(position)

    async def _check(self, tx: Transaction) -> None:
        """Displaced if another instance has moved the checkpoint: its events would count twice."""
        checkpoint = await tx.checkpoints.get(self._processor.name)
        if checkpoint is None or checkpoint.position != self._saved:
            raise Displaced
        await self._processor.check(tx)

    async def _hold(self, events: Sequence[Event[Any]], letters: Models[ParkedEvent]) -> None:
        """Park the events of held aggregates."""
        if not self._held:
            return
        name, now = self._processor.name, self._clock.now()
        for event in events:
            ref = event.aggregate
            if ref is not None and ref in self._held:
                parked = ParkedEvent(name, event.position, event.name, ref, 0, "", now, behind=self._held[ref])
                await letters.put(parked.key, parked)

    # --- dead letters ---------------------------------------------------------------------------------------------------

    async def redrive(self) -> None:
        """Retry the requested dead letters, in the order of the log.

        Events that were held back follow once nothing is parked before them, because it succeeded or was dropped; after one
        that fails, or was not requested, they keep waiting.
        """
        blocked: set[AggregateRef] = set()
        async for parked in self._parked.query():
            if not self._processor.at_work:
                break  # the next instance continues, since it begins with this
            ref = parked.aggregate if self._strict else None
            if ref is not None and ref in blocked:
                continue
            again = parked.due or parked.behind
            if not (again and await self._redrive(parked)) and ref is not None:
                blocked.add(ref)
        await self._load_held()

    async def _redrive(self, parked: ParkedEvent) -> bool:
        """Handle a parked event and remove its letter; False if that fails."""
        processor = self._processor
        try:
            found = await self._backend.events.query(
                processor.query, after=parked.position - 1, upto=parked.position
            ).list()  # empty if its aggregate was deleted since
            if processor.transactional:
                async with self._backend.transaction() as tx:
                    await self._check(tx)
                    await self._apply(found, tx)
                    await self._letters(tx).delete(parked.key)
                    await self._save(tx.checkpoints, self.position)
                self._stand(self.position)
            else:
                await processor.target.apply(found, None)
                await self._parked.delete(parked.key)
        except (HandlerFailed, CodecError, UnknownEventError) as exc:
            error = exc.error if isinstance(exc, HandlerFailed) else exc
            processor.failed(error)
            time, text = self._clock.now(), error_text(error)
            with suppress(ModelNotFound):  # it was dropped in the meantime
                await self._parked.use(parked.key, lambda found: replace(
                    found, attempts=found.attempts + 1, error=text, time=time, behind=0, due=max(0, found.due - parked.due)
                ))  # fmt: skip
            return False
        processor.handled(len(found), parked.position)
        return True

    async def _load_held(self) -> None:
        self._held.clear()
        if self._strict:
            async for parked in self._parked.query():
                if parked.aggregate is not None:
                    self._held.setdefault(parked.aggregate, parked.position)

    # --- the stores -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _together(self) -> AsyncGenerator[tuple[Models[ParkedEvent], CheckpointStore]]:
        """Letters and checkpoints in one transaction; without that ability, write the letter first so that nothing is lost."""
        if TRANSACTIONS not in self._backend.abilities:
            yield self._parked, self._backend.checkpoints
            return
        async with self._backend.transaction() as tx:
            if self._processor.transactional:
                await self._check(tx)
            yield self._letters(tx), tx.checkpoints

    def _letters(self, tx: Transaction) -> Models[ParkedEvent]:
        return parked_events(tx.models, self._processor.name, self._backend.runtime)

    async def _save(self, checkpoints: CheckpointStore, position: int) -> None:
        await checkpoints.save(self._processor.name, position, lease=self._lease)

    def _stand(self, position: int) -> None:
        """Note that the checkpoint is saved at a position."""
        self.position = max(self.position, position)
        self._saved = position
        self.unsaved_since = None
        self._processor.reached(self.position)
