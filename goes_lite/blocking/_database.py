"""The blocking face of a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

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
from goes_lite.blocking._transaction import TransactionBlock
from goes_lite.contract.backend import Backend, Durability
from goes_lite.database import Database
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime
from goes_lite.runtime.portal import Portal

if TYPE_CHECKING:  # loaded when it is first used, as on the async face
    from goes_lite.blocking._commands import BlockingCommandBus
    from goes_lite.blocking._lookup import BlockingBoundLookup
    from goes_lite.blocking._processor import BlockingProcessor, BlockingProjectionProcessor
    from goes_lite.contract.event_store import Appended
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef
    from goes_lite.processor import ProcessorOptions, RelayOptions, Stats
    from goes_lite.projection import ModelProjection, Projection, ProjectionOptions
    from goes_lite.projection.lookup import Lookup
    from goes_lite.repository import RepositoryOptions
    from goes_lite.repository.decision import DecisionModel

A = TypeVar("A", bound=Aggregate)
M = TypeVar("M")
S = TypeVar("S")
S2 = TypeVar("S2")
S3 = TypeVar("S3")


class BlockingDatabase:
    """A backend, and everything that a program does with it. Close it, or use it in a `with` block.

    Several threads may use one handle.
    """

    def __init__(self, backend: Backend, portal: Portal) -> None:
        self._portal = portal
        self._closed = False
        self.backend = backend
        """The async backend that does the work."""
        self.database = Database(backend, BlockingFace(portal))
        """The async database around it, which calls the program's functions as blocking ones."""
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

    def repository(self, aggregate: type[A], **options: Unpack[RepositoryOptions[A]]) -> BlockingRepository[A]:
        return BlockingRepository(self.database.repository(aggregate, **options), self._portal)

    def models_of(self, collection: str, type: type[M]) -> BlockingModels[M]:
        return BlockingModels(self.backend.models_of(collection, type), self._portal)

    @cached_property
    def commands(self) -> BlockingCommandBus:
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
        return self._portal.run(self.database.decide(*models, decide=decide, tries=tries))

    def processor(
        self, name: str, handler: Callable[..., object], *, batched: bool = False, **options: Unpack[ProcessorOptions]
    ) -> BlockingProcessor:
        from goes_lite.blocking._processor import BlockingProcessor

        return BlockingProcessor(self.database.processor(name, handler, batched=batched, **options), self._portal)

    def relay(
        self, bus: BlockingEventBus | None = None, *, name: str = "relay", **options: Unpack[RelayOptions]
    ) -> BlockingProcessor:
        from goes_lite.blocking._processor import BlockingProcessor

        target: Any = bus  # of another handle: its functions are called as the program would call them
        if bus is None or (isinstance(bus, BlockingEventBus) and bus._portal is self._portal):
            target = None
        return BlockingProcessor(self.database.relay(target, name=name, **options), self._portal)

    def projection(self, projection: Projection, **options: Unpack[ProjectionOptions]) -> BlockingProjectionProcessor:
        from goes_lite.blocking._processor import BlockingProjectionProcessor

        return BlockingProjectionProcessor(self.database.projection(projection, **options), self._portal)

    def inline(self, *projections: Projection) -> BlockingDatabase:
        return BlockingDatabase(self.database.inline(*projections).backend, self._portal)

    def live(
        self,
        projection: ModelProjection[M],
        query: EventQuery | None = None,
        *,
        aggregate: AggregateRef | None = None,
    ) -> dict[str, M]:
        return self._portal.run(self.database.live(projection, query, aggregate=aggregate))

    def lookup(self, lookup: Lookup) -> BlockingBoundLookup:
        from goes_lite.blocking._lookup import BlockingBoundLookup

        return BlockingBoundLookup(self.database.lookup(lookup), self._portal)

    def processors(self) -> list[Stats]:
        return self._portal.run(self.database.processors())

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._portal.run(self.backend.select(sql, parameters))

    def backup(self, path: str | os.PathLike[str]) -> None:
        self._portal.run(self.backend.backup(path))

    def close(self) -> None:
        if (
            self._closed or self._portal.closed
        ):  # the latter: another handle on the same backend was closed, see `inline`
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
