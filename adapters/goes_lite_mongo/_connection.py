"""The client of one handle, which runs reads and transactions, with retries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from pymongo import AsyncMongoClient, ReadPreference
from pymongo.driver_info import DriverInfo
from pymongo.read_concern import ReadConcern

from goes_lite.errors import (
    ConfigError,
    GoesError,
    StoreClosed,
    StoreError,
    StoreForked,
    StoreUnavailable,
)
from goes_lite.kit.patience import Patience
from goes_lite_mongo import _schema
from goes_lite_mongo._abandoned import NAME, end_abandoned
from goes_lite_mongo._diagnosis import reason
from goes_lite_mongo._driver import (
    DRIVER_ERRORS,
    ClientSession,
    Document,
    again,
    conflict,
    lost,
    translate,
    unknown_result,
)
from goes_lite_mongo._line import Line, Taken
from goes_lite_mongo._options import ServerAddress
from goes_lite_mongo._turns import locked

if TYPE_CHECKING:
    from bson.timestamp import Timestamp

T = TypeVar("T")
Work = Callable[[ClientSession], Awaitable[T]]

PAUSE, LONGEST_WAIT, LONGEST_PAUSE = 0.002, 0.05, 0.25
"""Seconds between two attempts, growing from the first to the second, or to the third while there is no primary."""
LOOK = 0.25
"""Seconds between two searches for abandoned transactions."""
SELECTION = 1.0
"""Seconds for which the driver looks for a primary before it raises and `Retries` decides."""
FAREWELL = 2.0
"""Seconds that closing may spend on ending sessions at a server, which otherwise ends them half an hour later."""
_WIRE_OF_5_0 = 13


class Retries:
    """Implements `goes_lite.kit.committer.Retries`, with separate limits for conflicts and for a missing primary."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._locked: Patience | None = None
        self._lost: Patience | None = None

    async def again(self, error: Exception, /) -> bool:
        connection, address = self._connection, self._connection.address
        if connection.closed:
            return False
        if lost(error):
            self._lost = self._lost or Patience(address.retry_timeout, PAUSE, LONGEST_PAUSE)
            return await self._lost.again()
        if not again(error):
            return False
        if isinstance(error, Taken):
            if connection.line.stuck:
                await connection.make_way()
            return await connection.line.refused()
        self._locked = self._locked or Patience(address.lock_timeout, PAUSE, LONGEST_WAIT)
        await connection.make_way()
        return await self._locked.again()

    def translated(self, error: Exception, /) -> Exception:
        if isinstance(error, GoesError) or not isinstance(error, DRIVER_ERRORS):
            return error
        if conflict(error) and not lost(error):
            return locked(self._connection.address.location, self._connection.address.lock_timeout)
        return self._connection.translated(error)


