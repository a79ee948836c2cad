"""Where a store's operations run: in transactions of their own, or inside one of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from goes_lite.contract.commits import Commits
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import StoreClosed, TransactionError
from goes_lite.kit.batch import Batch
from goes_lite.kit.committer import Committer
from goes_lite.kit.transaction import check_not_inside
from goes_lite.runtime.background import DetachedTasks
from goes_lite_mongo._append import Group, take_turn
from goes_lite_mongo._connection import Connection, Work
from goes_lite_mongo._driver import Session
from goes_lite_mongo._session import UserSession
from goes_lite_mongo._turns import Turns
from goes_lite_mongo._writer import GROUP_EVENTS, Writer

T = TypeVar("T")

RECHECK = 1.0
"""Seconds after which a follower looks again though nothing woke it."""


class Executor(Protocol):
    """Where operations run."""

    async def read(self, work: Work[T]) -> T: ...
    async def write(self, work: Work[T]) -> T:
        """An operation that raises has written nothing. It may be run several times."""
        ...

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended: ...
    async def delete(self, work: Work[T]) -> T:
        """A write that takes events away."""
        ...

    async def wait(self, seen: int) -> None:
        """Until something may have been committed since the count was `seen`."""
        ...

    @property
    def commits(self) -> int:
        """The count of commits, to be read before looking."""
        ...


class DirectExecutor:
    """Reads by themselves, small writes in transactions of their own, appends through the group committer."""

    def __init__(self, connection: Connection, group: Callable[[], Group], notify: Callable[[], None]) -> None:
        self.connection = connection
        self.closing = False
        self.watched: Commits | None = None
        self.notify = notify
        self.turns = Turns(connection.target.location, connection.target.lock_timeout)
        writer = Writer(connection, group, self.turns.shared)
        self._committer = Committer(connection.target.location, writer.write, connection.tries, notify, GROUP_EVENTS)
        self._detached = DetachedTasks()

    def check_usable(self) -> None:
        self.connection.check_usable()
        if self.closing:
            raise StoreClosed(self.connection.target.location)

    async def read(self, work: Work[T]) -> T:
        self.connection.check_loop()
        self.check_usable()
        # A task of its own, as for writes: the driver, cancelled while it connects, would leave a socket open.
        return await self._detached.run(self.connection.read(work))

    async def write(self, work: Work[T]) -> T:
        self.check_usable()
        self.connection.check_loop()
        check_not_inside(self)
        # Whoever waits for it may be cancelled, and it is done wholly or not at all.
        return await self._detached.run(self._write(work))

    async def _write(self, work: Work[T]) -> T:
        async with self.turns.shared():
            result = await self.connection.transact(work)
        self.notify()
        return result

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        self.check_usable()
        self.connection.check_loop()
        check_not_inside(self)
        return await self._committer.append(batch, condition, committed)

    async def delete(self, work: Work[T]) -> T:
        async def alone(session: Session) -> T:
            await take_turn(self.connection.collections, session)
            return await work(session)

        return await self.write(alone)

    @property
    def commits(self) -> int:
        return 0 if self.watched is None else self.watched.count

    async def wait(self, seen: int) -> None:
        if self.watched is not None:
            await self.watched.wait(seen, RECHECK)

    async def close(self) -> None:
        """Take nothing new, and finish what there is."""
        self.closing = True
        await self._committer.close()
        await self._detached.join()
        async with self.turns.alone():  # a transaction that somebody is inside of
            pass


class SessionExecutor:
    """Everything inside one transaction: reads see what it wrote."""

    def __init__(self, session: UserSession, group: Callable[[], Group]) -> None:
        self._session = session
        self._group = group

    async def read(self, work: Work[T]) -> T:
        return await self._session.run(work)

    async def write(self, work: Work[T]) -> T:
        return await self._session.run(work)

    async def append(
        self, batch: Batch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        async def work(session: Session) -> Appended:
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

    async def delete(self, work: Work[T]) -> T:
        return await self._session.run(work)

    @property
    def commits(self) -> int:
        return 0

    async def wait(self, seen: int) -> None:
        raise TransactionError(
            "follow() waits for commits, which a transaction keeps from happening: follow outside it"
        )
