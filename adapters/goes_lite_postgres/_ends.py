"""How a transaction ends, and what is known of it when the connection breaks in that very moment.

The server remembers what became of every recent transaction, by its number. So a COMMIT that nobody has confirmed is
not in doubt for long: as soon as the server can be reached again, it says whether it has happened.
"""

from __future__ import annotations

from contextlib import suppress

from goes_lite.errors import GoesError, StoreUnavailable
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, code, lost
from goes_lite_postgres._statements import ROLLBACK, STATUS

_NO_SUCH_NUMBER = "22023"


async def rollback(connection: Connection) -> None:
    """Leave the transaction; a connection on which that fails is closed."""
    if connection.is_closed():
        return
    try:
        await connection.execute(ROLLBACK, timeout=10)
    except DRIVER_ERRORS:
        connection.terminate()


async def commit(pool: Pool, connection: Connection, statement: str, xid: str | None) -> bool:
    """End the transaction well; False if the connection broke before that, so that nothing was written.

    A GoesError if the server refuses, or if nobody can tell any more. `xid` is the transaction's number; None if it has
    written nothing.
    """
    if xid is None:
        await rollback(connection)
        return True
    try:
        async with pool.bounded():
            await connection.execute(statement)
    except DRIVER_ERRORS as exc:
        broken = lost(exc, connection)
        if broken:
            connection.terminate()
        elif connection.is_in_transaction():
            await rollback(connection)
        if await happened(pool, xid):
            return True
        if broken:
            return False
        raise pool.translated(exc) from exc
    return True


async def happened(pool: Pool, xid: str) -> bool:
    """Whether the transaction of that number was committed; StoreUnavailable if the server cannot be asked."""
    patience = pool.patience()
    while True:
        with suppress(*DRIVER_ERRORS):
            try:
                connection = await pool.connect(patience)
            except GoesError as exc:
                raise in_doubt(pool) from exc
            try:
                status: str | None = await connection.fetchval(STATUS, xid)
            except DRIVER_ERRORS as exc:
                if code(exc) == _NO_SUCH_NUMBER:  # another server has taken over, which has never heard of it
                    return False
                raise
            finally:
                pool.give_back(connection)
            if status is None:  # too long ago
                raise in_doubt(pool)
            if status != "in progress":
                return status == "committed"
        if not await patience.again():
            raise in_doubt(pool)


def in_doubt(pool: Pool) -> StoreUnavailable:
    """The server went away during a COMMIT and stayed away."""
    return StoreUnavailable(
        pool.target.location,
        "the server went away during a commit and could not be asked about it since, so what was written may be stored or "
        "not: look before you write it again",
    )
