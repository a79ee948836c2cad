"""How those who follow the log learn of commits: of this handle, of other handles and threads, of other processes.

All handles of one process on one file share a `Signal`; a commit notifies it at once. For other processes a watcher
thread looks at `PRAGMA data_version`, which tells whether any other connection committed, at 2 µs a look. With
watchfiles installed the operating system's file notifications shorten the wait; they are only a hint, since one that
comes too often costs a look and one that does not come costs a poll interval, never an event.

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
from goes_lite.sqlite._connection import Target, open_reader
from goes_lite.sqlite._driver import Connection

POLL_FIRST, POLL_ACTIVE, POLL_IDLE = 0.001, 0.005, 0.05
"""Seconds between looks: after a change, growing to the second; when nothing happened for `IDLE_AFTER`, the third."""
IDLE_AFTER = 60.0
LINGER = 1.0
"""A watcher outlives its last follower by this, since most come back for the next page."""


_signals: WeakValueDictionary[object, Signal] = WeakValueDictionary()
_signals_lock = threading.Lock()


def commit_signal(target: Target) -> Signal:
    """The signal that all handles of this process on the same file share; one of its own for a store in memory."""
    if target.memory:
        return Signal()
    status = os.stat(target.path)
    with _signals_lock:
        return _signals.setdefault((status.st_dev, status.st_ino), Signal())


class Watcher:
    """Notifies a signal of commits by other processes, while somebody follows."""

    def __init__(self, target: Target, signal: Signal) -> None:
        self._target = target
        self._signal = signal
        self._lock = threading.Lock()
        self._followers = 0
        self._stop = threading.Event()
        self._hint = threading.Event()
        self._threads: list[threading.Thread] = []
        self._last_used = 0.0

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs, and a little longer."""
        if self._target.memory:
            yield
            return
        with self._lock:
            self._followers += 1
            if not self._threads:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._followers -= 1
                self._last_used = time.monotonic()

    def _start(self) -> None:
        self._stop = threading.Event()
        ready = threading.Event()
        poll = threading.Thread(target=self._poll, args=(ready,), name="goes_lite-watcher", daemon=True)
        hint = threading.Thread(target=self._listen, args=(self._stop,), name="goes_lite-hint", daemon=True)
        self._threads = [poll, hint]
        for thread in self._threads:
            thread.start()
        # The first data_version must be read before the follower looks at the log, or a commit in between is missed.
        ready.wait(5.0)

    def _poll(self, ready: threading.Event) -> None:
        stop = self._stop
        try:
            connection = open_reader(self._target)
        except Exception:  # noqa: BLE001 - followers have a time limit of their own and meet the same error
            ready.set()
            return
        try:
            seen = _data_version(connection)
            ready.set()
            self._signal.notify()  # whoever looked before the first reading looks again
            changed = time.monotonic()
            pause = POLL_FIRST
            while not stop.is_set():
                self._hint.wait(pause)
                self._hint.clear()
                version = _data_version(connection)
                now = time.monotonic()
                if version != seen:
                    seen, changed, pause = version, now, POLL_FIRST
                    self._signal.notify()
                else:
                    pause = POLL_IDLE if now - changed > IDLE_AFTER else min(pause * 1.2, POLL_ACTIVE)
                with self._lock:
                    if not self._followers and now - self._last_used > LINGER:
                        self._threads = []
                        stop.set()
        except self._target.driver.error:
            with self._lock:
                self._threads = []  # the next follower starts another
                stop.set()
        finally:
            connection.close()

    def _listen(self, stop: threading.Event) -> None:
        """Turn file notifications into hints, if watchfiles is installed and the folder can be watched."""
        try:
            from watchfiles import watch
        except ModuleNotFoundError:
            return
        folder, name = os.path.split(self._target.path)
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
        with self._lock:
            threads, self._threads = self._threads, []
            self._stop.set()
            self._hint.set()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()


def _data_version(connection: Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchall()[0][0]
    return version
