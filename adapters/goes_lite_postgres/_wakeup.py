"""How followers of the log learn of commits by other handles and processes.

LISTEN is a hint, polling is reliable. A separate connection listens to the store's channel and polls the server's snapshot,
whose text changes whenever a transaction ends, in any database; so it may wake followers needlessly, but misses nothing.
With a pooler in between, which does not support LISTEN, polling alone does the work, more often.

Followers may have looked at the log before the channel was open, so all of them are then woken to look again.

Commits are announced afterwards, on a connection for reads: no commit waits for that, and of many commits in quick
succession only a few are announced.
"""

from __future__ import annotations

import asyncio
import contextlib

from goes_lite.errors import GoesError, StoreError
from goes_lite.kit.watcher import LoopWatcher
from goes_lite.runtime import Signal
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, READ_ONLY, Connection, code

POLL_LISTENING, POLL_ALONE = 1.0, 0.05
"""Seconds between polls, with LISTEN and without."""
LINGER = 5.0
"""Seconds."""
RETRY = 0.5
"""Seconds after a failed watch until followers are woken to look for themselves, and another watch begins."""
PACE = 0.005
"""Seconds between two announcements; one covers all commits in between."""
SNAPSHOT = "SELECT pg_current_snapshot()::text"


class Announcer:
    """Announces commits to others: immediately, but no more often than `PACE` allows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._due = False
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """Announce a commit soon."""
        self._due = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._announce(), name="goes_lite-announcer")

    async def _announce(self) -> None:
        pool = self._pool
        while self._due:
            self._due = False
            # Followers that are not notified find the events by polling.
            with contextlib.suppress(GoesError, *DRIVER_ERRORS):
                async with asyncio.timeout(POLL_LISTENING):
                    await pool.read(lambda connection: connection.execute(f"NOTIFY {pool.address.channel}"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE):
                    await self._closing.wait()

    async def close(self) -> None:
        """Wait until all commits are announced."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])


class Watcher(LoopWatcher):
    """Watches by LISTEN and by polling."""

    def __init__(self, pool: Pool, signal: Signal) -> None:
        super().__init__(signal, LINGER)
        self._pool = pool
        self._hint = asyncio.Event()

    async def watch(self) -> None:
        while self.wanted:
            try:
                connection = await self._pool.open()
            except (*DRIVER_ERRORS, StoreError):
                await self._pause(RETRY)  # followers look for themselves then, and get the same error
            else:
                try:
                    await self._look(connection)
                except (*DRIVER_ERRORS, TimeoutError):
                    connection.terminate()
                    await self._pause(RETRY / 10)
                finally:
                    await self._pool.drop(connection)
            self.signal.notify()

    async def _look(self, connection: Connection) -> None:
        pool = self._pool
        pause = POLL_ALONE
        if pool.address.listen and not pool.address.pooler:
            try:
                # The callback also runs while no query does. The connection ends with the watch.
                await connection.add_listener(pool.address.channel, self._heard)
                pause = POLL_LISTENING
            except DRIVER_ERRORS as exc:
                if code(exc) != READ_ONLY:  # a standby has commits, but no announcements
                    raise
        seen = ""
        while True:
            async with asyncio.timeout(pool.address.command_timeout):  # a connection may hang silently
                snapshot: str = await connection.fetchval(SNAPSHOT)
            if snapshot != seen:
                # The first poll counts as a change, so that followers that looked at the log before it look again.
                seen = snapshot
                self.signal.notify()
            await self._pause(pause)
            if not self.wanted:
                return
            if connection.is_closed():
                raise ConnectionResetError("the connection that listens is closed")

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        if pid not in self._pool.pids:  # our own commits have notified followers already
            self.signal.notify()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hint.wait()

    def interrupt(self, watch: asyncio.Task[None]) -> None:
        self._hint.set()
