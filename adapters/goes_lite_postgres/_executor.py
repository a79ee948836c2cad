"""Run the operations of a handle: on pooled connections, appends through the group committer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError, StoreClosed
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.committer import Committer
from goes_lite.kit.patience import Patience
from goes_lite.kit.transaction import check_write, opened_read_only
from goes_lite.runtime.background import DetachedTasks
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, UNIQUE, Connection, code, conflict, locked, lost
from goes_lite_postgres._ends import Ends, rollback
from goes_lite_postgres._statements import Statements
from goes_lite_postgres._writer import Writer

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


class DirectExecutor:
    """Runs operations outside transactions."""

    def __init__(
        self, pool: Pool, sql: Statements, writer: Writer, committer: Committer, notify: Callable[[], None]
    ) -> None:
        self.pool = pool
        self.sql = sql
        self.ends = Ends(pool, sql)
        self.closing = False
        self.handle: object = None
        """Kept from being garbage-collected while one of its stores is in use."""
        self._writer = writer
        self._committer = committer
        self.notify = notify
        self._turn = asyncio.Lock()  # so that waiting for a turn needs no connection
        self._detached = DetachedTasks()

    def check_usable(self) -> None:
        self.pool.check_usable()
        if self.closing:
            raise StoreClosed(self.pool.address.location)

    def pass_fence(self, passing: str) -> None:
        """Begin every transaction from now on with a statement, after those that limit it."""
        sql = self.sql
        self.sql = self.ends.sql = self._writer.sql = sql._replace(
            append="",
            begin=sql.begin + passing,
            begin_exclusive=sql.begin_exclusive + passing,
            begin_append=sql.begin_append + passing,
            begin_session=sql.begin_session + passing,
        )

    def check_writable(self) -> None:
        self.pool.check_loop()
        if self.pool.address.read_only:
            raise opened_read_only(self.pool.address.location)

    async def read(self, work: Work[T]) -> T:
        self.check_usable()
        return await self.pool.read(work)

    async def select(self, work: Work[T]) -> T:
        """Run a user's read, without a time limit."""
        self.check_usable()
        return await self.pool.read(work, bounded=False)

    async def write(self, work: Work[T], *, exclusive: bool = False) -> T:
        """Run a write; `exclusive` writes, of several rows, take turns with transactions."""
        self.check_usable()
        self.check_writable()
        check_write(self)
        # Even if the caller is cancelled, it happens completely or not at all.
        return await self._detached.run(self._write(work, exclusive=exclusive))

    async def _write(self, work: Work[T], *, exclusive: bool) -> T:
        if not exclusive:
            return await self._transact(self.sql.begin, work)
        async with self.turn():
            return await self._transact(self.sql.begin_exclusive, work)

    async def _transact(self, begin: str, work: Work[T]) -> T:
        patience: Patience | None = None
        while True:
            async with self.pool.writing() as connection:
                try:
                    async with self.pool.bounded():
                        await connection.execute(begin)
                        result = await work(connection)
                        noted = await self.ends.note(connection)
                    if await self.ends.commit(connection, noted):
                        if noted is not None:
                            self.notify()
                        return result
                    error: Exception = ConnectionResetError("the connection broke before the commit")
                    again = True
                except GoesError:
                    await rollback(connection)
                    raise
                except DRIVER_ERRORS as exc:
                    error = exc
                    again = lost(exc, connection) or conflict(exc) or code(exc) == UNIQUE
                    if isinstance(exc, TimeoutError):
                        connection.terminate()  # it may never answer
                    await rollback(connection)
                except BaseException:
                    await rollback(connection)
                    raise
            patience = patience or self.pool.patience()
            if not again or self.pool.closed or not await patience.again():
                raise self.pool.translated(error) from error

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Take this handle's turn among the transactions of the store."""
        seconds = self.pool.address.lock_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise locked(self.pool.address.location, seconds) from None
        try:
            yield
        finally:
            self._turn.release()

    async def lock(self) -> None:
        """Outside a transaction there is nothing to keep out."""

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        self.check_usable()
        self.check_writable()
        check_write(self)
        return await self._committer.append(batch, condition, committed)

    async def change_log(self, work: Work[T]) -> T:
        """Run a write that deletes or imports events."""

        async def locked(connection: Connection) -> T:
            await connection.execute(self.sql.lock_log)
            return await work(connection)

        return await self.write(locked, exclusive=True)

    async def close(self) -> None:
        """Refuse new operations and finish the current ones."""
        self.closing = True
        await self._committer.close()
        await self._detached.join()
        async with self._turn:  # waits for an open transaction
            pass
        await self.ends.close()
