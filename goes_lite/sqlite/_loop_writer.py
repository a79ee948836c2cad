"""Commits that do not wait for the disk, on the thread of the event loop that asks for them.

At durability 'normal' and 'memory' a commit of a few rows takes less time than switching to the writer's thread and back.
Operations are collected for one turn of the loop. If there is only one, and neither another writer nor another process has
what it needs, it is committed right there. Otherwise the writer's thread commits them together, as it does at 'full'; it also
does whatever may wait: for a lock, or for the disk, as checkpoints do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from threading import current_thread
from typing import Any

from goes_lite.errors import StoreClosed
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._operation import Guest, Operation, resolve, settle
from goes_lite.sqlite._reads import LoopPolicy
from goes_lite.sqlite._seat import Turn
from goes_lite.sqlite._turnstile import AnyTurnstile
from goes_lite.sqlite._writer import Writer


def open_writer(
    connection: Connection, address: FileAddress, turnstile: AnyTurnstile, notify: Callable[[], None], inline: bool
) -> Writer:
    """Return the writer of a handle."""
    if inline or (address.durability == "full" and not address.memory):
        return Writer(connection, address, turnstile, notify, inline=inline)
    return LoopWriter(connection, address, turnstile, notify)


class LoopWriter(Writer):
    """The writer of a handle on the async face whose commits do not wait for the disk."""

    def __init__(
        self, connection: Connection, address: FileAddress, turnstile: AnyTurnstile, notify: Callable[[], None]
    ) -> None:
        super().__init__(connection, address, turnstile, notify, inline=False)
        self._policy = LoopPolicy(address.reads)
        self._collected: list[Operation[Any]] = []
        """The operations of this turn of their loop."""
        self._done: Sequence[Operation[Any]] = ()
        """Operations whose results are delivered when the seat is free."""

    def hand_over(self, operation: Operation[Any], *, brief: bool) -> None:
        future = operation.future
        if not brief or not self._policy.admits or future is None:
            self.put(operation)
            return
        loop = future.get_loop()
        with self._gate:
            collected = self._collected
            if collected and collected[0].future is not None and collected[0].future.get_loop() is not loop:
                self.put(operation)
                return
            # For each, although the first takes all: an interrupt may have lost the call for those before. The context of the
            # caller is not that of what the commit calls.
            loop.call_soon(self._end_turn, context=Context())
            collected.append(operation)  # not before: an interrupt in between must not leave it there forever

    def put(self, item: Operation[Any] | Guest) -> None:
        with self._gate:
            collected, self._collected = self._collected, []
            for operation in collected:  # what was asked for before comes before
                super().put(operation)
            super().put(item)

    def _end_turn(self) -> None:
        collected: list[Operation[Any]] = []
        try:
            with self._gate:
                collected, self._collected = self._collected, []
            if collected and (len(collected) != 1 or not self._commit_now(collected[0])):
                self._put_all(collected)
        except BaseException as exc:  # such as Ctrl-C; nobody may wait for what is not done
            for operation in collected:
                if operation.future is not None and not operation.done and not operation.future.done():
                    if isinstance(exc, Exception):
                        operation.future.set_exception(exc)
                    else:
                        operation.future.cancel()
            if not isinstance(exc, Exception):
                raise

    def _put_all(self, operations: Sequence[Operation[Any]]) -> None:
        for operation in operations:
            try:
                self.put(operation)
            except StoreClosed as exc:
                operation.error = exc
                settle([operation])

    def _commit_now(self, operation: Operation[Any]) -> bool:
        """Commit an operation here and now, and return True; False if that would wait, and nothing has happened."""
        seat, policy = self.seat, self._policy
        if operation.future is not None and operation.future.cancelled():
            return True
        if self._ending or self.forked or self._queue or seat.waiting or not self._inbox.empty():
            return False
        try:
            if seat.taken.setdefault(0, operation) is not operation:
                return False
            began = policy.clock()
            if self._closed or not self.transactions.begin_now():
                policy.gave_up()
                self.release(operation)
                return False
            self._group = group = [operation]
            changed = self._commit(group, begun=True)
            self._deliver(group, changed=changed)
            self._group = self._done = ()
            policy.ran(policy.clock() - began)
            due = self.transactions.checkpointer.due() if changed else 0
            settle(group)
            self.release(operation)
        except BaseException:  # such as Ctrl-C
            self.give_up(operation)
            if operation.done:
                resolve([operation])
            raise
        if due:
            with suppress(StoreClosed):
                self.put(_Checkpoint(self, due))
        return True

    def _answer(self, operations: Sequence[Operation[Any]]) -> None:
        # Those who wait come back with the next operation, and should not find the seat taken: so they wait until it is free,
        # unless that takes long, as on the writer's thread, where other operations or a checkpoint may come first.
        self._done = [*self._done, *operations]
        if current_thread() is self._thread and (self._queue or self.transactions.checkpointer.may_be_due):
            done, self._done = self._done, ()
            resolve(done)

    def release(self, turn: Turn) -> None:
        done, self._done = self._done, ()
        super().release(turn)
        resolve(done)

    def _commit_queued(self) -> None:
        clock = self._policy.clock
        began = clock()
        super()._commit_queued()
        self._policy.ran_in_thread(clock() - began)

    def end_thread(self) -> None:
        with self._gate:
            if not self._ending:
                collected, self._collected = self._collected, []
                for operation in collected:
                    self.put(operation)
            super().end_thread()


class _Checkpoint:
    """A checkpoint that is due, for the writer's thread."""

    def __init__(self, writer: LoopWriter, full: int) -> None:
        self._writer = writer
        self._full = full

    def serve(self) -> None:
        turn = Turn()
        self._writer.seat.take(turn, None)
        try:
            self._writer.transactions.checkpoint(self._full)
        finally:
            self._writer.release(turn)
