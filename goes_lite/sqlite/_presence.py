"""Who holds leases and lives: a lock on a byte of the lock file for each, which the kernel releases when a process dies.

All processes on one file share a kernel, since SQLite's own shared memory needs that; so this holds across containers, and
whatever became of process ids. Only Linux has locks that belong to an open file, not to a process. Elsewhere nobody is known to
be gone, and their leases run out.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from zlib import crc32

FIRST = 2**32
"""The first byte for this; the turnstile uses the first ones of the file. Nothing is ever written there."""

UNSAFE = {"normal": 2**34, "memory": 2**34 + 1}
"""The bytes for handles that write with less than full durability."""


class Presence:
    """The instances of one handle, and whether those of others are still there. Without a file, nobody is known to be gone."""

    def __init__(self, file: Callable[[], int] | None) -> None:
        self._file = file if sys.platform == "linux" and sys.maxsize > 2**32 else None
        self._here: set[str] = set()

    def show(self, durability: str) -> None:
        """Show, as long as the handle is open, that it does not wait for the disk, for those who look at the store."""
        if self._file is not None and (byte := UNSAFE.get(durability)):
            import fcntl

            with suppress(OSError, ValueError):  # a read lock, which any number can have
                fcntl.fcntl(self._file(), fcntl.F_OFD_SETLK, _flock(fcntl.F_RDLCK, byte))

    def enter(self, owner: str) -> bool:
        """Show that an instance lives, until it leaves, the handle is closed or the process dies; False if it was shown."""
        if owner in self._here:
            return False
        with suppress(OSError, ValueError):
            self._lock(owner, wanted=True)
        self._here.add(owner)
        return True

    def leave(self, owner: str) -> None:
        """Show it no longer."""
        if owner in self._here:
            self._here.discard(owner)
            with suppress(OSError, ValueError):
                self._lock(owner, wanted=False)

    def gone(self, owner: str) -> bool:
        """Return whether an instance that entered is known to be gone."""
        if self._file is None or owner in self._here:
            return False
        import fcntl

        try:
            answer = fcntl.fcntl(self._file(), fcntl.F_OFD_GETLK, _packed(fcntl.F_WRLCK, owner))
        except (OSError, ValueError):  # closed
            return False
        return bool(struct.unpack_from("h", answer)[0] == fcntl.F_UNLCK)

    def _lock(self, owner: str, *, wanted: bool) -> None:
        if self._file is not None:
            import fcntl

            kind = fcntl.F_WRLCK if wanted else fcntl.F_UNLCK
            fcntl.fcntl(self._file(), fcntl.F_OFD_SETLK, _packed(kind, owner))


def _packed(kind: int, owner: str) -> bytes:
    return _flock(kind, FIRST + crc32(owner.encode()))


def _flock(kind: int, byte: int) -> bytes:
    """Return a struct flock of 64-bit Linux; see `_turnstile`."""
    import os

    return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)


def unsafe_writers(path: str) -> list[str]:
    """Return the durabilities, other than full, with which handles have the store open for writing; `path` is the lock file."""
    if sys.platform != "linux" or sys.maxsize <= 2**32:
        return []
    import fcntl
    import os

    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return [
            durability
            for durability, byte in UNSAFE.items()
            if struct.unpack_from("h", fcntl.fcntl(file, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte)))[0]
            != fcntl.F_UNLCK
        ]
    finally:
        os.close(file)  # locks of an open file, unlike those of a process, do not end with another one