class Connection:
    """The connection of one handle to the servers."""

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._seen: Timestamp | None = None
        """The time of our last commit, which our reads see even if another server has become primary."""
        self.server = ""
        """The server's version, once connected."""
        self.members = 0
        """How many members hold the data, once connected."""
        self.passing: str | None = None
        """The move whose fence the writes of this handle pass."""
        self._looked = float("-inf")
        self.own: set[bytes] = set()
        """The ids of our transactions' sessions."""
        try:
            self.client: AsyncMongoClient[Document] = AsyncMongoClient(
                address.url,
                serverSelectionTimeoutMS=round(min(SELECTION, address.connect_timeout) * 1000),
                tz_aware=True,
                driver=DriverInfo(NAME),
            )
        except (*DRIVER_ERRORS, ValueError) as exc:  # ValueError: a port that is not a number
            raise ConfigError(f"mongodb: {address.location}: {exc}") from None
        self.database = self.client[address.database]
        self.collections = _schema.collections(self.database, address)
        self.line = Line(self.collections.store, address.lock_timeout)

    def __repr__(self) -> str:
        return f"<Connection {self.address.location}{': closed' if self.closed else ''}>"

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

    def retries(self) -> Retries:
        return Retries(self)

    async def make_way(self) -> None:
        """End conflicting transactions whose programs are dead."""
        now = self._loop.time()
        if now - self._looked > LOOK:
            self._looked = now
            await end_abandoned(self.client)

    def translated(self, error: Exception) -> GoesError:
        return translate(error, self.address.location)

    async def open(self) -> Document:
        """Find a primary, create the collections if necessary, and return the document that identifies the store.

        StoreUnavailable if there is none within `connect_timeout`, or if it stops answering meanwhile.
        """
        patience = Patience(self.address.connect_timeout, PAUSE, LONGEST_PAUSE)
        end = self._loop.time() + self.address.connect_timeout
        while True:
            try:
                # the last attempt may take as long as the driver looks for a primary, and then says why there is none
                async with asyncio.timeout_at(max(end, self._loop.time() + 2 * SELECTION)) as limit:
                    return await self._identified(limit)
            except GoesError:
                raise
            except TimeoutError as exc:
                raise StoreUnavailable(
                    self.address.location, "the server accepts connections, but does not answer"
                ) from exc
            except DRIVER_ERRORS as exc:
                if again(exc) and await patience.again():
                    continue
                if lost(exc) and (found := await reason(self.address, exc)):
                    raise StoreUnavailable(self.address.location, found) from exc
                raise self.translated(exc) from exc

    async def _identified(self, limit: asyncio.Timeout) -> Document:
        hello = await self.client.admin.command("hello")
        check_replica_set(hello, self.address.location)
        self.members = len(hello.get("hosts", ())) or len(self.client.nodes)
        self.server = (await self.client.admin.command("buildInfo"))["version"]
        if self.address.read_only:
            return await _schema.require(self.collections, self.address)
        return await _schema.migrate(self.database, self.collections, self.address, limit)

    async def read(self, work: Work[T]) -> T:
        """Run a read, again if the connection broke."""
        self.check_loop()
        retries = self.retries()
        while True:
            try:
                async with self.client.start_session(causal_consistency=True) as session:
                    if self._seen is not None:
                        session.advance_operation_time(self._seen)
                    return await work(session)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                if not await retries.again(exc):
                    self.check_usable()
                    raise retries.translated(exc) from exc

    def known_term(self) -> object:
        """Return the election that made the current primary one, as far as the driver knows; None if it does not."""
        servers = self.client.topology_description.server_descriptions().values()
        return next((server.election_id for server in servers if server.is_writable and server.election_id), None)

    async def term(self) -> object:
        """Return the election that has made the current primary one, asking it; None if there is none."""
        try:
            return (await self.client.admin.command("hello")).get("electionId")
        except DRIVER_ERRORS:
            return None

    async def begin(self, session: ClientSession) -> None:
        """Begin a transaction with our read and write concerns."""
        self.own.add(session_id(session))
        await session.start_transaction(
            read_concern=ReadConcern("snapshot"),
            write_concern=_schema.DURABLE,
            read_preference=ReadPreference.PRIMARY,
        )

    async def commit(self, session: ClientSession, in_doubt: Callable[[], None] = lambda: None) -> None:
        """Commit, with retries. Call `in_doubt` when the outcome becomes unknown.

        The server remembers the last transaction of a session, so a retried commit takes effect once; if it cannot, the
        error says that the transaction may be retried.
        """
        self.line.ending(session)
        try:
            await self._commit(session, in_doubt)
        finally:
            self.line.ended(session)

    async def _commit(self, session: ClientSession, in_doubt: Callable[[], None]) -> None:
        patience: Patience | None = None
        while True:
            try:
                await session.commit_transaction()
            except DRIVER_ERRORS as exc:
                if not unknown_result(exc):
                    raise
                in_doubt()
                patience = patience or Patience(self.address.retry_timeout, PAUSE, LONGEST_PAUSE)
                if not await patience.again():
                    raise StoreUnavailable(
                        self.address.location,
                        "the primary went away during a commit and has been unreachable since, so the write may or may not "
                        "be stored: check before you write it again",
                    ) from exc
            else:
                time = session.operation_time
                if time is not None and (self._seen is None or time > self._seen):
                    self._seen = time
                return

    async def transact(self, work: Work[T]) -> T:
        """Run an operation in a transaction of its own, again if the server rolled it back."""
        retries = self.retries()
        while True:
            try:
                async with self.client.start_session() as session:
                    await self.begin(session)
                    try:
                        result = await work(session)
                    except BaseException:
                        await self.abort(session)
                        raise
                    await self.commit(session)
                    return result
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                if not await retries.again(exc):
                    raise retries.translated(exc) from exc

    async def abort(self, session: ClientSession) -> None:
        """Roll back; if that fails, the server does it."""
        self.line.ended(session)
        if session.in_transaction:
            await session.abort_transaction()  # the driver ignores errors here

    async def close(self) -> None:
        self.closed = True
        await self.line.close()
        try:
            async with asyncio.timeout(FAREWELL):
                await self.client.close()
        except TimeoutError:
            await self.client.close()  # the sessions are forgotten now, so this tells the server nothing


def session_id(session: ClientSession) -> bytes:
    """Return the server's id of the session."""
    return bytes(session.session_id["id"])


def check_replica_set(hello: Document, location: str) -> None:
    """Raise StoreUnavailable if the server does not support transactions or is too old."""
    if hello["maxWireVersion"] < _WIRE_OF_5_0:
        raise StoreUnavailable(location, "the server is older than MongoDB 5.0: upgrade it")
    if hello.get("setName") or hello.get("msg") == "isdbgrid":
        return
    how = "start mongod with --replSet rs0, and run rs.initiate() once in mongosh"
    if hello.get("isreplicaset"):
        raise StoreUnavailable(location, f"the replica set is not initiated yet: {how.partition(', and ')[2]}")
    raise StoreUnavailable(
        location, f"a standalone server has no transactions; use a replica set, of one member at least: {how}"
    )
