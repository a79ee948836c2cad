"""Random operations on a backend and their outcomes, for comparing one face with another."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.samples import A, B, note, snapshot


class History:
    """A long series of valid and invalid operations, the same for each seed, and their outcomes.

    Positions are replaced by their rank, because two stores may count differently.
    """

    def __init__(self, db: Backend, seed: int) -> None:
        self.db = db
        self.chance = random.Random(seed)
        self.outcomes: list[Any] = []
        self._positions: list[int] = []
        self._batches: list[list[Event[Any]]] = []

    async def run(self) -> list[Any]:
        """Run the operations and return the outcome of each."""
        operations = [self._append, self._again, self._guarded, self._model, self._models, self._lease]
        operations += [self._snapshot, self._checkpoint, self._delete, self._read]
        for _ in range(80):
            try:
                answer = await self.chance.choice(operations)()
            except GoesError as error:
                fields = {k: v for k, v in vars(error).items() if k not in ("location", "expires", "condition")}
                answer = (type(error), {k: self._rank(v) if k == "position" else v for k, v in fields.items()})
            if isinstance(answer, Appended):
                self._positions += [one for one in answer.positions if one not in self._positions]
                answer = ([self._rank(one) for one in answer.positions], answer.already_committed)
            self.outcomes.append(answer)
        return self.outcomes

    def _rank(self, position: int) -> int:
        return self._positions.index(position) + 1 if position in self._positions else 0

    def _id(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128))

    async def _append(self) -> Any:
        aggregate = self.chance.choice((A, B))
        after = self.chance.choice((len(await self.db.events.load(aggregate)), self.chance.randrange(4)))
        batch: list[Event[Any]] = [note("x", aggregate, after + n, id=self._id()) for n in (1, 2)]
        self._batches.append(batch)
        return await self.db.events.append(batch)

    async def _again(self) -> Any:
        batch = self.chance.choice(self._batches or [[]])
        altered = [note("altered", event.aggregate, event.version, id=event.id) for event in batch]
        return await self.db.events.append(self.chance.choice((batch, batch, altered, batch * 2)))

    async def _guarded(self) -> Any:
        condition = AppendCondition(EventQuery(tags=["t:1"]), self.chance.choice(self._positions or [0]))
        return await self.db.events.append([note("t", id=self._id(), tags=["t:1"])], condition=condition)

    async def _model(self) -> Any:
        data, expected = self.chance.choice(("{}", "[1]", "no JSON")), self.chance.choice((None, 0, 1, 2))
        return await self.db.models.put("c", self.chance.choice(("1", "2", "")), data, expected=expected)

    async def _models(self) -> Any:
        data = {id: self.chance.choice(("{}", "[1]", None, None, "no JSON")) for id in self.chance.sample("1234", 2)}
        await self.db.models.put_many("c", data)
        moved = self.chance.random() < 0.3 and await self.db.models.rename(*self.chance.choice(("cd", "dc", "cc")))
        return moved, await self.db.models.get_many("c", self.chance.choice((["3", "1"], ["2", "2"], [], [""])))

    async def _lease(self) -> Any:
        name, owner = self.chance.choice("xy"), self.chance.choice("12")
        lease = await self.db.leases.acquire(name, owner, 1000)
        return lease[:3], self.chance.random() < 0.5 and await self.db.leases.release(lease)

    async def _snapshot(self) -> Any:
        await self.db.snapshots.save(snapshot(self.chance.choice((A, B)), self.chance.randrange(1, 5)))
        return await self.db.snapshots.prune(keep=self.chance.choice((0, 1, 2)))

    async def _checkpoint(self) -> Any:
        await self.db.checkpoints.save(self.chance.choice(("p", "q", "")), self.chance.choice((-1, 1, 2)))
        return await self.db.checkpoints.delete(self.chance.choice(("p", "q")))

    async def _delete(self) -> Any:
        return self.chance.random() < 0.3 and await self.db.events.delete(self.chance.choice((A, B)))

    async def _read(self) -> Any:
        query, limit = EventQuery(aggregates=[self.chance.choice((A, B))]), self.chance.choice((None, -1, 0, 3))
        pages = self.db.events.query(query, limit=limit, reverse=self.chance.random() < 0.5)
        found = [(event.id, event.version, self._rank(event.position)) for event in await pages.list()]
        return found, await self.db.events.count(), [model[:3] for model in await self.db.models.query("c").list()]
