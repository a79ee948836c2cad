"""What becomes of a batch: its events are handled, tried again, parked or held back, and the checkpoint is saved behind.

Rule of this file: the checkpoint tells the truth whenever the process is killed. It is saved in the transaction that the
handlers write in; for handlers outside of any transaction it is saved after they have returned, so that a crash has them
repeat what they did since, and leave out nothing. A dead letter is never part of the transaction that failed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS, Transaction
from goes_lite.contract.checkpoints import CheckpointStore, Lease
from goes_lite.contract.models import Models
from goes_lite.errors import CodecError, ModelNotFound, ProcessorStopped, UnknownEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.processor.feed import Batch, Unreadable
from goes_lite.processor.records import ParkedEvent, parked_events
from goes_lite.processor.target import Displaced, HandlerFailed, Host, Stopping

MAX_ERROR = 2000
"""How many characters of an error are kept with a dead letter."""


class BatchRunner:
    """Where a processor stands, and how it gets on."""

    def __init__(self, processor: Host, lease: Lease) -> None:
        self._processor = processor
        self._backend = processor.backend
        self._lease = lease
        self._clock = self._backend.runtime.clock
        self._strict = processor.retry.order == "strict"
        self._parked = parked_events(self._backend.models, processor.name, self._backend.runtime)
        self._held: dict[AggregateRef, int] = {}
        """Where the order is strict: aggregates of which events are parked, and the position of the first of those."""
        self.position = 0
        """Behind it lies what is still to be handled."""
        self._saved = 0  # the checkpoint, as this instance has left it
        self.unsaved_since: float | None = None
        """Since when the checkpoint lags behind the position, which does no harm; None if it does not."""

    async def begin(self, position: int, *, known: bool) -> None:
        """Stand there. A position that is not known yet, because the processor is new, is saved at once."""
        self.position = self._saved = position
        self.unsaved_since = None
        if not known:
            await self._backend.checkpoints.save(self._processor.name, position, lease=self._lease)
        await self._look_who_is_held()
        self._processor.reached(position)

    def move(self, position: int) -> None:
        """Pass over what lies before it."""
        if position != self.position:
            self.position = position
            if self.unsaved_since is None:
                self.unsaved_since = self._clock.monotonic()
            self._processor.reached(position)

    async def settle(self) -> None:
        """Save the checkpoint, if it lags behind. Displaced if another has moved it meanwhile, so that it says more."""
        if self.unsaved_since is None:
            return
        if self._processor.transactional:
            async with self._backend.transaction() as tx:
                await self._check(tx)
                await self._save(tx.checkpoints, self.position)
        else:
            await self._save(self._backend.checkpoints, self.position)
        self._stand(self.position)

    # --- handling -----------------------------------------------------------------------------------------------------

    async def handle(self, batch: Batch) -> None:
        """See to it that each event of the batch is handled or parked. Stopping, ProcessorStopped; what the store raises."""
        left = batch.events
        while left:
            try:
                await self._commit(left, batch.position)
                return
            except HandlerFailed as failed:
                if failed.index is None:  # nobody knows which of them it was
                    for event in left:
                        if not self._processor.at_work:
                            raise Stopping from None
                        await self._handle_alone(event)
                    return
                index, error = failed.index, failed.error
            before, event, left = left[:index], left[index], left[index + 1 :]
            if before and self._processor.transactional:
                await self.handle(Batch(before, before[-1].position))  # which was rolled back with the one that failed
            elif before:
                await self._hold(before, self._parked)
                await self._save(self._backend.checkpoints, before[-1].position)
                self._done(before, before[-1].position)
            await self._handle_alone(event, error)

    async def _handle_alone(self, event: Event[Any], error: Exception | None = None) -> None:
        """One event, on which its handler has failed once if there is an error, until it is handled or parked."""
        attempts = 0 if error is None else 1
        while True:
            if error is not None and not await self._shall_try_again(event, attempts, error):
                return
            try:
                await self._commit([event], event.position)
                return
            except HandlerFailed as failed:
                error, attempts = failed.error, attempts + 1

    async def _shall_try_again(self, event: Event[Any], attempts: int, error: Exception) -> bool:
        """True when it is time to; False if the event was parked instead."""
        processor = self._processor
        processor.failed(error, event)
        if attempts < processor.retry.attempts:
            if not await processor.sleep(processor.retry.pause(attempts)):
                raise Stopping
            return True
        await self._give_up(event.position, event.name, event.aggregate, attempts, error)
        return False

    async def give_up(self, unreadable: Unreadable) -> None:
        """Of an event that cannot be read nothing can be tried: it stops the processor, or is parked."""
        self._processor.failed(unreadable.error)
        await self._give_up(unreadable.position, unreadable.name, unreadable.aggregate, 1, unreadable.error)

    async def _give_up(
        self, position: int, name: str, aggregate: AggregateRef | None, attempts: int, error: Exception
    ) -> None:
        processor = self._processor
        if processor.retry.then == "stop":
            await self.settle()
            raise ProcessorStopped(processor.name, position, name, attempts) from error
        parked = ParkedEvent(processor.name, position, name, aggregate, attempts, _text(error), self._clock.now())
        async with self._together() as (letters, checkpoints):
            await letters.put(parked.key, parked)
            await self._save(checkpoints, position)
        if aggregate is not None and self._strict:
            self._held.setdefault(aggregate, position)
        self._stand(position)

    async def _commit(self, events: Sequence[Event[Any]], position: int) -> None:
        """Handle the events and save the checkpoint, in one transaction if there is one; park those of held aggregates.

        HandlerFailed tells which of the events it was.
        """
        processor = self._processor
        free = [index for index, event in enumerate(events) if event.aggregate not in self._held]
        try:
            if processor.transactional:
                async with self._backend.transaction() as tx:
                    await self._check(tx)
                    await processor.target.apply([events[index] for index in free], tx)
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

    def _done(self, events: Sequence[Event[Any]], position: int) -> None:
        """The events are handled or held back, and the checkpoint is saved at the position."""
        self._processor.handled(sum(event.aggregate not in self._held for event in events), position)
        self._stand(position)

    async def _check(self, tx: Transaction) -> None:
        """See that nobody else has handled, in the meantime, what is about to be handled: then it would count twice."""
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
        """Try those again that somebody asked for, in the order of the log.

        What was held back follows when nothing is parked before it any more, because that succeeded or was dropped;
        behind one that fails, or that nobody asked for, it goes on waiting.
        """
        blocked: set[AggregateRef] = set()
        async for parked in self._parked.query():
            if not self._processor.at_work:
                break  # the next one goes on, for it begins with this
            ref = parked.aggregate if self._strict else None
            if ref is not None and ref in blocked:
                continue
            again = parked.due or parked.behind
            if not (again and await self._redrive(parked)) and ref is not None:
                blocked.add(ref)
        await self._look_who_is_held()

    async def _redrive(self, parked: ParkedEvent) -> bool:
        """Whether the event could be handled now; its letter is gone then."""
        processor = self._processor
        try:
            found = await self._backend.events.query(
                processor.query, after=parked.position - 1, upto=parked.position
            ).list()  # none, if its aggregate was deleted since
            if processor.transactional:
                async with self._backend.transaction() as tx:
                    await self._check(tx)
                    await processor.target.apply(found, tx)
                    await self._letters(tx).delete(parked.key)
                    await self._save(tx.checkpoints, self.position)
                self._stand(self.position)
            else:
                await processor.target.apply(found, None)
                await self._parked.delete(parked.key)
        except (HandlerFailed, CodecError, UnknownEventError) as exc:
            error = exc.error if isinstance(exc, HandlerFailed) else exc
            processor.failed(error)
            time, text = self._clock.now(), _text(error)
            with suppress(ModelNotFound):  # it was dropped meanwhile
                await self._parked.use(parked.key, lambda found: replace(
                    found, attempts=found.attempts + 1, error=text, time=time, behind=0, due=max(0, found.due - parked.due)
                ))  # fmt: skip
            return False
        processor.handled(len(found), parked.position)
        return True

    async def _look_who_is_held(self) -> None:
        self._held.clear()
        if self._strict:
            async for parked in self._parked.query():
                if parked.aggregate is not None:
                    self._held.setdefault(parked.aggregate, parked.position)

    # --- the stores -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _together(self) -> AsyncGenerator[tuple[Models[ParkedEvent], CheckpointStore]]:
        """Letters and checkpoints in a transaction; without the ability, whoever writes a letter first loses nothing."""
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
        """The checkpoint is saved there."""
        self.position = max(self.position, position)
        self._saved = position
        self.unsaved_since = None
        self._processor.reached(self.position)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR].encode("utf-8", "replace").decode()
