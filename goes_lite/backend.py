"""The Backend protocol: what `connect` opens, everything that lives behind one URL."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from goes_lite.bus import EventBus
from goes_lite.checkpoint import CheckpointStore, LeaseStore
from goes_lite.errors import AbilityMissing
from goes_lite.model import Models, ModelStore
from goes_lite.registry import Registry
from goes_lite.runtime import Runtime
from goes_lite.snapshot import SnapshotStore
from goes_lite.store import EventStore

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.repository import Repository

A = TypeVar("A", bound="Aggregate")
M = TypeVar("M")

Durability = Literal["memory", "process-crash", "os-crash", "replicated"]
"""What an acknowledged append survives: nothing but the handle; the process being killed; the machine losing power;
the loss of a machine."""

Unknown = Literal["error", "skip", "raw"]
"""What a reader does with an event whose name is not registered: raise UnknownEventError, leave it out, or give it
with `Raw` data."""

DENSE_POSITIONS = "dense-positions"
"""Positions have no gaps, as long as nothing is deleted."""
TRANSACTIONS = "transactions"
"""`transaction()` commits events, snapshots, read models and checkpoints together."""
SQL = "sql"
"""`Transaction.execute` runs the user's own SQL in the same transaction."""
PROCESSES = "processes"
"""Several processes may use the same storage, and `follow` wakes on the commits of all of them."""
BACKUP = "backup"
"""`backup` writes a copy of the store to a file."""
PERSISTENT = "persistent"
"""What was acknowledged is there after closing and opening again."""


class Transaction(Protocol):
    """Events, snapshots, read models, checkpoints (and SQL) that commit together or not at all.

    Its stores see what the transaction wrote; nobody else does before the commit. An operation that raises has
    written nothing, and the transaction can go on.
    """

    @property
    def events(self) -> EventStore: ...
    @property
    def snapshots(self) -> SnapshotStore: ...
    @property
    def models(self) -> ModelStore: ...
    @property
    def checkpoints(self) -> CheckpointStore: ...

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own, with parameters, and answer its rows. AbilityMissing without SQL."""
        ...

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        """The read models of one type, in a named collection, as part of the transaction."""
        ...

    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        """Await the action once the transaction is committed and no longer open; never if it is rolled back.

        An action that raises is logged to "goes_lite": it makes neither the commit nor the other actions fail.
        """
        ...


class Backend(Protocol):
    """One open handle on a storage. Close it, or use it in a `with` block (`async with` on the async face)."""

    location: str
    """Where it is: a path or URL, without a password."""
    registry: Registry
    runtime: Runtime
    events: EventStore
    snapshots: SnapshotStore
    models: ModelStore
    checkpoints: CheckpointStore
    leases: LeaseStore
    bus: EventBus
    """Committed events are published here, after the commit and never before."""
    abilities: frozenset[str]
    durability: Durability
    """What an acknowledged append survives, as this live handle is set up."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction: committed when its block ends, rolled back if the block raises.

        AbilityMissing without the ability. Writes through the backend's own stores inside the block raise
        TransactionError (they would wait for the transaction that they are in).
        """
        ...

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own that only reads, outside any transaction, and answer its rows.

        It sees what is committed and keeps no writer waiting. A statement that would write raises StoreReadOnly.
        AbilityMissing without SQL.
        """
        raise AbilityMissing(SQL, self.location)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a complete copy of the store to a new file, while others go on writing. AbilityMissing without BACKUP."""
        raise AbilityMissing(BACKUP, self.location)

    async def close(self) -> None:
        """Finish what is under way, then release everything. Closing twice is fine; any other use is StoreClosed."""
        ...

    def repository(self, aggregate: type[A], **options: Any) -> Repository[A]:
        """A repository of that aggregate class over this backend; the options are those of `Repository`."""
        from goes_lite.repository import Repository

        return Repository(self, aggregate, **options)

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        """The read models of one type, in a named collection."""
        return Models(self.models, collection, type, self.runtime)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
