"""The blocking face: the same names and promises as the async one, for programs without an event loop.

On the embedded backend it runs the same coroutines inline: no loop, no thread hop, no second implementation. Network
backends run on one loop thread that the handle owns. Either way one handle may be used from several threads, such as
a GUI's and a worker's, and what is open when the interpreter exits is closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from goes_lite.aggregate import Aggregate
from goes_lite.blocking._bus import BlockingDelivery, BlockingEventBus, BlockingHandling, BlockingSubscription
from goes_lite.blocking._repository import BlockingRepository
from goes_lite.blocking._stores import (
    BlockingCheckpointStore,
    BlockingCommits,
    BlockingEventStore,
    BlockingLeaseStore,
    BlockingModels,
    BlockingModelStore,
    BlockingPages,
    BlockingSnapshotStore,
)
from goes_lite.blocking._transaction import BlockingTransaction, TransactionBlock
from goes_lite.contract.backend import Backend, Durability, Unknown
from goes_lite.contract.event_bus import Start
from goes_lite.database.connect import bus_factory_for, factory_for, open_backend, parse, settings
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.events.registry import Registry
from goes_lite.runtime import Clock, InlineRuntime, LoopRuntime, Runtime
from goes_lite.runtime.portal import InlinePortal, LoopPortal, Portal

if TYPE_CHECKING:  # what consumes events is loaded when it is first used, as on the async face
    from goes_lite.blocking._commands import BlockingCommandBus, BlockingCommandService, BlockingCommandWorker
    from goes_lite.blocking._lookup import BlockingBoundLookup
    from goes_lite.blocking._processor import BlockingProcessor, BlockingProjectionProcessor
    from goes_lite.contract.event_store import Appended
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef
    from goes_lite.processor import ProcessorSchedule, Retry, Stats
    from goes_lite.projection import ModelProjection, OnNewVersion, Projection
    from goes_lite.repository.decision import DecisionModel

__all__ = [
    "BlockingBackend",
    "BlockingBoundLookup",
    "BlockingCheckpointStore",
    "BlockingCommandBus",
    "BlockingCommandService",
    "BlockingCommandWorker",
    "BlockingCommits",
    "BlockingDelivery",
    "BlockingEventBus",
    "BlockingEventStore",
    "BlockingHandling",
    "BlockingLeaseStore",
    "BlockingModelStore",
    "BlockingModels",
    "BlockingPages",
    "BlockingProcessor",
    "BlockingProjectionProcessor",
    "BlockingRepository",
    "BlockingSnapshotStore",
    "BlockingSubscription",
    "BlockingTransaction",
    "connect",
]

_LATER = {
    "BlockingBoundLookup": "_lookup",
    "BlockingCommandBus": "_commands",
    "BlockingCommandService": "_commands",
    "BlockingCommandWorker": "_commands",
    "BlockingProcessor": "_processor",
    "BlockingProjectionProcessor": "_processor",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'goes_lite.blocking' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"goes_lite.blocking.{_LATER[name]}"), name)


A = TypeVar("A", bound=Aggregate)
M = TypeVar("M")
S = TypeVar("S")
S2 = TypeVar("S2")
S3 = TypeVar("S3")


class BlockingBackend:
    """One open handle on a storage. Close it, or use it in a `with` block. See `goes_lite.contract.backend.Backend`."""

    def __init__(self, backend: Backend, portal: Portal) -> None:
        self._portal = portal
        self._closed = False
        self.backend = backend
        """The async backend behind it."""
        self.events = BlockingEventStore(backend.events, portal)
        self.snapshots = BlockingSnapshotStore(backend.snapshots, portal)
        self.models = BlockingModelStore(backend.models, portal)
        self.checkpoints = BlockingCheckpointStore(backend.checkpoints, portal)
        self.leases = BlockingLeaseStore(backend.leases, portal)
        self.bus = BlockingEventBus(backend.bus, portal)
        self.commits = BlockingCommits(backend.commits, portal)

    def __repr__(self) -> str:
        return f"<blocking {self.backend!r}>"

    @property
    def location(self) -> str:
        return self.backend.location

    @property
    def identity(self) -> str:
        return self.backend.identity

    @property
    def registry(self) -> Registry:
        return self.backend.registry

    @property
    def runtime(self) -> Runtime:
        """How the backend behind it waits, and its clock."""
        return self.backend.runtime

    @property
    def abilities(self) -> frozenset[str]:
        return self.backend.abilities

    @property
    def durability(self) -> Durability:
        return self.backend.durability

    def transaction(self) -> TransactionBlock:
        return TransactionBlock(self.backend, self._portal)

    def repository(self, aggregate: type[A], **options: Any) -> BlockingRepository[A]:
        return BlockingRepository(self.backend.repository(aggregate, **options), self._portal)

    def models_of(self, collection: str, type: type[M]) -> BlockingModels[M]:
        return BlockingModels(self.backend.models_of(collection, type), self._portal)

    @cached_property
    def commands(self) -> BlockingCommandBus:
        from goes_lite.blocking._commands import BlockingCommandBus
        from goes_lite.blocking._face import BlockingFace
        from goes_lite.commands import CommandBus

        return BlockingCommandBus(CommandBus(self.backend, BlockingFace(self._portal)), self._portal)

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
        from goes_lite.repository.decision import decide as decided

        return self._portal.run(decided(self.backend, models, self._portal.callback(decide), tries))

    def processor(
        self,
        name: str,
        handler: Callable[..., object],
        *,
        query: EventQuery = EVERYTHING,
        start: Start = "beginning",
        transactional: bool = False,
        batched: bool = False,
        batch: int | None = None,
        schedule: ProcessorSchedule | None = None,
        retry: Retry | None = None,
        lease: float = 10.0,
    ) -> BlockingProcessor:
        from goes_lite.blocking._face import BlockingFace
        from goes_lite.blocking._processor import BlockingProcessor
        from goes_lite.processor import processor_of

        processor = processor_of(
            self.backend, name, handler, BlockingFace(self._portal), query=query, start=start,
            transactional=transactional, batched=batched, batch=batch, schedule=schedule, retry=retry, lease=lease,
        )  # fmt: skip
        return BlockingProcessor(processor, self._portal)

    def relay(
        self,
        bus: BlockingEventBus | None = None,
        *,
        name: str = "relay",
        query: EventQuery = EVERYTHING,
        start: Start = "beginning",
        batch: int = 100,
        retry: Retry | None = None,
        schedule: ProcessorSchedule | None = None,
        lease: float = 10.0,
    ) -> BlockingProcessor:
        from goes_lite.blocking._face import BlockingFace
        from goes_lite.blocking._processor import BlockingProcessor
        from goes_lite.processor.relay import Relay

        ours = bus is None or (isinstance(bus, BlockingEventBus) and bus._portal is self._portal)
        relay = Relay(
            self.backend, self.backend.bus if ours else bus, BlockingFace(self._portal), name=name, query=query,
            start=start, batch=batch, retry=retry, schedule=schedule, lease=lease,
        )  # fmt: skip
        return BlockingProcessor(relay, self._portal)

    def projection(
        self,
        projection: Projection,
        *,
        schedule: ProcessorSchedule | None = None,
        retry: Retry | None = None,
        batch: int = 1000,
        lease: float = 10.0,
        on_new_version: OnNewVersion = "rebuild",
    ) -> BlockingProjectionProcessor:
        from goes_lite.blocking._face import BlockingFace
        from goes_lite.blocking._processor import BlockingProjectionProcessor
        from goes_lite.projection import ProjectionProcessor

        processor = ProjectionProcessor(
            self.backend, projection, BlockingFace(self._portal), schedule=schedule, retry=retry, batch=batch,
            lease=lease, on_new_version=on_new_version,
        )  # fmt: skip
        return BlockingProjectionProcessor(processor, self._portal)

    def inline(self, *projections: Projection) -> BlockingBackend:
        from goes_lite.blocking._face import BlockingFace
        from goes_lite.projection import InlineBackend

        return BlockingBackend(InlineBackend(self.backend, projections, BlockingFace(self._portal)), self._portal)

    def live(
        self,
        projection: ModelProjection[M],
        query: EventQuery | None = None,
        *,
        aggregate: AggregateRef | None = None,
    ) -> dict[str, M]:
        from goes_lite.blocking._face import BlockingFace
        from goes_lite.projection import live

        return self._portal.run(live(self.backend, projection, query, aggregate, BlockingFace(self._portal)))

    def processors(self) -> list[Stats]:
        return self._portal.run(self.backend.processors())

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own that only reads; see the backend."""
        return self._portal.run(self.backend.select(sql, parameters))

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a complete copy of the store to a new file; see the backend. AbilityMissing if it cannot."""
        self._portal.run(self.backend.backup(path))

    def close(self) -> None:
        if self._closed or self._portal.closed:  # the latter: it was closed in another guise, see `inline`
            return
        self._portal.run(self.backend.close())
        self._closed = True
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(
    url: str | os.PathLike[str] | None = None,
    *,
    bus: str | None = None,
    registry: Registry | None = None,
    unknown: Unknown = "error",
    clock: Clock | None = None,
    inline: bool | None = None,
    **options: Any,
) -> BlockingBackend:
    """Open a backend for blocking use: `with connect("app.db") as db: …`. Arguments as for `goes_lite.connect`.

    `inline` says whether its coroutines are run inline (by default where the backend is embedded) or on a loop thread.
    """
    address, bus_url = settings(url, bus, options)
    if inline is None:
        factories: list[object] = [factory_for(address.scheme)]
        factories += [bus_factory_for(parse(bus_url).scheme)] if bus_url else []
        inline = all(getattr(factory, "embedded", False) for factory in factories)
    portal: Portal = InlinePortal() if inline else LoopPortal()
    runtime = InlineRuntime(clock) if inline else LoopRuntime(clock)
    try:
        backend = portal.run(open_backend(url, runtime, bus=bus, registry=registry, unknown=unknown, options=options))
    except BaseException:
        portal.close()
        raise
    if isinstance(portal, LoopPortal):
        portal.location = backend.location  # as the backend's own errors say it: a URL may have a password in it
    return BlockingBackend(backend, portal)
