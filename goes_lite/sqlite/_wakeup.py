"""How followers of the log learn of commits: of this handle, of other handles and threads, of other processes.

All handles of one process on one file share a `Signal`; a commit notifies it at once. For other processes a watcher
thread polls `PRAGMA data_version`, which shows whether another connection committed and takes 2 µs. With watchfiles
installed, the operating system's file notifications shorten the wait. They are only hints: a spurious one costs a poll, a
missing one a poll interval, never an event.

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
from goes_lite.sqlite._connection import FileAddress, open_reader
from goes_lite.sqlite._driver import Connection

POLL_FIRST, POLL_ACTIVE, POLL_IDLE = 0.001, 0.005, 0.05
"""Seconds between polls: the first after a change, growing to the second; the third after `IDLE_AFTER` without changes."""
IDLE_AFTER = 60.0
LINGER = 1.0
"""Seconds by which a watcher outlives its last follower, since most return for the next page."""
RETRY = 1.0
"""Seconds after a failed poll until followers are woken to look for themselves, and the watch restarts."""


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
        self._address = address
        self._signal = signal
        self._lock = threading.Lock()
        self._followers = 0
        self._last_used = 0.0
        self._hint = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()  # ends the current threads; set if there are none
        self._stop.set()
        self._closed = False
        self.connection: Connection | None = None

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs, and `LINGER` seconds longer."""
        if self._address.memory:
            yield
            return
        with self._lock:
            self._followers += 1
            if self._stop.is_set() and not self._closed:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._followers -= 1
                self._last_used = time.monotonic()

    def _start(self) -> None:
        stop = self._stop = threading.Event()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for run, name in ((self._poll, "goes_lite-watcher"), (self._listen, "goes_lite-hint")):
            thread = threading.Thread(target=run, args=(stop,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _poll(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                connection = self.connection = open_reader(self._address)
                try:
                    self._look(connection, stop)
                finally:
                    connection.close()
            except Exception:  # noqa: BLE001 - followers look for themselves then, and get the same error
                stop.wait(RETRY)
                self._end_if_unused(stop)
                self._signal.notify()

    def _end_if_unused(self, stop: threading.Event) -> None:
        with self._lock:
            if not self._followers and time.monotonic() - self._last_used > LINGER:
                stop.set()  # the next follower starts another

    def _look(self, connection: Connection, stop: threading.Event) -> None:
        # The first poll counts as a change, so that followers that looked at the log before it look again.
        seen, changed, pause = -1, 0.0, POLL_FIRST
        while not stop.is_set():
            version = _data_version(connection)
            now = time.monotonic()
            if version != seen:
                seen, changed, pause = version, now, POLL_FIRST
                self._signal.notify()
            else:
                pause = POLL_IDLE if now - changed > IDLE_AFTER else min(pause * 1.2, POLL_ACTIVE)
            self._end_if_unused(stop)
            self._hint.wait(pause)
            self._hint.clear()

    def _listen(self, stop: threading.Event) -> None:
        """Turn file notifications into hints, if watchfiles is installed and the folder can be watched."""
        try:
            from watchfiles import watch
        except ModuleNotFoundError:
            return
        folder, name = os.path.split(self._address.path)
        wal = name + "-wal"
        with contextlib.suppress(OSError, RuntimeError):
            for _ in watch(
                folder,
                watch_filter=lambda _, path: path.endswith(wal),
                step=1,
                debounce=1,
                rust_timeout=200,
                stop_event=stop,
                recursive=False,
                raise_interrupt=False,
                yield_on_timeout=False,
            ):
                self._hint.set()

    def close(self) -> None:
        """End the threads, wait for them, and start no others."""
        with self._lock:
            self._closed = True
            self._stop.set()
            self._hint.set()
        for thread in self._threads:
            thread.join()


def _data_version(connection: Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchall()[0][0]
    return version
