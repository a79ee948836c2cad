"""Group commit: whatever waits to be appended is committed together, in one transaction, with one fsync for all.

One task of the handle takes what is queued, for as long as there is something. An append that is refused disturbs no
other; if a group cannot be written for another reason, each of it is tried alone. Results are given out after the commit, never
before. What is appended has ids, so a commit of which nobody knows whether it happened is simply run again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from goes_lite.batch import Batch
from goes_lite.errors import AppendInDoubtError, GoesError, StoreClosed, StoreDamaged
from goes_lite.store import AppendCondition, Appended
from goes_lite_postgres._append import Group
from goes_lite_postgres._connection import Patience, Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, conflict, lost
from goes_lite_postgres._ends import rollback
from goes_lite_postgres._statements import Statements

GROUP, GROUP_EVENTS = 512, 5000
"""The most appends, and about the most events, in one transaction: bounds how long the first of them waits."""

GATHER = 0.001
"""Seconds that a commit waits for those who have just been answered, if they were several. It takes longer than that itself."""


class Operation:
    """One append on its way through the writer."""

    __slots__ = ("answer", "batch", "committed", "condition", "error", "future", "in_doubt")

    def __init__(self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]) -> None:
        self.batch = batch
        self.condition = condition
        self.committed = committed
        """Called after the commit, in commit order; it does not raise."""
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self.answer: Appended | None = None
        self.error: Exception | None = None
        self.in_doubt = False
        """Whether a COMMIT with it has begun of which nobody knows the end."""


class Writer:
    """Appends what is brought to it. `notify` is called after each commit."""

    def __init__(self, pool: Pool, sql: Statements, group: Callable[[], Group], notify: Callable[[], None]) -> None:
        self._pool = pool
        self._sql = sql
        self._group = group
        self._notify = notify
        self._queue: deque[Operation] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._expected = 0
        """How many may be about to append: those who were answered last, and those who wait."""
        self._full = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Writer {self._pool.target.location}: {len(self._queue)} queued{', closed' if self._closing else ''}>"

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        """Append it, commit it with others, then answer. Whoever is cancelled has it stored wholly or not at all."""
        if self._closing:
            raise StoreClosed(self._pool.target.location)
        operation = Operation(batch, condition, committed)
        self._queue.append(operation)
        if len(self._queue) >= self._expected:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve(), name="goes_lite-writer")
        return await operation.future

    async def close(self) -> None:
        """Take nothing new, and finish what there is."""
        self._closing = True
        self._full.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while self._queue:
            await self._gather()
            group: list[Operation] = []
            events = 0
            while self._queue and len(group) < GROUP and events < GROUP_EVENTS:
                operation = self._queue.popleft()
                if not operation.future.cancelled():
                    group.append(operation)
                    events += len(operation.batch.events)
            try:
                await self._commit(group)
                self._expected = len(group) + len(self._queue)
            except BaseException as exc:
                _settle(group, exc if isinstance(exc, Exception) else StoreClosed(self._pool.target.location))
                raise

    async def _gather(self) -> None:
        """Where several have just been answered, let them come back: they share this commit then, instead of the next one."""
        if len(self._queue) < self._expected <= GROUP and not self._closing:
            self._full.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER):
                    await self._full.wait()
        self._expected = 0

    async def _commit(self, group: Sequence[Operation]) -> None:
        """Write a group, however often that takes, and tell everybody what became of it."""
        patience: Patience | None = None
        while group:
            error: Exception
            try:
                async with self._pool.committing() as connection, self._pool.bounded():
                    wrote = await self._transact(connection, group)
            except GoesError as exc:  # a value that cannot be stored; or the server cannot be reached at all
                error, again = exc, False
            except DRIVER_ERRORS as exc:
                error, again = self._pool.translated(exc), lost(exc) or conflict(exc)
            except Exception as exc:  # noqa: BLE001 - what a value or a condition of somebody's has brought about
                error, again = exc, False
            else:
                self._tell(group, wrote=wrote)
                return
            patience = patience or self._pool.patience()
            if again and not self._pool.closed and await patience.again():
                continue
            if len(group) > 1 and not again:
                for operation in group:  # each has its turn, whatever becomes of the others
                    await self._commit([operation])
                return
            _settle(group, error)
            return

    async def _transact(self, connection: Connection, group: Sequence[Operation]) -> bool:
        """One transaction; whether anything was written. A GoesError of one operation is kept with it."""
        committing = True
        try:
            if await self._as_expected(connection, group):
                return True
            committing = False
            await connection.execute(self._sql.begin_append)
            appends = self._group()
            await appends.look(connection, [operation.batch for operation in group])
            await _decide(appends, connection, group)
            if not appends.events:
                await rollback(connection)
                return False
            if await appends.write(connection, self._sql.write) != appends.before:
                raise StoreDamaged(
                    self._pool.target.location, "what was looked up under the lock of the log has changed"
                )
            committing = True
            await connection.execute(self._sql.commit)
        except GoesError:
            await rollback(connection)
            raise
        except DRIVER_ERRORS as exc:
            if lost(exc, connection):
                connection.terminate()
                for operation in group:
                    operation.in_doubt |= committing and operation.error is None
                raise ConnectionResetError(*exc.args) from exc  # also where the driver has no code for it
            await rollback(connection)
            raise
        except asyncio.CancelledError:  # the server has not answered for too long; it may never do
            connection.terminate()
            for operation in group:
                operation.in_doubt |= committing and operation.error is None
            raise
        except BaseException:
            await rollback(connection)
            raise
        return True

    async def _as_expected(self, connection: Connection, group: Sequence[Operation]) -> bool:
        """The transaction in one round trip, for a group that does not have to look; False if nothing was written so."""
        if any(operation.condition is not None for operation in group):
            return False
        appends = self._group()
        if not appends.foresee([operation.batch for operation in group]):
            return False
        await _decide(appends, connection, group)
        if not appends.events:
            return False
        before = await appends.write(connection, self._sql.append)
        if before is None:
            return False
        for operation in group:
            if operation.answer is not None:
                operation.answer = Appended(tuple(position + before for position in operation.answer.positions))
        return True

    def _tell(self, group: Sequence[Operation], *, wrote: bool) -> None:
        for operation in group:
            answer = operation.answer
            if answer is not None and answer.already_committed and operation.in_doubt:
                # It was this very append that stored it: only its acknowledgement was lost.
                operation.answer = answer = answer._replace(already_committed=False)
            if answer is not None:
                operation.committed(answer)
        if wrote or any(operation.in_doubt for operation in group):
            self._notify()
        for operation in group:
            if not operation.future.done():
                if operation.error is not None:
                    operation.future.set_exception(operation.error)
                elif operation.answer is not None:
                    operation.future.set_result(operation.answer)


async def _decide(appends: Group, connection: Connection, group: Sequence[Operation]) -> None:
    for operation in group:
        operation.error = operation.answer = None
        try:
            operation.answer = await appends.decide(connection, operation.batch, operation.condition)
        except GoesError as exc:
            operation.error = exc


def _settle(group: Sequence[Operation], error: Exception) -> None:
    for operation in group:
        if not operation.future.done():
            if operation.in_doubt:
                doubt = AppendInDoubtError(operation.batch.events)
                doubt.__cause__ = error
                operation.future.set_exception(doubt)
            else:
                operation.future.set_exception(error)
