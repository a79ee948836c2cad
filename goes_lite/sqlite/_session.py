"""A user's transaction: the writing connection, from BEGIN to COMMIT, for one block of code.

On the blocking face the calling thread holds the writer's lock; on the async face the writer's thread serves this
session alone, step by step, until it ends. Everything else that wants to write waits.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors import TransactionError
from goes_lite.kit.transaction import check_not_inside, current_session
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._writer import Operation, Work, Writer, call_in, resolve

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Session:
    """The connection for one user transaction, from BEGIN to COMMIT or ROLLBACK."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.outer = current_session.get()
        self.after_commit: list[Callable[[], None]] = []
        self._inbox: SimpleQueue[tuple[Operation[Any], bool]] = SimpleQueue()
        self._opened: asyncio.Future[None] | None = None
        self.active = False
        self.committed = False
        """Whether the COMMIT went through, also if whoever waited for it was cancelled."""

    @property
    def owner(self) -> Writer:
        return self.writer

    async def open(self) -> None:
        self.writer.check_usable()
        check_not_inside(self.writer)
        if self.writer.inline:
            self.writer.acquire()
            try:
                self.writer.check_usable()
                self.writer.begin()
            except BaseException:
                self.writer.abandon()
                self.writer.release()
                raise
            self.active = True
            return
        import asyncio

        self._opened = asyncio.get_running_loop().create_future()
        self.writer.put(self)
        try:
            await self._opened
        except BaseException:
            self._inbox.put((Operation(lambda _: self.writer.abandon(), None, None), True))
            raise
        self.active = True

    async def run(self, work: Work[T], committed: Callable[[T], None] | None = None) -> T:
        """Run an operation inside the transaction; if it raises, what it wrote is undone and nothing else."""
        if not self.active:
            raise TransactionError("the transaction has ended: begin another")
        if self.writer.forked:
            self.writer.check_usable()
        result = await self._do(lambda connection: self._savepoint(connection, work))
        if committed is not None:
            self.after_commit.append(lambda: committed(result))
        return result

    async def finish(self, *, commit: bool) -> None:
        """COMMIT or ROLLBACK, give the connection back, then do what waits for the commit."""
        self.active = False
        if self.writer.forked:  # the transaction is the parent's, whose business its end is
            if commit:
                self.writer.check_usable()
            return
        await self._do(lambda _: self._finish(commit), last=True)

    def _finish(self, commit: bool) -> None:
        writer = self.writer
        if not commit:
            writer.abandon()
            return
        try:
            self._check_alive()
            writer.end()
        except BaseException:
            writer.abandon()
            raise
        self.committed = True
        for callback in self.after_commit:
            callback()
        writer.notify()
        writer.checkpointer.after_commit()

    async def _do(self, work: Work[T], *, last: bool = False) -> T:
        if self.writer.inline:
            try:
                return work(self.writer.connection)
            except self.writer.driver.error as exc:
                raise self.writer.translated(exc) from exc
            finally:
                if last:
                    self.writer.release()
        import asyncio

        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._inbox.put((Operation(work, None, future), last))
        if not last:
            return await future
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The COMMIT or ROLLBACK is on its way: when the block has ended, everybody can see which it was.
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # the cancellation is what is raised
            raise

    def _savepoint(self, connection: Connection, work: Work[T]) -> T:
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
        # A full disk, or the user's own INSERT OR ROLLBACK, ends a transaction. A savepoint would quietly begin another.
        if not self.writer.driver.in_transaction(self.writer.connection):
            raise TransactionError("the transaction was rolled back by an earlier error inside it: begin another")

    def serve(self) -> None:
        """On the writer's thread: hold the connection and do what the session's task asks for, until it finishes."""
        writer, opened = self.writer, self._opened
        with writer.lock:
            try:
                writer.begin()
            except Exception as exc:  # noqa: BLE001
                self.refuse(exc)
                return
            call_in(opened, lambda future: future.set_result(None))
            last = False
            while not last:
                operation, last = self._inbox.get()
                try:
                    operation.result = operation.work(writer.connection)
                except Exception as exc:  # noqa: BLE001
                    operation.error = writer.translated(exc)
                resolve([operation])

    def refuse(self, error: Exception) -> None:
        call_in(self._opened, lambda future: future.set_exception(error))
