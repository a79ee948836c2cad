"""A transaction of the user: a connection, from BEGIN to COMMIT, for one block of code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

from goes_lite.errors import GoesError, StoreUnavailable, TransactionError
from goes_lite.kit.transaction import check_not_inside, current_session
from goes_lite.runtime.background import uninterrupted
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, lost
from goes_lite_postgres._ends import rollback

if TYPE_CHECKING:
    from goes_lite_postgres._executor import DirectExecutor

T = TypeVar("T")


class Session:
    """The connection for one transaction."""

    def __init__(self, executor: DirectExecutor) -> None:
        self.executor = executor
        self.outer = current_session.get()
        self.after_commit: list[Callable[[], None]] = []
        self.active = False
        self.committed = False
        """Whether the COMMIT went through, also if whoever waited for it was cancelled."""
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._one = asyncio.Lock()  # a connection does one thing at a time, though tasks of the block may be several
        self._has_log = False

    @property
    def connection(self) -> Connection:
        """The driver's connection; TransactionError once the transaction is over."""
        if self._connection is None:
            raise TransactionError("the transaction is over: begin another one")
        return self._connection

    @property
    def owner(self) -> DirectExecutor:
        return self.executor

    async def open(self) -> None:
        executor = self.executor
        executor.check_usable()
        executor.pool.check_loop()
        check_not_inside(executor)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(executor.turn())
            executor.check_usable()
            self._connection = await self._begun(stack)
            self._stack = stack.pop_all()
        self.active = True

    async def _begun(self, stack: AsyncExitStack) -> Connection:
        """A connection on which the transaction has begun; nothing is lost yet if one breaks, so then another is taken."""
        pool, patience = self.executor.pool, self.executor.pool.patience()
        while True:
            async with AsyncExitStack() as attempt:
                connection = await attempt.enter_async_context(pool.writing())
                try:
                    await connection.execute(self.executor.sql.begin_session)
                except DRIVER_ERRORS as exc:
                    again = lost(exc, connection)
                    await rollback(connection)
                    if not (again and await patience.again()):
                        raise pool.translated(exc) from exc
                except BaseException:
                    await rollback(connection)
                    raise
                else:
                    stack.push_async_callback(attempt.pop_all().aclose)
                    return connection

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run an operation in the transaction."""
        async with self._one:
            connection = self.connection
            try:
                return await work(connection)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                raise self._translated(exc, connection) from exc

    async def run_apart(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run an operation that may fail without undoing what was done before it."""
        async with self._one:
            connection = self.connection
            try:
                await connection.execute("SAVEPOINT operation")
                try:
                    result = await work(connection)
                except DRIVER_ERRORS:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK TO operation; RELEASE operation")
                    raise
                await connection.execute("RELEASE operation")
            except DRIVER_ERRORS as exc:
                raise self._translated(exc, connection) from exc
            return result

    async def lock_log(self) -> None:
        """Take the lock that positions are counted under, for the rest of the transaction."""
        if not self._has_log:
            await self.connection.execute(self.executor.sql.lock_log)
            self._has_log = True

    def _translated(self, error: Exception, connection: Connection) -> Exception:
        pool = self.executor.pool
        return _broken(pool.target.location) if lost(error, connection) else pool.translated(error)

    async def finish(self, *, commit: bool) -> None:
        """COMMIT or ROLLBACK, and wait for it, though whoever waits be cancelled: behind it everybody can see which it was."""
        if self.active:
            self.active = False
            await uninterrupted(self._finish(commit=commit))

    async def _finish(self, *, commit: bool) -> None:
        async with self._stack, self._one:
            connection = self.connection
            try:
                if commit:
                    await self._commit(connection)
                else:
                    await rollback(connection)
            finally:
                self._connection = None

    async def _commit(self, connection: Connection) -> None:
        executor = self.executor
        try:
            noted = await executor.ends.note(connection)  # where an error has undone the transaction, this one tells
        except DRIVER_ERRORS as exc:
            await rollback(connection)
            raise self._translated(exc, connection) from exc
        if not await executor.ends.commit(connection, noted):
            raise _broken(executor.pool.target.location)
        self.committed = True
        for callback in self.after_commit:
            callback()
        if noted is not None:
            executor.notify()


def _broken(location: str) -> StoreUnavailable:
    return StoreUnavailable(
        location, "the connection broke inside a transaction, so nothing of it is stored: run it again"
    )
