"""Write a group of appends in one transaction, with one fsync; see `goes_lite.kit.committer`.

It takes one round trip if nothing has to be looked up, otherwise one for each step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from goes_lite.contract.event_store import Appended
from goes_lite.errors import GoesError, StoreDamaged
from goes_lite.kit.committer import Operation, decide, mark_in_doubt
from goes_lite_postgres._append import Group
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, conflict, lost
from goes_lite_postgres._ends import rollback
from goes_lite_postgres._statements import Statements

GROUP_EVENTS = 5000
"""The approximate maximum number of events in one transaction."""


class Retries:
    """Implements `goes_lite.kit.committer.Retries`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._patience = pool.patience()

    async def again(self, error: Exception, /) -> bool:
        if isinstance(error, GoesError) or not isinstance(error, DRIVER_ERRORS):
            return False  # a value that cannot be stored, or the server is unreachable
        return (lost(error) or conflict(error)) and not self._pool.closed and await self._patience.again()

    def translated(self, error: Exception, /) -> Exception:
        return self._pool.translated(error) if isinstance(error, DRIVER_ERRORS) else error


class Writer:
    """Writes groups of appends."""

    def __init__(self, pool: Pool, sql: Statements, group: Callable[[], Group]) -> None:
        self._pool = pool
        self.sql = sql
        self._group = group

    async def write(self, group: Sequence[Operation]) -> bool:
        """Write a group in one transaction; return whether anything was written. An operation keeps its own GoesError."""
        async with self._pool.committing() as connection, self._pool.bounded():
            return await self._transact(connection, group)

    async def _transact(self, connection: Connection, group: Sequence[Operation]) -> bool:
        committing = True
        try:
            if await self._as_expected(connection, group):
                return True
            committing = False
            await connection.execute(self.sql.begin_append)
            appends = self._group()
            await appends.look(connection, [operation.batch for operation in group])
            await decide(partial(appends.decide, connection), group)
            if not appends.events:
                await rollback(connection)
                return False
            if await appends.write(connection, self.sql.write) != appends.before:
                raise StoreDamaged(self._pool.address.location, "the log changed although its lock was held")
            committing = True
            await connection.execute(self.sql.commit)
        except GoesError:
            await rollback(connection)
            raise
        except DRIVER_ERRORS as exc:
            if lost(exc, connection):
                connection.terminate()
                if committing:
                    mark_in_doubt(group)
                raise ConnectionResetError(*exc.args) from exc  # even if the driver has no code for it
            await rollback(connection)
            raise
        except asyncio.CancelledError:  # the server has not responded for too long, and may never do so
            connection.terminate()
            if committing:
                mark_in_doubt(group)
            raise
        except BaseException:
            await rollback(connection)
            raise
        return True

    async def _as_expected(self, connection: Connection, group: Sequence[Operation]) -> bool:
        """Try to write a group in one round trip, without looking; return False if nothing was written."""
        if not self.sql.append or any(operation.condition is not None for operation in group):
            return False
        appends = self._group()
        if not appends.foresee([operation.batch for operation in group]):
            return False
        await decide(partial(appends.decide, connection), group)
        if not appends.events:
            return False
        before = await appends.write(connection, self.sql.append)
        if before is None:
            return False
        for operation in group:
            if operation.result is not None:
                operation.result = Appended(tuple(position + before for position in operation.result.positions))
        return True
