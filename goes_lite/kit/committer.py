"""Group commit over a network: whatever waits to be appended is committed together, in one transaction, for all.

One task of the handle takes what is queued, for as long as there is something. An append that is refused disturbs no
other; if a group cannot be written for another reason, each of it is tried alone. Results are given out after the commit, never
before. What is appended has ids, so a commit of which nobody knows whether it happened is simply run again.
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
    StoreUnavailable,
    TransactionConflict,
)
from goes_lite.kit.batch import AppendBatch

GROUP = 512
"""The most appends in one transaction: with the most events, it bounds how long the first of them waits."""

GATHER = 0.001
"""Seconds that a commit waits for those who have just been answered, if they were several. It takes longer than that itself."""

_FOR_ALL = (StoreUnavailable, StoreLocked, TransactionConflict)
"""What is nobody's fault, so that it would be the same for each alone."""


class Tries(Protocol):
    """How often one transaction is tried."""

    async def again(self, error: Exception, /) -> bool:
        """True, behind a pause, if the same may work now."""
        ...

    def translated(self, error: Exception, /) -> Exception:
        """What it means to the user; called once it is not tried again."""
        ...


class Operation:
    """One append on its way through the committer."""

    __slots__ = ("answer", "batch", "committed", "condition", "error", "future", "in_doubt")

    def __init__(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> None:
        self.batch = batch
        self.condition = condition
        self.committed = committed
        """Called after the commit, in commit order; it does not raise."""
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self.answer: Appended | None = None
        self.error: Exception | None = None
        self.in_doubt = False
        """Whether a commit with it has begun of which nobody knows the end."""


async def decide(
    decision: Callable[[AppendBatch, AppendCondition | None], Awaitable[Appended]], group: Sequence[Operation]
) -> None:
    """Have each operation of a group decided in turn; a GoesError is what that one is refused with."""
    for operation in group:
        operation.error = operation.answer = None
        try:
            operation.answer = await decision(operation.batch, operation.condition)
        except GoesError as exc:
            operation.error = exc


def doubt(group: Sequence[Operation]) -> None:
    """A commit of the group has begun of which nobody knows the end."""
    for operation in group:
        operation.in_doubt |= operation.error is None


class Committer:
    """Appends what is brought to it.

    `write` writes a group in one transaction, leaves with each operation what became of it (`decide`), and answers whether
    anything was written. `notify` is called after each commit.
    """

    def __init__(
        self,
        location: str,
        write: Callable[[Sequence[Operation]], Awaitable[bool]],
        tries: Callable[[], Tries],
        notify: Callable[[], None],
        most_events: int,
    ) -> None:
        self._location = location
        self._write = write
        self._tries = tries
        self._notify = notify
        self._most_events = most_events
        self._queue: deque[Operation] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._expected = 0
        """How many may be about to append: those who were answered last, and those who wait."""
        self._full = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Committer {self._location}: {len(self._queue)} queued{', closed' if self._closing else ''}>"

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        """Append it, commit it with others, then answer. Whoever is cancelled has it stored wholly or not at all."""
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
            while self._queue and len(group) < GROUP and events < self._most_events:
                operation = self._queue.popleft()
                if not operation.future.cancelled():
                    group.append(operation)
                    events += len(operation.batch.events)
            try:
                await self._commit(group)
                self._expected = len(group) + len(self._queue)
            except BaseException as exc:
                _settle(group, exc if isinstance(exc, Exception) else StoreClosed(self._location))
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
        tries: Tries | None = None
        while group:
            try:
                wrote = await self._write(group)
            except Exception as exc:  # noqa: BLE001 - also what a value or a condition of somebody's has brought about
                tries = tries or self._tries()
                if await tries.again(exc):
                    continue
                error = tries.translated(exc)
                if len(group) > 1 and not isinstance(error, _FOR_ALL):
                    for operation in group:  # each has its turn, whatever becomes of the others
                        await self._commit([operation])
                else:
                    _settle(group, error)
            else:
                self._tell(group, wrote=wrote)
            return

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
                in_doubt = AppendInDoubtError(operation.batch.events)
                in_doubt.__cause__ = error
                operation.future.set_exception(in_doubt)
            else:
                operation.future.set_exception(error)
