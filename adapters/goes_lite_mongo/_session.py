"""User transactions: a driver session, from begin to commit, for one block of code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from copy import copy
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from goes_lite.contract.backend import SQL
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import (
    TRANSIENT,
    AbilityMissing,
    GoesError,
    StoreUnavailable,
    TransactionError,
)
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.transaction import StoresInside, UserTransaction, check_not_inside, current_session, finish_soon
from goes_lite.runtime import Runtime
from goes_lite.runtime.background import uninterrupted
from goes_lite_mongo._append import Group, read_head, take_turn
from goes_lite_mongo._connection import Work
from goes_lite_mongo._driver import DRIVER_ERRORS, NO_TRANSACTION, ClientSession, Document, code, lost
from goes_lite_mongo._executor import DirectExecutor
from goes_lite_mongo._view import MongoMoment

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

T = TypeVar("T")


class MongoSession:
    """The driver's session for one transaction."""

    def __init__(self, executor: DirectExecutor) -> None:
        self.executor = executor
        self.outer = current_session.get()
        self.after_commit: list[Callable[[], None]] = []
        self.active = False
        self.committed = False
        """Whether the commit succeeded, even if the caller was cancelled."""
        self.head = 0
        self._session: ClientSession | None = None
        self._broken: Exception | None = None
        """The error of the server that rolled it back."""
        self._term: object = None
        """The election whose primary it began on."""
        self._shared = False
        """Whether the program has got the driver's session, and may have caused an error that we have not seen."""
        self._stack = AsyncExitStack()
        self._loop = asyncio.get_running_loop()
        self._one = asyncio.Lock()  # a session runs one operation at a time, but the block may use several tasks

    @property
    def session(self) -> ClientSession:
        """The driver's session. Raises TransactionError after the end of the transaction."""
        if self._session is None or not self.active:
            raise TransactionError("the transaction has ended: begin another")
        return self._session

    @property
    def shared(self) -> ClientSession:
        """The driver's session, for documents of the program."""
        self._shared = True
        return self.session

    @property
    def owner(self) -> DirectExecutor:
        return self.executor

    async def open(self) -> None:
        executor = self.executor
        executor.check_usable()
        executor.check_writable()
        check_not_inside(executor)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(executor.turns.alone())
            executor.check_usable()
            session = await stack.enter_async_context(executor.connection.client.start_session())
            await self._begin(session)
            self._session = session
            self._stack = stack.pop_all()
        self.active = True

    async def _begin(self, session: ClientSession) -> None:
        """Begin and lock the log, so that no other append can conflict later."""
        connection = self.executor.connection
        retries = connection.retries()
        while True:
            await connection.begin(session)
            try:
                self.head = await take_turn(connection, session)
            except DRIVER_ERRORS as exc:
                await self.executor.connection.abort(session)
                if not await retries.again(exc):
                    raise retries.translated(exc) from exc
            except BaseException:
                await self.executor.connection.abort(session)
                raise
            else:
                self._term = connection.known_term()
                return

    async def run(self, work: Work[T]) -> T:
        """Run an operation inside the transaction. A refused one has written nothing; a server error rolls back everything."""
        session = self.session
        return await uninterrupted(self._run(session, work))

    async def _run(self, session: ClientSession, work: Work[T]) -> T:
        async with self._one:
            if self._broken is not None or not session.in_transaction:
                raise self._rolled_back() from self._broken
            try:
                return await work(session)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                self._broken = await self._translated(exc)
                raise self._broken from exc

    async def _translated(self, error: Exception) -> Exception:
        connection = self.executor.connection
        if lost(error):
            return _lost(connection.address.location, "the primary went away inside a transaction")
        if code(error) != NO_TRANSACTION:
            return connection.translated(error)
        if self._term != await connection.term():
            return _lost(connection.address.location, "another primary was elected during a transaction")
        if not self._shared:  # no command of ours failed before
            return _lost(
                connection.address.location,
                "the server has ended a transaction, because it was open for longer than transactionLifetimeLimitSeconds, or "
                "because somebody killed its session",
            )
        return connection.translated(error)

    def _rolled_back(self) -> Exception:
        """Return the error for an operation after the one that failed: if the store was to blame for that, still the same."""
        broken = self._broken
        if isinstance(broken, TRANSIENT):
            return copy(broken)
        return TransactionError("the transaction was rolled back by an earlier error inside it: begin another")

    async def finish(self, *, commit: bool) -> None:
        """Commit or roll back and wait for it, even if cancelled: afterwards the outcome is visible to all."""
        if self.active:
            self.active = False
            await uninterrupted(self._finish(commit=commit))

    def abandon(self) -> None:
        if self.active:
            finish_soon(self, self._loop)

    async def _finish(self, *, commit: bool) -> None:
        async with self._stack, self._one:
            session = self._session
            if session is None:
                return
            if not commit:
                await self.executor.connection.abort(session)
                return
            if self._broken is not None or not session.in_transaction:
                await self.executor.connection.abort(session)
                raise self._rolled_back() from self._broken
            connection = self.executor.connection
            try:
                await connection.commit(session)
            except DRIVER_ERRORS as exc:
                raise await self._translated(exc) from exc
            self.committed = True
            for callback in self.after_commit:
                callback()
            self.executor.notify()


def _lost(location: str, reason: str) -> StoreUnavailable:
    return StoreUnavailable(location, f"{reason}, so nothing of it is stored: run it again")


class SessionExecutor:
    """Runs operations inside a transaction, whose reads see its own writes."""

    def __init__(self, session: MongoSession, group: Callable[[], Group]) -> None:
        self._session = session
        self._group = group

    async def read(self, work: Work[T]) -> T:
        return await self._session.run(work)

    async def write(self, work: Work[T]) -> T:
        return await self._session.run(work)

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        async def work(session: ClientSession) -> Appended:
            group = self._group()
            await group.look(session, [batch], self._session.head)
            appended = await group.decide(session, batch, condition)
            if group.events:
                await group.write(session)
                self._session.head = appended.position
            return appended

        appended = await self._session.run(work)
        self._session.after_commit.append(lambda: committed(appended))
        return appended

    async def lock(self) -> None:
        _ = self._session.session  # raises after the end; `open` has taken the turn on the log

    async def change_log(self, work: Work[T]) -> T:
        async def counted(session: ClientSession) -> T:
            result = await work(session)
            self._session.head = await read_head(self._session.executor.connection.collections, session)
            return result

        return await self._session.run(counted)


AnyExecutor: TypeAlias = DirectExecutor | SessionExecutor | MongoMoment


class MongoTransaction(UserTransaction):
    """Implements `goes_lite.contract.backend.Transaction`."""

    def __init__(self, runtime: Runtime, session: MongoSession, stores: StoresInside) -> None:
        super().__init__(runtime, stores)
        self._session = session
        self._connection = session.executor.connection

    @property
    def session(self) -> ClientSession:
        """The driver's session, for documents of your own in the same transaction: `…insert_one(doc, session=tx.session)`.

        Do not commit it. A server error, such as a duplicate key, rolls back the whole transaction.
        """
        return self._session.shared

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The driver's database, which contains the store."""
        return self._connection.database

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        raise AbilityMissing(SQL, self._connection.address.location)

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise AbilityMissing(SQL, self._connection.address.location)
