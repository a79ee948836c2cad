"""How followers of the log learn of commits by other handles and processes: by a change stream, or by polling.

A change stream only wakes followers, which then read the log. So nothing depends on its tokens: if the server has forgotten
one, another stream is opened, and all followers look once. A user without the privilege for streams polls the server every
20 ms for commits of any kind, which needs no privilege.
"""

from __future__ import annotations

import asyncio
from typing import Any

from goes_lite.errors import StoreError
from goes_lite.kit.watcher import LoopWatcher
from goes_lite.runtime import Signal
from goes_lite_mongo._connection import Connection
from goes_lite_mongo._driver import DRIVER_ERRORS, UNAUTHORIZED, code
from goes_lite_mongo._line import LINE

LINGER = 1.0
"""Seconds."""
RETRY, POLL = 0.1, 0.02
"""Seconds until another watch begins after one broke, and between polls without a stream."""


class Watcher(LoopWatcher):
    """Watches by a change stream, or by polling."""

    def __init__(self, connection: Connection, signal: Signal) -> None:
        super().__init__(signal, LINGER)
        self._connection = connection
        self._streams = True

    async def watch(self) -> None:
        while self.wanted:
            try:
                await (self._listen() if self._streams else self._poll())
            except (*DRIVER_ERRORS, StoreError) as exc:
                self._streams = self._streams and code(exc) != UNAUTHORIZED
                await asyncio.sleep(RETRY)
            self.signal.notify()  # followers look for themselves, and get the same error

    async def _listen(self) -> None:
        connection = self._connection
        names = [one.name for one in connection.collections if one is not connection.collections.events]
        wanted = {"ns.coll": {"$in": names}, "documentKey._id": {"$ne": LINE}}
        pipeline: list[dict[str, Any]] = [{"$match": wanted}, {"$project": {"_id": 1, "lsid": 1}}]
        async with await connection.database.watch(pipeline, max_await_time_ms=200) as stream:
            self.signal.notify()  # so that followers that looked before it was open look again
            while self.wanted:
                change = await stream.try_next()
                if change is not None and bytes(change.get("lsid", {}).get("id", b"")) not in connection.own:
                    self.signal.notify()  # our own commits have notified followers already

    async def _poll(self) -> None:
        seen: object = None
        while self.wanted:
            hello = await self._connection.client.admin.command("hello")
            written = hello.get("lastWrite", {}).get("majorityOpTime")
            if written != seen:
                seen = written
                self.signal.notify()
            await asyncio.sleep(POLL)

    def interrupt(self, watch: asyncio.Task[None]) -> None:
        watch.cancel()
