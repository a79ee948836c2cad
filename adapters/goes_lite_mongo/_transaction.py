"""The user's transaction over MongoDB: the stores inside a session, and the session itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.contract.backend import SQL
from goes_lite.errors import AbilityMissing
from goes_lite.kit.transaction import UserTransaction
from goes_lite_mongo._driver import Document, Session
from goes_lite_mongo._session import UserSession

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

    from goes_lite_mongo import MongoBackend


class MongoTransaction(UserTransaction):
    """See `goes_lite.contract.backend.Transaction`."""

    def __init__(self, backend: MongoBackend, session: UserSession) -> None:
        super().__init__(backend.runtime)
        self._session = session
        self._location = backend.location
        self._database = backend.executor.connection.database
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

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise AbilityMissing(SQL, self._location)
