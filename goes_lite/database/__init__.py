"""What `connect` returns: a backend and everything that a program does with it.

Belongs here: how a URL becomes an open database. The packages of the features implement what a program does with it; they
know only the contract, and are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, Unpack, overload

from goes_lite.contract.backend import Backend
from goes_lite.contract.commits import check_wait
from goes_lite.contract.event_store import Appended
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.errors import ConfigError, StillRunning
from goes_lite.errors.faces import AsyncBlock
from goes_lite.runtime.face import AsyncFace, Face

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.commands import CommandBus
    from goes_lite.contract.event_bus import EventBus
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef
    from goes_lite.events.query import EventQuery
    from goes_lite.operations.info import Info
    from goes_lite.processor import Processor, ProcessorOptions, RelayOptions, Stats
    from goes_lite.projection import ModelProjection, Projection, ProjectionOptions, ProjectionProcessor
    from goes_lite.projection.lookup import BoundLookup, Lookup
    from goes_lite.repository import Repository, RepositoryOptions
    from goes_lite.repository.decision import DecisionModel
    from goes_lite.workflow import Workflow, WorkflowOptions, WorkflowProcessor, Workflows

__all__ = ["Database", "Decided"]

A = TypeVar("A", bound="Aggregate")
M = TypeVar("M")
S = TypeVar("S")
S2 = TypeVar("S2")
S3 = TypeVar("S3")

Decided: TypeAlias = "Iterable[Event[Any]] | Awaitable[Iterable[Event[Any]]]"
"""What a decision returns: events, or a coroutine that returns them."""


class Database(WrappedBackend, AsyncBlock):
    """A backend and everything that a program does with it. Close it, or use it in an `async with` block.

    It has every attribute of the backend, so it can be passed wherever a backend is expected.
    """

    def __init__(self, backend: Backend, face: Face | None = None) -> None:
        super().__init__(backend)
        self.face: Face = AsyncFace() if face is None else face
        """How functions of the program are called."""
        self._workflows: dict[str, type[Any]] = {}
        self._projections: dict[tuple[str, int], type[Projection]] = {}

    def __repr__(self) -> str:
        return f"<Database {self.backend!r}>"

    @cached_property
    def commands(self) -> CommandBus:
        """The command bus of this handle: it registers handlers and brings commands to them."""
        from goes_lite.commands import CommandBus

        return CommandBus(self.backend, self.face)

    def repository(self, aggregate: type[A], **options: Unpack[RepositoryOptions[A]]) -> Repository[A]:
        """Return a repository of an aggregate class; the options are those of `Repository`."""
        from goes_lite.repository import Repository
        from goes_lite.repository.options import on_face

        return Repository(self.backend, aggregate, **on_face(options, self.face))

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
        """Decide on the basis of events of several aggregates, and append the events decided on.

        - `decide` is called with the state of each of the `models`, as of one moment, and returns events. If it raises,
          the exception propagates and nothing is appended. It may be a coroutine function.
        - If an event that matches one of the models was stored in the meantime, everything is repeated; after the last of
          the `tries`, AppendConditionFailed propagates. As in `Repository.use`, the third try keeps other writers out.
        - Metadata is that of the current `Context`; what an event has of its own takes precedence.
        """
        from goes_lite.repository.decision import decide as decided

        return await decided(self.backend, models, self.face.function(decide, "decide", iterated=True), tries)

    def processor(
        self,
        name: str,
        handler: Callable[..., Awaitable[object] | object],
        *,
        batched: bool = False,
        **options: Unpack[ProcessorOptions],
    ) -> Processor:
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

        Nothing happens until it runs: `await processor.run()`, or `async with processor:`, or `start` and `stop`.
        """
        from goes_lite.processor import processor_of

        return processor_of(self.backend, name, handler, self.face, batched=batched, **options)

    def relay(self, bus: EventBus | None = None, *, name: str = "relay", **options: Unpack[RelayOptions]) -> Processor:
        """Return a processor that publishes stored events to a bus: to `self.bus` of a composed handle, or to the one given.

            async with goes.connect("app.db", bus="nats://…") as db, db.relay(): ...

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
        from goes_lite.processor.relay import Relay

        return Relay(self.backend, self.bus if bus is None else bus, self.face, name=name, **options)

    def projection(self, projection: Projection, **options: Unpack[ProjectionOptions]) -> ProjectionProcessor:
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
        from goes_lite.projection import ProjectionProcessor

        made = ProjectionProcessor(self.backend, projection, self.face, **options)
        known = self._projections.setdefault((projection.name, projection.version), type(projection))
        projection.check_replaces(known)
        return made

    def workflow(self, workflow: Workflow[Any], **options: Unpack[WorkflowOptions]) -> WorkflowProcessor:
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
        from goes_lite.workflow import WorkflowProcessor

        made = WorkflowProcessor(self.backend, workflow, self.face, **options)
        known = self._workflows.setdefault(workflow.name, type(workflow))
        if known is not type(workflow):
            raise ConfigError(
                f"this handle has another workflow of the name {workflow.name!r} ({known.__qualname__}): choose another name, or "
                "pass the older definition in earlier=[…]"
            )
        if made.steps is not None:
            self.commands.handle_inside(made.steps.command, made.steps.handle)
        return made

    @cached_property
    def workflows(self) -> Workflows:
        """The workflows of the store, in whatever process they run: list and show instances, and let stuck ones go on."""
        from goes_lite.workflow import Workflows

        return Workflows(self.backend)

    def inline(self, *projections: Projection) -> Database:
        """Return this handle with projections that are updated in the transaction of each append: without any lag.

        - What is appended through the returned handle, by a repository or in a transaction of your own, is in the read
          models when the append returns. If a projection raises, the exception propagates from the append and nothing is
          stored; a transaction of your own in which that happened can no longer commit (TransactionError).
        - What was appended through other handles is applied with the next append through this one.
        - Raises ProjectionOutdated if a read model is of another version, AbilityMissing without the ability "transactions".

        Every append becomes slower. Both handles share one backend: close either of them.
        """
        from goes_lite.projection import InlineBackend

        return Database(InlineBackend(self.backend, projections, self.face), self.face)

    async def live(
        self,
        projection: ModelProjection[M],
        query: EventQuery | None = None,
        *,
        aggregate: AggregateRef | None = None,
    ) -> dict[str, M]:
        """Fold events into the read models of a projection, and return them by id. Nothing is stored.

        It reads the events that match the query, or those of one aggregate; by default all that the projection handles.
        """
        from goes_lite.projection import live

        return await live(self.backend, projection, query, aggregate, self.face)

    def lookup(self, lookup: Lookup) -> BoundLookup:
        """Return a lookup in this store, which finds the aggregate that has a key. The same as `lookup.of(db)`."""
        from goes_lite.projection.lookup import BoundLookup

        return BoundLookup(lookup, self.backend)

    async def processors(self) -> list[Stats]:
        """Return the progress of every processor of this store, in any process, by name: of all that have a checkpoint."""
        from goes_lite.processor import stats_of

        return [await stats_of(self.backend, checkpoint.name) for checkpoint in await self.checkpoints.all()]

    async def info(self, *, counts: bool = True) -> Info:
        """Return the facts of the store as data: head, counts, sizes, consumers with their lag, waiting commands, durability.

        For a status page or a health check. With `counts=False`, the numbers of events and aggregates are None, and what
        it costs does not grow with the log. It only reads, and events of unknown names do not matter.
        """
        from goes_lite.operations.info import info_of

        return await info_of(self.backend, counts=counts)

    async def open_file(self, path: str, *, read_only: bool = False) -> Backend:
        """Open a store in a file, on a runtime of the same kind; unless `read_only`, it is created if there is none.

        For backups and copies. What is acknowledged survives a killed process, not a power cut: the file is synced at the end.
        """
        from pathlib import Path

        from goes_lite.database.connect import find, open_backend
        from goes_lite.runtime import InlineRuntime, LoopRuntime

        runtime = InlineRuntime(self.runtime.clock) if self.runtime.inline else LoopRuntime(self.runtime.clock)
        options: dict[str, Any] = {"read_only": True} if read_only else {"durability": "normal"}
        return await open_backend(
            lambda: find(Path(path), None, None, options), runtime, registry=self.registry, unfinished=not read_only
        )

    async def close(self, timeout: float | None = None) -> None:
        """Stop what runs in the background, finish what is in progress, then release everything. Closing twice is allowed.

        - Processors, relays, projections, workers, services and handlers of the bus stop after their current batch, command or
          event, and give back their leases. Called by one of their handlers, it does not wait for that one.
        - Without a timeout, it waits up to a second for a handler of a processor or worker that is running, and leaves it
          behind after that: its event or command is not done. With a timeout, it waits so long for all handlers; then
          coroutines are cancelled, and if a blocking one still runs, StillRunning says which. The handle is closed anyway.
        - Any other use of a closed handle raises StoreClosed; tasks that wait on it are woken.
        """
        timeout = check_wait(0, timeout)
        running: tuple[str, ...] = ()
        try:
            running = await self.runtime.works.stop(self.runtime, timeout)
        finally:
            await self.backend.close()
        if running:
            raise StillRunning(self.location, running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
