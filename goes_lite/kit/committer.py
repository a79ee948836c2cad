"""Group commit over a network: one transaction commits all queued appends.

A task of the handle drains the queue. A refused append does not affect the others of its group; if a group fails for
another reason, each append is tried alone. Results are delivered only after the commit. Events have ids, so a commit
with an unknown outcome is simply retried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import (
    AppendInDoubtError,
    GoesError,
    StoreClosed,
    StoreLocked,
    StoreMoved,
    StoreUnavailable,
    TransactionConflict,
)
from goes_lite.kit.batch import AppendBatch

GROUP = 512
"""The maximum number of appends in one transaction. Like the maximum number of events, it bounds the wait of the first one."""

GATHER = 0.001
"""Seconds that a commit waits for further appends if the last group had several. A commit itself takes longer than that."""

_FOR_ALL = (StoreUnavailable, StoreLocked, StoreMoved, TransactionConflict)
"""Errors that no single append of a group causes, so that trying each alone is pointless."""


class Retries(Protocol):
    """Decides how often one transaction is tried."""

    async def again(self, error: Exception, /) -> bool:
        """Pause and return True if another attempt may succeed."""
        ...

    def translated(self, error: Exception, /) -> Exception:
        """Return the error to raise to the caller; called after the last attempt."""
        ...


class Operation:
    """An append in the committer."""

    __slots__ = ("batch", "committed", "condition", "error", "future", "in_doubt", "result")

    def __init__(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> None:
        self.batch = batch
        self.condition = condition
        self.committed = committed
        """Called after the commit, in commit order; it does not raise."""
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self.result: Appended | None = None
        self.error: Exception | None = None
        self.in_doubt = False
        """Whether a commit with an unknown outcome may have stored it."""


async def decide(
    decision: Callable[[AppendBatch, AppendCondition | None], Awaitable[Appended]], group: Sequence[Operation]
) -> None:
    """Decide the operations of a group in turn. A GoesError refuses only its own operation."""
    for operation in group:
        operation.error = operation.result = None
        try:
            operation.result = await decision(operation.batch, operation.condition)
        except GoesError as exc:
            operation.error = exc


def mark_in_doubt(group: Sequence[Operation]) -> None:
    """Mark the operations of a group: their commit has an unknown outcome."""
    for operation in group:
        operation.in_doubt |= operation.error is None


class Committer:
    """Appends batches in groups.

    `write` writes a group in one transaction, sets the result or error of each operation (`decide`), and returns whether
    anything was written. `notify` is called after each commit.
    """

    def __init__(
        self,
        location: str,
        write: Callable[[Sequence[Operation]], Awaitable[bool]],
        retries: Callable[[], Retries],
        notify: Callable[[], None],
        most_events: int,
    ) -> None:
        self._location = location
        self._write = write
        self._retries = retries
        self._notify = notify
        self._most_events = most_events
        self._queue: deque[Operation] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._expected = 0
        """How many appends may come: those of the last group, whose callers just got their results, and the queued ones."""
        self._full = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Committer {self._location}: {len(self._queue)} queued{', closed' if self._closing else ''}>"

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        """Append a batch and return after the commit. If cancelled, the batch is stored completely or not at all."""
        if self._closing:
            raise StoreClosed(self._location)
        operation = Operation(batch, condition, committed)
        self._queue.append(operation)
        if len(self._queue) >= self._expected:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve(), name="goes_lite-committer")
        return await operation.future

    async def close(self) -> None:
        """Refuse new appends and finish the queued ones."""
        self._closing = True
        self._full.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while self._queue:
            await self._gather()
            group: list[Operation] = []
            events = 0
            while self._queue and len(group) < GROUP and events < self._most_events:
                operation = self._queue.popleft()
                if not operation.future.cancelled():
                    group.append(operation)
                    events += len(operation.batch.events)
            try:
                await self._commit(group)
                self._expected = len(group) + len(self._queue)
            except BaseException as exc:
                _fail(group, exc if isinstance(exc, Exception) else StoreClosed(self._location))
                raise

    async def _gather(self) -> None:
        """Wait briefly for the callers that just got a result: their next appends join this commit instead of the next."""
        if len(self._queue) < self._expected <= GROUP and not self._closing:
            self._full.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER):
                    await self._full.wait()
        self._expected = 0

    async def _commit(self, group: Sequence[Operation]) -> None:
        """Write a group, with retries, and deliver the results."""
        retries: Retries | None = None
        while group:
            try:
                wrote = await self._write(group)
            except Exception as exc:  # noqa: BLE001 - a caller's value or condition may raise anything
                retries = retries or self._retries()
                if await retries.again(exc):
                    continue
                error = retries.translated(exc)
                if len(group) > 1 and not isinstance(error, _FOR_ALL):
                    for operation in group:
                        await self._commit([operation])
                else:
                    _fail(group, error)
            else:
                self._deliver(group, wrote=wrote)
            return

    def _deliver(self, group: Sequence[Operation], *, wrote: bool) -> None:
        for operation in group:
            result = operation.result
            if result is not None and result.already_committed and operation.in_doubt:
                # This very append stored it; only the acknowledgement was lost.
                operation.result = result = result._replace(already_committed=False)
            if result is not None:
                operation.committed(result)
        if wrote or any(operation.in_doubt for operation in group):
            self._notify()
        for operation in group:
            if not operation.future.done():
                if operation.error is not None:
                    operation.future.set_exception(operation.error)
                elif operation.result is not None:
                    operation.future.set_result(operation.result)


def _fail(group: Sequence[Operation], error: Exception) -> None:
    for operation in group:
        if not operation.future.done():
            if operation.in_doubt:
                in_doubt = AppendInDoubtError(operation.batch.events)
                in_doubt.__cause__ = error
                operation.future.set_exception(in_doubt)
            else:
                operation.future.set_exception(error)
