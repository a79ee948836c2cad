"""The user's transaction over MongoDB: the stores inside a session, and the session itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.backend import SQL, Transaction
from goes_lite.errors import AbilityMissing
from goes_lite.model import Models
from goes_lite_mongo._driver import Document, Session
from goes_lite_mongo._session import UserSession, current_session

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

    from goes_lite_mongo import MongoBackend

M = TypeVar("M")


class MongoTransaction:
    """See `goes_lite.backend.Transaction`."""

    def __init__(self, backend: MongoBackend, session: UserSession) -> None:
        self._session = session
        self._location = backend.location
        self._database = backend.executor.connection.database
        self._runtime = backend.runtime
        self.actions: list[Callable[[], Awaitable[None]]] = []
        self.events, self.snapshots, self.models, self.checkpoints = backend.stores(session)

    @property
    def session(self) -> Session:
        """The driver's session, for documents of your own in the same transaction: `…insert_one(doc, session=tx.session)`.

        The commit stays ours. An error of the server's, such as a duplicate key, undoes the whole transaction.
        """
        return self._session.session

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The driver's database that the store is in."""
        return self._database

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return Models(self.models, collection, type, self._runtime)

    def on_commit(self, action: Callable[[], Awaitable[None]], /) -> None:
        self.actions.append(action)

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise AbilityMissing(SQL, self._location)


class TransactionBlock(AbstractAsyncContextManager[Transaction]):
    """What `transaction()` answers."""

    def __init__(self, backend: MongoBackend) -> None:
        self._backend = backend
        self._transaction: MongoTransaction | None = None

    async def __aenter__(self) -> MongoTransaction:
        session = UserSession(self._backend.executor)
        await session.open()
        current_session.set(session)
        self._transaction = MongoTransaction(self._backend, session)
        return self._transaction

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        session = transaction._session
        current_session.set(session.outer)
        try:
            await session.finish(commit=exc_type is None)
        finally:
            if session.committed:
                await self._act(transaction)

    async def _act(self, transaction: MongoTransaction) -> None:
        for action in transaction.actions:
            try:
                await action()
            except Exception:  # the transaction is committed, and the other actions are due as well
                logging.getLogger("goes_lite").exception("an action after a commit failed")
