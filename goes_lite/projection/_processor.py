"""How a projection is run: a processor whose checkpoint, read model and version commit together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Any, Literal, TypeAlias, get_args

from goes_lite.backend import Backend, Transaction
from goes_lite.checkpoint import Lease
from goes_lite.delegate import DelegatingTransaction
from goes_lite.errors import ConfigError, ProjectionOutdated
from goes_lite.event import Event
from goes_lite.processor import Face, Processor, Target, parked_events
from goes_lite.processor._batches import Stopping
from goes_lite.processor._target import HandlerFailed
from goes_lite.projection._projection import Projection
from goes_lite.projection._rebuild import Parity, Progress, Rebuild
from goes_lite.projection._record import ProjectionRecord, projection_records
from goes_lite.runtime import call

OnNewVersion: TypeAlias = Literal["rebuild", "beside", "stop", "keep"]


class Replay:
    """Tells a projection which events it is given were handled before, and keeps their side effects from happening."""

    def __init__(self, projection: Projection, target: Target) -> None:
        self._projection = projection
        self._target = target
        self.until = 0

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        projection = self._projection
        known = next((n for n, event in enumerate(events) if event.position > self.until), len(events))
        if known == 0 or tx is None:
            projection.replaying = False
            await self._target.apply(events, tx)
            return
        projection.replaying = True
        try:
            await self._target.apply(events[:known], _Quiet(tx))
        finally:
            projection.replaying = False
        if known < len(events):
            await shifted(self._target, events, known, tx)


async def shifted(target: Target, events: Sequence[Event[Any]], begin: int, tx: Transaction) -> None:
    """Have the events from an index on handled; which one failed is told by its index among all."""
    try:
        await target.apply(events[begin:], tx)
    except HandlerFailed as failed:
        if failed.index is not None:
            failed.index += begin
        raise


class _Quiet(DelegatingTransaction):
    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        """It was done when the event was handled for the first time."""


class ProjectionProcessor(Processor):
    """A projection at work: see `Backend.projection`."""

    def __init__(
        self,
        backend: Backend,
        projection: Projection,
        face: Face,
        *,
        on_new_version: OnNewVersion = "rebuild",
        batch: int = 1000,
        **options: Any,
    ) -> None:
        if on_new_version not in get_args(OnNewVersion):
            raise ConfigError(f"on_new_version={on_new_version!r:.80}: one of {', '.join(get_args(OnNewVersion))}")
        if not isinstance(projection, Projection):
            raise ConfigError(f"a projection is an instance of a class over Projection, not {projection!r:.80}")
        self.projection = projection
        self._face = face
        self._on_new_version = on_new_version
        self._replay = Replay(projection, projection.target(backend.registry, face))
        super().__init__(
            backend, projection.name, self._replay,
            query=projection.query(backend.registry), transactional=True, batch=batch, **options,
        )  # fmt: skip

    async def prepare(self, lease: Lease) -> None:
        """Make the place of the read model, and bring it to the version of the program."""
        async with self.backend.transaction() as tx:
            await self._create(self.projection, tx)
            records = projection_records(tx.models, self.backend.runtime)
            record = await records.find(self.name)
            if record is None:
                record = ProjectionRecord(self.projection.version)
                await records.put(self.name, record)
        if record.version != self.projection.version:
            await self._renew(record, lease)
            record = await projection_records(self.backend.models, self.backend.runtime).get(self.name)
        self._replay.until = record.replay_until

    async def _renew(self, record: ProjectionRecord, lease: Lease) -> None:
        if record.version > self.projection.version or self._on_new_version == "stop":
            raise ProjectionOutdated(self.name, record.version, self.projection.version)
        if self._on_new_version == "keep":
            async with self.backend.transaction() as tx:
                kept = ProjectionRecord(self.projection.version, record.replay_until)
                await projection_records(tx.models, self.backend.runtime).put(self.name, kept)
        elif self._on_new_version == "beside":
            await self.rebuild(progress=self._go_on)
        else:
            checkpoint = await self.backend.checkpoints.get(self.name)
            await self.begin_again(lease, checkpoint.position if checkpoint else 0)

    def _go_on(self, progress: Progress) -> None:
        if not self.at_work:
            raise Stopping

    async def check(self, tx: Transaction) -> None:
        record = await projection_records(tx.models, self.backend.runtime).find(self.name)
        if record is not None and record.version != self.projection.version:
            raise ProjectionOutdated(self.name, record.version, self.projection.version)

    async def begin_again(self, lease: Lease, position: int) -> None:
        """Empty the read model and stand at the beginning, in one transaction. What was handled is a replay then."""
        async with self.backend.transaction() as tx:
            await call(self._face.function(self.projection.clear), self._face.transaction(tx))
            records = projection_records(tx.models, self.backend.runtime)
            before = await records.find(self.name)
            self._replay.until = max(position, before.replay_until if before else 0)
            await records.put(self.name, ProjectionRecord(self.projection.version, self._replay.until))
            await parked_events(tx.models, self.name, self.backend.runtime).clear()
            await tx.checkpoints.save(self.name, 0, lease=lease)

    async def rebuild(
        self,
        *,
        progress: Callable[[Progress], object] | None = None,
        accept: Callable[[Parity], bool] | None = None,
    ) -> Parity:
        """Make the read model anew **beside** the live one, compare the two, and put it in its place, atomically.

        - Readers see the live one until then, and the new one from then on; whoever runs the projection goes on at the
          very position that the new one was made up to, so nothing is missed and nothing counts twice.
        - `progress` is called after each batch. What it raises ends the rebuild, as does cancelling; so does the program's
          end. Called again, it goes on where it was.
        - `accept` is asked, with what the comparison found, whether the new one is to take the place of the live one; by
          default it is. If not, what was made is removed.
        - It may run while the projection does, here or in another process. LeaseHeld if another rebuild of it is running.

        Instances of another version stop with ProjectionOutdated then.
        """
        shadow = copy(self.projection)
        shadow.suffix = f"_v{self.projection.version}"
        rebuild = Rebuild(self.backend, self.projection, shadow, self._face, query=self.query, batch=self.batch)
        return await rebuild.run(self._ttl, progress, accept)

    async def _create(self, projection: Projection, tx: Transaction) -> None:
        await call(self._face.function(projection.create), self._face.transaction(tx))
