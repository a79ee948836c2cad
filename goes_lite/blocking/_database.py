"""The blocking face of a database."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from goes_lite.aggregate import Aggregate
from goes_lite.blocking._bus import BlockingEventBus
from goes_lite.blocking._face import BlockingFace
from goes_lite.blocking._models import BlockingModels
from goes_lite.blocking._repository import BlockingRepository
from goes_lite.blocking._stores import (
    BlockingCheckpointStore,
    BlockingCommits,
    BlockingEventStore,
    BlockingLeaseStore,
    BlockingModelStore,
    BlockingSnapshotStore,
)
from goes_lite.blocking._transaction import BlockingTransaction, TransactionBlock
from goes_lite.blocking._upkeep import BlockingUpkeep
from goes_lite.blocking._view import BlockingView, ViewBlock
from goes_lite.contract.backend import Backend
from goes_lite.database import Database
from goes_lite.errors import StillRunning
from goes_lite.errors.faces import BlockingBlock
from goes_lite.events.query import EventQuery
from goes_lite.runtime.portal import LoopPortal, Portal

if TYPE_CHECKING:  # imported on first use, as on the async face
    from goes_lite.blocking._commands import BlockingCommandBus
    from goes_lite.blocking._lookup import BlockingBoundLookup
    from goes_lite.blocking._processor import BlockingProcessor, BlockingProjectionProcessor, BlockingWorkflowProcessor
    from goes_lite.blocking._workflows import BlockingWorkflows
    from goes_lite.contract.event_store import Appended
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef
    from goes_lite.operations.info import Info
    from goes_lite.processor import ProcessorOptions, RelayOptions, Stats
    from goes_lite.projection import ModelProjection, Projection, ProjectionOptions
    from goes_lite.projection.lookup import Lookup
    from goes_lite.repository import RepositoryOptions
    from goes_lite.repository.decision import DecisionModel
    from goes_lite.workflow import Workflow, WorkflowOptions

A = TypeVar("A", bound=Aggregate)
M = TypeVar("M")
S = TypeVar("S")
S2 = TypeVar("S2")
S3 = TypeVar("S3")


EXIT_PATIENCE = 5.0
"""How long, in seconds, a handle that a program left open may take to close when the interpreter exits."""

_on_loops: WeakSet[BlockingDatabase] = WeakSet()
"""The open handles on loop threads, which end with the interpreter. An embedded backend sees to itself."""


@atexit.register
def _close_on_loops() -> None:
    for db in list(_on_loops):
        with suppress(Exception):  # the program is over, and what was acknowledged is stored
            db._close_at_exit()


class BlockingDatabase(BlockingUpkeep, BlockingBlock):
    """A backend and everything that a program does with it. Close it, or use it in a `with` block.

    Several threads may use one handle.
    """

    def __init__(self, backend: Backend, portal: Portal) -> None:
        super().__init__(backend, portal)
        self._closed = False
        self.database = Database(backend, BlockingFace(portal))
        """The async database around it, which calls blocking functions of the program."""
        self.events = BlockingEventStore(backend.events, portal)
        self.snapshots = BlockingSnapshotStore(backend.snapshots, portal)
        self.models = BlockingModelStore(backend.models, portal)
        self.checkpoints = BlockingCheckpointStore(backend.checkpoints, portal)
        self.leases = BlockingLeaseStore(backend.leases, portal)
        self.bus = BlockingEventBus(backend.bus, portal)
        self.commits = BlockingCommits(backend.commits, portal)
        if isinstance(portal, LoopPortal):
            _on_loops.add(self)

    def __repr__(self) -> str:
        return f"<blocking {self.backend!r}>"

    def transaction(self) -> AbstractContextManager[BlockingTransaction]:
        """Return a transaction: committed when its block ends, rolled back if the block raises.

        Raises AbilityMissing without the ability. Inside the block, writes through the backend's own stores raise
        TransactionError (they would wait for the transaction that they are in).
        """
        return TransactionBlock(self.backend, self._portal)

    def view(self) -> AbstractContextManager[BlockingView]:
        """Return a view of everything that is stored, as of one moment: what a copy, a digest or a check reads.

        - All its stores show the moment at which the block began: events, snapshots, read models and checkpoints that were
          committed together are seen together, whatever is written meanwhile.
        - It blocks no writer, however long it is open. A server may limit how long that is (StoreUnavailable then).
        - Its events have the names and payloads with which they are stored: `data` is always a `Raw`, and nothing is
          decoded, so that events can be read that no program knows.
        - Everything that writes raises StoreReadOnly; `follow` raises TransactionError.
        """
        return ViewBlock(self.backend, self._portal)

    def repository(self, aggregate: type[A], **options: Unpack[RepositoryOptions[A]]) -> BlockingRepository[A]:
        """Return a repository of an aggregate class; the options are those of `Repository`."""
        return BlockingRepository(self.database.repository(aggregate, **options), self._portal)

    def models_of(self, collection: str, type: type[M]) -> BlockingModels[M]:
        """Return the read models of one type in a named collection."""
        return BlockingModels(self.backend.models_of(collection, type), self._portal)

    @cached_property
    def commands(self) -> BlockingCommandBus:
        """The command bus of this handle: it registers handlers and brings commands to them."""
        from goes_lite.blocking._commands import BlockingCommandBus

        return BlockingCommandBus(self.database.commands, self._portal)

    @overload
    def decide(
        self, model: DecisionModel[S], /, *, decide: Callable[[S], Iterable[Event[Any]]], tries: int = 10
    ) -> Appended: ...
    @overload
    def decide(
        self,
        one: DecisionModel[S],
        two: DecisionModel[S2],
        /,
        *,
        decide: Callable[[S, S2], Iterable[Event[Any]]],
        tries: int = 10,
    ) -> Appended: ...
    @overload
    def decide(
        self,
        one: DecisionModel[S],
        two: DecisionModel[S2],
        three: DecisionModel[S3],
        /,
        *,
        decide: Callable[[S, S2, S3], Iterable[Event[Any]]],
        tries: int = 10,
    ) -> Appended: ...
    @overload
    def decide(
        self, *models: DecisionModel[Any], decide: Callable[..., Iterable[Event[Any]]], tries: int = 10
    ) -> Appended: ...
    def decide(
        self, *models: DecisionModel[Any], decide: Callable[..., Iterable[Event[Any]]], tries: int = 10
    ) -> Appended:
        """Decide on the basis of events of several aggregates, and append the events decided on.

        - `decide` is called with the state of each of the `models`, as of one moment, and returns events. If it raises,
          the exception propagates and nothing is appended.
        - If an event that matches one of the models was stored in the meantime, everything is repeated; after the last of
          the `tries`, AppendConditionFailed propagates. As in `Repository.use`, the third try keeps other writers out.
        - Metadata is that of the current `Context`; what an event has of its own takes precedence.
        """
        return self._portal.run(self.database.decide(*models, decide=decide, tries=tries))

    def processor(
        self, name: str, handler: Callable[..., object], *, batched: bool = False, **options: Unpack[ProcessorOptions]
    ) -> BlockingProcessor:
        """Return a named, durable consumer of the log. It calls the handler with each matching event, in position order.

        - It stores its position under its name and resumes there: after a stop, after a crash, in another process. `start`
          says where it begins the first time: at the 'beginning', 'now', with the 'last' matching event, after a position,
          or at the first event that is not older than an aware datetime (from there on by position, whatever the clocks
          said). 'now' and 'last' mean the log when it is started, even if it becomes active much later.
        - Of all instances with the same name, in all processes, one is active; the others stand by. One of them takes over
          within 0.2 seconds after the active one stops, and at most `lease` seconds after it is killed.
        - Without a transaction, the handler is called with the event **at least once**: after a crash it may be called
          again for events handled since the last checkpoint, which is saved every `batch` events (1 by default). For
          effects elsewhere, use `event.id` as the key that makes a repetition harmless.
        - With `transactional`, the handler is called with the event and a transaction; what it writes there commits together
          with the checkpoint, so every event counts **exactly once**. `batch` events (500 by default) share a commit.
          AbilityMissing on a backend without the ability "transactions".
        - With `batched`, the handler is called with a list of up to `batch` events (500 by default) instead of one.
        - An exception of the handler is a failure: see `Retry`. Events that do not match `query` are skipped, and the
          checkpoint moves past them.
        - `schedule` says when it works: `Continuously()` by default, else `Periodically` or `OnDemand`.

        Nothing happens until it runs: `processor.run()`, or `with processor:`, or `start` and `stop`.
        """
        from goes_lite.blocking._processor import BlockingProcessor

        return BlockingProcessor(self.database.processor(name, handler, batched=batched, **options), self._portal)

    def relay(
        self, bus: BlockingEventBus | None = None, *, name: str = "relay", **options: Unpack[RelayOptions]
    ) -> BlockingProcessor:
        """Return a processor that publishes stored events to a bus: to `self.bus` of a composed handle, or to the one given.

            with goes.blocking.connect("app.db", bus="nats://…") as db, db.relay(): ...

        - The log itself is the outbox: saving needs no bus, and what was saved while the bus was away is published later.
        - **At least once**, in position order, so in order for each aggregate; up to `batch` events (100 by default) in one
          call of `publish`. After a crash, or a failure in the middle of a call, the events of that call are published
          again: the event's id is the key by which a bus or a consumer recognises a repetition.
        - A full bus makes the relay wait. If publishing fails, it is retried forever with growing pauses (up to 5 seconds),
          whatever the exception: no event is skipped. An event that cannot be read, or that the bus can never take because it is
          too large (InvalidEventError), stops the relay (ProcessorStopped), or is given up on as `retry` says; a handle with
          `unknown="raw"` can read what the program does not know.
        - With a `retry`, it gives up on an event as that says, but never because of trouble with the bus (BusError,
          StoreError, or OSError with ConnectionError and TimeoutError), which is retried forever.
        - When it stops, it waits up to one second for a running call of `publish`, then abandons it.
        - It runs, and its instances stand by, like any processor (`processor`); `query`, `start`, `schedule` and `lease`
          have the same meaning there. Relays to different buses need different names.

        Raises ConfigError for the in-process bus of this very store, which receives all commits anyway.
        """
        from goes_lite.blocking._processor import BlockingProcessor

        target: Any = bus  # of another handle: its functions are called as the program would call them
        if bus is None or (isinstance(bus, BlockingEventBus) and bus._portal is self._portal):
            target = None
        return BlockingProcessor(self.database.relay(target, name=name, **options), self._portal)

    def projection(self, projection: Projection, **options: Unpack[ProjectionOptions]) -> BlockingProjectionProcessor:
        """Return a processor that keeps the read model of a projection up to date, from the first event on.

        - Read model, checkpoint and version commit together, so each event counts exactly once, even across crashes.
          Raises AbilityMissing on a backend without the ability "transactions".
        - It runs, and its instances stand by, like any processor (`processor`); `schedule`, `retry`, `batch` (1000 by
          default) and `lease` have the same meaning there.
        - If a lower version of the projection wrote the read model, `on_new_version` decides: 'rebuild' (the default) clears
          it and rebuilds it in place; 'beside' builds a new one while the old one stays readable, and switches at the end;
          'keep' continues with it as it is; 'stop' raises ProjectionOutdated. A version lower than the read model's raises
          ProjectionOutdated in any case, and so does a running one after another instance has rebuilt the read model.
        - ConfigError if this handle has an unrelated class with the same name and version.
        """
        from goes_lite.blocking._processor import BlockingProjectionProcessor

        return BlockingProjectionProcessor(self.database.projection(projection, **options), self._portal)

    def workflow(self, workflow: Workflow[Any], **options: Unpack[WorkflowOptions]) -> BlockingWorkflowProcessor:
        """Return a processor that runs a workflow: it tells the instances their inputs, and carries out what they decide.

        - Position, history, state, timers and dispatched commands commit together, so each input counts exactly once, even
          across crashes. Raises AbilityMissing on a backend without the ability "transactions".
        - It runs, and its instances stand by, like any processor (`processor`); `start`, `schedule`, `retry`, `batch` (500 by
          default) and `lease` have the same meaning there. Timers fire whatever the schedule. Commands need a `worker`; so do the
          steps of a workflow that is a function (`flow`), one of a handle on which this was called.
        - An instance that cannot handle an input fails alone: it is tried again with growing pauses, and suspended after
          `patience` seconds (300 by default); its later inputs wait in order meanwhile, and all others go on. `workflows` finds
          it and lets it go on.
        - `earlier` are definitions of lower versions: an instance keeps the version under which it started, and is suspended if
          the program does not have it.
        - `on_second_start` says what happens if a key is taken ('ignore', 'error' or 'new run'), and `strict` whether events for
          instances that do not exist or have ended are errors; by default they are counted and ignored.

        ConfigError if this handle runs another workflow of that name; RegistrationError for a definition that is wrong.
        """
        from goes_lite.blocking._processor import BlockingWorkflowProcessor

        return BlockingWorkflowProcessor(self.database.workflow(workflow, **options), self._portal)

    @cached_property
    def workflows(self) -> BlockingWorkflows:
        """The workflows of the store, in whatever process they run: list and show instances, and let stuck ones go on."""
        from goes_lite.blocking._workflows import BlockingWorkflows

        return BlockingWorkflows(self.database.workflows, self._portal)

    def inline(self, *projections: Projection) -> BlockingDatabase:
        """Return this handle with projections that are updated in the transaction of each append: without any lag.

        - What is appended through the returned handle, by a repository or in a transaction of your own, is in the read
          models when the append returns. If a projection raises, the exception propagates from the append and nothing is
          stored; a transaction of your own in which that happened can no longer commit (TransactionError).
        - What was appended through other handles is applied with the next append through this one.
        - Raises ProjectionOutdated if a read model is of another version, AbilityMissing without the ability "transactions".

        Every append becomes slower. Both handles share one backend: close either of them.
        """
        return BlockingDatabase(self.database.inline(*projections).backend, self._portal)

    def live(
        self, projection: ModelProjection[M], query: EventQuery | None = None, *, aggregate: AggregateRef | None = None
    ) -> dict[str, M]:
        """Fold events into the read models of a projection, and return them by id. Nothing is stored.

        It reads the events that match the query, or those of one aggregate; by default all that the projection handles.
        """
        return self._portal.run(self.database.live(projection, query, aggregate=aggregate))

    def lookup(self, lookup: Lookup) -> BlockingBoundLookup:
        """Return a lookup in this store, which finds the aggregate that has a key. The same as `lookup.of(db)`."""
        from goes_lite.blocking._lookup import BlockingBoundLookup

        return BlockingBoundLookup(self.database.lookup(lookup), self._portal)

    def processors(self) -> list[Stats]:
        """Return the progress of every processor of this store, in any process, by name: of all that have a checkpoint."""
        return self._portal.run(self.database.processors())

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one read-only SQL statement of your own, outside any transaction, and return its rows.

        It sees what is committed and blocks no writer. A statement that would write raises StoreReadOnly.
        Raises AbilityMissing without SQL. The parameters are those of `Transaction.execute`.
        """
        return self._portal.run(self.backend.select(sql, parameters))

    def info(self, *, counts: bool = True) -> Info:
        """Return the facts of the store as data: head, counts, sizes, consumers with their lag, waiting commands, durability.

        For a status page or a health check. With `counts=False`, the numbers of events and aggregates are None, and what
        it costs does not grow with the log. It only reads, and events of unknown names do not matter.
        """
        return self._portal.run(self.database.info(counts=counts))

    def close(self, timeout: float | None = None) -> None:
        """Stop what runs in the background, finish what is in progress, then release everything. Closing twice is allowed.

        - Processors, relays, projections, workers, services and handlers of the bus stop after their current batch, command or
          event, and give back their leases. Called by one of their handlers, it does not wait for that one.
        - Without a timeout, it waits up to a second for a handler of a processor or worker that is running, and leaves it
          behind after that: its event or command is not done. With a timeout, it waits so long for all handlers; then
          coroutines are cancelled, and if a blocking one still runs, StillRunning says which. The handle is closed anyway.
        - Any other use of a closed handle raises StoreClosed; tasks that wait on it are woken.
        """
        self._close_with(lambda: self.database.close(timeout))

    def _close_at_exit(self) -> None:
        """Close a handle that the program left open, within a bounded time."""

        async def close() -> None:
            import asyncio

            async with asyncio.timeout(EXIT_PATIENCE):
                await self.database.close()

        self._close_with(close)

    def _close_with(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # The portal may be closed already: another handle on the same backend was closed, see `inline`.
        if self._closed:
            return
        try:
            if not self._portal.closed:
                self._portal.run(close())
        except StillRunning:  # closed all the same
            self._portal.close()
            self._closed = True
            raise
        self._portal.close()
        self._closed = True  # until then, a call that was interrupted is repeated by the next one

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
