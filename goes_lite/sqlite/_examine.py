"""Look at what a file runs on: the library, the disk, the files next to it, and how others have opened it.

Rule of this file: nothing is opened that SQLite has open, and the settings of the connection that looks say nothing about those
of the writers: only what all connections share, what the address says, and what open writers show (see `_presence`).
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress

from goes_lite.contract.findings import Finding
from goes_lite.kit.examining import durability_findings
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection, wal_reset_bug
from goes_lite.sqlite._place import NETWORK_FILESYSTEMS, SIDE_FILES, filesystem_of, mounted
from goes_lite.sqlite._presence import unsafe_writers

MIB = 1 << 20
LARGE_LOG = 64 * MIB
"""The size of a -wal that nothing makes smaller: checkpoints keep it below 16 MiB."""
SPARE = 100 * MIB
"""How much room should be left in addition to that for a copy of the file."""
VOLATILE = frozenset(("tmpfs", "ramfs"))
SYNCED = {
    "dropbox": "Dropbox", "onedrive": "OneDrive", "google drive": "Google Drive", "googledrive": "Google Drive",
    "my drive": "Google Drive", "mobile documents": "iCloud Drive", "icloud drive": "iCloud Drive", "icloud~": "iCloud Drive",
    "nextcloud": "Nextcloud", "owncloud": "ownCloud", "syncthing": "Syncthing", "box sync": "Box", "pcloud": "pCloud",
    "megasync": "MEGA",
}  # fmt: skip
"""Folders whose names begin so are synchronised by these programs."""
MARKS = {".dropbox": "Dropbox", ".stfolder": "Syncthing", ".sync": "Resilio Sync", ".csync_journal.db": "ownCloud"}
"""Files by which such programs mark a folder."""


def examine(connection: Connection, address: FileAddress) -> list[Finding]:
    """Return what should be otherwise."""
    found = [*_library(address)]
    if not address.memory:
        found += [*_place(address), *_files(address), *_settings(connection, address)]
    return found


def _library(address: FileAddress) -> Iterator[Finding]:
    version = ".".join(map(str, address.driver.version))
    if wal_reset_bug(address.driver.version):
        yield Finding(
            "sqlite-wal-reset-bug",
            f"SQLite {version} of {address.driver.name} can corrupt a file that two connections checkpoint at once; goes_lite "
            "avoids that, so checkpoints block writers. Other programs on the file do not avoid it",
            "pip install apsw",
        )


def _place(address: FileAddress) -> Iterator[Finding]:
    folder = os.path.dirname(address.path)
    kind = filesystem_of(folder, mounted())
    if kind in NETWORK_FILESYSTEMS:
        yield Finding(
            "network-filesystem",
            f"the file lies on a network file system ({kind}), where SQLite's locks do not work: it can be read, not written",
            f"goes-lite backup {address.path} a file on a local disk",
        )
    if kind in VOLATILE:
        yield Finding(
            "volatile-filesystem",
            f"the file lies on a {kind}, in memory: the next restart of the machine removes it",
            "move it to a disk while no program uses it",
        )
    if name := _synced(folder):
        yield Finding(
            "synced-folder",
            f"the file lies in a folder of {name}, which copies the file and its -wal at different moments: such a copy is "
            "damaged, and replacing the file by one loses events",
            f"move the store out of the folder, and let it synchronise backups: goes-lite backup {address.path} FILE",
        )
    size = os.stat(address.path).st_size
    free = shutil.disk_usage(folder).free
    if free < SPARE + size:
        yield Finding(
            "disk-space",
            f"{free // MIB} MiB are free on the disk, and the file has {size // MIB} MiB: no copy of it would fit",
            "make room, or write backups to another disk",
        )


def _synced(folder: str) -> str:
    while True:
        name = os.path.basename(folder).lower()
        if found := next((program for start, program in SYNCED.items() if name.startswith(start)), ""):
            return found
        if found := next(
            (program for mark, program in MARKS.items() if os.path.lexists(os.path.join(folder, mark))), ""
        ):
            return found
        above = os.path.dirname(folder)
        if above == folder:
            return ""
        folder = above


def _files(address: FileAddress) -> Iterator[Finding]:
    path = address.path
    log = _stat(path + "-wal")
    if log is not None and log.st_size > LARGE_LOG:
        yield Finding(
            "wal-large",
            f"the -wal has {log.st_size // MIB} MiB: some program keeps a read transaction open, so that it cannot be moved "
            "into the file",
            "find the program (an open statement in a database browser?) and close it; the next writer then moves it",
        )
    if os.name != "posix":
        return
    own = os.stat(path)
    mode = stat.S_IMODE(own.st_mode)
    if mode & stat.S_IWOTH:
        yield Finding(
            "file-writable", f"every user of the machine may write to the file ({mode:04o})", f"chmod o-w {path}"
        )
    folder = os.path.dirname(path)
    above = os.stat(folder).st_mode
    if above & stat.S_IWOTH and not above & stat.S_ISVTX:
        yield Finding(
            "folder-writable",
            f"every user of the machine may replace the files in {folder!r} ({stat.S_IMODE(above):04o})",
            f"chmod o-w {folder}",
        )
    if not os.access(folder, os.W_OK) and os.access(path, os.W_OK):
        yield Finding(
            "folder-read-only",
            f"you may write to the file, but not to its folder {folder!r}, where SQLite has to create the -wal and the -shm",
            f"chmod u+w {folder}",
        )
    for suffix in SIDE_FILES:
        other = _stat(path + suffix)
        if other is None:
            continue
        if (other.st_gid, other.st_mode & 0o666) != (own.st_gid, own.st_mode & 0o666):
            yield Finding(
                "side-file-rights",
                f"{os.path.basename(path + suffix)!r} has mode {stat.S_IMODE(other.st_mode):04o} and group {other.st_gid}, the "
                f"file has {mode:04o} and {own.st_gid}: some who may use the one may not use the other",
                f"chmod --reference={path} {path}{suffix}; chgrp --reference={path} {path}{suffix}",
            )


def _settings(connection: Connection, address: FileAddress) -> Iterator[Finding]:
    mode = str(connection.execute("PRAGMA journal_mode").fetchall()[0][0])
    if mode != "wal":
        yield Finding(
            "journal-mode",
            f"the journal mode of the file is {mode!r}: another program has changed it, and readers now block writers",
            "open the store for writing with goes_lite once: it changes it back",
        )
    yield from durability_findings(address.durability)
    for kind in unsafe_writers(address.path + "-lock"):
        yield Finding(
            "durability-of-writers",
            f"a program has the store open for writing with durability={kind!r}: after a power failure, events that it "
            "acknowledged can be gone",
            "leave out durability where that program connects",
        )
    pages, free, size = (
        int(connection.execute(f"PRAGMA {what}").fetchall()[0][0])
        for what in ("page_count", "freelist_count", "page_size")
    )
    if free * size > LARGE_LOG and free * 4 > pages:
        yield Finding(
            "free-pages",
            f"{free * size // MIB} of {pages * size // MIB} MiB in the file are free: files do not shrink when much is deleted",
            "run VACUUM with the sqlite3 shell while no program uses the file, or go on with a backup, which is compact",
        )


def _stat(path: str) -> os.stat_result | None:
    with suppress(OSError):
        return os.lstat(path)
    return None
