"""What a backend is: the stores behind one URL, and what they can do together.

Rule of this file: `Backend` is all that an adapter implements, `Transaction` what its `transaction()` yields, `View` what
its `view()` yields. What a program
does with a backend (repositories, processors, commands, …) is in `goes_lite.database`, which wraps one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeVar

from goes_lite.contract.checkpoints import CheckpointStore, LeaseStore
from goes_lite.contract.commits import Commits
from goes_lite.contract.event_bus import EventBus
from goes_lite.contract.event_store import EventStore
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.contract.upkeep import Upkeep
from goes_lite.errors import TRANSIENT, AbilityMissing, GoesError
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime

M = TypeVar("M")

Durability = Literal["memory", "process-crash", "os-crash", "replicated"]
"""What an acknowledged append survives: nothing (it is gone with the handle); a killed process; a power failure; the
loss of a machine."""

Unknown = Literal["error", "skip", "raw"]
"""What a reader does with an event whose name is not registered: raise UnknownEventError, skip it, or return it with
`Raw` data."""

DENSE_POSITIONS = "dense-positions"
"""Positions have no gaps, as long as nothing is deleted."""
TRANSACTIONS = "transactions"
"""`transaction()` commits events, snapshots, read models and checkpoints together."""
SQL = "sql"
"""`Transaction.execute` runs a program's own SQL in the same transaction."""
PROCESSES = "processes"
"""Several processes may use the same storage, and `follow` wakes on the commits of all of them."""
PERSISTENT = "persistent"
"""Acknowledged data is still there after closing and reopening."""


class Stores(Protocol):
    """What a backend and a transaction have in common."""

    runtime: Runtime
    """How coroutines wait, and the clock."""
    events: EventStore
    """The log."""
    snapshots: SnapshotStore
    models: ModelStore
    """Read models, as JSON."""
    checkpoints: CheckpointStore
    """The position that each processor has reached."""

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        """Return the read models of one type in a named collection."""
        return Models(self.models, collection, type, self.runtime)


class Transaction(Stores, Protocol):
    """Events, snapshots, read models, checkpoints (and SQL) that commit together or not at all.

    Its own stores see what it wrote; nobody else does before the commit. An operation that raises has written nothing,
    and the transaction can continue.
    """

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SQL statement of your own and return its rows. Raises AbilityMissing without SQL.

        In the statement, `?` stands for each parameter in turn, or `$1`, `$2`, … for each by its number, on every backend
        with SQL. It has one kind or the other: next to a `$1`, and without parameters, a `?` is an operator of the database.

        The parameters are a sequence of None, bool, int (64 bit), float (no NaN), str or bytes; a backend may take more types,
        as PostgreSQL does, whose columns have them. InvalidQueryError for anything else.
        """
        ...

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run an SQL statement whose rows nobody needs, together with others: many in one trip to the database.

        They run in order, before the next operation of the transaction or its commit. If one fails, that operation and all
        later ones raise its error, and the transaction is rolled back. Parameters and errors are those of `execute`.
        """
        raise AbilityMissing(SQL, "this backend")

    async def flush(self) -> None:
        """Run what `enqueue` collected, so that an error is raised here."""

    def on_commit(self, action: Callable[[], Awaitable[object] | object], /) -> None:
        """Call the action once the transaction is committed and no longer open; never if it is rolled back.

        If an action raises, the exception is logged to "goes_lite"; neither the commit nor the other actions fail.
        """
        ...


async def ended_by_store(tx: Transaction) -> Exception | None:
    """Return the error with which the store has ended a transaction, None if it has not.

    For code that has failed inside of it: if the store is to blame, the error of the code tells nothing. It may be one of
    the driver, or one of the program's own, raised because of it.
    """
    try:
        await tx.checkpoints.get("goes_lite")  # any read: one of a lost transaction raises
    except TRANSIENT as exc:
        return exc
    except GoesError:
        return None  # ended by the code: by a statement that failed, or on purpose
    return None


class View(Stores, Protocol):
    """The stores as of one moment, for reading; see `Backend.view`."""

    identity: str
    """The store and its epoch."""


class Backend(Stores, Upkeep, Protocol):
    """One open handle to a store: what an adapter implements. `connect` returns a `Database` around it."""

    location: str
    """Where the store is: a path or URL, without a password."""
    identity: str
    """The store and its epoch, to which its checkpoints belong (see `Checkpoint.store`)."""
    registry: Registry
    """Where the names and types of its events are registered."""
    leases: LeaseStore
    """Which instance of a processor is active."""
    bus: EventBus
    """Where committed events are published: after the commit, never before."""
    commits: Commits
    """The commits of every handle and process, to wait until there may be something new."""
    abilities: frozenset[str]
    """What it can do beyond the contract, such as "transactions" or "sql"."""
    durability: Durability
    """What an acknowledged append survives, with the settings of this handle."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Return a transaction: committed when its block ends, rolled back if the block raises.

        Raises AbilityMissing without the ability. Inside the block, writes through the backend's own stores raise
        TransactionError (they would wait for the transaction that they are in).
        """
        ...

    def view(self) -> AbstractAsyncContextManager[View]:
        """Return a view of everything that is stored, as of one moment: what a copy, a digest or a check reads.

        - All its stores show the moment at which the block began: events, snapshots, read models and checkpoints that were
          committed together are seen together, whatever is written meanwhile.
        - It blocks no writer, however long it is open. A server may limit how long that is (StoreUnavailable then).
        - Its events have the names and payloads with which they are stored: `data` is always a `Raw`, and nothing is
          decoded, so that events can be read that no program knows.
        - Everything that writes raises StoreReadOnly; `follow` raises TransactionError.
        """
        ...

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one read-only SQL statement of your own, outside any transaction, and return its rows.

        It sees what is committed and blocks no writer. A statement that would write raises StoreReadOnly.
        Raises AbilityMissing without SQL. The parameters are those of `Transaction.execute`.
        """
        raise AbilityMissing(SQL, self.location)

    async def close(self) -> None:
        """Finish what is in progress, then release everything. Closing twice is allowed; any other use raises StoreClosed."""
        ...
