"""Inline projections: they run in the transaction of each append, so the read model is up to date when it returns.

Events that were appended without them are caught up with in the same transaction, since the checkpoint defines what is left.
So handles with and without inline projections, and processors of the same projections, can be mixed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS, Backend, Transaction, ended_by_store
from goes_lite.contract.event_store import AppendCondition, Appended, EventStore
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore, WrappedTransaction
from goes_lite.errors import (
    TRANSIENT,
    AbilityMissing,
    CheckpointMismatch,
    ConfigError,
    ProjectionOutdated,
    TransactionError,
)
from goes_lite.events.event import Event
from goes_lite.processor.feed import Feed, Unreadable
from goes_lite.processor.target import HandlerFailed
from goes_lite.projection._projection import Projection
from goes_lite.projection._record import ProjectionRecord, projection_records
from goes_lite.projection._replay import ReplayTarget
from goes_lite.runtime.face import Face, call

BATCH = 1000


class InlineBackend(WrappedBackend):
    """A handle whose appends bring projections up to date; see `Database.inline`."""

    def __init__(self, backend: Backend, projections: Sequence[Projection], face: Face) -> None:
        if TRANSACTIONS not in backend.abilities:
            raise AbilityMissing(TRANSACTIONS, backend.location)
        for projection in projections:
            if not isinstance(projection, Projection):
                raise ConfigError(f"inline() takes instances of Projection subclasses, not {projection!r:.80}")
        super().__init__(backend)
        self._inline = [_Inline(projection, backend, face) for projection in projections]
        self.events = _Events(backend.events, self)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._projecting()

    @asynccontextmanager
    async def _projecting(self) -> AsyncGenerator[Transaction]:
        async with self.backend.transaction() as tx:
            events = _TransactionEvents(tx, self._inline)
            yield WrappedTransaction(tx, events)
            events.check()


class _Events(WrappedStore):
    def __init__(self, events: EventStore, backend: InlineBackend) -> None:
        super().__init__(events)
        self._backend = backend

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        async with self._backend.transaction() as tx:
            return await tx.events.append(events, condition=condition)


class _TransactionEvents(WrappedStore):
    def __init__(self, tx: Transaction, inline: Sequence[_Inline]) -> None:
        super().__init__(tx.events)
        self._tx = tx
        self._inline = inline
        self._failure: BaseException | None = None

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        self.check()
        appended = await self.store.append(events, condition=condition)
        try:
            for inline in self._inline:
                await inline.project(self._tx)
        except BaseException as exc:
            self._failure = exc
            raise
        return appended

    def check(self) -> None:
        """TransactionError once a projection has failed: the events are appended, but the read model is incomplete."""
        if isinstance(self._failure, TRANSIENT):
            raise self._failure  # the store has rolled it back
        if self._failure is not None:
            raise TransactionError(
                f"a projection failed on an append in this transaction ({self._failure!r:.200}), so it can no longer be "
                "committed: let the error propagate, and start another one"
            ) from self._failure


class _Inline:
    """One inline projection."""

    def __init__(self, projection: Projection, backend: Backend, face: Face) -> None:
        projection.check_functions(face)
        self._projection = projection
        self._backend = backend
        self._face = face
        self._query = projection.query(backend.registry)
        self._target = ReplayTarget(projection, projection.target(backend.registry, face), self._query)
        self._created = False

    async def project(self, tx: Transaction) -> None:
        projection, name = self._projection, self._projection.name
        records = projection_records(tx.models, self._backend.runtime)
        record = await records.find(name)
        if record is None:
            record = ProjectionRecord(projection.version)
            await records.put(name, record)
        elif record.version != projection.version:
            raise ProjectionOutdated(name, record.version, projection.version)
        if not self._created:
            await call(self._face.function(projection.create, "create()"), self._face.transaction(tx))
            tx.on_commit(self._is_created)
        checkpoint = await tx.checkpoints.get(name)
        head = await tx.events.head()
        if checkpoint is not None and (checkpoint.store != self._backend.identity or checkpoint.position > head):
            raise CheckpointMismatch(checkpoint, self._backend.identity, head)
        position = checkpoint.position if checkpoint else 0
        self._target.begin(record.replay_until)
        if error := await self._catch_up(tx, position, head):
            raise error
        if checkpoint is None or position < head:
            await tx.checkpoints.save(name, head)

    async def _catch_up(self, tx: Transaction, position: int, head: int) -> Exception | None:
        """Handle the events up to the head; return the error of an event, so that the caller can raise it unchanged."""
        feed = Feed(tx.events, self._query, BATCH)
        events: Sequence[Event[Any]] = ()
        try:
            while position < head:
                events, position = await feed.next(position, head)
                await self._target.apply(events, tx)
        except Unreadable as unreadable:
            return unreadable.error
        except HandlerFailed as failed:
            if (lost := await ended_by_store(tx)) is not None:
                return lost
            if failed.index is not None:
                failed.error.add_note(f"while {self._projection!r} handled {events[failed.index]!r}")
            return failed.error
        return None

    async def _is_created(self) -> None:
        self._created = True
