"""How those who follow learn of commits of other handles and processes: by a change stream, or by looking.

A change stream only wakes; where the log stands is what positions say. So nothing depends on its tokens: when the server
has forgotten one, another stream is opened, and all look once. Who may not open one asks the server every 20 ms whether
anything was committed at all, which everybody may.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from typing import Any

from goes_lite.errors import StoreError
from goes_lite.runtime import Signal
from goes_lite_mongo._connection import Connection
from goes_lite_mongo._driver import DRIVER_ERRORS, UNAUTHORIZED, code

LINGER = 1.0
"""A watch outlives its last follower by this, since most come back for the next page."""
RETRY, POLL = 0.1, 0.02
"""Seconds until another watch is begun where one broke, and between looks where no stream may be opened."""


class Watcher:
    """Notifies a signal of commits by others, while somebody follows."""

    def __init__(self, connection: Connection, signal: Signal) -> None:
        self._connection = connection
        self._signal = signal
        self._loop = asyncio.get_running_loop()
        self._followers = 0
        self._last_used = 0.0
        self._task: asyncio.Task[None] | None = None
        self._streams = True
        self._closed = False

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs, and a little longer. Any thread may enter it."""
        self._call(self._enter)
        try:
            yield
        finally:
            self._call(self._leave)

    def _call(self, function: Callable[[], None]) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            function()
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the watch
                self._loop.call_soon_threadsafe(function)

    def _enter(self) -> None:
        self._followers += 1
        if not self._closed and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._watch(), name="goes_lite-watcher")

    def _leave(self) -> None:
        self._followers -= 1
        self._last_used = self._loop.time()

    def _wanted(self) -> bool:
        return not self._closed and (self._followers > 0 or self._loop.time() - self._last_used <= LINGER)

    async def _watch(self) -> None:
        while self._wanted():
            try:
                await (self._listen() if self._streams else self._poll())
            except (*DRIVER_ERRORS, StoreError) as exc:
                self._streams = self._streams and code(exc) != UNAUTHORIZED
                await asyncio.sleep(RETRY)
            self._signal.notify()  # whoever waits looks for himself, and meets the same error

    async def _listen(self) -> None:
        connection = self._connection
        names = [one.name for one in connection.collections if one is not connection.collections.events]
        pipeline: list[dict[str, Any]] = [{"$match": {"ns.coll": {"$in": names}}}, {"$project": {"_id": 1, "lsid": 1}}]
        async with await connection.database.watch(pipeline, max_await_time_ms=200) as stream:
            self._signal.notify()  # so that whoever looked before it was open looks again
            while self._wanted():
                change = await stream.try_next()
                if change is not None and bytes(change.get("lsid", {}).get("id", b"")) not in connection.own:
                    self._signal.notify()  # of our own commits everybody was told already

    async def _poll(self) -> None:
        seen: object = None
        while self._wanted():
            hello = await self._connection.client.admin.command("hello")
            written = hello.get("lastWrite", {}).get("majorityOpTime")
            if written != seen:
                seen = written
                self._signal.notify()
            await asyncio.sleep(POLL)

    async def close(self) -> None:
        """End the watch, and wait until it has ended; none is begun any more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
