"""The main loop of an active processor: check what is due, handle it batch by batch, wait, repeat.

It ends when the processor is asked to stop, loses its lease, or is stopped by an event. Errors of the store are retried;
errors of events are up to `batches`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from goes_lite.contract.checkpoints import Checkpoint, Lease
from goes_lite.errors import TRANSIENT, CheckpointMismatch, ConfigError
from goes_lite.errors.functions import check_result
from goes_lite.processor._schedule import Pending
from goes_lite.processor.batches import BatchRunner
from goes_lite.processor.feed import Feed, Unreadable, oldest
from goes_lite.processor.records import Requests, requests
from goes_lite.processor.target import Displaced, Host
from goes_lite.runtime.backoff import MAX_PAUSE, Backoff

SETTLE = 0.05
"""Seconds without events to handle after which the checkpoint is saved past events that did not match."""

store_backoff = Backoff(0.05, maximum=5.0)
"""How long to wait for a store that is not usable just now."""


class Worker:
    """A processor at work under one lease."""

    def __init__(self, processor: Host, lease: Lease) -> None:
        self._processor = processor
        self._backend = processor.backend
        self._lease = lease
        self._runner = BatchRunner(processor, lease)
        self._feed = Feed(self._backend.events, processor.query, processor.batch)
        self._clock = self._backend.runtime.clock
        self._requests = requests(self._backend.models, self._backend.runtime)
        self._redrives = -1
        self._pending = Pending(None, None, None)
        self._peeked = 0

    async def run(self) -> None:
        """Run until it ends. LeaseLost, StoreClosed, ProcessorStopped, CheckpointMismatch."""
        processor, begun, failures = self._processor, False, 0
        while processor.at_work:
            seen = processor.wake.count
            try:
                if not begun:
                    await self._begin()
                seconds = await self._step()
                later = None
                if processor.chores is not None and processor.at_work:
                    later = await processor.chores.do(self._runner.together)
                    seconds = _sooner(seconds, later)
                begun, failures = True, 0
                if processor.goal is not None and self._runner.position >= processor.goal and later != 0:
                    break
            except Displaced:
                begun, seconds = False, 0
            except TRANSIENT as exc:
                # The outcome of the last commit may be unknown: only the stored checkpoint can tell.
                begun, failures = False, failures + 1
                processor.failed(exc)
                await processor.sleep(store_backoff(failures))
                continue
            if seconds is None or seconds > 0:
                processor.resting = True
                await self._backend.runtime.wait(processor.wake, seen, seconds and min(seconds, MAX_PAUSE))
                processor.resting = False
        with suppress(Displaced):  # then the saved checkpoint is further ahead, or reset
            await self._runner.settle()

    async def _begin(self) -> None:
        processor, events = self._processor, self._backend.events
        await processor.prepare(self._lease)
        checkpoint, head = await self._backend.checkpoints.get(processor.name), await events.head()
        asked = await self._requests.find(processor.name) or Requests()
        again = asked.resets > asked.reset
        if again:  # before the checkpoint is validated, which may be the reason for the reset
            await processor.begin_again(self._lease, min(checkpoint.position, head) if checkpoint else 0)
            checkpoint = await self._backend.checkpoints.get(processor.name)
        if checkpoint is None:
            await self._runner.begin(await processor.first_position(), known=False)
        else:
            ahead = checkpoint.position > head and checkpoint.position != processor.start_at
            if checkpoint.store != self._backend.identity or ahead:
                raise CheckpointMismatch(checkpoint, self._backend.identity, head)
            await self._runner.begin(checkpoint.position, known=True)
        if again:
            await self._requests.use(processor.name, lambda found: replace(found, reset=asked.resets))
        if self._pending.first is None:  # else it is known since when something waits
            self._peeked = self._runner.position

    async def _step(self) -> float | None:
        """Do what is due; return the seconds until the next look, None to wait for a change."""
        processor, runner = self._processor, self._runner
        asked = await self._requests.find(processor.name) or Requests()
        if asked.resets > asked.reset:
            await self._begin()
        if asked.redrives != self._redrives:
            await runner.redrive()
            self._redrives = asked.redrives
        head = await self._backend.events.head()
        now = self._clock.monotonic()
        if head > self._peeked:
            await self._peek(head, now)
        if head < runner.position != processor.start_at:  # the store was restored underneath
            checkpoint = await self._backend.checkpoints.get(processor.name)
            behind = Checkpoint(
                processor.name, runner.position, self._backend.identity, self._backend.runtime.clock.now()
            )
            raise CheckpointMismatch(checkpoint or behind, self._backend.identity, head)
        triggered = asked.triggers > asked.served or processor.goal is not None
        due = processor.schedule.due(self._pending, now)
        if due is not None and not isinstance(due, int | float):
            check_result("due() of the schedule", due)
            raise ConfigError(f"due() of the schedule must return a time in seconds, or None, not {due!r:.80}")
        if triggered or (due is not None and due <= now):
            await self._run_until(head)
            self._pending = Pending(None, None, now)  # not before: a run that the store interrupts is repeated
            if (
                asked.triggers > asked.served and runner.position >= head
            ):  # else it was interrupted, and the next run continues
                await self._requests.use(
                    processor.name, lambda found: replace(found, served=max(found.served, asked.triggers))
                )
            return 0
        waits = [] if due is None else [due - now]
        if runner.unsaved_since is not None:
            waits.append(runner.unsaved_since + SETTLE - now)
            if waits[-1] <= 0:
                await runner.settle()
                return 0
        return min(waits, default=None)

    async def _peek(self, head: int, now: float) -> None:
        """Check whether any new event has to be handled; note since when it waits."""
        found = not self._processor.schedule.minds_when or await oldest(
            self._backend.events, self._processor.query, after=self._peeked, upto=head
        )
        self._peeked = head
        if found:
            self._pending = self._pending._replace(
                first=now if self._pending.first is None else self._pending.first, last=now
            )
        elif self._pending.first is None:
            self._runner.move(head)  # nothing waits, so all of that is skipped

    async def _run_until(self, head: int) -> None:
        """Handle everything up to the head."""
        runner = self._runner
        while runner.position < head and self._processor.at_work:
            try:
                batch = await self._feed.next(runner.position, head)
            except Unreadable as unreadable:
                await runner.give_up(unreadable)
                continue
            if batch.events:
                await runner.handle(batch)
            runner.move(batch.position)
        self._peeked = max(self._peeked, head)


def _sooner(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
