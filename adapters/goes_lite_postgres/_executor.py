"""Where a store's operations run: on the handle's own connections, or inside one transaction of the user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from goes_lite.contract.commits import Commits
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError, StoreClosed, StoreLocked, TransactionError
from goes_lite.kit.batch import Batch
from goes_lite.kit.committer import Committer
from goes_lite.kit.patience import Patience
from goes_lite.kit.transaction import check_not_inside
from goes_lite.runtime.background import DetachedTasks
from goes_lite_postgres._append import Group
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, UNIQUE, Connection, code, conflict, lost
from goes_lite_postgres._ends import Ends, rollback
from goes_lite_postgres._session import Session
from goes_lite_postgres._statements import Statements

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

RECHECK = 1.0
"""Seconds after which a follower looks again though nothing woke it."""


class Executor(Protocol):
    """Where operations run."""

    async def read(self, work: Work[T]) -> T: ...
    async def write(self, work: Work[T], *, exclusive: bool = False) -> T:
        """`exclusive` writes, of several rows, take turns with transactions."""
        ...

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended: ...
    async def delete(self, work: Work[T]) -> T:
        """A write that takes events away."""
        ...

    async def wait(self, seen: int) -> None:
        """Until something may have been committed since the count was `seen`."""
        ...

    @property
    def commits(self) -> int:
        """The count of commits, to be read before looking."""
        ...


class DirectExecutor:
    """Reads and small writes on pooled connections, appends through the group committer."""

    def __init__(self, pool: Pool, sql: Statements, committer: Committer, notify: Callable[[], None]) -> None:
        self.pool = pool
        self.sql = sql
        self.ends = Ends(pool, sql)
        self.closing = False
        self.watched: Commits | None = None
        self._committer = committer
        self.notify = notify
        self._turn = asyncio.Lock()  # so that those who wait for a turn need no connection for it
        self._detached = DetachedTasks()

    def check_usable(self) -> None:
        self.pool.check_usable()
        if self.closing:
            raise StoreClosed(self.pool.target.location)

    async def read(self, work: Work[T]) -> T:
        self.check_usable()
        return await self.pool.read(work)

    async def select(self, work: Work[T]) -> T:
        """A read of the user's, which may take as long as it takes."""
        self.check_usable()
        return await self.pool.read(work, bounded=False)

    async def write(self, work: Work[T], *, exclusive: bool = False) -> T:
        self.check_usable()
        self.pool.check_loop()
        check_not_inside(self)
        # Whoever waits for it may be cancelled, and it is done wholly or not at all.
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
        """The turn of this handle among the transactions of the store."""
        seconds = self.pool.target.lock_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreLocked(self.pool.target.location, seconds) from None
        try:
            yield
        finally:
            self._turn.release()

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        self.check_usable()
        self.pool.check_loop()
        check_not_inside(self)
        return await self._committer.append(batch, condition, committed)

    async def delete(self, work: Work[T]) -> T:
        async def locked(connection: Connection) -> T:
            await connection.execute(self.sql.lock_log)
            return await work(connection)

        return await self.write(locked, exclusive=True)

    @property
    def commits(self) -> int:
        return 0 if self.watched is None else self.watched.count

    async def wait(self, seen: int) -> None:
        if self.watched is not None:
            await self.watched.wait(seen, RECHECK)

    async def close(self) -> None:
        """Take nothing new, and finish what there is."""
        self.closing = True
        await self._committer.close()
        await self._detached.join()
        async with self._turn:  # a transaction that somebody is inside of
            pass
        await self.ends.close()


class SessionExecutor:
    """Everything inside one transaction: reads see what it wrote."""

    def __init__(self, session: Session, group: Callable[[], Group]) -> None:
        self._session = session
        self._group = group

    async def read(self, work: Work[T]) -> T:
        return await self._session.run(work)

    async def write(self, work: Work[T], *, exclusive: bool = False) -> T:
        return await self._session.run(work)

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        async def work(connection: Connection) -> Appended:
            await self._session.lock_log()
            group = self._group()
            await group.look(connection, [batch])
            appended = await group.decide(connection, batch, condition)
            if group.events:
                await group.write(connection, self._session.executor.sql.write)
            return appended

        appended = await self._session.run(work)
        self._session.after_commit.append(lambda: committed(appended))
        return appended

    async def delete(self, work: Work[T]) -> T:
        async def locked(connection: Connection) -> T:
            await self._session.lock_log()
            return await work(connection)

        return await self._session.run(locked)

    @property
    def commits(self) -> int:
        return 0

    async def wait(self, seen: int) -> None:
        raise TransactionError(
            "follow() waits for commits, which a transaction keeps from happening: follow outside it"
        )
