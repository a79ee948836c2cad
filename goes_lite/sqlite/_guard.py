"""Protect the locks of a live file: no access that bypasses SQLite, no use after a fork.

POSIX drops all of a process's locks on a file when the process closes *any* descriptor of it. A program that reads
`app.db-shm`, copies `app.db` with shutil, or opens it with a second SQLite library thereby lets another process write
at the same time: both writes succeed, and the events of one are lost. An audit hook intercepts such an `open` (or
`sqlite3.connect`) and refuses it with UnsafeAccess. It does not see C libraries other than Python's own, nor hard links
under another name, so people must also keep to one driver per file and process. Windows does not lose locks that way,
and there is no hook.

SQLite forbids carrying a connection over a fork: the child must not even close it. So the child's handles are marked and
raise StoreForked, and their connections are never finalized. The child cannot reopen the same file either: its SQLite
library still believes that it holds the locks of the parent, so it would take none, and the parent would delete the -wal
that the child writes to. That raises StoreForked as well.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

from goes_lite.errors import StoreForked, UnsafeAccess

SUFFIXES = ("", "-wal", "-shm")
"""What the names of SQLite's own files of a store add to its name."""
_live: dict[str, dict[str, set[int]]] = {}  # real path of a database -> ids of its handles by driver
_called: dict[str, set[str]] = {}  # real path of a database -> the base names under which it was opened
_names: set[str] = set()  # all base names, with the suffixes: a cheap first test
_inherited: set[tuple[int, int]] = set()  # device and inode of the files that were open when this process was forked
_lock = threading.RLock()  # reentrant, since the garbage collector may release an abandoned handle at any point
_hooked = False


def claim(path: str, driver: str, handle: object) -> None:
    """Guard the file until `release` for that handle.

    Raise UnsafeAccess if this process has it open with the other driver, StoreForked if it inherited it open.
    """
    global _hooked  # noqa: PLW0603
    real = os.path.realpath(path)
    if _inherited and _inode(real) in _inherited:
        raise StoreForked(path)
    with _lock:
        drivers = _live.setdefault(real, {})
        others = [name for name, handles in drivers.items() if handles and name != driver]
        if others and os.name == "posix":
            raise UnsafeAccess(
                path, f"opening it with the driver {driver!r} as well as {others[0]!r} (two SQLite libraries)"
            )
        drivers.setdefault(driver, set()).add(id(handle))
        _called.setdefault(real, set()).update((os.path.basename(real), os.path.basename(path)))
        _name_all()
        if not _hooked and os.name == "posix":
            sys.addaudithook(_hook)  # cannot be removed; when idle, it costs a comparison per audited event
            _hooked = True


def release(real: str, driver: str, handle: object) -> None:
    """End the claim of a handle, if it has one."""
    with _lock:
        drivers = _live.get(real)
        if drivers is None:
            return
        handles = drivers.get(driver, set())
        handles.discard(id(handle))
        if not handles:
            drivers.pop(driver, None)
        if not drivers:
            del _live[real]
            _called.pop(real, None)
            _name_all()


def _name_all() -> None:
    _names.clear()
    _names.update(name + suffix for names in _called.values() for name in names for suffix in SUFFIXES)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event not in ("open", "sqlite3.connect") or not _names:
        return
    path = args[0]
    if isinstance(path, int) or path is None:
        return
    text = os.fsdecode(cast("str", path)) if isinstance(path, (str, bytes, os.PathLike)) else ""
    if event == "sqlite3.connect" and text.startswith("file:"):
        from urllib.parse import unquote

        text = unquote(text[5:].partition("?")[0].partition("#")[0]).removeprefix("//localhost")
    if os.path.basename(text) not in _names:
        return
    real = os.path.realpath(text)
    for database, drivers in list(_live.items()):
        if real not in [database + suffix for suffix in SUFFIXES]:
            continue
        if event == "open":
            raise UnsafeAccess(database, f"opening {os.path.basename(real)!r} as a plain file")
        if "sqlite3" not in drivers:
            raise UnsafeAccess(database, "opening it with the sqlite3 module as well as apsw (two SQLite libraries)")


# --- forks ---------------------------------------------------------------------------------------------------------

_forkable: WeakSet[Any] = WeakSet()


def on_fork(handle: object) -> None:
    """Call `handle.after_fork_in_child()` in a forked child."""
    _forkable.add(handle)


def leak(*objects: object) -> None:
    """Keep the objects from being finalized, even at the end of the process."""
    import ctypes

    for thing in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _inode(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()  # another thread of the parent may have held it
    _inherited.update(map(_inode, _live))
    _inherited.discard((0, 0))
    _live.clear()
    _called.clear()
    _names.clear()
    for handle in list(_forkable):
        handle.after_fork_in_child()
    _forkable.clear()


register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if register is not None:
    register(after_in_child=_after_fork_in_child)
