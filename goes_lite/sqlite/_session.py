"""User transactions: the writing connection, from BEGIN to COMMIT, for one block of code.

On the blocking face the calling thread holds the writer's lock; on the async face the writer's thread serves only this
session until it ends. All other writes wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.contract.sql import check_sql
from goes_lite.errors import TransactionError
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.transaction import StoresInside, UserTransaction, check_not_inside, current_session
from goes_lite.runtime import Runtime
from goes_lite.sqlite._append import MakeAppend
from goes_lite.sqlite._driver import Connection, Row
from goes_lite.sqlite._fence import check_open
from goes_lite.sqlite._operation import Operation, Work, call_in, resolve
from goes_lite.sqlite._seat import Turn
from goes_lite.sqlite._user_sql import UserSql
from goes_lite.sqlite._writer import Writer

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

LOOK = 1.0
"""How often, in seconds, the writer's thread looks whether the event loop of an idle transaction was closed."""


class SQLiteSession:
    """The connection for one user transaction, from BEGIN to COMMIT or ROLLBACK."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.outer = current_session.get()
        self.after_commit: list[Callable[[], None]] = []
        self.queue: list[Work[object]] = []
        """Statements of the program that wait for the next operation."""
        self.doomed: Exception | None = None
        """The error of one of them: nothing else may run or be committed."""
        self._inbox: SimpleQueue[tuple[Operation[Any], bool]] = SimpleQueue()
        self._opened: asyncio.Future[None] | None = None
        self._turn = Turn()
        self._committing = False
        self.active = False
        self.committed = False
        """Whether the COMMIT succeeded, even if the waiting task was cancelled."""

    @property
    def owner(self) -> Writer:
        return self.writer

    async def open(self) -> None:
        self.writer.check_usable()
        check_not_inside(self.writer)
        if self.writer.inline:
            try:
                self.writer.acquire(self._turn)
                self.writer.check_usable()
                self.writer.transactions.begin()
                self.active = True
            except BaseException:
                self.writer.give_up(self._turn)
                raise
            return
        import asyncio

        try:
            self._opened = asyncio.get_running_loop().create_future()
            self.writer.put(self)
            await self._opened
            self.active = True
        except BaseException:
            self.abandon()
            raise

    async def run(self, work: Work[T], *, savepoint: bool) -> T:
        """Run an operation inside the transaction. If it raises, only its own writes are undone.

        It needs no savepoint if at most its last statement writes: SQLite undoes a statement that fails.
        """
        self.check_active()
        if self.queue or self.doomed:
            await self.flush()
        return await self._do(partial(self._savepoint if savepoint else self._alive, work))

    async def flush(self) -> None:
        """Run the statements that wait, all in one visit to the writer's thread."""
        if self.doomed:
            raise self.doomed
        queue, self.queue = self.queue, []

        def run(connection: Connection) -> None:
            for work in queue:
                work(connection)

        if queue:
            self.check_active()
            try:
                await self._do(partial(self._alive, run))
            except Exception as exc:
                self.doomed = exc
                raise

    def check_active(self) -> None:
        if not self.active:
            raise TransactionError("the transaction has ended: begin another")
        if self.writer.forked:
            self.writer.check_usable()

    async def finish(self, *, commit: bool) -> None:
        """COMMIT or ROLLBACK, release the connection, then call the `after_commit` callbacks."""
        if commit and (self.queue or self.doomed):
            try:
                await self.flush()
            except BaseException:
                await self.finish(commit=False)
                raise
        self.active = False
        if self.writer.forked:  # the transaction belongs to the parent
            if commit:
                self.writer.check_usable()
            return
        await self._do(lambda _: self._finish(commit), last=True)

    def _finish(self, commit: bool) -> None:
        transactions = self.writer.transactions
        if not commit:
            transactions.rollback()
            return
        try:
            self._check_alive()
            self._committing = True
            transactions.end()
        except Exception:
            self._committing = False
            transactions.rollback()
            raise
        self._note_committed()
        transactions.checkpointer.after_commit()

    def _note_committed(self) -> None:
        self._committing = False
        self.committed = True
        while self.after_commit:
            self.after_commit[0]()
            del self.after_commit[0]  # not before: an interrupt must not lose one, and repeating it is harmless
        self.writer.notify()

    def abandon(self) -> None:
        """End it, after an error or an interrupt, wherever it was: rolled back, unless COMMIT was through."""
        self.active = False
        writer = self.writer
        if not writer.inline:
            self._inbox.put((Operation(lambda _: writer.transactions.rollback(), None, None), True))
        elif writer.seat.holds(self._turn) and not writer.forked:
            if self._committing and not writer.driver.in_transaction(writer.transactions.connection):
                self._note_committed()
            writer.give_up(self._turn)

    async def _do(self, work: Work[T], *, last: bool = False) -> T:
        if self.writer.inline:
            try:
                result = work(self.writer.transactions.connection)
                if last:
                    self.writer.release(self._turn)
            except BaseException as exc:
                if last:
                    self.abandon()
                if isinstance(exc, self.writer.driver.error):
                    raise self.writer.transactions.translated(exc) from exc
                raise
            return result
        import asyncio

        try:
            future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        except RuntimeError:  # its loop was closed, and its coroutines are being discarded
            self.abandon()
            raise
        self._inbox.put((Operation(work, None, future), last))
        if not last:
            return await future
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The COMMIT or ROLLBACK is under way: its outcome must be visible when the block ends.
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # marks it as retrieved; the cancellation propagates
            raise

    def _alive(self, work: Work[T], connection: Connection) -> T:
        self._check_alive()
        return work(connection)

    def _savepoint(self, work: Work[T], connection: Connection) -> T:
        self._check_alive()
        connection.execute("SAVEPOINT operation")
        try:
            result = work(connection)
        except BaseException:
            if self.writer.driver.in_transaction(connection):
                connection.execute("ROLLBACK TO operation")
                connection.execute("RELEASE operation")
            raise
        connection.execute("RELEASE operation")
        return result

    def _check_alive(self) -> None:
        # A full disk or an INSERT OR ROLLBACK ends the transaction; a savepoint would silently begin another.
        if not self.writer.driver.in_transaction(self.writer.transactions.connection):
            raise TransactionError("the transaction was rolled back by an earlier error inside it: begin another")

    def serve(self) -> None:
        """Hold the connection on the writer's thread and run the session's operations until it finishes."""
        writer, opened = self.writer, self._opened
        try:
            writer.acquire(self._turn)
            writer.transactions.begin()
        except Exception as exc:  # noqa: BLE001
            error = exc
            writer.give_up(self._turn)
            call_in(opened, lambda future: future.set_exception(error))
            return
        call_in(opened, lambda future: future.set_result(None))
        last = False
        while not last:
            try:
                operation, last = self._inbox.get(timeout=LOOK)
            except Empty:
                if opened is not None and opened.get_loop().is_closed():  # nobody will end it
                    self.abandon()
                continue
            try:
                operation.result = operation.work(writer.transactions.connection)
            except Exception as exc:  # noqa: BLE001
                operation.error = writer.transactions.translated(exc)
            resolve([operation])
        writer.release(self._turn)


