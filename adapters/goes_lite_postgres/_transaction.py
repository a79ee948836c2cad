"""The user's transaction over PostgreSQL: the stores inside a session, and the user's own SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.kit.transaction import UserTransaction
from goes_lite_postgres._driver import Connection
from goes_lite_postgres._session import Session
from goes_lite_postgres._user_sql import check_statement, execute

if TYPE_CHECKING:
    from goes_lite_postgres import PostgresBackend


class PostgresTransaction(UserTransaction):
    """See `goes_lite.contract.backend.Transaction`."""

    def __init__(self, backend: PostgresBackend, session: Session) -> None:
        super().__init__(backend.runtime)
        self.session = session
        self.events, self.snapshots, self.models, self.checkpoints = backend.stores(session)

    @property
    def connection(self) -> Connection:
        """The driver's own connection, for COPY, cursors and whatever else asyncpg can do; the transaction stays ours.

        An error of the server's on it undoes the whole transaction, unless you set a savepoint
        (`async with tx.connection.transaction()`).
        """
        return self.session.connection

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the user's own and answer its rows; BEGIN, COMMIT and the like are refused."""
        statement = check_statement(sql)
        return await self.session.run_apart(lambda connection: execute(connection, statement, parameters))
