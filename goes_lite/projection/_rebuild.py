"""Making a read model anew beside the live one: catch up, compare at one and the same position, switch.

Rule of this file: the new read model never gets ahead of the live one. Its goal is the live checkpoint, and the switch is
one transaction that brings it exactly there, compares, and puts it in its place; the live checkpoint stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from goes_lite.backend import Backend, Transaction
from goes_lite.checkpoint import Lease
from goes_lite.processor import Face
from goes_lite.processor._feed import Feed
from goes_lite.processor._target import HandlerFailed
from goes_lite.processor._tenure import Tenure, new_owner
from goes_lite.projection._projection import Projection
from goes_lite.projection._record import ProjectionRecord, projection_records
from goes_lite.query import EventQuery
from goes_lite.runtime import Signal, call

SHOWN = 20
"""How many differences a comparison keeps."""


class Progress(NamedTuple):
    """How far a rebuild has come."""

    position: int
    goal: int
    """Where the live read model is: it moves on while events come in."""
    events: int
    """Handled so far, in this run of the rebuild."""
    rate: float
    """Events per second."""
    seconds_left: float | None
    """At that rate; None before anything can be said."""


class Difference(NamedTuple):
    """A row that is not the same in both."""

    key: str
    live: str | None
    new: str | None


class Parity(NamedTuple):
    """What a comparison of the live read model and the new one found, both at the same position."""

    position: int
    live_rows: int
    new_rows: int
    live_hash: str
    """SHA-256 over keys and contents, in the order of keys."""
    new_hash: str
    different: int
    """How many rows are not the same."""
    differences: tuple[Difference, ...]
    """The first of them."""
    switched: bool = False
    """Whether the new one has taken the place of the live one."""

    @property
    def same(self) -> bool:
        """Whether they are equal, row by row."""
        return self.different == 0

    def __str__(self) -> str:
        verdict = "the same" if self.same else f"{self.different} rows differ"
        lines = [f"at position {self.position}: live {self.live_rows} rows, new {self.new_rows} rows: {verdict}"]
        lines += [f"  {one.key}: {one.live or '-':.60} -> {one.new or '-':.60}" for one in self.differences]
        return "\n".join(lines)


class Rebuild:
    """One read model being made beside another."""

    def __init__(
        self,
        backend: Backend,
        live: Projection,
        shadow: Projection,
        face: Face,
        *,
        query: EventQuery,
        batch: int,
    ) -> None:
        self._backend = backend
        self._live = live
        self._shadow = shadow
        self._face = face
        self._feed = Feed(backend.events, query, batch)
        self._target = shadow.target(backend.registry, face)
        self._name = f"{live.name}{shadow.suffix}"
        """Of its checkpoint and its lease."""
        self._position = 0
        shadow.replaying = True

    async def run(
        self, ttl: float, progress: Callable[[Progress], object] | None, accept: Callable[[Parity], bool] | None
    ) -> Parity:
        """Until it has taken the place of the live one, or was not accepted."""
        tenure = Tenure(self._backend, self._name, new_owner(), ttl, Signal())
        lease = await tenure.begin()
        try:
            await self._begin(lease)
            clock, begun, events = self._backend.runtime.clock, self._backend.runtime.clock.monotonic(), 0
            first = self._position
            while True:
                goal = await self._goal()
                if self._position >= goal and (parity := await self._switch(lease, accept)) is not None:
                    return parity
                while self._position < goal:
                    events += await self._step(lease, goal)
                    if progress is not None:
                        elapsed = clock.monotonic() - begun
                        speed = (self._position - first) / elapsed if elapsed > 0 else 0.0
                        left = (goal - self._position) / speed if speed else None
                        rate = events / elapsed if elapsed > 0 else 0.0
                        await call(self._face.function(progress), Progress(self._position, goal, events, rate, left))
        finally:
            await tenure.end()

    async def _begin(self, lease: Lease) -> None:
        """Go on where an earlier run was left, else begin with an empty place."""
        checkpoint = await self._backend.checkpoints.get(self._name)
        if checkpoint is not None and checkpoint.store == self._backend.identity:
            self._position = checkpoint.position
            return
        async with self._backend.transaction() as tx:
            await self._tell(self._shadow.create, tx)
            await self._tell(self._shadow.clear, tx)
            await tx.checkpoints.save(self._name, 0, lease=lease)

    async def _goal(self) -> int:
        checkpoint = await self._backend.checkpoints.get(self._live.name)
        return checkpoint.position if checkpoint else 0

    async def _step(self, lease: Lease, goal: int) -> int:
        batch = await self._feed.next(self._position, goal)
        async with self._backend.transaction() as tx:
            await self._apply(batch.events, tx)
            await tx.checkpoints.save(self._name, batch.position, lease=lease)
        self._position = batch.position
        return len(batch.events)

    async def _switch(self, lease: Lease, accept: Callable[[Parity], bool] | None) -> Parity | None:
        """Compare and switch, if the live one is still where the new one is; else None."""
        async with self._backend.transaction() as tx:
            checkpoint = await tx.checkpoints.get(self._live.name)
            if (checkpoint.position if checkpoint else 0) != self._position:
                return None
            await tx.checkpoints.save(self._name, self._position, lease=lease)  # LeaseLost for who was too slow
            parity = await compare(self._live, self._shadow, self._face.transaction(tx), self._position)
            if accept is not None and not await call(self._face.function(accept), parity):
                await self._tell(self._shadow.clear, tx)
            else:
                await self._tell(self._shadow.switch, tx)
                records = projection_records(tx.models, self._backend.runtime)
                known = await records.find(self._live.name)
                until = max(self._position, known.replay_until if known else 0)
                await records.put(self._live.name, ProjectionRecord(self._shadow.version, until))
                parity = parity._replace(switched=True)
            await tx.checkpoints.delete(self._name)
        return parity

    async def _apply(self, events: Any, tx: Transaction) -> None:
        try:
            await self._target.apply(events, tx)
        except HandlerFailed as failed:
            raise failed.error from None

    async def _tell(self, method: Callable[[Any], object], tx: Transaction) -> None:
        await call(self._face.function(method), self._face.transaction(tx))


async def compare(live: Projection, new: Projection, tx: Any, position: int) -> Parity:
    """Go through the rows of both, side by side."""
    sides = [_Side(live, tx), _Side(new, tx)]
    different = 0
    differences: list[Difference] = []
    one, other = await sides[0].next(), await sides[1].next()
    while one is not None or other is not None:
        first = min(row[0] for row in (one, other) if row is not None)
        was = one[1] if one is not None and one[0] == first else None
        now = other[1] if other is not None and other[0] == first else None
        if was != now:
            different += 1
            if len(differences) < SHOWN:
                differences.append(Difference(first, was, now))
        one = await sides[0].next() if was is not None else one
        other = await sides[1].next() if now is not None else other
    (live_rows, live_hash), (new_rows, new_hash) = ((side.count, side.hash.hexdigest()) for side in sides)
    return Parity(position, live_rows, new_rows, live_hash, new_hash, different, tuple(differences))


class _Side:
    def __init__(self, projection: Projection, tx: Any) -> None:
        rows = projection.rows(tx)
        self._rows = rows if isinstance(rows, AsyncIterator) else _each(rows or ())
        self.count = 0
        self.hash = hashlib.sha256()

    async def next(self) -> tuple[str, str] | None:
        async for key, content in self._rows:
            self.count += 1
            self.hash.update(f"{key}\0{content}\n".encode())
            return key, content
        return None


async def _each(rows: Any) -> AsyncIterator[tuple[str, str]]:
    for row in rows:
        yield row