class SessionExecutor:
    """Runs operations inside a transaction, whose reads see its own writes."""

    def __init__(self, session: SQLiteSession, append: MakeAppend) -> None:
        self._session = session
        self._append = append

    async def read(self, work: Work[T], *, brief: bool = False) -> T:
        return await self._session.run(work, savepoint=False)

    async def write(self, work: Work[T], *, atomic: bool = False, brief: bool = True) -> T:
        """Run a write; with `atomic`, only its last statement writes, so that it needs no savepoint."""
        return await self._session.run(work, savepoint=not atomic)

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        appended = await self._session.run(self._append(batch, condition).run, savepoint=True)
        self._session.after_commit.append(lambda: committed(appended))
        return appended

    async def lock(self) -> None:
        self._session.check_active()  # BEGIN IMMEDIATE has locked it


class SQLiteTransaction(UserTransaction):
    """Implements `goes_lite.contract.backend.Transaction`."""

    def __init__(self, runtime: Runtime, session: SQLiteSession, sql: UserSql, stores: StoresInside) -> None:
        super().__init__(runtime, stores)
        self.session = session
        self._sql = sql
        self._open = False
        """Whether a statement of the program has found that the store has no fence."""

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one SQL statement with the next operation, in one visit to the writer's thread."""
        self.session.check_active()
        check_sql(sql, parameters)
        values = [*parameters]
        self.session.queue.append(lambda connection: self._run(connection, sql, values))

    async def flush(self) -> None:
        await self.session.flush()

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SQL statement and return its rows; BEGIN, COMMIT and the like are refused."""
        return await self.session.run(lambda connection: self._run(connection, sql, parameters), savepoint=True)

    def _run(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        if not self._open:
            check_open(connection, self.session.writer.address.location)
            self._open = True
        return self._sql.run(connection, sql, parameters)
