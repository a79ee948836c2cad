"""Where a store's operations run: on the backend's own connections, or inside one user transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from goes_lite.contract.commits import Commits
from goes_lite.errors import StoreClosed, TransactionError
from goes_lite.kit.transaction import current_session
from goes_lite.runtime import Runtime
from goes_lite.sqlite._connection import Readers
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._session import Session
from goes_lite.sqlite._writer import Writer

T = TypeVar("T")

RECHECK = 1.0
"""Seconds after which a follower looks again though nothing woke it."""


class DirectExecutor:
    """Reads on pooled connections, writes through the group committer."""

    def __init__(self, runtime: Runtime, writer: Writer | None, readers: Readers, commits: Commits) -> None:
        self._runtime = runtime
        self._writer = writer
        self._readers = readers
        self._commits = commits
        self._memory = readers.target.memory

    async def read(self, work: Callable[[Connection], T]) -> T:
        self._readers.check_usable()  # before the runtime starts a thread for it
        if self._memory:
            return await self._read_memory(work)
        if self._runtime.inline:
            return self._readers.run(work)
        return await self._runtime.call(lambda: self._readers.run(work))

    async def _read_memory(self, work: Callable[[Connection], T]) -> T:
        # One connection is all there is. Inside a transaction of this very store the only way to read is through it
        # (waiting for its end would be for ever); everybody else waits, and sees committed data only.
        writer = self._writer
        if writer is None:
            raise StoreClosed(self._readers.target.location)
        session = current_session.get()
        while session is not None:
            if isinstance(session, Session) and session.writer is writer and session.active:
                return await session.run(work)
            session = session.outer
        if self._runtime.inline:
            return writer.read(work)
        return await self._runtime.call(lambda: writer.read(work))

    def write(self, work: Callable[[Connection], T], committed: Callable[[T], None] | None = None) -> Awaitable[T]:
        writer = self._writer
        if writer is None:
            self._readers.refuse_write()
        return writer.run(work, committed)

    @property
    def commits(self) -> int:
        return self._commits.count

    async def wait(self, seen: int) -> None:
        await self._commits.wait(seen, RECHECK)


class SessionExecutor:
    """Everything inside one transaction: reads see what it wrote."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._session.run(work)

    async def write(self, work: Callable[[Connection], T], committed: Callable[[T], None] | None = None) -> T:
        return await self._session.run(work, committed)

    @property
    def commits(self) -> int:
        return 0

    async def wait(self, seen: int) -> None:
        raise TransactionError(
            "follow() waits for commits, which a transaction keeps from happening: follow outside it"
        )
