"""The processor of a projection: checkpoint, read model and version commit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, Unpack, get_args

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import ConfigError, LeaseHeld, ProjectionOutdated
from goes_lite.processor import Processor, RunOptions, parked_events
from goes_lite.processor.held_lease import STANDBY_INTERVAL
from goes_lite.processor.target import Displaced
from goes_lite.projection._parity import Parity
from goes_lite.projection._projection import Projection
from goes_lite.projection._rebuild import Accept, Progress, Rebuild
from goes_lite.projection._record import ProjectionRecord, check_not_older, projection_records
from goes_lite.projection._replay import ReplayTarget
from goes_lite.runtime.face import Face, contained

OnNewVersion: TypeAlias = Literal["rebuild", "beside", "stop", "keep"]
"""What happens to a read model that a lower version of its projection made: it is rebuilt in place, or next to the live one, the
processor stops, or it goes on with what there is."""


class ProjectionOptions(RunOptions, total=False):
    """How a projection runs."""

    on_new_version: OnNewVersion
    """What happens to a read model of a lower version: 'rebuild' by default, or 'beside', 'stop' or 'keep'."""


class ProjectionProcessor(Processor):
    """A processor that runs a projection; see `Database.projection`."""

    def __init__(
        self,
        backend: Backend,
        projection: Projection,
        face: Face,
        *,
        on_new_version: OnNewVersion = "rebuild",
        **options: Unpack[RunOptions],
    ) -> None:
        if on_new_version not in get_args(OnNewVersion):
            raise ConfigError(
                f"on_new_version must be one of {', '.join(get_args(OnNewVersion))}, not {on_new_version!r:.80}"
            )
        if not isinstance(projection, Projection):
            raise ConfigError(f"a projection must be an instance of a Projection subclass, not {projection!r:.80}")
        if on_new_version == "beside":
            projection.check_defines("clear", "switch")
        projection.check_functions(face)
        self.projection = projection
        self._face = face
        self._on_new_version = on_new_version
        self._renewed = False  # whether the read model has the version of this instance
        query = projection.query(backend.registry)
        self._replay = ReplayTarget(projection, projection.target(backend.registry, face), query)
        if options.get("batch") is None:
            options["batch"] = 1000
        super().__init__(backend, projection.name, self._replay, query=query, transactional=True, **options)

    async def prepare(self, lease: Lease) -> None:
        """Create the read model if needed, and bring it to the version of the program."""
        projection, runtime = self.projection, self.backend.runtime
        async with self.backend.transaction() as tx:
            record = await check_not_older(projection, tx, runtime)
            if record is None or (record.version != projection.version and self._on_new_version == "keep"):
                record = ProjectionRecord(projection.version, record.replay_until if record else 0)
                await projection_records(tx.models, runtime).put(self.name, record)
            if record.version != projection.version and self._on_new_version == "stop":
                raise ProjectionOutdated(self.name, record.version, projection.version)
            await self._call(projection.create, tx)
            if await tx.checkpoints.get(self.name) is None:  # in the transaction, since inline appends may save it, too
                await tx.checkpoints.save(self.name, 0, lease=lease)
        if record.version != projection.version:
            await self._renew(lease)
            record = await projection_records(self.backend.models, runtime).get(self.name)
        self._replay.begin(record.replay_until)
        self._renewed = True

    async def _renew(self, lease: Lease) -> None:
        if self._on_new_version == "beside":
            try:
                await Rebuild(self, self.projection, self._face, parent=self).run(self._ttl, None, None)
            except LeaseHeld:  # by another rebuild, or by one that was killed: check its result again
                await self.sleep(STANDBY_INTERVAL)
                raise Displaced from None
        else:
            await self.begin_again(lease, 0)

    async def check(self, tx: Transaction) -> None:
        record = await projection_records(tx.models, self.backend.runtime).find(self.name)
        if record is not None and record.version != self.projection.version:
            raise ProjectionOutdated(self.name, record.version, self.projection.version)

    async def begin_again(self, lease: Lease, position: int) -> None:
        """Clear the read model and start over, in one transaction. Events that were handled before are replayed."""
        self.projection.check_defines("clear")
        async with self.backend.transaction() as tx:
            before = await check_not_older(self.projection, tx, self.backend.runtime)
            checkpoint, head = await tx.checkpoints.get(self.name), await tx.events.head()
            handled = min(checkpoint.position, head) if checkpoint else 0  # that of another store may lie past the end
            until = max(position, handled, before.replay_until if before else 0)
            await self._call(self.projection.clear, tx)
            await self._call(self.projection.create, tx)
            record = ProjectionRecord(self.projection.version, until)
            await projection_records(tx.models, self.backend.runtime).put(self.name, record)
            await parked_events(tx.models, self.name, self.backend.runtime).clear()
            await tx.checkpoints.save(self.name, 0, lease=lease)  # LeaseLost if another instance has taken over
        self._replay.begin(until)

    async def reset(self) -> None:
        """Request that the active instance, or the next one, rebuilds the read model in place, from the first event.

        Dead letters are removed, and side effects are not repeated (`Projection.replaying`). RegistrationError if the
        projection does not define `clear`.
        """
        self.projection.check_defines("clear")
        await super().reset()

    async def rebuild(
        self,
        *,
        progress: Callable[[Progress], object] | None = None,
        accept: Accept | None = None,
    ) -> Parity:
        """Rebuild the read model **next to** the live one, compare the two, and replace the live one atomically.

        - Readers see the live one until then, and the new one afterwards; the active instance resumes at exactly the
          position that the new one has reached, so nothing is missed and nothing counts twice.
        - `progress` is called after each batch. An exception that it raises ends the rebuild, as do cancelling and the end
          of the program. Called again, the rebuild resumes where it left off, unless that was another version.
        - `accept` is called with the result of the comparison and returns whether the new read model replaces the live one;
          by default it does. If not, the new one is removed.
        - An event on which a method raises is retried, then ends the rebuild with ProcessorStopped or is parked, as defined
          by `retry`. Dead letters of the live read model are removed with it.
        - It may run while the projection runs, here or in another process. LeaseHeld if another rebuild is running.
        - RegistrationError if the projection does not define `clear` and `switch`; ProjectionOutdated if the read model has
          a higher version.

        After that, instances of another version stop with ProjectionOutdated.
        """
        for option, given in (("progress", progress), ("accept", accept)):
            if given is not None and not callable(given):
                raise ConfigError(f"{option} of rebuild() is a function, not {given!r:.80}")
        return await Rebuild(self, self.projection, self._face, parent=None).run(self._ttl, progress, accept)

    async def _reached(self) -> int:
        """Return 0 while this instance has yet to rebuild the read model for its version."""
        if self._running and not self._renewed:
            record = await projection_records(self.backend.models, self.backend.runtime).find(self.name)
            lease = await self.backend.leases.get(self.name)
            if record and record.version < self.projection.version and (lease is None or lease.owner == self.owner):
                return 0
        return await super()._reached()

    async def _call(self, method: Callable[[Any], object], tx: Transaction) -> None:
        await contained(self._face.function(method, f"{method.__name__}()"), self._face.transaction(tx))
