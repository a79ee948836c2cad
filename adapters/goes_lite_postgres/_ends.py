"""How a transaction ends, and what is known of it when the connection breaks in that very moment.

Each transaction that has written something leaves a mark with its last statement: a row that it shares with no other one
that is under way, with a number that none has had before. So a COMMIT that nobody has confirmed is not in doubt for long: as
soon as the server can be reached again, and has done with that transaction, the mark says whether it has happened.

What the server itself says of a transaction's number (`pg_xact_status`) tells only when it is over. After a crash it gives
numbers out again that had not reached the disk, and would tell of another's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

from goes_lite.errors import GoesError, StoreUnavailable
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, code, lost
from goes_lite_postgres._statements import ROLLBACK, STATUS, Statements

_NO_SUCH_NUMBER = "22023"
FORGET = 1.0
"""Seconds that closing a handle takes at most to remove its marks; what is left is removed by others, a week later."""


async def rollback(connection: Connection) -> None:
    """Leave the transaction; a connection on which that fails is closed."""
    if connection.is_closed():
        return
    try:
        await connection.execute(ROLLBACK, timeout=10)
    except DRIVER_ERRORS:
        connection.terminate()


class Noted(NamedTuple):
    """A transaction that has left its mark, and is to be committed."""

    xid: str
    mark: str
    number: int


class Ends:
    """Ends the transactions of one handle."""

    def __init__(self, pool: Pool, sql: Statements) -> None:
        self.sql = sql
        self._pool = pool
        self._free: dict[str, int] = {}
        """Marks of transactions that are over, and their numbers."""
        self._used: list[str] = []

    async def note(self, connection: Connection) -> Noted | None:
        """The last statement of a transaction; None if it has written nothing. What it raises is the driver's error."""
        if self._free:
            mark, number = self._free.popitem()
        else:
            mark, number = uuid4().hex, 0
            self._used.append(mark)
        # Should this fail, the mark is not used again: the server may take a while to notice, and keep it locked.
        xid: str | None = await connection.fetchval(self.sql.note, mark, number + 1)
        if xid is None:
            self._free[mark] = number
            return None
        return Noted(xid, mark, number + 1)

    async def commit(self, connection: Connection, noted: Noted | None) -> bool:
        """End the transaction well; False if the connection broke before that, so that nothing was written.

        A GoesError if the server refuses, or if nobody can tell any more.
        """
        if noted is None:
            await rollback(connection)
            return True
        try:
            async with self._pool.bounded():
                await connection.execute(self.sql.commit)
        except DRIVER_ERRORS as exc:
            broken = lost(exc, connection)
            if broken:
                connection.terminate()
            elif connection.is_in_transaction():
                await rollback(connection)
            happened = await self._happened(noted)
            if not happened and not broken:
                raise self._pool.translated(exc) from exc
        else:
            happened = True
        self._free[noted.mark] = noted.number
        return happened

    async def _happened(self, noted: Noted) -> bool:
        """Whether the transaction was committed; StoreUnavailable if the server cannot be asked."""
        patience = self._pool.patience()
        while True:
            with suppress(*DRIVER_ERRORS):
                try:
                    connection = await self._pool.connect(patience)
                except GoesError as exc:
                    raise self._in_doubt() from exc
                try:
                    if await _is_over(connection, noted.xid):
                        return bool(await connection.fetchval(self.sql.noted, noted.mark) == noted.number)
                finally:
                    self._pool.give_back(connection)
            if not await patience.again():
                raise self._in_doubt()

    def _in_doubt(self) -> StoreUnavailable:
        """The server went away during a COMMIT and stayed away."""
        return StoreUnavailable(
            self._pool.address.location,
            "the server went away during a commit and could not be asked about it since, so what was written may be stored "
            "or not: look before you write it again",
        )

    async def close(self) -> None:
        """Remove the marks, if the server is there."""
        if not self._used or self._pool.closed:
            return
        with suppress(GoesError, *DRIVER_ERRORS):
            async with asyncio.timeout(FORGET):
                await self._pool.read(lambda connection: connection.execute(self.sql.forget, self._used))


async def _is_over(connection: Connection, xid: str) -> bool:
    """Whether nobody is at work in a transaction of that number."""
    try:
        status: str | None = await connection.fetchval(STATUS, xid)
    except DRIVER_ERRORS as exc:
        if code(exc) == _NO_SUCH_NUMBER:  # it was lost in a crash, or another server has taken over
            return True
        raise
    return status != "in progress"
