"""Run the operations of a handle: reads on pooled connections, writes through the group committer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import StoreClosed
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.transaction import current_session
from goes_lite.runtime import Runtime
from goes_lite.sqlite._append import MakeAppend, is_small
from goes_lite.sqlite._connection import Missed, Readers
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._session import SessionExecutor, SQLiteSession
from goes_lite.sqlite._view import SQLiteMoment
from goes_lite.sqlite._writer import Writer

T = TypeVar("T")


def _timed(work: Callable[[Connection], T], clock: Callable[[], float], connection: Connection) -> tuple[T, float]:
    began = clock()
    return work(connection), clock() - began


async def _let_others_run() -> None:
    import asyncio  # a blocking program does not pay for it

    await asyncio.sleep(0)


class DirectExecutor:
    """Runs operations outside transactions."""

    def __init__(self, runtime: Runtime, writer: Writer | None, readers: Readers, append: MakeAppend) -> None:
        self._runtime = runtime
        self._writer = writer
        self._readers = readers
        self._append = append
        self.handle: object = None
        """Kept from being garbage-collected, and so closed, while one of its stores is in use."""
        self._memory = readers.address.memory

    async def read(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """Run a read. A brief one, of at most a page of rows, may run on the thread of the event loop."""
        readers = self._readers
        if self._runtime.inline and not self._memory:
            return readers.run(work)
        readers.check_usable()  # before the runtime starts a thread
        if self._memory:
            return await self._read_memory(work)
        if not brief:
            return await self._runtime.call(lambda: readers.run(work))
        policy = readers.policy
        if policy.admits:
            if policy.tired:
                await _let_others_run()
            found = readers.attempt(work)
            if not isinstance(found, Missed):
                return found
        result, seconds = await self._runtime.call(lambda: readers.run(partial(_timed, work, policy.clock)))
        policy.ran_in_thread(seconds)
        return result

    async def _read_memory(self, work: Callable[[Connection], T]) -> T:
        # There is only one connection. Code inside a transaction of this store must read through it, since it would wait
        # for its own end; all others wait and see committed data only.
        writer = self._writer
        if writer is None:
            raise StoreClosed(self._readers.address.location)
        session = current_session.get()
        while session is not None:
            if isinstance(session, SQLiteSession) and session.writer is writer and session.active:
                return await session.run(work, savepoint=False)
            session = session.outer
        if self._runtime.inline:
            return writer.read(work)
        return await self._runtime.call(lambda: writer.read(work))

    def write(self, work: Callable[[Connection], T], *, atomic: bool = False, brief: bool = True) -> Awaitable[T]:
        """Run a write in a transaction, which is rolled back if the write raises, `atomic` or not.

        An atomic one is committed on the thread of the event loop, if it is not said that it may take long.
        """
        if self._writer is None:
            self._readers.refuse_write()
        return self._writer.run(work, brief=atomic and brief)

    async def lock(self) -> None:
        """Outside a transaction there is nothing to keep out."""

    def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Awaitable[Appended]:
        if self._writer is None:
            self._readers.refuse_write()
        brief = condition is None and not self._runtime.inline and is_small(batch)
        return self._writer.run(self._append(batch, condition).run, committed, brief=brief)


AnyExecutor: TypeAlias = DirectExecutor | SessionExecutor | SQLiteMoment
