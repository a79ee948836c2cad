"""Views: a connection of its own, in one REPEATABLE READ transaction that only reads, for one block of code.

It blocks nobody. While it is open, the server keeps the rows that are deleted or replaced meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError, StoreUnavailable
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.view import refuse_write
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, lost
from goes_lite_postgres._ends import rollback
from goes_lite_postgres._executor import Work

T = TypeVar("T")

_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0; "
    "SET LOCAL statement_timeout = 0"
)


class PostgresMoment:
    """The connection of one view; also the executor of its stores."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._one = asyncio.Lock()  # a connection runs one statement at a time

    async def open(self) -> None:
        pool, patience = self._pool, self._pool.patience()
        pool.check_loop()
        while True:
            # not one of those that are lent: a view that is open for long must not keep other reads waiting
            connection = await pool.connect(patience)
            try:
                await connection.execute(_BEGIN)
                await connection.fetchval(
                    f"SELECT head FROM {pool.address.table('store')}"
                )  # the moment is the first read
            except DRIVER_ERRORS as exc:
                again = lost(exc, connection)
                await self._release(connection)
                if not (again and await patience.again()):
                    raise pool.translated(exc) from exc
            except BaseException:
                connection.terminate()
                pool.give_back(connection)
                raise
            else:
                self._connection = connection
                return

    async def close(self) -> None:
        async with self._one:
            connection, self._connection = self._connection, None
            if connection is not None:
                await self._release(connection)

    async def _release(self, connection: Connection) -> None:
        await rollback(connection)
        self._pool.give_back(connection)

    async def read(self, work: Work[T]) -> T:
        self._pool.check_loop()
        location = self._pool.address.location
        async with self._one:
            connection = self._connection
            if connection is None:
                raise StoreUnavailable(location, "its view has ended: begin another")
            try:
                return await work(connection)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                if lost(exc, connection):
                    raise StoreUnavailable(location, "the connection of the view broke: begin another") from exc
                raise self._pool.translated(exc) from exc

    async def write(self, work: Work[T], *, exclusive: bool = False) -> T:
        refuse_write(self._pool.address.location)

    async def change_log(self, work: Work[T]) -> T:
        refuse_write(self._pool.address.location)

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        refuse_write(self._pool.address.location)

    async def lock(self) -> None:
        refuse_write(self._pool.address.location)
