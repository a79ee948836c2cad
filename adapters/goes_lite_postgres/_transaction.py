"""The user's transaction over PostgreSQL: the stores inside a session, and the user's own SQL."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.backend import Transaction
from goes_lite.model import Models
from goes_lite_postgres._driver import Connection
from goes_lite_postgres._session import Session, current_session
from goes_lite_postgres._user_sql import check_statement, execute

if TYPE_CHECKING:
    from goes_lite_postgres import PostgresBackend

M = TypeVar("M")


class PostgresTransaction:
    """See `goes_lite.backend.Transaction`."""

    def __init__(self, backend: PostgresBackend, session: Session) -> None:
        self.session = session
        self._runtime = backend.runtime
        self.actions: list[Callable[[], Awaitable[None]]] = []
        self.events, self.snapshots, self.models, self.checkpoints = backend.stores(session)

    @property
    def connection(self) -> Connection:
        """The driver's own connection, for COPY, cursors and whatever else asyncpg can do; the transaction stays ours.

        An error of the server's on it undoes the whole transaction, unless you set a savepoint
        (`async with tx.connection.transaction()`).
        """
        return self.session.connection

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return Models(self.models, collection, type, self._runtime)

    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        self.actions.append(action)

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own and answer its rows; BEGIN, COMMIT and the like are refused."""
        statement = check_statement(sql)
        return await self.session.run_apart(lambda connection: execute(connection, statement, parameters))


class TransactionBlock(AbstractAsyncContextManager[Transaction]):
    """What `transaction()` answers."""

    def __init__(self, backend: PostgresBackend) -> None:
        self._backend = backend
        self._transaction: PostgresTransaction | None = None

    async def __aenter__(self) -> PostgresTransaction:
        session = Session(self._backend.executor)
        await session.open()
        current_session.set(session)
        self._transaction = PostgresTransaction(self._backend, session)
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

    async def _act(self, transaction: PostgresTransaction) -> None:
        for action in transaction.actions:
            try:
                await action()
            except Exception:  # the transaction is committed, and the other actions are due as well
                logging.getLogger("goes_lite").exception("an action after a commit failed")
