"""The Backend protocol: what `connect` opens, everything that lives behind one URL."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, TypeVar, overload

from goes_lite.contract.checkpoints import CheckpointStore, LeaseStore
from goes_lite.contract.commits import Commits
from goes_lite.contract.event_bus import EventBus, Start
from goes_lite.contract.event_store import Appended, EventStore
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.errors import AbilityMissing
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.commands import CommandBus
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef
    from goes_lite.processor import Processor, ProcessorSchedule, Retry, Stats
    from goes_lite.projection import ModelProjection, OnNewVersion, Projection, ProjectionProcessor
    from goes_lite.repository import Repository
    from goes_lite.repository.decision import DecisionModel

A = TypeVar("A", bound="Aggregate")
M = TypeVar("M")
S = TypeVar("S")
S2 = TypeVar("S2")
S3 = TypeVar("S3")

Decided: TypeAlias = "Iterable[Event[Any]] | Awaitable[Iterable[Event[Any]]]"
"""What a decision answers: events, or a coroutine that does."""

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
    identity: str
    """Which store this is, in which life of it: what its checkpoints belong to (see `Checkpoint.store`)."""
    registry: Registry
    runtime: Runtime
    events: EventStore
    snapshots: SnapshotStore
    models: ModelStore
    checkpoints: CheckpointStore
    leases: LeaseStore
    bus: EventBus
    """Committed events are published here, after the commit and never before."""
    commits: Commits
    """Of every handle and process: to wait until there may be something new."""
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

    @cached_property
    def commands(self) -> CommandBus:
        """The command bus of this handle: who handles which command, and the way to there."""
        from goes_lite.commands import CommandBus
        from goes_lite.runtime.face import AsyncFace

        return CommandBus(self, AsyncFace())

    def repository(self, aggregate: type[A], **options: Any) -> Repository[A]:
        """A repository of that aggregate class over this backend; the options are those of `Repository`."""
        from goes_lite.repository import Repository

        return Repository(self, aggregate, **options)

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        """The read models of one type, in a named collection."""
        return Models(self.models, collection, type, self.runtime)

    @overload
    async def decide(
        self, model: DecisionModel[S], /, *, decide: Callable[[S], Decided], tries: int = 10
    ) -> Appended: ...
    @overload
    async def decide(
        self, one: DecisionModel[S], two: DecisionModel[S2], /, *, decide: Callable[[S, S2], Decided], tries: int = 10
    ) -> Appended: ...
    @overload
    async def decide(
        self,
        one: DecisionModel[S],
        two: DecisionModel[S2],
        three: DecisionModel[S3],
        /,
        *,
        decide: Callable[[S, S2, S3], Decided],
        tries: int = 10,
    ) -> Appended: ...
    @overload
    async def decide(
        self, *models: DecisionModel[Any], decide: Callable[..., Decided], tries: int = 10
    ) -> Appended: ...
    async def decide(self, *models: DecisionModel[Any], decide: Callable[..., Decided], tries: int = 10) -> Appended:
        """Decide on what several events of whatever aggregates say, and append what was decided.

        - `decide` is called with the state of each of the `models`, as of one moment, and answers events; or raises, and
          nothing is appended. It may be a coroutine function.
        - If an event that matches one of the models came in between, all of it is done again; after the last of the
          `tries`, AppendConditionFailed comes through.
        - Metadata is that of the current `Context`, under what an event has of its own.
        """
        from goes_lite.repository.decision import decide as decided

        return await decided(self, models, decide, tries)

    def processor(
        self,
        name: str,
        handler: Callable[..., Awaitable[object] | object],
        *,
        query: EventQuery = EVERYTHING,
        start: Start = "beginning",
        transactional: bool = False,
        batched: bool = False,
        batch: int | None = None,
        schedule: ProcessorSchedule | None = None,
        retry: Retry | None = None,
        lease: float = 10.0,
    ) -> Processor:
        """A named, durable consumer of the log: it calls the handler with each event that matches, in position order.

        - It remembers in the store how far it has come, under its name, and goes on there: after a stop, a crash, in
          another process. `start` says where it begins the first time: 'beginning', 'now', with the 'last' event that
          matches, behind a position, or at the first event that is not older than an aware datetime (from there on by
          position, whatever the clocks said).
        - Of the instances of one name, in all processes, one is active; the others stand by. They take over within 0.2
          seconds when it stops, and at most `lease` seconds later when it is killed.
        - A handler outside of transactions is called with the event, **at least once**: after a crash it may be called
          again with what it handled since the last checkpoint, which is saved every `batch` events (1 by default). For
          effects elsewhere, use `event.id` as the key that makes a repetition harmless.
        - With `transactional`, it is called with the event and a transaction; what it writes there commits together with
          the checkpoint, so every event counts **exactly once**. `batch` events (500 by default) share a commit.
          AbilityMissing on a backend without the ability "transactions".
        - With `batched`, it is called with a list of up to `batch` events (500 by default) instead of one.
        - An exception of the handler is a failure: see `Retry`. Events that do not match are passed over, and are behind
          the checkpoint as well.
        - `schedule` says when it works: `Continuously()` by default, else `Periodically` or `OnDemand`.

        Nothing happens before it is run: `await processor.run()`, or `async with processor:`, or `start` and `stop`.
        """
        from goes_lite.processor import processor_of
        from goes_lite.runtime.face import AsyncFace

        return processor_of(
            self, name, handler, AsyncFace(), query=query, start=start, transactional=transactional, batched=batched,
            batch=batch, schedule=schedule, retry=retry, lease=lease,
        )  # fmt: skip

    def relay(
        self,
        bus: EventBus | None = None,
        *,
        name: str = "relay",
        query: EventQuery = EVERYTHING,
        start: Start = "beginning",
        batch: int = 100,
        retry: Retry | None = None,
        schedule: ProcessorSchedule | None = None,
        lease: float = 10.0,
    ) -> Processor:
        """A processor that publishes what is stored to a bus: to `self.bus` of a composed handle, or to the one given.

            async with goes.connect("app.db", bus="nats://…") as db, db.relay(): ...

        - The log itself is the outbox: saving needs no bus, and what was saved while the bus was away is published later.
        - **At least once**, in position order, so in order for each aggregate; up to `batch` events in one call of
          `publish`. After a crash, or a failure in the middle of a call, the events of that call come again: the event's
          id is the key by which a bus, or who hears of it twice, can tell.
        - A bus that is full keeps the relay waiting. One that fails is tried again with growing pauses (up to 5 seconds)
          for ever, whatever it raises: no event is passed over. An event that cannot be read stops it (ProcessorStopped);
          a handle with `unknown="raw"` can read what the program does not know.
        - With a `retry`, an event is given up as that says; but not for what is wrong with the bus, be it BusError,
          StoreError or OSError (of which ConnectionError and TimeoutError are): that is tried again for ever.
        - When it is stopped, it gives a call of `publish` that is under way one second to end, then leaves it.
        - It is run, and made instances stand by, like any processor (`processor`); so are `query`, `start`, `schedule` and
          `lease` as there. Relays to different buses need different names.

        ConfigError if it is the in-process bus of this very store, which is offered all commits anyway.
        """
        from goes_lite.processor.relay import Relay
        from goes_lite.runtime.face import AsyncFace

        return Relay(
            self, self.bus if bus is None else bus, AsyncFace(), name=name, query=query, start=start, batch=batch,
            retry=retry, schedule=schedule, lease=lease,
        )  # fmt: skip

    def projection(
        self,
        projection: Projection,
        *,
        schedule: ProcessorSchedule | None = None,
        retry: Retry | None = None,
        batch: int = 1000,
        lease: float = 10.0,
        on_new_version: OnNewVersion = "rebuild",
    ) -> ProjectionProcessor:
        """A processor that keeps the read model of a projection up to date, from the first event on.

        - Read model, checkpoint and version commit together, so each event counts exactly once, whatever is killed when.
          AbilityMissing on a backend without the ability "transactions".
        - It is run, and made instances stand by, like any processor (`processor`); `schedule`, `retry`, `batch` and
          `lease` are as there.
        - Where the read model was made by a lower version of the projection, `on_new_version` says what becomes of it:
          'rebuild' empties it and makes it anew in place; 'beside' makes a new one while the old one can be read, and
          switches at the end; 'keep' goes on with it as it is; 'stop' is ProjectionOutdated. A lower version than the
          read model's is ProjectionOutdated in any case, and so it is for one that works when another makes it anew.
        """
        from goes_lite.projection import ProjectionProcessor
        from goes_lite.runtime.face import AsyncFace

        return ProjectionProcessor(
            self, projection, AsyncFace(), schedule=schedule, retry=retry, batch=batch, lease=lease,
            on_new_version=on_new_version,
        )  # fmt: skip

    def inline(self, *projections: Projection) -> Backend:
        """This handle with projections that are brought up to date in the transaction of each append: without any lag.

        - What is appended through the handle that is answered, be it by a repository or in a transaction of yours, is in
          the read models when the append returns. What the projection raises, the append raises, and nothing is stored;
          a transaction of yours in which that happened is not committed any more (TransactionError).
        - What was appended through other handles counts with the next append through this one.
        - ProjectionOutdated if a read model is of another version. AbilityMissing without the ability "transactions".

        Every append pays for it; and it is this handle in another guise: close one of them.
        """
        from goes_lite.projection import InlineBackend
        from goes_lite.runtime.face import AsyncFace

        return InlineBackend(self, projections, AsyncFace())

    async def live(
        self,
        projection: ModelProjection[M],
        query: EventQuery | None = None,
        *,
        aggregate: AggregateRef | None = None,
    ) -> dict[str, M]:
        """The read models, by id, that the events make just now: folded on reading, stored nowhere.

        Of the events that match the query, or of one aggregate; by default of all that the projection is told of.
        """
        from goes_lite.projection import live
        from goes_lite.runtime.face import AsyncFace

        return await live(self, projection, query, aggregate, AsyncFace())

    async def processors(self) -> list[Stats]:
        """How every processor of this store is getting on, by name: whoever has a checkpoint, in whatever process it runs."""
        from goes_lite.processor import stats_of

        return [await stats_of(self, checkpoint.name) for checkpoint in await self.checkpoints.all()]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
