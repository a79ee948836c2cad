"""The user's transaction over SQLite: the stores inside a session, and the user's own SQL."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.backend import Transaction
from goes_lite.model import Models
from goes_lite.sqlite._executor import SessionExecutor
from goes_lite.sqlite._session import Session
from goes_lite.sqlite._writer import current_session

if TYPE_CHECKING:
    from goes_lite.sqlite import SQLiteBackend

M = TypeVar("M")


class SQLiteTransaction:
    """See `goes_lite.backend.Transaction`."""

    def __init__(self, backend: SQLiteBackend, session: Session) -> None:
        self.session = session
        self._sql = backend.sql_of_transactions
        self._runtime = backend.runtime
        self.actions: list[Callable[[], Awaitable[None]]] = []
        self.events, self.snapshots, self.models, self.checkpoints = backend.stores(SessionExecutor(session))

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return Models(self.models, collection, type, self._runtime)

    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        self.actions.append(action)

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own and answer its rows; BEGIN, COMMIT and the like are refused."""
        return await self.session.run(lambda connection: self._sql.run(connection, sql, parameters))


class TransactionBlock(AbstractAsyncContextManager[Transaction]):
    def __init__(self, backend: SQLiteBackend) -> None:
        self._backend = backend
        self._transaction: SQLiteTransaction | None = None

    async def __aenter__(self) -> SQLiteTransaction:
        session = Session(self._backend.writer)
        await session.open()
        current_session.set(session)
        self._transaction = SQLiteTransaction(self._backend, session)
        return self._transaction

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        session = transaction.session
        current_session.set(session.outer)
        try:
            await session.finish(commit=exc_type is None)
        finally:
            if session.committed:
                await self._act(transaction)

    async def _act(self, transaction: SQLiteTransaction) -> None:
        for action in transaction.actions:
            try:
                await action()
            except Exception:  # the transaction is committed, and the other actions are due as well
                logging.getLogger("goes_lite").exception("an action after a commit failed")
