"""How followers of the log learn of commits: of this handle, of other handles and threads, of other processes.

All handles of one process on one file share a `Signal`; a commit notifies it at once. For other processes the lookout of the
process asks for `PRAGMA data_version`, which shows whether another connection committed and takes 2 µs: when the system
tells that the `-wal` was written (Linux), and now and then anyway, so that a lost notification costs time, never an event.
Where the system does not tell, it asks the more often the less time has passed since the last commit.

The *folder* is watched, and the three files are never opened: closing them would drop SQLite's locks.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Generator
from weakref import WeakValueDictionary

from goes_lite.runtime import Signal
from goes_lite.sqlite._append import head
from goes_lite.sqlite._connection import FileAddress, open_reader
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._lookout import lookout

FIRST, OFTEN = 0.001, 0.005
"""Seconds between the first looks after a change, and between those while a commit is expected."""
SETTLE = 0.25
"""Seconds for which a write that the system told of may take to be visible, mostly for an fsync, as far as one looks often."""
SAFETY = 10.0
"""Seconds between two looks at a file without news of it, where the system tells of writes."""
PATIENCE, SHARE = 1.0, 0.01
"""Seconds between two looks where it does not: at most so many, and this share of the time since the last change."""
LINGER = 1.0
"""Seconds by which a watch outlives its last follower, since most return for the next page."""
RETRY = 1.0
"""Seconds after a failed look until followers are woken to look for themselves, and the watch restarts."""


_signals: WeakValueDictionary[object, Signal] = WeakValueDictionary()
_signals_lock = threading.Lock()


def commit_signal(address: FileAddress) -> Signal:
    """Return the signal that all handles of this process on the same file share, or a new one for a store in memory."""
    if address.memory:
        return Signal()
    status = os.stat(address.path)
    with _signals_lock:
        return _signals.setdefault((status.st_dev, status.st_ino), Signal())


class Watcher:
    """Notifies a signal of commits by other processes while there are followers."""

    def __init__(self, address: FileAddress, signal: Signal) -> None:
        self.path = address.path
        self.told = False
        """Whether the system tells of writes to the file."""
        self.connection: Connection | None = None
        self._address = address
        self._signal = signal
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._followers = 0
        self._last_used = 0.0
        self._watching = False
        self._closed = False
        self._failed = False
        self._seen = -1
        self._news = 0.0  # when something was last seen or heard of
        self._expected = False  # whether a write was heard of, but no commit was seen since
        self._count = 0  # of the signal, at the last look
        self._head = -1
        self._owed = False

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs, and `LINGER` seconds longer."""
        if self._address.memory:
            yield
            return
        with self._lock:
            self._followers += 1
            if not self._watching and not self._closed:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._followers -= 1
                self._last_used = time.monotonic()

    def _start(self) -> None:
        self._watching = True
        lookout().add(self)

    def look(self, *, hinted: bool) -> float | None:
        """Look for a commit, notify the signal of it, and return the seconds until the next look; None if nobody follows."""
        with self._looking:
            if self._ends():
                self._disconnect()
                return None
            if self._failed:  # those who follow look for themselves, and get the same error
                self._failed = False
                self._signal.notify()
            try:
                # The first look counts as a change, so that those who looked at the log before it look again.
                if self.connection is None:
                    self.connection, self._seen = open_reader(self._address), -1
                    self._head = -1
                self._address.files.check()
                version = _data_version(self.connection)
                at = self._head if version == self._seen else head(self.connection)
            except Exception:  # noqa: BLE001 - as above, after a pause
                self._failed = True
                self._disconnect()
                return RETRY
            return self._pause(version, at, time.monotonic(), hinted=hinted)

    def _pause(self, version: int, head: int, now: float, *, hinted: bool) -> float:
        changed = version != self._seen
        own = self._signal.count != self._count  # this process has committed, too, and told of that itself
        if changed and own and head == self._head:
            # Its lease was renewed, most likely. Nobody is woken twice for that, unless nothing else wakes them soon.
            self._owed = True
        elif changed or (self._owed and not own and not hinted and now - self._news > SETTLE):
            self._signal.notify()
            self._owed = False
        else:
            self._owed = self._owed and not own
        if changed and not hinted and self._seen >= 0 and now - self._news > SETTLE:
            self.told = False  # it did not
        if changed or hinted:
            self._news, self._expected = now, not changed
        self._seen, self._head, self._count = version, head, self._signal.count
        quiet = now - self._news
        if not self.told:
            return min(max(FIRST, quiet * SHARE), PATIENCE)
        if (changed and own) or quiet > SETTLE:
            return SAFETY
        return max(FIRST, min(quiet, OFTEN) if self._expected else quiet)

    def _ends(self) -> bool:
        with self._lock:
            if not self._closed and (self._followers or time.monotonic() - self._last_used <= LINGER):
                return False
            self._watching = False  # the next follower starts again
            return True

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """End the watch soon, without waiting for a lock."""
        self._closed = True
        lookout().soon(self)

    def close(self) -> None:
        """End the watch, and start no other."""
        with self._lock:
            self._closed = True
        with self._looking:
            self._disconnect()
        lookout().remove(self)


def _data_version(connection: Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchall()[0][0]
    return version
