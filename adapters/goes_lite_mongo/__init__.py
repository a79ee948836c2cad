"""The MongoDB backend: the same promises on documents. It needs pymongo: pip install 'goes-lite[mongo]'.

    mongodb://host/database                       the collections are store, events, aggregates, … of that database
    mongodb://host/database?prefix=orders_        they are orders_store, orders_events, …: another store
    mongodb+srv://cluster.example.com/database    the driver resolves the servers

Options, in the URL's query or as keywords of `connect`
    database          overrides the one in the URL; goes_lite by default.
    prefix            the prefix of the names of the collections.
    lock_timeout      seconds to wait for other transactions before StoreLocked; 30 by default.
    connect_timeout   seconds that opening the handle may take; 10. Creating collections and indexes may take longer, up to 5
                      times the lock_timeout.
    retry_timeout     seconds that an operation is retried while there is no primary; 30.
    read_only         'true': nothing is changed or created; a store that does not exist is StoreUnavailable.

All other parameters of the query (replicaSet, tls, authSource, …) are passed to the driver. The server must be a replica
set, of at least one member, of MongoDB 5.0 or newer.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from goes_lite.errors import DriverMissing

try:
    import pymongo.asynchronous as _pymongo
except ModuleNotFoundError as _exc:
    raise DriverMissing("mongodb", "pymongo 4.13 or newer", "mongo") from _exc

from goes_lite.contract.backend import (
    DENSE_POSITIONS,
    PERSISTENT,
    PROCESSES,
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
from goes_lite.kit.events import LogEvents
from goes_lite.kit.fencing import standing
from goes_lite.kit.transaction import TransactionBlock, check_not_inside
from goes_lite.kit.view import StoresView, ViewBlock
from goes_lite.runtime import Runtime, Signal
from goes_lite.runtime.background import uninterrupted
from goes_lite_mongo import _examine, _fence, _integrity, _schema
from goes_lite_mongo._append import Group
from goes_lite_mongo._checkpoints import MongoCheckpoints, MongoLeases
from goes_lite_mongo._connection import Connection
from goes_lite_mongo._driver import DRIVER_ERRORS, Document
from goes_lite_mongo._events import MongoEventRows
from goes_lite_mongo._executor import DirectExecutor
from goes_lite_mongo._models import MongoModels
from goes_lite_mongo._options import OPTIONS, address_of, with_prefix
from goes_lite_mongo._rows import RowReader
from goes_lite_mongo._session import AnyExecutor, MongoSession, MongoTransaction, SessionExecutor
from goes_lite_mongo._snapshots import MongoSnapshots
from goes_lite_mongo._turns import locked
from goes_lite_mongo._view import MongoMoment
from goes_lite_mongo._wakeup import Watcher

_ = _pymongo

__all__ = ["MongoBackend", "MongoTransaction"]


class MongoBackend(Backend):
    """One handle on a store in a MongoDB database. Open it with `goes_lite.connect`."""

    options = OPTIONS
    abilities = frozenset({PERSISTENT, PROCESSES, DENSE_POSITIONS, REPLAY, TRANSACTIONS})

    def __init__(
        self, connection: Connection, stored: Document, runtime: Runtime, registry: Registry, unknown: Unknown
    ) -> None:
        self.location = connection.address.location
        self.registry = registry
        self.runtime = runtime
        self.driver = f"pymongo (MongoDB {connection.server})"
        self.identity: str = stored["identity"]
        self.durability: Durability = "replicated" if connection.members > 1 else "os-crash"
        if connection.address.read_only:
            self.abilities -= {TRANSACTIONS}
        self._closed = False
        self._connection = connection
        self._found = connection.collections
        self._reader = RowReader(registry, unknown, self.location)
        self._as_stored = self._reader.as_stored()
        self._signal = Signal()
        self._watcher = Watcher(connection, self._signal)
        executor = self.executor = DirectExecutor(connection, self._group, self._signal.notify)
        self.commits: Commits = SignalCommits(self._signal, runtime, executor.check_usable, self._watcher.watching)
        executor.handle = self
        events, self.snapshots, self.models, self.checkpoints = self._stores(executor, self.commits, None)
        self.events = events
        self.leases = MongoLeases(executor, self._found, runtime.clock)
        self._bus = InProcessBus(runtime, events, head=int(stored["head"]))
        self.bus: EventBus = self._bus
        events.published = self._bus.committed

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> MongoBackend:
        """Open the store that a URL names; the options are those in the module's docstring."""
        connection: Connection | None = None
        try:
            connection = Connection(address_of(location, options))
            return cls(connection, await uninterrupted(connection.open()), runtime, registry, unknown)
        except BaseException:
            if connection is not None:
                await connection.close()
            raise

    @staticmethod
    def ddl(prefix: str = "") -> Iterator[str]:
        """Yield the mongosh commands that create a store, for users without the right to create collections."""
        for command in _schema.commands(prefix):
            yield f"db.runCommand({json.dumps(command)})"

    @staticmethod
    def scratch(location: str, name: str) -> str:
        """Return the URL of another store, for tests: another prefix in the same database."""
        return with_prefix(location, f"{name}_")

    @staticmethod
    async def erase(location: str, **options: Any) -> None:
        """Drop the collections of a store, if they exist; raise ForeignFile if they are not a store's."""
        connection = Connection(address_of(location, options))
        try:
            await _schema.erase(connection.database, connection.collections, connection.address)
        except GoesError:
            raise
        except DRIVER_ERRORS as exc:
            raise connection.translated(exc) from exc
        finally:
            await connection.close()

    def __repr__(self) -> str:
        return f"<MongoBackend {self.location}: {'closed' if self._closed else self.durability}, {self.driver}>"

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Return a transaction; `tx.session` is the driver's session, for documents of your own."""
        return TransactionBlock(lambda: MongoSession(self.executor), self._inside)

    def _inside(self, session: MongoSession) -> MongoTransaction:
        stores = self._stores(SessionExecutor(session, self._group), None, self._bus.committed)
        return MongoTransaction(self.runtime, session, stores)

    async def sizes(self) -> dict[str, int]:
        return await self.executor.read(lambda session: _schema.sizes(self._found, session))

    async def integrity(self) -> list[Finding]:
        moment = MongoMoment(self._connection)
        try:
            await moment.open()
            found = await moment.read(lambda session: _integrity.contents(self._found, session))
        finally:
            await moment.close()
        return [*await self.executor.read(lambda _: _integrity.structure(self._found)), *found]

    async def examine(self) -> list[Finding]:
        facts = await self.executor.read(lambda _: _examine.look(self._connection.client))
        return [*_examine.findings(facts, self.runtime.clock.now())]

    async def fence(self) -> Fence | None:
        return standing(*await self.executor.read(lambda session: _fence.read(self._found, session)))

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        change = fence, expected, check_fence(fence, expected, lasts)
        await self.executor.change_log(
            lambda session: _fence.put_changed(self._connection, session, change), fencing=True
        )
        if fence is not None and expected is None:
            await self._drain(fence)

    async def _drain(self, fence: Fence) -> None:
        """Wait for the writes that may not have seen the fence; if that fails, remove it."""
        patience = self._connection.address.lock_timeout
        try:
            await _fence.drain(self._found, patience)
        except DRIVER_ERRORS as exc:
            await self.set_fence(None, expected=fence.move)
            raise locked(self.location, patience) from exc

    def pass_fence(self, move: str) -> None:
        check_move(move)
        self._connection.passing = move

    def view(self) -> AbstractAsyncContextManager[View]:
        return ViewBlock(lambda: MongoMoment(self._connection), self._seen)

    def _seen(self, moment: MongoMoment) -> View:
        return StoresView(self.runtime, self.identity, self._stores(moment, None, None, self._as_stored))

    def _group(self) -> Group:
        return Group(self._found, self._reader)

    def _stores(
        self,
        executor: AnyExecutor,
        commits: Commits | None,
        published: Published | None,
        reader: RowReader | None = None,
    ) -> tuple[LogEvents, MongoSnapshots, MongoModels, MongoCheckpoints]:
        """Return the stores of the handle, or of a transaction or view, which have no `commits`."""
        reader = reader or self._reader
        rows = MongoEventRows(executor, self._found, reader, self._as_stored)
        return (
            LogEvents(rows, executor, reader, commits, published),
            MongoSnapshots(executor, self._found),
            MongoModels(executor, self._found),
            MongoCheckpoints(executor, self._found, self.runtime.clock),
        )

    async def close(self) -> None:
        if self._closed:
            return
        check_not_inside(self.executor)
        self._closed = True
        await uninterrupted(self._close())

    async def _close(self) -> None:
        try:
            await self.executor.close()
            await self._bus.close()
            self._connection.closed = True
            self._signal.notify()  # followers wake up and find the store closed
            await self._watcher.close()
        finally:  # a failed close still closes
            await self._connection.close()
            await self.runtime.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not sys.is_finalizing():
            message = f"{self!r} was not closed: use it in a with block, or close it"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)
