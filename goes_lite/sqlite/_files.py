"""The files of an open store: whether they are still those that other programs find by their names.

A program goes on reading and writing files that were removed, renamed or replaced. What it stores there, nobody finds; and
with a -shm of its own, where SQLite's locks are, another program writes at the same time. So the files are compared, by
device and inode, with those that were opened: before each commit, and often while reading.

Every change of a name also changes the times of the folder. Usually one look at these suffices, therefore.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from os import lstat, stat

from goes_lite.errors import StoreUnavailable
from goes_lite.sqlite._guard import SUFFIXES

LOOK_AGAIN = 0.1
"""How many seconds readers go on without a look at the files."""
SETTLED, SETTLED_SECONDS = 100_000_000, 3_000_000_000
"""The age in nanoseconds from which the times of a folder tell of every further change: they are those of the last tick of a
clock; the second on file systems that store seconds."""

_known: dict[tuple[str, int, int], Files] = {}
_lock = threading.Lock()


class NoFiles:
    """Those of a store in memory."""

    due = float("inf")
    looks = 0

    def check(self) -> None: ...
    def glance(self) -> None: ...
    def unsafe_to_close(self) -> bool:
        return False


class Files:
    """The files of one store that this process has open; all of its handles share them, as SQLite does."""

    def __init__(self, path: str) -> None:
        self.due = 0.0
        """The time on the monotonic clock from which readers must glance at the files again."""
        self.looks = 0
        """The number of looks at the files themselves: the lock file may have changed as well."""
        self._path = path
        self.handles: set[int] = set()
        """The ids of the handles that have them open."""
        self._folder = os.path.dirname(path)
        self._own: dict[str, tuple[int, int]] = {}
        self._settled: tuple[int, ...] = ()
        """The times of the folder when all files were last found in place, if they tell of further changes."""

    def opened(self, key: tuple[str, int, int], handle: object) -> None:
        """Note what a handle has opened; raise StoreUnavailable if this process has other files open for this store."""
        for suffix in SUFFIXES:
            if suffix not in self._own:
                with suppress(OSError):  # read-only media have none next to it
                    self._own[suffix] = _identity(self._path + suffix)
        self._settled = ()
        self.check()
        self.handles.add(id(handle))
        _known[key] = self

    def check(self) -> None:
        """Raise StoreUnavailable unless the files are those that were opened."""
        times: tuple[int, ...]
        try:
            folder = stat(self._folder)
            times = folder.st_ctime_ns, folder.st_mtime_ns, folder.st_ino, folder.st_dev
        except OSError:  # no file is in its place
            times = (0, 0)
        if times == self._settled:
            return
        self.looks += 1
        for suffix, own in self._own.items():
            try:
                status = lstat(self._path + suffix)
                replaced = (status.st_dev, status.st_ino) != own
            except OSError:
                replaced = True
            if replaced:
                self.due = 0.0
                raise StoreUnavailable(self._path, _SIDE.format(suffix) if suffix else _GONE)
        changed = max(times[:2])
        if time.time_ns() - changed > (SETTLED if changed % 1_000_000_000 else SETTLED_SECONDS):
            self._settled = times

    def glance(self) -> None:
        """Check the files for a reader."""
        self.check()
        self.due = time.monotonic() + LOOK_AGAIN

    def unsafe_to_close(self) -> bool:
        """Whether closing the last connection would move a log into the file that other programs do not know.

        (It does not if SQLite itself finds that the file was renamed or removed.) Then the connection must stay open, and
        the files are never released: SQLite goes on using them for everything that this process opens.
        """
        with _lock, suppress(OSError):
            status = stat(self._path)
            same = (status.st_dev, status.st_ino) == self._own.get("")
            if same and any(found(self._path + suffix) != own for suffix, own in self._own.items()):
                self.handles.add(0)
                return True
        return False


_GONE = (
    "the file was removed, renamed or replaced while it was open, so nothing that is written to it would be found again: "
    "put it back, with its -wal (or restore a backup, after moving the -wal and -shm away), and connect again"
)
_SIDE = (
    "its {0} was removed or replaced while it was open, so programs no longer notice each other: end all programs that "
    "have the store open, then connect again, and leave the files next to a store alone"
)


def found(path: str) -> tuple[int, int] | None:
    """Return the device and inode of a file, or None if there is none."""
    try:
        return _identity(path)
    except OSError:
        return None


def in_use(path: str, before: tuple[int, int]) -> bool:
    """Whether this process has the file open."""
    return (path, *before) in _known


def files_of(path: str, before: tuple[int, int] | None, handle: object) -> Files:
    """Return the files of the store at a path, which the handle has just opened. `before`: what was found there before."""
    now = found(path)
    if now is None or (before is not None and now != before):
        raise StoreUnavailable(path, "the file was removed or replaced while it was being opened: connect again")
    key = (path, *now)
    with _lock:
        files = _known.get(key) or Files(path)
        files.opened(key, handle)
    return files


def release_files(handle: object) -> None:
    """Forget files that no other handle has open: one that opens the store again may have others next to it."""
    with _lock:
        for key, files in list(_known.items()):
            files.handles.discard(id(handle))
            if not files.handles:
                del _known[key]


def _identity(path: str) -> tuple[int, int]:
    status = lstat(path)
    return status.st_dev, status.st_ino
