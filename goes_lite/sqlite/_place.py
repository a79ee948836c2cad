"""Where a store may lie: places where SQLite's locks work, and files that all programs reach by one name.

SQLite derives the names of the -wal and the -shm from the name of the file. Programs that reach one file by two names
(a hard link, a container that mounts the file alone) therefore have two logs, and each loses what the other writes.
"""

from __future__ import annotations

import os
import re
import stat
import sys

from goes_lite.errors import ForeignFile, NetworkFilesystem, StoreUnavailable
from goes_lite.sqlite._connection import FileAddress

MOUNTS = "/proc/self/mountinfo"

NETWORK_FILESYSTEMS = frozenset(
    "nfs nfs3 nfs4 cifs smb2 smb3 smbfs 9p afs ceph glusterfs lustre ncpfs vboxsf vmhgfs drvfs davfs fuse.sshfs "
    "fuse.rclone fuse.s3fs fuse.glusterfs fuse.davfs2 fuse.gvfsd-fuse fuse.vmhgfs-fuse".split()
)
SIDE_FILES = ("-wal", "-shm", "-lock")
"""What the names of the files next to a store add to its own."""


def check_place(address: FileAddress) -> None:
    """Refuse, before SQLite sees it, a path that cannot safely be a store."""
    if address.memory:
        return
    path = address.path
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise StoreUnavailable(path, "is a folder: name a file in it, such as 'app.db'")
    if not os.path.isdir(folder):
        raise StoreUnavailable(path, f"the folder {folder!r} does not exist: create it first")
    if address.read_only and not os.path.exists(path):
        raise StoreUnavailable(path, "does not exist, and opening it read-only does not create it: check the path")
    for suffix in SIDE_FILES:
        store = path.removesuffix(suffix)
        if store != path and os.path.isfile(store):
            raise StoreUnavailable(path, f"is a file that belongs to {store!r}: open that one")
    _check_file(path)
    mounts = mounted()
    for suffix in ("", *SIDE_FILES):
        if any(point == path + suffix for point, _ in mounts):
            raise StoreUnavailable(
                path + suffix,
                "is mounted as a single file (into a container, for example), so programs that see its folder would use "
                "another -wal, and lose what is written here: mount the folder that contains the store",
            )
    kind = filesystem_of(folder, mounts)
    if kind in NETWORK_FILESYSTEMS and not address.read_only:
        raise NetworkFilesystem(path, kind)


def _check_file(path: str) -> None:
    """Refuse what is no plain file, or has further names; the same for the files next to it."""
    for suffix in ("", *SIDE_FILES):
        try:
            status = os.lstat(path + suffix)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise StoreUnavailable(path, f"{os.path.basename(path + suffix)!r} is {kind}: {_WAY_OUT[bool(suffix)]}")
        if status.st_nlink > 1 and not suffix:
            others = [entry.name for entry in os.scandir(os.path.dirname(path)) if entry.inode() == status.st_ino]
            others = sorted(name for name in others if name != os.path.basename(path))
            named = f"here also {', '.join(map(repr, others[:3]))}" if others else "in other folders"
            raise StoreUnavailable(
                path,
                f"has {status.st_nlink} names (hard links, {named}), and programs that open it by different names lose "
                "each other's events: remove the other names, or replace this one by a copy of the file",
            )
        if not suffix and status.st_size == 1:
            # SQLite would treat it as an empty file and overwrite it
            raise ForeignFile(path, "it is not an SQLite database but a single byte")


_WAY_OUT = ("choose another path", "move it away; SQLite and goes_lite create the files next to a store themselves")


def mounted() -> list[tuple[str, str]]:
    """Return all mount points, each with the type of its file system; none where that is unknown (not on Linux)."""
    try:
        with open(MOUNTS, "rb") as lines:
            # proc(5): field 5 is the mount point, with octal escapes; the type follows ' - '
            found = [(line.split(b" ")[4], line.partition(b" - ")[2].split(b" ")[0]) for line in lines]
    except (OSError, IndexError):
        return []
    return [
        (os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), point)), os.fsdecode(kind))
        for point, kind in found
    ]


def filesystem_of(folder: str, mounts: list[tuple[str, str]]) -> str:
    """Return the type of the folder's file system, or '' where that is unknown."""
    if sys.platform == "win32" and folder.startswith(("\\\\", "//")):
        return "smb3"
    real = os.path.realpath(folder)
    best, kind = -1, ""
    for point, fstype in mounts:
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), fstype
    return kind
