"""Transactions: a copy of the state, and the records that make it differ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite import backend as api
from goes_lite.errors import AbilityMissing, TransactionError
from goes_lite.event import Event
from goes_lite.model import Models

from .records import Change, Record, State

if TYPE_CHECKING:
    from .backend import JournalBackend

T = TypeVar("T")
M = TypeVar("M")

inside: ContextVar[JournalTransaction | None] = ContextVar("the transaction that this code is inside of", default=None)


class JournalTransaction:
    """It holds the writer's lock from its begin to its end, so nothing that it has read can change meanwhile."""

    def __init__(self, backend: JournalBackend, state: State, outer: JournalTransaction | None) -> None:
        self.backend = backend
        self.outer = outer
        self.active = True
        self.state = state
        self.records: list[Record] = []
        self.new: list[Event[Any]] = []
        self.actions: list[Callable[[], Awaitable[None]]] = []
        self.events, self.snapshots, self.models, self.checkpoints = backend.stores(self)

    def _check_active(self) -> None:
        if not self.active:
            raise TransactionError("the transaction has ended: begin another one")

    async def read(self, work: Callable[[State], T]) -> T:
        self._check_active()
        return work(self.state)

    async def write(self, work: Callable[[State], Change[T]]) -> T:
        self._check_active()
        change = work(self.state)  # which raises before anything is changed
        for record in change.records:
            self.state.apply(record)
        self.records += change.records
        self.new += change.events
        return change.answer

    def changes(self) -> int:
        return 0

    async def wait(self, seen: int) -> None:
        raise TransactionError(
            "follow() waits for commits, which a transaction keeps from happening: follow outside it"
        )

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise AbilityMissing(api.SQL, self.backend.location)

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return Models(self.models, collection, type, self.backend.runtime)

    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        self.actions.append(action)


class JournalBlock(AbstractAsyncContextManager[api.Transaction]):
    def __init__(self, backend: JournalBackend) -> None:
        self._backend = backend
        self._transaction: JournalTransaction | None = None

    async def __aenter__(self) -> api.Transaction:
        self._transaction = await self._backend.begin()
        inside.set(self._transaction)
        return self._transaction

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.active = False
            inside.set(transaction.outer)
            await self._backend.end(transaction, commit=exc_type is None)
