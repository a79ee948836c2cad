"""A transaction of the user: a session of the driver's, from its begin to its commit, for one block of code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

from goes_lite.errors import GoesError, StoreUnavailable, TransactionError
from goes_lite.kit.transaction import check_not_inside, current_session
from goes_lite.runtime.background import uninterrupted
from goes_lite_mongo._append import take_turn
from goes_lite_mongo._connection import Work, abort
from goes_lite_mongo._driver import DRIVER_ERRORS, Session, lost

if TYPE_CHECKING:
    from goes_lite_mongo._executor import DirectExecutor

T = TypeVar("T")


class UserSession:
    """The driver's session for one transaction."""

    def __init__(self, executor: DirectExecutor) -> None:
        self.executor = executor
        self.outer = current_session.get()
        self.after_commit: list[Callable[[], None]] = []
        self.active = False
        self.committed = False
        """Whether the commit went through, also if whoever waited for it was cancelled."""
        self.head = 0
        self._session: Session | None = None
        self._broken = False
        self._stack = AsyncExitStack()
        self._one = asyncio.Lock()  # a session does one thing at a time, though tasks of the block may be several

    @property
    def session(self) -> Session:
        """The driver's session; TransactionError once the transaction is over."""
        if self._session is None or not self.active:
            raise TransactionError("the transaction is over: begin another one")
        return self._session

    @property
    def owner(self) -> DirectExecutor:
        return self.executor

    async def open(self) -> None:
        executor = self.executor
        executor.check_usable()
        executor.connection.check_loop()
        check_not_inside(executor)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(executor.turns.alone())
            executor.check_usable()
            session = await stack.enter_async_context(executor.connection.client.start_session())
            await self._begin(session)
            self._session = session
            self._stack = stack.pop_all()
        self.active = True

    async def _begin(self, session: Session) -> None:
        """Begin, and take the turn among all who write to the log: who has it meets no conflict with them later."""
        connection = self.executor.connection
        tries = connection.tries()
        while True:
            await connection.begin(session)
            try:
                self.head = await take_turn(connection.collections, session)
            except DRIVER_ERRORS as exc:
                await abort(session)
                if not await tries.again(exc):
                    raise tries.translated(exc) from exc
            except BaseException:
                await abort(session)
                raise
            else:
                return

    async def run(self, work: Work[T]) -> T:
        """Run an operation in it. What is refused has written nothing; an error of the server's undoes the transaction."""
        session = self.session
        return await uninterrupted(self._run(session, work))

    async def _run(self, session: Session, work: Work[T]) -> T:
        async with self._one:
            if self._broken or not session.in_transaction:
                raise TransactionError("the transaction was rolled back by an earlier error inside it: begin another")
            try:
                return await work(session)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                self._broken = True
                raise self._translated(exc) from exc

    def _translated(self, error: Exception) -> Exception:
        location = self.executor.connection.target.location
        if lost(error):
            return StoreUnavailable(
                location, "the primary went away inside a transaction, so nothing of it is stored: run it again"
            )
        return self.executor.connection.translated(error)

    async def finish(self, *, commit: bool) -> None:
        """Commit or roll back, and wait for it, though whoever waits be cancelled: behind it all can see which it was."""
        if self.active:
            self.active = False
            await uninterrupted(self._finish(commit=commit))

    async def _finish(self, *, commit: bool) -> None:
        async with self._stack, self._one:
            session = self._session
            if session is None:
                return
            if not commit:
                await abort(session)
                return
            if self._broken or not session.in_transaction:
                await abort(session)
                raise TransactionError("the transaction was rolled back by an error inside it: nothing of it is stored")
            connection = self.executor.connection
            try:
                await connection.commit(session)
            except DRIVER_ERRORS as exc:
                raise self._translated(exc) from exc
            self.committed = True
            for callback in self.after_commit:
                callback()
            self.executor.notify()
