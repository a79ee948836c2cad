"""User transactions: a connection, from BEGIN to COMMIT, for one block of code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias, TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError, StoreUnavailable, TransactionError
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.transaction import StoresInside, UserTransaction, check_not_inside, current_session, finish_soon
from goes_lite.runtime import Runtime
from goes_lite.runtime.background import uninterrupted
from goes_lite_postgres._append import Group
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, lost
from goes_lite_postgres._ends import rollback
from goes_lite_postgres._executor import DirectExecutor, Work
from goes_lite_postgres._user_sql import check_statement, execute, execute_all, leaves_behind
from goes_lite_postgres._view import PostgresMoment

T = TypeVar("T")


class PostgresSession:
    """The connection for one transaction."""

    def __init__(self, executor: DirectExecutor) -> None:
        self.executor = executor
        self.outer = current_session.get()
        self.after_commit: list[Callable[[], None]] = []
        self.queue: list[tuple[str, Sequence[Any]]] = []
        """Statements of the program that wait for the next operation."""
        self.doomed: Exception | None = None
        """The error of one of them: nothing else may run or be committed."""
        self.active = False
        self.committed = False
        """Whether the COMMIT succeeded, even if the caller was cancelled."""
        self.leaves = False
        """Whether something may be left in the connection, which is not used again then."""
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._one = asyncio.Lock()  # a connection runs one statement at a time, but the block may use several tasks
        self._has_log = False

    @property
    def connection(self) -> Connection:
        """The driver's connection. Raises TransactionError after the end of the transaction."""
        if self._connection is None:
            raise TransactionError("the transaction has ended: begin another")
        return self._connection

    @property
    def owner(self) -> DirectExecutor:
        return self.executor

    async def open(self) -> None:
        executor = self.executor
        executor.check_usable()
        executor.check_writable()
        check_not_inside(executor)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(executor.turn())
            executor.check_usable()
            self._connection = await self._begun(stack)
            self._stack = stack.pop_all()
        self.active = True

    async def _begun(self, stack: AsyncExitStack) -> Connection:
        """Begin the transaction; if the connection breaks, nothing is lost yet, and another one is used."""
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

    async def run(self, work: Work[T]) -> T:
        """Run an operation inside the transaction."""
        if self.queue or self.doomed:
            await self.flush()
        async with self._one:
            connection = self.connection
            try:
                return await work(connection)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                raise self._translated(exc, connection) from exc

    async def run_in_savepoint(self, work: Work[T]) -> T:
        """Run an operation that can fail without rolling back the transaction."""
        if self.queue or self.doomed:
            await self.flush()
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

    async def flush(self) -> None:
        """Run the statements that wait."""
        if self.doomed:
            raise self.doomed
        queue, self.queue = self.queue, []
        if queue:
            try:
                await self.run(lambda connection: execute_all(connection, queue))
            except Exception as exc:
                self.doomed = exc
                raise

    async def lock_log(self) -> None:
        """Take the lock of the log, which orders positions, for the rest of the transaction."""
        if not self._has_log:
            await self.connection.execute(self.executor.sql.lock_log)
            self._has_log = True

    def _translated(self, error: Exception, connection: Connection) -> Exception:
        pool = self.executor.pool
        return _broken(pool.address.location) if lost(error, connection) else pool.translated(error)

    async def finish(self, *, commit: bool) -> None:
        """COMMIT or ROLLBACK and wait for it, even if cancelled: afterwards the outcome is visible to all."""
        if commit and self.active and (self.queue or self.doomed):
            try:
                await self.flush()
            except BaseException:
                await self.finish(commit=False)
                raise
        if self.active:
            self.active = False
            await uninterrupted(self._finish(commit=commit))

    def abandon(self) -> None:
        if self.active:
            finish_soon(self, self._loop)

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
                if self.leaves:
                    await self.executor.pool.drop(connection)

    async def _commit(self, connection: Connection) -> None:
        executor = self.executor
        try:
            noted = await executor.ends.note(connection)  # fails if an earlier error rolled the transaction back
        except DRIVER_ERRORS as exc:
            await rollback(connection)
            raise self._translated(exc, connection) from exc
        if not await executor.ends.commit(connection, noted):
            raise _broken(executor.pool.address.location)
        self.committed = True
        for callback in self.after_commit:
            callback()
        if noted is not None:
            executor.notify()


class SessionExecutor:
    """Runs operations inside a transaction, whose reads see its own writes."""

    def __init__(self, session: PostgresSession, group: Callable[[], Group]) -> None:
        self._session = session
        self._group = group

    async def read(self, work: Work[T]) -> T:
        return await self._session.run(work)

    async def write(self, work: Work[T], *, exclusive: bool = False) -> T:
        return await self._session.run(work)

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
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

    async def lock(self) -> None:
        await self._session.run(lambda connection: self._session.lock_log())

    async def change_log(self, work: Work[T]) -> T:
        async def locked(connection: Connection) -> T:
            await self._session.lock_log()
            return await work(connection)

        return await self._session.run(locked)


AnyExecutor: TypeAlias = DirectExecutor | SessionExecutor | PostgresMoment


class PostgresTransaction(UserTransaction):
    """Implements `goes_lite.contract.backend.Transaction`."""

    def __init__(self, runtime: Runtime, session: PostgresSession, stores: StoresInside) -> None:
        super().__init__(runtime, stores)
        self.session = session

    @property
    def connection(self) -> Connection:
        """The driver's connection, for COPY, cursors and other features of asyncpg; do not end the transaction on it.

        A server error on it rolls back the whole transaction, unless you set a savepoint
        (`async with tx.connection.transaction()`).
        """
        return self.session.connection

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one SQL statement with the next operation; equal ones that follow each other are one trip to the server."""
        _ = self.session.connection  # raises after the end
        statement = check_statement(sql, parameters)
        self.session.leaves = self.session.leaves or leaves_behind(statement)
        self.session.queue.append((statement, [*parameters]))

    async def flush(self) -> None:
        await self.session.flush()

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SQL statement and return its rows; BEGIN, COMMIT and the like are refused."""
        statement = check_statement(sql, parameters)
        self.session.leaves = self.session.leaves or leaves_behind(statement)
        return await self.session.run_in_savepoint(lambda connection: execute(connection, statement, parameters))


def _broken(location: str) -> StoreUnavailable:
    return StoreUnavailable(
        location, "the connection broke inside a transaction, so nothing of it is stored: run it again"
    )
