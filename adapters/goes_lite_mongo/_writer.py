"""Group commit: whatever waits to be appended is committed together, in one transaction, for all.

One task of the handle takes what is queued, for as long as there is something. An append that is refused disturbs no
other; if a group cannot be written for another reason, each of it is tried alone. Results are given out after the commit,
never before. What is appended has ids, so a transaction of which nobody knows whether it happened is simply run again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from goes_lite.batch import Batch
from goes_lite.errors import AppendInDoubtError, GoesError, StoreClosed, StoreUnavailable
from goes_lite.store import AppendCondition, Appended
from goes_lite_mongo._append import Group, take_turn
from goes_lite_mongo._connection import Connection, Patience, abort
from goes_lite_mongo._driver import DRIVER_ERRORS, again

GROUP, GROUP_EVENTS = 512, 2000
"""The most appends, and about the most events, in one transaction: bounds how long the first of them waits."""


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
        """Whether a commit with it has begun of which nobody knows the end."""


class Writer:
    """Appends what is brought to it. `turn` is entered around each transaction, `notify` called after each commit."""

    def __init__(
        self,
        connection: Connection,
        group: Callable[[], Group],
        turn: Callable[[], AbstractAsyncContextManager[None]],
        notify: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._group = group
        self._turn = turn
        self._notify = notify
        self._queue: deque[Operation] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def __repr__(self) -> str:
        location = self._connection.target.location
        return f"<Writer {location}: {len(self._queue)} queued{', closed' if self._closing else ''}>"

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        """Append it, commit it with others, then answer. Whoever is cancelled has it stored wholly or not at all."""
        if self._closing:
            raise StoreClosed(self._connection.target.location)
        operation = Operation(batch, condition, committed)
        self._queue.append(operation)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve(), name="goes_lite-writer")
        return await operation.future

    async def close(self) -> None:
        """Take nothing new, and finish what there is."""
        self._closing = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while self._queue:
            group: list[Operation] = []
            try:
                async with self._turn():
                    events = 0
                    while self._queue and len(group) < GROUP and events < GROUP_EVENTS:
                        operation = self._queue.popleft()
                        if not operation.future.cancelled():
                            group.append(operation)
                            events += len(operation.batch.events)
                    await self._commit(group)
            except GoesError as exc:  # the turn did not come
                group = group or [self._queue.popleft()]
                _settle(group, exc)
            except BaseException as exc:
                _settle(group, exc if isinstance(exc, Exception) else StoreClosed(self._connection.target.location))
                raise

    async def _commit(self, group: Sequence[Operation]) -> None:
        """Write a group, however often that takes, and tell everybody what became of it."""
        patience: Patience | None = None
        while group:
            error: Exception
            try:
                wrote = await self._transact(group)
            except GoesError as exc:  # a value that cannot be stored, or a commit that stays in doubt
                error, retry = exc, False
            except DRIVER_ERRORS as exc:
                error, retry = self._connection.translated(exc), again(exc)
            except Exception as exc:  # noqa: BLE001 - what a value or a condition of somebody's has brought about
                error, retry = exc, False
            else:
                self._tell(group, wrote=wrote)
                return
            patience = patience or self._connection.patience()
            if retry and await patience.again():
                continue
            if len(group) > 1 and not retry and not isinstance(error, StoreUnavailable):
                for operation in group:  # each has its turn, whatever becomes of the others
                    await self._commit([operation])
                return
            _settle(group, error)
            return

    async def _transact(self, group: Sequence[Operation]) -> bool:
        """One transaction; whether anything was written. A GoesError of one operation is kept with it."""

        def doubt() -> None:
            for operation in group:
                operation.in_doubt |= operation.error is None

        connection = self._connection
        async with connection.client.start_session() as session:
            await connection.begin(session)
            try:
                appends = self._group()
                head = await take_turn(connection.collections, session)
                await appends.look(session, [operation.batch for operation in group], head)
                for operation in group:
                    operation.error = operation.answer = None
                    try:
                        operation.answer = await appends.decide(session, operation.batch, operation.condition)
                    except GoesError as exc:
                        operation.error = exc
                if not appends.events:
                    await abort(session)
                    return False
                await appends.write(session)
            except BaseException:
                await abort(session)
                raise
            await connection.commit(session, doubt)
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


def _settle(group: Sequence[Operation], error: Exception) -> None:
    for operation in group:
        if not operation.future.done():
            if operation.in_doubt:
                doubt = AppendInDoubtError(operation.batch.events)
                doubt.__cause__ = error
                operation.future.set_exception(doubt)
            else:
                operation.future.set_exception(error)
