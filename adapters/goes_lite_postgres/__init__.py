"""The PostgreSQL backend: the same promises on a server. It needs asyncpg: pip install 'goes-lite[postgres]'.

    postgresql://user@host/database                     the tables are in the schema goes_lite
    postgresql://user@host/database?schema=orders       another schema is another store

Options, in the URL's query or as keywords of `connect`
    schema            the schema of the tables; created if it does not exist.
    pool_size         the maximum number of connections: one commits, one listens, half of the others read.
    lock_timeout      seconds to wait for other writers and transactions before StoreLocked; 30 by default.
    connect_timeout   seconds that opening a connection, and opening the handle, may take; 10. Creating or migrating the
                      tables may take longer, up to 5 times the lock_timeout.
    retry_timeout     seconds that an operation is retried while the server is away; 30.
    command_timeout   seconds without a response after which the server is considered gone; 60.
    durability        'full' (default): acknowledged events are on the server's disk, whatever the server's settings.
                      'normal': the server acknowledges earlier; if it crashes, the last moments may be lost.
    application_name  the name of the connections on the server; goes_lite.
    pooler            'true' with a transaction pooler such as PgBouncer in between: no prepared statements, no LISTEN.
    listen            'false': poll for commits of others every 50 ms instead of using LISTEN.
    jsonb             'true': the table of events gets an indexed column `document`, with their JSON as jsonb.
    read_only         'true': nothing is changed or created; a store that does not exist is StoreUnavailable.

All other parameters of the query (sslmode, host, target_session_attrs, …) are passed to the driver.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from goes_lite.contract.backend import (
    DENSE_POSITIONS,
    PERSISTENT,
    PROCESSES,
    SQL,
    TRANSACTIONS,
    Backend,
    Durability,
    Transaction,
    Unknown,
    View,
)
from goes_lite.contract.commits import Commits, Published, SignalCommits
from goes_lite.contract.event_bus import REPLAY, EventBus
from goes_lite.contract.fence import Fence, check_fence, check_move
from goes_lite.contract.findings import Finding
from goes_lite.errors import GoesError
from goes_lite.events.registry import Registry
from goes_lite.kit.bus import InProcessBus
from goes_lite.kit.committer import Committer
from goes_lite.kit.events import LogEvents
from goes_lite.kit.transaction import TransactionBlock, check_not_inside
from goes_lite.kit.view import StoresView, ViewBlock
from goes_lite.runtime import Runtime, Signal
from goes_lite_postgres import _examine, _fence, _integrity, _schema
from goes_lite_postgres._append import AppendSql, Group
from goes_lite_postgres._checkpoints import CheckpointSql, PostgresCheckpoints, PostgresLeases
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, conflict, lost, translate
from goes_lite_postgres._events import EventSql, PostgresEventRows, dialect_of
from goes_lite_postgres._executor import DirectExecutor
from goes_lite_postgres._models import ModelSql, PostgresModels
from goes_lite_postgres._names import Names
from goes_lite_postgres._options import OPTIONS, SCHEMA, ServerAddress, address_of, quoted, with_schema
from goes_lite_postgres._rows import RowReader
from goes_lite_postgres._session import AnyExecutor, PostgresSession, PostgresTransaction, SessionExecutor
from goes_lite_postgres._snapshots import PostgresSnapshots, SnapshotSql
from goes_lite_postgres._statements import statements
from goes_lite_postgres._user_sql import select
from goes_lite_postgres._view import PostgresMoment
from goes_lite_postgres._wakeup import Announcer, Watcher
from goes_lite_postgres._writer import GROUP_EVENTS, Retries, Writer

__all__ = ["PostgresBackend", "PostgresTransaction"]


class PostgresBackend(Backend):
    """One handle on a store in a PostgreSQL database. Open it with `goes_lite.connect`."""

    options = OPTIONS
    abilities = frozenset({PERSISTENT, PROCESSES, DENSE_POSITIONS, REPLAY, TRANSACTIONS, SQL})

    def __init__(
        self,
        address: ServerAddress,
        pool: Pool,
        opened: _Opened,
        runtime: Runtime,
        registry: Registry,
        unknown: Unknown,
    ) -> None:
        self.location = address.location
        self.registry = registry
        self.runtime = runtime
        self.identity = opened.identity
        self.driver = f"asyncpg (PostgreSQL {opened.server})"
        self.durability: Durability = opened.durability
        if address.read_only:
            self.abilities -= {TRANSACTIONS, SQL}
        self._closed = False
        self._address = address
        self._pool = pool
        self._sql = (
            AppendSql(address),
            EventSql(address),
            SnapshotSql(address),
            ModelSql(address),
            CheckpointSql(address),
        )
        self._dialect = dialect_of(address)
        self._reader = RowReader(registry, unknown, address.location)
        self._as_stored = self._reader.as_stored()
        self._names = Names(address)
        self._signal = Signal()
        self._watcher = Watcher(pool, self._signal)
        self._announcer = Announcer(pool)
        sql = statements(address, raise_durability=opened.raise_durability)
        writer = self._writer = Writer(pool, sql, lambda: self._group(self._names))
        committer = Committer(pool.address.location, writer.write, lambda: Retries(pool), self._committed, GROUP_EVENTS)
        executor = self.executor = DirectExecutor(pool, sql, writer, committer, self._committed)
        self.commits: Commits = SignalCommits(self._signal, runtime, executor.check_usable, self._watcher.watching)
        executor.handle = self
        events, self.snapshots, self.models, self.checkpoints = self._stores(executor, self._names, self.commits, None)
        self.events = events
        self.leases = PostgresLeases(executor, self._sql[-1], runtime.clock)
        self._bus = InProcessBus(runtime, events, head=opened.head)
        self.bus: EventBus = self._bus
        events.published = self._bus.committed

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> PostgresBackend:
        """Open the store that a URL names; the options are those in the module's docstring."""
        address = address_of(location, options)
        pool = Pool(address)
        try:
            return cls(address, pool, await _Opened.of(pool), runtime, registry, unknown)
        except BaseException:
            pool.terminate()
            raise

    @staticmethod
    def ddl(schema: str = SCHEMA) -> Iterator[str]:
        """Return the statements that create the tables of a store, for roles without the right to create them."""
        return _schema.ddl(schema)

    @staticmethod
    def scratch(location: str, name: str) -> str:
        """Return the URL of another store, for tests: another schema of the same database."""
        return with_schema(location, name)

    @staticmethod
    async def erase(location: str, **options: Any) -> None:
        """Drop the schema of a store, if it exists, with everything in it; in the schema public, only the store's tables.

        Raise ForeignFile if it is not a store's; StoreLocked if a transaction is open in it.
        """
        address = address_of(location, options)
        pool = Pool(address)
        try:
            connection = await pool.connect(pool.opening())
            try:
                await _schema.erase(connection, address)
            finally:
                await pool.drop(connection)
        except GoesError:
            raise
        except DRIVER_ERRORS as exc:
            raise translate(exc, address.location, waited=address.lock_timeout) from exc

    def __repr__(self) -> str:
        return f"<PostgresBackend {self.location}: {'closed' if self._closed else self.durability}, {self.driver}>"

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Return a transaction; `tx.connection` is the driver's connection."""
        return TransactionBlock(lambda: PostgresSession(self.executor), self._inside)

    def _inside(self, session: PostgresSession) -> PostgresTransaction:
        names = self._names.inside()
        executor = SessionExecutor(session, lambda: self._group(names))
        return PostgresTransaction(self.runtime, session, self._stores(executor, names, None, self._bus.committed))

    def view(self) -> AbstractAsyncContextManager[View]:
        return ViewBlock(lambda: PostgresMoment(self._pool), self._seen)

    def _seen(self, moment: PostgresMoment) -> View:
        stores = self._stores(moment, self._names.inside(), None, None, self._as_stored)
        return StoresView(self.runtime, self.identity, stores)

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        path = f"SET LOCAL search_path = {quoted(self._address.schema)}, public"
        return await self.executor.select(lambda connection: select(connection, self._pool, path, sql, parameters))

    async def sizes(self) -> dict[str, int]:
        return await self.executor.read(lambda connection: _schema.sizes(connection, self._address))

    async def fence(self) -> Fence | None:
        return await self.executor.read(lambda connection: _fence.find(connection, self._address))

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        """Fence the store; the first time, a role that may create tables in the schema, and owns those of the store, has to."""
        change = fence, expected, check_fence(fence, expected, lasts)
        await self.executor.change_log(lambda connection: _fence.put_changed(connection, self._address, change))

    def pass_fence(self, move: str) -> None:
        check_move(move)
        self.executor.pass_fence(_fence.passing(move))

    async def integrity(self) -> list[Finding]:
        moment = PostgresMoment(self._pool)
        try:
            await moment.open()
            return await moment.read(lambda connection: _integrity.integrity(connection, self._address))
        finally:
            await moment.close()

    async def examine(self) -> list[Finding]:
        facts = await self.executor.read(_examine.look)
        return [*_examine.findings(facts, self._address, self.runtime.clock.now())]

    def _committed(self) -> None:
        self._signal.notify()
        self._announcer.announce()

    def _group(self, names: Names) -> Group:
        return Group(self._sql[0], self._dialect, self._reader, names)

    def _stores(
        self,
        executor: AnyExecutor,
        names: Names,
        commits: Commits | None,
        published: Published | None,
        reader: RowReader | None = None,
    ) -> tuple[LogEvents, PostgresSnapshots, PostgresModels, PostgresCheckpoints]:
        """Return the stores of the handle, or of a transaction or view, which have no `commits`."""
        _, events, snapshots, models, checkpoints = self._sql
        reader = reader or self._reader
        rows = PostgresEventRows(executor, events, self._dialect, reader, self._as_stored, names)
        return (
            LogEvents(rows, executor, reader, commits, published),
            PostgresSnapshots(executor, snapshots),
            PostgresModels(executor, models),
            PostgresCheckpoints(executor, checkpoints, self.runtime.clock),
        )

    async def close(self) -> None:
        if self._closed:
            return
        check_not_inside(self.executor)
        self._closed = True
        try:
            await self.executor.close()
            await self._bus.close()
            self._signal.notify()  # followers wake up and find the store closed
            await self._watcher.close()
            await self._announcer.close()
            await self._pool.close()
        finally:  # a cancelled close still closes
            self._pool.terminate()
            await self.runtime.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not sys.is_finalizing():
            message = f"{self!r} was not closed: use it in a with block, or close it"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)


