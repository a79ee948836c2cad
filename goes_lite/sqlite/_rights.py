"""Files next to a store, and copies of it, are for whom the store is for: they have its group and its mode.

SQLite gives the -wal and the -shm the mode of the file; their group it sets only for root.
"""

from __future__ import annotations

import contextlib
import os
import stat

NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags of `os.open` that follow no symbolic link, which may lead to a file of somebody else."""


def mode_of(store: str) -> int:
    """Return the permissions of a store, without the bits that no store needs."""
    return stat.S_IMODE(os.stat(store).st_mode) & 0o666


def share(store: str, file: int) -> None:
    """Give an open file the group and mode of a store, unless another user owns it, who did so."""
    if os.name != "posix":
        return
    wanted, own, user = os.stat(store), os.fstat(file), os.geteuid()
    if user in (0, own.st_uid):
        with contextlib.suppress(OSError):  # a group that this user is not in
            _give(file, own, wanted, user)
        if stat.S_IMODE(own.st_mode) != mode_of(store):
            os.fchmod(file, mode_of(store))


def share_group(store: str, path: str) -> None:
    """Give a file of SQLite's the group of the store."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # as above, or another user owns it
        _give(path, os.lstat(path), os.stat(store), os.geteuid())


def create_like(store: str | None, path: str) -> None:
    """Create an empty file that, at every moment, at most those can read who can read the store."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK
    file = os.open(path, flags, 0o644 if store is None else mode_of(store) & 0o600)
    try:
        if store is None or os.name != "posix":
            return
        mode, wanted = mode_of(store), os.stat(store)
        try:
            _give(file, os.fstat(file), wanted, os.geteuid(), owner=False)
        except OSError:
            mode = mode & 0o606 | (mode & 0o006) << 3  # to its own group, the copy is a file of others
        os.fchmod(file, mode)
    finally:
        os.close(file)


def _give(file: int | str, own: os.stat_result, wanted: os.stat_result, user: int, *, owner: bool = True) -> None:
    """Give a file the group of another and, for root, its owner."""
    to = wanted.st_uid if owner and user == 0 else own.st_uid
    if (to, wanted.st_gid) != (own.st_uid, own.st_gid):
        os.chown(file, to if to != own.st_uid else -1, wanted.st_gid, follow_symlinks=not isinstance(file, str))
