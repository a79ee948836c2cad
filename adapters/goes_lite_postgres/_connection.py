"""The connection pool of one handle: connections open on demand, serve one operation at a time, and are replaced when broken.

The driver's own pool does not fit. It resets a connection after each use, a round trip that is not needed, since no
operation leaves state in its session. And it does not reserve connections for reads, which let code inside a transaction
always read, however many transactions wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import asyncpg

from goes_lite.errors import GoesError, StoreClosed, StoreDamaged, StoreError, StoreForked
from goes_lite.kit.patience import Patience
from goes_lite_postgres._driver import (
    DRIVER_ERRORS,
    MISSING,
    Connection,
    code,
    conflict,
    detail,
    lost,
    translate,
    worth_waiting,
)
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._schema import repair

T = TypeVar("T")

PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two attempts while the server is away, growing from the first to the second."""


class Pool:
    """Lends connections: some for reads, some for writes, and one for the group committer."""

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._failure: Exception | None = None
        """The last error of connecting."""
        reads = (address.pool_size - 2) // 2
        writes = address.pool_size - 2 - reads
        self._reads, self._writes, self._commits = (
            asyncio.Semaphore(reads),
            asyncio.Semaphore(writes),
            asyncio.Semaphore(1),
        )
        self._permits = (self._reads, reads), (self._writes, writes), (self._commits, 1)

    def __repr__(self) -> str:
        return f"<Pool {self.address.location}: {len(self._open)} open, {len(self._idle)} idle>"

    @property
    def pids(self) -> set[int]:
        """The server processes of our connections, which identify our own notifications."""
        return {connection.get_server_pid() for connection in self._open if not connection.is_closed()}

    def check_usable(self) -> None:
        if os.getpid() != self._process:
            raise StoreForked(self.address.location)
        if self.closed:
            raise StoreClosed(self.address.location)

    def check_loop(self) -> None:
        self.check_usable()
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError(
                self.address.location,
                "a handle belongs to the event loop that opened it, and this is another one: connect in each, or use "
                "goes_lite.blocking, which may be used from any thread",
            )

    # --- lending --------------------------------------------------------------------------------------------------------

    def reading(self) -> Lent:
        """Return a connection for an operation that waits for no locks."""
        return Lent(self, self._reads)

    def writing(self) -> Lent:
        """Return a connection for an operation that may wait for locks."""
        return Lent(self, self._writes)

    def committing(self) -> Lent:
        """Return the connection of the group committer."""
        return Lent(self, self._commits)

    async def connection(self) -> Connection:
        """Return an idle connection or open a new one, which may raise the driver's errors."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._open.discard(connection)
        return await self.open()

    async def open(self) -> Connection:
        """Open a new connection, which `drop` closes."""
        address = self.address
        end = self._loop.time() + address.connect_timeout
        connection: Connection = await asyncpg.connect(
            address.dsn,
            timeout=address.connect_timeout,
            command_timeout=None,
            # with a transaction pooler, the next statement may run in another server process
            statement_cache_size=0 if address.pooler else 200,
            max_cached_statement_lifetime=0,
            server_settings={"application_name": address.application_name},
        )
        self._open.add(connection)
        if not address.pooler:  # there, it would change the connections of others
            await _set_up(connection, max(0.01, end - self._loop.time()))
        if self.closed:
            await self.drop(connection)
            raise StoreClosed(address.location)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Return a connection to the pool, unless it is closed or still in a transaction."""
        if connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            self._open.discard(connection)
        else:
            self._idle.append(connection)

    async def drop(self, connection: Connection) -> None:
        """Close a connection."""
        self._open.discard(connection)
        with suppress(*DRIVER_ERRORS):
            await connection.close(timeout=2)

    async def close(self) -> None:
        """Wait until all connections are returned, and close them."""
        self.closed = True
        for turns, permits in self._permits:
            for _ in range(permits):
                await turns.acquire()
        for turns, permits in self._permits:
            for _ in range(permits):
                turns.release()  # so that later callers get StoreClosed instead of waiting
        while self._idle:
            await self.drop(self._idle.pop())

    def terminate(self) -> None:
        """Drop every connection immediately, without telling the server."""
        self.closed = True
        for connection in self._open:
            connection.terminate()
        self._open.clear()
        self._idle.clear()

    # --- running ----------------------------------------------------------------------------------------------------------

    async def connect(self, patience: Patience) -> Connection:
        """Return a connection, retrying while the server is away; raise the translated error if it stays away."""
        while True:
            self.check_usable()
            try:
                return await self.connection()
            except DRIVER_ERRORS as exc:
                self._failure = exc
                if not (worth_waiting(exc) and await patience.again()):
                    raise translate(exc, self.address.location, reading=True) from exc

    def not_opened(self) -> GoesError:
        """Return the error for a handle that could not be opened in time: that of the last attempt to connect."""
        return translate(self._failure or TimeoutError(), self.address.location, reading=True)

    def bounded(self) -> asyncio.Timeout:
        """Return the timeout after which a server is considered gone by an operation that may wait for locks."""
        return asyncio.timeout(self.address.lock_timeout + self.address.command_timeout)

    async def read(self, work: Callable[[Connection], Awaitable[T]], *, bounded: bool = True) -> T:
        """Run a read, again if the connection broke or, with `bounded`, hangs."""
        self.check_loop()
        patience: Patience | None = None
        while True:
            async with self.reading() as connection:
                try:
                    async with asyncio.timeout(self.address.command_timeout if bounded else None):
                        return await work(connection)
                except GoesError:
                    raise
                except DRIVER_ERRORS as exc:
                    error: Exception = exc
                    again = lost(exc, connection) or conflict(exc)
                    if again:
                        connection.terminate()
            patience = patience or self.patience()
            if not again or self.closed or not await patience.again():
                self.check_usable()
                raise self.translated(error, reading=True) from error

    def opening(self) -> Patience:
        """Return how long to retry opening a handle."""
        return Patience(self.address.connect_timeout, PAUSE, LONGEST_PAUSE)

    def patience(self) -> Patience:
        """Return how long to retry an operation."""
        return Patience(self.address.retry_timeout, PAUSE, LONGEST_PAUSE)

    def translated(self, error: Exception, *, reading: bool = False) -> GoesError:
        """Return the error of goes_lite for one of the driver, in an operation that only reads or another one."""
        address = self.address
        if code(error) in MISSING and (way_out := repair(address, detail(error))):
            return StoreDamaged(address.location, detail(error), way_out)
        return translate(error, address.location, waited=address.lock_timeout, reading=reading)


async def _set_up(connection: Connection, seconds: float) -> None:
    """Turn off the compilation of queries, which takes longer than any of ours runs."""
    try:
        # not as a parameter of the connection, which poolers refuse
        await connection.execute("SET jit = off", timeout=seconds)
    except BaseException:
        connection.terminate()
        raise


class Lent:
    """A connection for the duration of a block."""

    __slots__ = ("_connection", "_pool", "_turns")

    def __init__(self, pool: Pool, turns: asyncio.Semaphore) -> None:
        self._pool = pool
        self._turns = turns
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        self._pool.check_loop()
        await self._turns.acquire()
        try:
            self._connection = await self._pool.connect(self._pool.patience())
        except BaseException:
            self._turns.release()
            raise
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        connection, self._connection = self._connection, None
        self._turns.release()
        if connection is not None:
            self._pool.give_back(connection)
