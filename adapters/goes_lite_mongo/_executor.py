"""Run the operations of a handle: writes in transactions of their own, appends through the group committer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import StoreClosed
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.committer import Committer
from goes_lite.kit.transaction import check_write, opened_read_only
from goes_lite.runtime.background import DetachedTasks
from goes_lite_mongo._append import Group, take_turn
from goes_lite_mongo._connection import Connection, Work
from goes_lite_mongo._driver import ClientSession
from goes_lite_mongo._fence import has_ended
from goes_lite_mongo._turns import Turns
from goes_lite_mongo._writer import GROUP_EVENTS, Writer

T = TypeVar("T")


class DirectExecutor:
    """Runs operations outside user transactions."""

    def __init__(self, connection: Connection, group: Callable[[], Group], notify: Callable[[], None]) -> None:
        self.connection = connection
        self.closing = False
        self.handle: object = None
        """Kept from being garbage-collected while one of its stores is in use."""
        self.notify = notify
        self.turns = Turns(connection.address.location, connection.address.lock_timeout)
        writer = Writer(connection, group, self.turns.shared)
        self._committer = Committer(connection.address.location, writer.write, connection.retries, notify, GROUP_EVENTS)
        self._detached = DetachedTasks()

    def check_usable(self) -> None:
        self.connection.check_usable()
        if self.closing:
            raise StoreClosed(self.connection.address.location)

    def check_writable(self) -> None:
        self.connection.check_loop()
        if self.connection.address.read_only:
            raise opened_read_only(self.connection.address.location)

    def _check_write(self) -> None:
        self.check_usable()
        self.check_writable()
        check_write(self)

    async def read(self, work: Work[T]) -> T:
        self.connection.check_loop()
        self.check_usable()
        # In a task of its own, as writes: if cancelled while connecting, the driver would leave a socket open.
        return await self._detached.run(self.connection.read(work))

    async def write(self, work: Work[T]) -> T:
        """Run a write, which must be repeatable; if it raises, nothing is written."""
        self._check_write()
        # Even if the caller is cancelled, it happens completely or not at all.
        return await self._detached.run(self._write(self._outside(work)))

    def _outside(self, work: Work[T]) -> Work[T]:
        """Return the work with a look at the fence before it."""
        connection = self.connection

        async def looked(session: ClientSession) -> T:
            if await has_ended(connection, session):
                await take_turn(connection, session)  # removes it
            return await work(session)

        return looked

    async def _write(self, work: Work[T]) -> T:
        async with self.turns.shared():
            result = await self.connection.transact(work)
        self.notify()
        return result

    async def lock(self) -> None:
        """Outside a transaction there is nothing to keep out."""

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        self._check_write()
        return await self._committer.append(batch, condition, committed)

    async def change_log(self, work: Work[T], *, fencing: bool = False) -> T:
        """Run a write that deletes or imports events, or sets a fence."""

        async def alone(session: ClientSession) -> T:
            await take_turn(self.connection, session, fencing=fencing)
            return await work(session)

        self._check_write()
        return await self._detached.run(self._write(alone))

    async def close(self) -> None:
        """Refuse new operations and finish the current ones."""
        self.closing = True
        await self._committer.close()
        await self._detached.join()
        async with self.turns.alone():  # waits for an open transaction
            pass
