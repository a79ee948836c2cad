"""How a projection is run: a processor whose checkpoint, read model and version commit together."""

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
from goes_lite.projection._replay import Replay
from goes_lite.runtime import call
from goes_lite.runtime.face import Face

OnNewVersion: TypeAlias = Literal["rebuild", "beside", "stop", "keep"]


class ProjectionOptions(RunOptions, total=False):
    """How a projection runs."""

    on_new_version: OnNewVersion
    """What happens to a read model of a lower version: 'rebuild' by default, or 'beside', 'stop' or 'keep'."""


class ProjectionProcessor(Processor):
    """A projection at work: see `Backend.projection`."""

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
            raise ConfigError(f"on_new_version={on_new_version!r:.80}: one of {', '.join(get_args(OnNewVersion))}")
        if not isinstance(projection, Projection):
            raise ConfigError(f"a projection is an instance of a class over Projection, not {projection!r:.80}")
        if on_new_version == "beside":
            projection.check_defines("clear", "switch")
        self.projection = projection
        self._face = face
        self._on_new_version = on_new_version
        self._renewed = False  # whether this instance has seen to it that the read model is of its version
        query = projection.query(backend.registry)
        self._replay = Replay(projection, projection.target(backend.registry, face), query)
        if options.get("batch") is None:
            options["batch"] = 1000
        super().__init__(backend, projection.name, self._replay, query=query, transactional=True, **options)

    async def prepare(self, lease: Lease) -> None:
        """Make the place of the read model, and bring it to the version of the program."""
        projection, runtime = self.projection, self.backend.runtime
        async with self.backend.transaction() as tx:
            record = await check_not_older(projection, tx, runtime)
            if record is None or (record.version != projection.version and self._on_new_version == "keep"):
                record = ProjectionRecord(projection.version, record.replay_until if record else 0)
                await projection_records(tx.models, runtime).put(self.name, record)
            if record.version != projection.version and self._on_new_version == "stop":
                raise ProjectionOutdated(self.name, record.version, projection.version)
            await self._call(projection.create, tx)
            if await tx.checkpoints.get(self.name) is None:  # asked here, since appends may bring it up to date, too
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
            except LeaseHeld:  # by one that was called for, or that was killed: what it has made is looked at again
                await self.sleep(STANDBY_INTERVAL)
                raise Displaced from None
        else:
            await self.begin_again(lease, 0)

    async def check(self, tx: Transaction) -> None:
        record = await projection_records(tx.models, self.backend.runtime).find(self.name)
        if record is not None and record.version != self.projection.version:
            raise ProjectionOutdated(self.name, record.version, self.projection.version)

    async def begin_again(self, lease: Lease, position: int) -> None:
        """Empty the read model and stand at the beginning, in one transaction. What was handled is a replay then."""
        self.projection.check_defines("clear")
        async with self.backend.transaction() as tx:
            before = await check_not_older(self.projection, tx, self.backend.runtime)
            checkpoint, head = await tx.checkpoints.get(self.name), await tx.events.head()
            handled = min(checkpoint.position, head) if checkpoint else 0  # another store's may lie behind the end
            until = max(position, handled, before.replay_until if before else 0)
            await self._call(self.projection.clear, tx)
            await self._call(self.projection.create, tx)
            record = ProjectionRecord(self.projection.version, until)
            await projection_records(tx.models, self.backend.runtime).put(self.name, record)
            await parked_events(tx.models, self.name, self.backend.runtime).clear()
            await tx.checkpoints.save(self.name, 0, lease=lease)  # LeaseLost for who was too slow
        self._replay.begin(until)

    async def reset(self) -> None:
        """Have the read model emptied and made anew in place, from the first event on: by whoever is active, else the next.

        Dead letters are forgotten, and side effects are not repeated (`Projection.replaying`). RegistrationError if the
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
        """Make the read model anew **beside** the live one, compare the two, and put it in its place, atomically.

        - Readers see the live one until then, and the new one from then on; whoever runs the projection goes on at the
          very position that the new one was made up to, so nothing is missed and nothing counts twice.
        - `progress` is called after each batch. What it raises ends the rebuild, as does cancelling; so does the program's
          end. Called again, it goes on where it was, unless that was of another version.
        - `accept` is asked, with what the comparison found, whether the new one is to take the place of the live one; by
          default it is. If not, what was made is removed.
        - An event on which a method raises is tried again, then ends it with ProcessorStopped or is parked, as `retry`
          says. Dead letters of the live one are forgotten with it.
        - It may run while the projection does, here or in another process. LeaseHeld if another rebuild of it is running.
        - RegistrationError if the projection does not define `clear` and `switch`; ProjectionOutdated if the read model is
          of a higher version.

        Instances of another version stop with ProjectionOutdated then.
        """
        return await Rebuild(self, self.projection, self._face, parent=None).run(self._ttl, progress, accept)

    async def _reached(self) -> int:
        """Nowhere, as long as this very instance is about to make the read model anew for its version."""
        if self._running and not self._renewed:
            record = await projection_records(self.backend.models, self.backend.runtime).find(self.name)
            lease = await self.backend.leases.get(self.name)
            if record and record.version < self.projection.version and (lease is None or lease.owner == self.owner):
                return 0
        return await super()._reached()

    async def _call(self, method: Callable[[Any], object], tx: Transaction) -> None:
        await call(self._face.function(method), self._face.transaction(tx))
