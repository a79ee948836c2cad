"""Linux's inotify: the system tells when a file in a folder is written, so nobody has to ask.

Only the folder is opened, none of its files: closing one would drop SQLite's locks.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from typing import Any

MODIFY = 0x00000002
REPLACE = 0x00000040 | 0x00000080 | 0x00000200 | 0x00000400 | 0x00000800
"""A name is moved away, moved here, or deleted; the folder itself is deleted or moved."""
QUEUE_OVERFLOW = 0x00004000
_HEADER = struct.Struct("iIII")
_BUFFER = 65536


class Inotify:
    """One queue of notifications, for any number of folders. OSError where the system has none."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError("inotify is a part of Linux")
        import ctypes

        self._errno: Callable[[], int] = ctypes.get_errno
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        try:
            self.fd: int = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except AttributeError as exc:
            raise OSError("the C library has no inotify") from exc

    def _checked(self, result: int) -> int:
        if result < 0:
            raise OSError(self._errno(), os.strerror(self._errno()))
        return result

    def watch(self, folder: str) -> int:
        """Report writes to logs in the folder, and names that go or come; return the number by which `read` calls it."""
        return self._checked(self._libc.inotify_add_watch(self.fd, os.fsencode(folder), MODIFY | REPLACE))

    def forget(self, number: int) -> None:
        """Report nothing more of a folder."""
        self._libc.inotify_rm_watch(self.fd, number)

    def read(self) -> set[tuple[int, str]]:
        """Return the folders and names of what was reported, "" for a folder itself; (-1, "") if something was lost."""
        found: set[tuple[int, str]] = set()
        try:
            data = os.read(self.fd, _BUFFER)
        except BlockingIOError:
            return found
        at = 0
        while at < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length
            if mask & QUEUE_OVERFLOW:
                found.add((-1, ""))
            elif mask & REPLACE or name.endswith("-wal"):  # checkpoints write the file itself, which changes nothing
                found.add((number, name))
        return found

    def close(self) -> None:
        os.close(self.fd)
