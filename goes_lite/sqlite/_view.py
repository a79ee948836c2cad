"""Views: a reading connection of its own, in one transaction that only reads, for one block of code.

In WAL mode such a transaction blocks nobody. While it is open, the -wal cannot be reset, so it grows by what is written
meanwhile. A store in memory has no second connection: its view is a copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import StoreUnavailable
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.transaction import check_not_inside
from goes_lite.kit.view import refuse_write
from goes_lite.runtime import Runtime
from goes_lite.sqlite._connection import Readers, open_reader
from goes_lite.sqlite._driver import Connection, translate
from goes_lite.sqlite._writer import Writer

T = TypeVar("T")


class SQLiteMoment:
    """The connection of one view; also the executor of its stores."""

    def __init__(self, runtime: Runtime, readers: Readers, writer: Writer | None) -> None:
        self._runtime = runtime
        self._readers = readers
        self._writer = writer
        self._connection: Connection | None = None
        self._closed = False
        self._one = threading.Lock()  # a connection serves one operation at a time

    async def open(self) -> None:
        self._readers.check_usable()
        if self._readers.address.memory and self._writer is not None:
            check_not_inside(self._writer)  # the copy would wait for the end of that transaction
        await self._runtime.call(self._open)

    def _open(self) -> None:
        address = self._readers.address
        if self._writer is not None and address.memory:
            connection = address.driver.open(":memory:", read_only=False)
            self._writer.read(lambda source: address.driver.copy(source, connection))
        else:
            connection = open_reader(address)
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT value FROM store LIMIT 1").fetchall()  # the moment is that of the first read
        except address.driver.error as exc:
            connection.close()
            raise translate(exc, address.driver.code(exc), address.location, waited=address.lock_timeout) from exc
        with self._one:
            if self._closed:  # cancelled meanwhile
                connection.close()
            else:
                self._connection = connection

    async def close(self) -> None:
        self._closed = True
        await self._runtime.call(self._close)

    def _close(self) -> None:
        with self._one:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    async def read(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        return await self._runtime.call(lambda: self._run(work))

    def _run(self, work: Callable[[Connection], T]) -> T:
        address = self._readers.address
        with self._one:
            self._readers.check_usable()
            if self._connection is None:
                raise StoreUnavailable(address.location, "its view has ended: begin another")
            try:
                found = work(self._connection)
            except address.driver.error as exc:
                address.files.check()  # if they are lost, that is the reason
                raise translate(exc, address.driver.code(exc), address.location, waited=address.lock_timeout) from exc
            self._readers.check_usable()  # a file that is read without locks may have changed
            return found

    async def write(self, work: Callable[[Connection], T], *, atomic: bool = False, brief: bool = True) -> T:
        refuse_write(self._readers.address.location)

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        refuse_write(self._readers.address.location)

    async def lock(self) -> None:
        refuse_write(self._readers.address.location)
