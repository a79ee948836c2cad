"""Views: a driver session whose reads are all of one moment, for one block of code.

It blocks nobody. The server keeps the past for `minSnapshotHistoryWindowInSeconds`, 300 by default; an older view is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError, StoreUnavailable
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.view import refuse_write
from goes_lite_mongo._append import read_head
from goes_lite_mongo._connection import Connection, Work
from goes_lite_mongo._driver import DRIVER_ERRORS, ClientSession, code

T = TypeVar("T")

_TOO_OLD, _GONE = 239, 246
"""SnapshotTooOld, SnapshotUnavailable."""


class MongoMoment:
    """The session of one view; also the executor of its stores."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session: ClientSession | None = None
        self._one = asyncio.Lock()  # a session runs one operation at a time

    async def open(self) -> None:
        connection = self._connection
        # A new primary may show an older moment at first: the view must have what this handle has seen.
        least = await connection.read(self._head)
        retries = connection.retries()
        while True:
            session = connection.client.start_session(snapshot=True)
            try:
                if await self._head(session) >= least:
                    for one in connection.collections:  # a moment before one was created cannot be read
                        await one.find_one({}, {"_id": 1}, session=session)
                    self._session = session
                    return
                await session.end_session()
                await asyncio.sleep(0.01)
            except DRIVER_ERRORS as exc:
                await session.end_session()
                if code(exc) != _GONE and not await retries.again(exc):
                    connection.check_usable()
                    raise retries.translated(exc) from exc
                await asyncio.sleep(0.01)
            except BaseException:
                await session.end_session()
                raise

    async def _head(self, session: ClientSession) -> int:
        return await read_head(self._connection.collections, session)

    async def close(self) -> None:
        async with self._one:
            session, self._session = self._session, None
            if session is not None:
                await session.end_session()

    async def read(self, work: Work[T]) -> T:
        self._connection.check_loop()
        location = self._connection.address.location
        retries = self._connection.retries()
        async with self._one:
            while True:
                if self._session is None:
                    raise StoreUnavailable(location, "its view has ended: begin another")
                try:
                    return await work(self._session)
                except GoesError:
                    raise
                except DRIVER_ERRORS as exc:
                    if code(exc) in (_TOO_OLD, _GONE):
                        raise StoreUnavailable(
                            location,
                            "its view is older than the server keeps the past: begin another, or raise the server's "
                            "minSnapshotHistoryWindowInSeconds",
                        ) from exc
                    if not await retries.again(exc):
                        self._connection.check_usable()
                        raise retries.translated(exc) from exc

    async def write(self, work: Work[T]) -> T:
        refuse_write(self._connection.address.location)

    async def change_log(self, work: Work[T]) -> T:
        refuse_write(self._connection.address.location)

    async def append(
        self, batch: AppendBatch, condition: AppendCondition | None, committed: Callable[[Appended], None]
    ) -> Appended:
        refuse_write(self._connection.address.location)

    async def lock(self) -> None:
        refuse_write(self._connection.address.location)
