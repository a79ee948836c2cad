"""A backend and a bus as one: the stores of the first, the bus of the second, which may be that of another backend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.event_bus import REPLAY, Carrier


class ComposedBackend(Backend):
    """What `connect(url, bus=other_url)` opens."""

    def __init__(self, stores: Backend, carrier: Carrier) -> None:
        self._stores = stores
        self._carrier = carrier
        self.location = f"{stores.location} + {carrier.location}"
        self.identity = stores.identity
        self.registry = stores.registry
        self.runtime = stores.runtime
        self.events = stores.events
        self.snapshots = stores.snapshots
        self.models = stores.models
        self.checkpoints = stores.checkpoints
        self.leases = stores.leases
        self.bus = carrier.bus
        self.commits = stores.commits
        # what the bus can do is the carrier's, all else is of the stores
        self.abilities = (stores.abilities - {REPLAY}) | (carrier.abilities & {REPLAY})
        self.durability = stores.durability

    def __repr__(self) -> str:
        return f"<ComposedBackend {self._stores!r} + {self._carrier!r}>"

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._stores.transaction()

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._stores.select(sql, parameters)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        await self._stores.backup(path)

    async def close(self) -> None:
        try:
            await self._carrier.close()
        finally:
            await self._stores.close()
