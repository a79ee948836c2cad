"""Files that appear whole or not at all: written under another name, synced, and then given their own."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from glob import escape, glob

from goes_lite.errors import ConfigError, CopyRefused, GoesError, StoreFull, StoreUnavailable

BESIDE = ("-wal", "-shm", "-journal", "-lock")
"""What SQLite and goes_lite keep next to a file while it is in use."""


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file; ConfigError unless it can be one."""
    try:
        given: object = os.fspath(path)
        if not isinstance(given, str) or "\0" in given:
            raise ValueError("a path is text without NUL")
        return os.path.abspath(os.path.expanduser(given))
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"{path!r:.80} is not the path of a file ({exc!s:.200})") from None


def check_new(path: str | os.PathLike[str]) -> str:
    """Return the absolute path; CopyRefused if something is there, StoreUnavailable if nothing can be created there."""
    path = absolute(path)
    for one in (path, *(path + suffix for suffix in BESIDE[:3])):
        if os.path.lexists(one):
            raise CopyRefused(path, f"{one!r} exists, and nothing is overwritten: choose a new name")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise StoreUnavailable(path, f"the folder {folder!r} does not exist: create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreUnavailable(path, f"no right to write into the folder {folder!r}: choose another, or ask its owner")
    return path


def receipt_path(path: str) -> str:
    """Return where the receipt of a backup is."""
    return f"{path}.receipt.json"


def remove_all(path: str) -> None:
    """Remove a file and what belongs to it, parts of it that an interrupted backup has left included."""
    for one in (*(path + suffix for suffix in ("", *BESIDE)), *glob(f"{escape(path)}.part-*")):
        with suppress(FileNotFoundError):
            os.remove(one)


def publish(part: str, path: str) -> None:
    """Sync the finished file, then give it its name; CopyRefused if that was taken meanwhile."""
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            os.remove(part + suffix)  # of a store that is closed: empty
    sync(part)
    # Not link and remove, which never replaces a file: killed in between, it would leave a file with two names.
    if os.path.lexists(path):
        raise CopyRefused(path, "the file was created meanwhile, and nothing is overwritten")
    os.rename(part, path)
    sync_folder(path)


def write_whole(path: str, text: str) -> None:
    """Write a small file, which replaces one of its name at once."""
    part = path + ".part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path)
    except BaseException:
        with suppress(OSError):
            os.remove(part)
        raise


def sync(path: str) -> None:
    """Write a file to the disk."""
    descriptor = os.open(path, os.O_RDWR)  # Windows syncs only what it could write
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: str) -> None:
    """Write the names in the folder of a file to the disk, where a system has that."""
    if os.name == "nt":
        return
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def translated(error: OSError, path: str) -> GoesError:
    """Return the error of goes_lite for one of the operating system."""
    if isinstance(error, GoesError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # EFBIG: a file-size limit
        return StoreFull(path)
    return StoreUnavailable(path, f"it cannot be written: {error.strerror or error}")