class _Opened:
    """What opening a handle reads from the server."""

    def __init__(self, identity: str, head: int, server: str, settings: dict[str, str]) -> None:
        self.identity = identity
        self.head = head
        self.server = server
        self.raise_durability = settings["synchronous_commit"] == "off"
        self.durability: Durability = "os-crash"
        if settings["fsync"] == "off" or settings["durability"] == "normal":
            self.durability = "process-crash"
        elif settings["synchronous_standby_names"] and settings["synchronous_commit"] not in ("off", "local"):
            self.durability = "replicated"

    @classmethod
    async def of(cls, pool: Pool) -> _Opened:
        """Connect, create the tables if necessary, and read the settings; StoreUnavailable after `connect_timeout`."""
        limit = asyncio.timeout(pool.address.connect_timeout)
        try:
            async with limit:
                return await cls._retried(pool, limit)
        except GoesError:  # one about a lock is a TimeoutError, too
            raise
        except TimeoutError as exc:
            raise pool.not_opened() from exc

    @classmethod
    async def _retried(cls, pool: Pool, limit: asyncio.Timeout) -> _Opened:
        patience = pool.opening()
        while True:
            connection = await pool.connect(patience)
            try:
                opened = await cls._look(pool, connection, limit)
            except GoesError:
                await pool.drop(connection)
                raise
            except DRIVER_ERRORS as exc:
                connection.terminate()
                if not ((lost(exc, connection) or conflict(exc)) and await patience.again()):
                    raise pool.translated(exc, reading=True) from exc
            except BaseException:
                connection.terminate()  # it may never answer
                raise
            else:
                pool.give_back(connection)
                return opened

    @classmethod
    async def _look(cls, pool: Pool, connection: Connection, limit: asyncio.Timeout) -> _Opened:
        address = pool.address
        if address.read_only:
            await _schema.require(connection, address)
        else:
            await _schema.migrate(connection, address, limit)
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name IN "
            "('fsync', 'synchronous_commit', 'synchronous_standby_names', 'server_version')"
        )
        settings: dict[str, str] = {row[0]: row[1] for row in rows}
        server = settings["server_version"].split()[0]
        head: int = await connection.fetchval(AppendSql(address).head)
        return cls(
            await _schema.identity(connection, address), head, server, {**settings, "durability": address.durability}
        )
