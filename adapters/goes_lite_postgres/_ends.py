"""End transactions, and find out what happened if the connection breaks during a COMMIT.

The last statement of each transaction that wrote something leaves a mark: a row that no other open transaction uses, with
a new number. So an unconfirmed COMMIT is not in doubt for long: once the server is reachable again and has finished that
transaction, the mark shows whether it was committed.

The server's own status of a transaction id (`pg_xact_status`) only shows that the transaction is over. After a crash the
server reuses ids that had not reached the disk, whose status would be that of another transaction.
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
"""Maximum seconds that closing a handle spends on removing its marks; other handles remove the rest a week later."""


async def rollback(connection: Connection) -> None:
    """Roll back; if that fails, terminate the connection."""
    if connection.is_closed():
        return
    try:
        await connection.execute(ROLLBACK, timeout=10)
    except DRIVER_ERRORS:
        connection.terminate()


class Noted(NamedTuple):
    """A transaction that has left its mark and can be committed."""

    xid: str
    mark: str
    number: int


class Ends:
    """Ends the transactions of one handle."""

    def __init__(self, pool: Pool, sql: Statements) -> None:
        self.sql = sql
        self._pool = pool
        self._free: dict[str, int] = {}
        """Marks of finished transactions, and their numbers."""
        self._used: list[str] = []

    async def note(self, connection: Connection) -> Noted | None:
        """Run the last statement of a transaction; return None if it wrote nothing. Raises the driver's errors."""
        if self._free:
            mark, number = self._free.popitem()
        else:
            mark, number = uuid4().hex, 0
            self._used.append(mark)
        # If this fails, the mark is not reused: the server may take a while to notice and keep it locked.
        xid: str | None = await connection.fetchval(self.sql.note, mark, number + 1)
        if xid is None:
            self._free[mark] = number
            return None
        return Noted(xid, mark, number + 1)

    async def commit(self, connection: Connection, noted: Noted | None) -> bool:
        """Commit; return False if the connection broke first, so that nothing was written.

        Raise a GoesError if the server refuses, or if the outcome remains unknown.
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
        """Return whether the transaction was committed; raise StoreUnavailable if the server stays unreachable."""
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
        """Return the error for a server that went away during a COMMIT and stayed away."""
        return StoreUnavailable(
            self._pool.address.location,
            "the server went away during a commit and has been unreachable since, so the write may or may not be stored: "
            "check before you write it again",
        )

    async def close(self) -> None:
        """Remove the marks, if the server is reachable."""
        if not self._used or self._pool.closed:
            return
        with suppress(GoesError, *DRIVER_ERRORS):
            async with asyncio.timeout(FORGET):
                await self._pool.read(lambda connection: connection.execute(self.sql.forget, self._used))


async def _is_over(connection: Connection, xid: str) -> bool:
    """Return whether no transaction of that id is in progress."""
    try:
        status: str | None = await connection.fetchval(STATUS, xid)
    except DRIVER_ERRORS as exc:
        if code(exc) == _NO_SUCH_NUMBER:  # lost in a crash or a failover
            return True
        raise
    return status != "in progress"
