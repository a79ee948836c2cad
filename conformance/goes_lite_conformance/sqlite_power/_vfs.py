"""Layers between SQLite and its files: one records everything, the others refuse calls. They need apsw.

A VFS is made the default of the process, so that everything opened afterwards goes through it, including the store's own
connections. Only apsw's SQLite uses it; the files contain what SQLite's own VFS writes to them.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import apsw

from goes_lite_conformance.sqlite_power._disk import Disk, Synced, Truncated, Written

_CONTENT = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_NAMED_BY_SYNC = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL

Name = str | apsw.URIFilename | None


def _path(name: Name) -> str:
    return name.filename() if isinstance(name, apsw.URIFilename) else name or ""


# --- recording ------------------------------------------------------------------------------------------------------


class RecordingVFS(apsw.VFS):
    """Records what is done to databases, journals and write-ahead logs."""

    def __init__(self, disk: Disk) -> None:
        self.base = apsw.vfs_names()[0]
        self.disk = disk
        super().__init__("goes_lite_recording", self.base, makedefault=True)

    def xOpen(self, name: Name, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if flags[0] & _CONTENT:
            return _RecordedFile(self, name, flags)
        return apsw.VFSFile(self.base, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.disk.delete(os.path.basename(filename), folder=syncdir)


class _RecordedFile(apsw.VFSFile):
    def __init__(self, vfs: RecordingVFS, name: Name, flags: list[int]) -> None:
        path = _path(name)
        new = not os.path.exists(path)
        asked = flags[0]
        super().__init__(vfs.base, name, flags)
        self._log = vfs.disk.log
        self._file = vfs.disk.open(os.path.basename(path), new=new)
        # as in os_unix.c: the first sync of a journal or log that may have been created syncs its name, too
        self._folder = bool(asked & _NAMED_BY_SYNC and asked & apsw.SQLITE_OPEN_CREATE)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)  # pyright: ignore[reportUnknownMemberType] - a Buffer, which Python 3.11 has no name for
        self._log.append(Written(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._log.append(Truncated(self._file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._log.append(Synced(self._file, self._folder))
        self._folder = False


# --- refusing -------------------------------------------------------------------------------------------------------


class Refusals:
    """Which calls are refused: the `first` one while active, or all from there on."""

    def __init__(self, error: int) -> None:
        self.error = error
        """An errno."""
        self.first = 0
        self.lasting = False
        self.active = False
        self.made = 0
        self.refused: list[str] = []

    def begin(self, first: int, *, lasting: bool) -> None:
        """Count from here, and refuse the `first` call (0: none)."""
        self.first, self.lasting, self.active = first, lasting, True
        self.made, self.refused = 0, []

    def refuse(self, call: str) -> bool:
        """Return whether this call, which is about to be made, is refused."""
        if not self.active:
            return False
        self.made += 1
        refused = self.made == self.first or (self.lasting and 0 < self.first < self.made)
        if refused:
            self.refused.append(call)
        return refused


class SyncRefusingVFS(apsw.VFS):
    """Refuses to sync databases, journals and write-ahead logs."""

    def __init__(self, refusals: Refusals) -> None:
        self.base = apsw.vfs_names()[0]
        self.refusals = refusals
        super().__init__("goes_lite_refusing", self.base, makedefault=True)

    def xOpen(self, name: Name, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _SyncRefusingFile(self, name, flags)


class _SyncRefusingFile(apsw.VFSFile):
    def __init__(self, vfs: SyncRefusingVFS, name: Name, flags: list[int]) -> None:
        self._refusals = vfs.refusals
        super().__init__(vfs.base, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._refusals.refuse("sync"):
            error: Any = apsw.IOError("this sync is refused")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC
            raise error
        super().xSync(flags)


class SystemCalls:
    """Refuses system calls that SQLite's own VFS makes (on POSIX), so that the errors are those of a real disk.

    An error raised by a VFS in Python propagates from apsw even where SQLite ignores it; a refused system call does not.
    This covers every call that SQLite lets a program replace, except for inconsequential ones and for unlocking.
    """

    def __init__(self, refusals: Refusals, wanted: list[str]) -> None:
        self._refusals = refusals
        self._vfs = apsw.VFS("goes_lite_system_calls", "")
        self._kept: list[Any] = []
        for kind in wanted:
            for name in _NAMES[kind]:
                if original := self._vfs.xGetSystemCall(name):
                    self._replace(kind, name, original)

    def _replace(self, kind: str, name: str, original: int) -> None:
        function = ctypes.CFUNCTYPE(*_TYPES[kind], use_errno=True)
        call = function(original)
        refusals = self._refusals

        def replacement(*arguments: Any) -> Any:
            if (kind == "lock" and not _locks(*arguments)) or not refusals.refuse(kind):
                return call(*arguments)
            ctypes.set_errno(refusals.error)
            return -1

        callback = function(replacement)
        self._kept += [call, callback]
        self._vfs.xSetSystemCall(name, ctypes.cast(callback, ctypes.c_void_p).value or 0)

    def unregister(self) -> None:
        """Restore SQLite's own functions: the replacements must not be called once they are gone."""
        self._vfs.xSetSystemCall(None, 0)


def _locks(file: int, command: int, argument: int) -> bool:
    """Return whether this fcntl() requests a lock."""
    import fcntl

    return command == fcntl.F_SETLK and ctypes.c_short.from_address(argument).value != fcntl.F_UNLCK


_NAMES = {
    "write": ("pwrite64", "pwrite", "write"),
    "read": ("pread64", "pread", "read"),
    "truncate": ("ftruncate",),
    "open": ("open",),
    "delete": ("unlink",),
    "lock": ("fcntl",),
    "size": ("fstat",),
    "map": ("mmap",),
}
_TYPES: dict[str, tuple[Any, ...]] = {
    "write": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "read": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "truncate": (ctypes.c_int, ctypes.c_int, ctypes.c_int64),
    "open": (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "delete": (ctypes.c_int, ctypes.c_char_p),
    "lock": (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p),
    "size": (ctypes.c_int, ctypes.c_int, ctypes.c_void_p),
    "map": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64),
}  # fmt: skip
CALLS = list(_NAMES)
"""The kinds of system calls."""
