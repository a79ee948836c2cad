"""The user's transaction over SQLite: the stores inside a session, and the user's own SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.kit.transaction import UserTransaction
from goes_lite.sqlite._executor import SessionExecutor
from goes_lite.sqlite._session import Session

if TYPE_CHECKING:
    from goes_lite.sqlite import SQLiteBackend


class SQLiteTransaction(UserTransaction):
    """See `goes_lite.contract.backend.Transaction`."""

    def __init__(self, backend: SQLiteBackend, session: Session) -> None:
        super().__init__(backend.runtime)
        self.session = session
        self._sql = backend.sql_of_transactions
        self.events, self.snapshots, self.models, self.checkpoints = backend.stores(SessionExecutor(session))

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own and answer its rows; BEGIN, COMMIT and the like are refused."""
        return await self.session.run(lambda connection: self._sql.run(connection, sql, parameters))
