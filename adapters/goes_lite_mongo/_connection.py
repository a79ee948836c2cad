"""The client of one handle, and how its operations are run: reads, and transactions that are run again where that helps."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern

from goes_lite.errors import ConfigError, GoesError, StoreClosed, StoreError, StoreForked, StoreUnavailable
from goes_lite_mongo import _schema
from goes_lite_mongo._driver import DRIVER_ERRORS, Document, Session, again, lost, translate, unknown_result
from goes_lite_mongo._options import Target

if TYPE_CHECKING:
    from bson.timestamp import Timestamp

T = TypeVar("T")
Work = Callable[[Session], Awaitable[T]]

PAUSE, LONGEST_PAUSE = 0.002, 0.25
"""Seconds between two tries: they grow from the first to the second."""
SELECTION = 1.0
"""Seconds for which the driver looks for a primary before we are asked whether to go on."""


class Patience:
    """How long one operation goes on trying: pauses that grow, until the time is up."""

    def __init__(self, seconds: float) -> None:
        self._end = asyncio.get_running_loop().time() + seconds
        self._pause = PAUSE

    async def again(self) -> bool:
        """True behind a pause; False if the time is up."""
        left = self._end - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        # Not by the runtime's clock: servers come back in real time, also where a test's clock stands still.
        await asyncio.sleep(min(left, self._pause * (0.5 + random.random())))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return True


class Connection:
    """One handle's way to the servers."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._seen: Timestamp | None = None
        """When our last commit was: a read of ours sees it, though another server be primary by then."""
        self.own: set[bytes] = set()
        """The ids of the sessions that our transactions are in."""
        try:
            self.client: AsyncMongoClient[Document] = AsyncMongoClient(
                target.url,
                serverSelectionTimeoutMS=round(min(SELECTION, target.connect_timeout) * 1000),
                tz_aware=True,
            )
        except DRIVER_ERRORS as exc:
            raise ConfigError(f"mongodb: {target.location}: {exc}") from None
        self.database = self.client[target.database]
        self.collections = _schema.collections(self.database, target)

    def __repr__(self) -> str:
        return f"<Connection {self.target.location}{': closed' if self.closed else ''}>"

    def check_usable(self) -> None:
        if os.getpid() != self._process:
            raise StoreForked(self.target.location)
        if self.closed:
            raise StoreClosed(self.target.location)

    def check_loop(self) -> None:
        self.check_usable()
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError(
                self.target.location,
                "a handle belongs to the event loop that opened it, and this is another one: connect in each, or use "
                "goes_lite.blocking, which may be used from any thread",
            )

    def patience(self) -> Patience:
        return Patience(self.target.retry_timeout)

    def translated(self, error: Exception) -> GoesError:
        return translate(error, self.target.location)

    async def open(self) -> Document:
        """Find a primary, make the collections if need be, and answer which store it is."""
        patience = Patience(self.target.connect_timeout)
        while True:
            try:
                check_replica_set(await self.client.admin.command("hello"), self.target.location)
                return await _schema.migrate(self.database, self.collections, self.target)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                if not (again(exc) and await patience.again()):
                    raise self.translated(exc) from exc

    async def read(self, work: Work[T]) -> T:
        """Run an operation that only reads, again where the connection broke."""
        self.check_loop()
        patience: Patience | None = None
        while True:
            try:
                async with self.client.start_session(causal_consistency=True) as session:
                    if self._seen is not None:
                        session.advance_operation_time(self._seen)
                    return await work(session)
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                patience = patience or self.patience()
                if self.closed or not lost(exc) or not await patience.again():
                    self.check_usable()
                    raise self.translated(exc) from exc

    async def begin(self, session: Session) -> None:
        """Begin a transaction, as all of ours are."""
        self.own.add(session_id(session))
        await session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=_schema.DURABLE)

    async def commit(self, session: Session, doubt: Callable[[], None] = lambda: None) -> None:
        """Commit, however often that has to be asked for. `doubt` is called once nobody knows whether it has happened.

        The server remembers the last transaction of a session, so a commit that is asked for again happens once; if it
        has not happened, the error says that the transaction may be run again.
        """
        patience: Patience | None = None
        while True:
            try:
                await session.commit_transaction()
            except DRIVER_ERRORS as exc:
                if not unknown_result(exc):
                    raise
                doubt()
                patience = patience or self.patience()
                if not await patience.again():
                    raise StoreUnavailable(
                        self.target.location,
                        "the primary went away during a commit and could not be asked about it since, so what was written "
                        "may be stored or not: look before you write it again",
                    ) from exc
            else:
                time = session.operation_time
                if time is not None and (self._seen is None or time > self._seen):
                    self._seen = time
                return

    async def transact(self, work: Work[T]) -> T:
        """Run an operation in a transaction of its own, again where the server undid it."""
        patience: Patience | None = None
        while True:
            try:
                async with self.client.start_session() as session:
                    await self.begin(session)
                    try:
                        result = await work(session)
                    except BaseException:
                        await abort(session)
                        raise
                    await self.commit(session)
                    return result
            except GoesError:
                raise
            except DRIVER_ERRORS as exc:
                patience = patience or self.patience()
                if not again(exc) or not await patience.again():
                    raise self.translated(exc) from exc

    async def close(self) -> None:
        self.closed = True
        await self.client.close()


async def abort(session: Session) -> None:
    """Roll back; where even that fails, the server does it by itself."""
    if session.in_transaction:
        await session.abort_transaction()  # the driver swallows what goes wrong with it


def session_id(session: Session) -> bytes:
    """What the server calls the session."""
    return bytes(session.session_id["id"])


def check_replica_set(hello: Document, location: str) -> None:
    """StoreUnavailable for a server that has no transactions."""
    if hello.get("setName") or hello.get("msg") == "isdbgrid":
        return
    how = "start mongod with --replSet rs0, and run rs.initiate() once in mongosh"
    if hello.get("isreplicaset"):
        raise StoreUnavailable(location, f"the replica set is not initiated yet: {how.partition(', and ')[2]}")
    raise StoreUnavailable(
        location, f"this is a standalone server, and transactions need a replica set, which may be of one server: {how}"
    )
