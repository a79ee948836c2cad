"""Rebuilding a read model next to the live one: catch up, compare at the same position, switch.

Rules of this file: the new read model never gets ahead of the live one. Its goal is the live checkpoint, and the switch is
one transaction that brings it exactly there, compares, and replaces the live one; the live checkpoint stays as it is. What
is stored in the meantime has names that begin with `goes:rebuild:`, or end in `_rebuild`, and is removed at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, cast

from goes_lite.contract.backend import Transaction
from goes_lite.contract.checkpoints import CheckpointStore, Lease
from goes_lite.contract.own_collections import REBUILD
from goes_lite.errors import CheckpointMismatch
from goes_lite.processor import Processor, parked_events
from goes_lite.processor.batches import BatchRunner
from goes_lite.processor.feed import Feed, Unreadable
from goes_lite.processor.held_lease import HeldLease
from goes_lite.processor.records import Requests, requests
from goes_lite.processor.target import Displaced, HandlerFailed, Stopping
from goes_lite.projection._parity import Parity, compare
from goes_lite.projection._projection import SUFFIX, Projection
from goes_lite.projection._record import ProjectionRecord, check_not_older, projection_records
from goes_lite.projection._replay import ReplayTarget
from goes_lite.runtime.face import Face, call, contained

Accept: TypeAlias = Callable[[Parity], Awaitable[bool] | bool]
"""Decides, by how the rebuilt read model differs from the live one, whether it takes the place of that."""


class Progress(NamedTuple):
    """The progress of a rebuild."""

    position: int
    goal: int
    """The position of the live read model: it advances while events are appended."""
    events: int
    """How many events this run of the rebuild has handled."""
    rate: float
    """Events per second."""
    seconds_left: float | None
    """Estimated from the speed so far; None until there is one."""


class ShadowProcessor(Processor):
    """The processor of the new read model: it never runs itself, but provides retries and dead letters."""

    def __init__(self, live: Processor, projection: Projection, face: Face, parent: Processor | None) -> None:
        replay = ReplayTarget(projection, projection.target(live.backend.registry, face), live.query)
        replay.begin(2**63)  # all events were handled before, by the live one
        super().__init__(
            live.backend, REBUILD + live.name, replay,
            query=live.query, transactional=True, batch=live.batch, retry=live.retry,
        )  # fmt: skip
        self._projection = projection
        self._parent = parent
        self.events = 0
        """How many events it has handled."""

    @property
    def at_work(self) -> bool:
        return self._parent is None or self._parent.at_work

    async def sleep(self, seconds: float) -> bool:
        if self._parent is not None:
            return await self._parent.sleep(seconds)
        await self.backend.runtime.sleep(seconds)
        return True

    async def check(self, tx: Transaction) -> None:
        await check_not_older(self._projection, tx, self.backend.runtime)

    def handled(self, events: int, position: int) -> None:
        self.events += events


class Rebuild:
    """One rebuild. With a parent, it ends (Stopping) when that processor should no longer work."""

    def __init__(self, live: Processor, projection: Projection, face: Face, parent: Processor | None) -> None:
        projection.check_defines("clear", "switch")
        self._backend = live.backend
        self._live = projection
        self._new = copy(projection)
        self._new.suffix = SUFFIX
        self._face = face
        self._batch = live.batch
        self._shadow = ShadowProcessor(live, self._new, face, parent)
        self._name = self._shadow.name
        """The name of its checkpoint, its dead letters and its lease."""
        self._feed = Feed(self._backend.events, live.query, live.batch)

    async def run(self, ttl: float, progress: Callable[[Progress], object] | None, accept: Accept | None) -> Parity:
        """Run until the new read model replaces the live one, or is not accepted."""
        if progress is not None:
            progress = self._face.function(progress, "progress")
        if accept is not None:
            accept = cast("Accept", self._face.function(accept, "accept"))
        held = HeldLease(self._backend, self._name, self._shadow.owner, ttl, self._shadow.wake)
        lease = await held.acquire()
        try:
            return await self._make(lease, progress, accept)
        finally:
            await held.release()

    async def _make(self, lease: Lease, progress: Callable[[Progress], object] | None, accept: Accept | None) -> Parity:
        runner = BatchRunner(self._shadow, lease)
        await self._begin(runner, lease)
        clock, first = self._backend.runtime.clock, runner.position
        begun = clock.monotonic()
        while True:
            goal = await self._goal(self._backend.checkpoints)
            if goal < runner.position:  # the live one was reset
                await self._begin(runner, lease)
                first = runner.position
            while runner.position < goal:
                if not self._shadow.at_work:
                    raise Stopping
                try:
                    await self._step(runner, goal)
                except Displaced:  # by another rebuild that took over the lease
                    await self._begin(runner, lease)
                if progress is not None:
                    told = self._progress(runner.position, goal, runner.position - first, clock.monotonic() - begun)
                    await call(progress, told)
            if await self._goal(self._backend.checkpoints) - runner.position <= self._batch:
                parity = await self._switch(runner, lease, accept)
                if parity is not None:
                    return parity

    def _progress(self, position: int, goal: int, moved: int, seconds: float) -> Progress:
        speed = moved / seconds if seconds > 0 else 0.0
        rate = self._shadow.events / seconds if seconds > 0 else 0.0
        return Progress(position, goal, self._shadow.events, rate, (goal - position) / speed if speed > 0 else None)

    async def _begin(self, runner: BatchRunner, lease: Lease) -> None:
        """Resume an earlier run of the same version; else start with an empty read model."""
        async with self._backend.transaction() as tx:
            await self._shadow.check(tx)
            await self._tell(self._live.create, tx)
            await self._tell(self._new.create, tx)
            records = projection_records(tx.models, self._backend.runtime)
            made_by, checkpoint = await records.find(self._name), await tx.checkpoints.get(self._name)
            position = 0
            if (
                checkpoint is not None
                and made_by == ProjectionRecord(self._new.version)
                and checkpoint.store == self._backend.identity
                and checkpoint.position <= await self._goal(tx.checkpoints)
            ):
                position = checkpoint.position
            else:
                await self._remove(tx)
                await self._tell(self._new.create, tx)
                await records.put(self._name, ProjectionRecord(self._new.version))
            await tx.checkpoints.save(self._name, position, lease=lease)  # LeaseLost if another instance has taken over
        await runner.begin(position, known=True)

    async def _goal(self, checkpoints: CheckpointStore) -> int:
        """Return the position of the live read model."""
        checkpoint = await checkpoints.get(self._live.name)
        if checkpoint is None:
            return 0
        if checkpoint.store != self._backend.identity:
            raise CheckpointMismatch(checkpoint, self._backend.identity, await self._backend.events.head())
        return checkpoint.position

    async def _step(self, runner: BatchRunner, goal: int) -> None:
        try:
            batch = await self._feed.next(runner.position, goal)
        except Unreadable as unreadable:
            await runner.give_up(unreadable)
            return
        if batch.events:
            await runner.handle(batch)
        runner.move(batch.position)
        await runner.settle()

    async def _switch(self, runner: BatchRunner, lease: Lease, accept: Accept | None) -> Parity | None:
        """Catch up with the live read model, compare and switch. None if more has to be done first."""
        try:
            async with self._backend.transaction() as tx:
                position = await self._goal(tx.checkpoints)
                await self._shadow.check(tx)
                if not await self._catch_up(tx, runner, position):
                    return None
                await tx.checkpoints.save(self._name, position, lease=lease)
                parity = await compare(self._live, self._new, tx, self._face, position)
                if accept is not None and not await call(accept, parity):
                    await self._remove(tx)
                    return parity
                await self._replace(tx, position)
                return parity._replace(switched=True)
        except (HandlerFailed, Unreadable):
            return None  # `_step` handles it, where it is retried, parked, or stops the rebuild

    async def _catch_up(self, tx: Transaction, runner: BatchRunner, position: int) -> bool:
        """Handle what the live one has handled since, in a transaction that keeps it from advancing."""
        if position < runner.position:
            return False
        at, feed = runner.position, Feed(tx.events, self._shadow.query, self._batch)
        if at < position and await parked_events(tx.models, self._name, self._backend.runtime).query(limit=1).list():
            return False  # events may have to be held back
        while at < position:
            batch = await feed.next(at, position)
            await self._shadow.target.apply(batch.events, tx)
            at = batch.position
        return True

    async def _replace(self, tx: Transaction, position: int) -> None:
        """Replace the live read model and its dead letters."""
        runtime, name = self._backend.runtime, self._live.name
        letters, mine = (parked_events(tx.models, of, runtime) for of in (name, self._name))
        await letters.clear()  # the new one has handled these events, or has letters of its own
        async for letter in mine.query():
            await letters.put(letter.key, replace(letter, processor=name))
        records = projection_records(tx.models, runtime)
        known = await records.find(name)
        until = max(position, known.replay_until if known else 0)
        await self._tell(self._new.switch, tx)
        await records.put(name, ProjectionRecord(self._new.version, until))
        await self._forget(tx)
        # the active instance caches which aggregates are held, and must read the letters again
        await requests(tx.models, runtime).use(
            name, lambda found: replace(found, redrives=found.redrives + 1), default=Requests()
        )

    async def _remove(self, tx: Transaction) -> None:
        """Remove everything that is stored of the rebuild."""
        await self._tell(self._new.clear, tx)
        await self._forget(tx)

    async def _forget(self, tx: Transaction) -> None:
        await parked_events(tx.models, self._name, self._backend.runtime).clear()
        await projection_records(tx.models, self._backend.runtime).delete(self._name)
        await tx.checkpoints.delete(self._name)

    async def _tell(self, method: Callable[[Any], object], tx: Transaction) -> None:
        await contained(self._face.function(method, f"{method.__name__}()"), self._face.transaction(tx))
