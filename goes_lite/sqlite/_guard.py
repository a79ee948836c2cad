"""Keeping a live file's locks: nobody opens it behind SQLite's back, nobody uses it after a fork.

POSIX drops all of a process's locks on a file when the process closes *any* descriptor of it. A program that reads
`app.db-shm`, copies `app.db` with shutil, or opens it with a second SQLite library thereby lets another process write
at the same time: both get an OK, and the events of one are gone. An audit hook sees such an `open` (or
`sqlite3.connect`) before it happens and refuses it with UnsafeAccess. C libraries other than Python's own are not seen,
nor is a link of another name to the file, so one driver per file and process stays a rule for people too. On Windows
locks are not lost that way, and there is no hook.

SQLite forbids carrying a connection over a fork: the child must not even close it. So the child's handles are marked,
raise StoreForked, and their connections are kept from ever being finalised. Nor can the child open the same file anew:
the library in it goes on believing that it holds the locks which only the parent has, so it would take none, and the
parent would delete the -wal that the child writes to. That is StoreForked as well.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

from goes_lite.errors import StoreForked, UnsafeAccess

_SUFFIXES = ("", "-wal", "-shm")
_live: dict[str, Counter[str]] = {}  # real path of a database -> how many handles use which driver
_called: dict[str, set[str]] = {}  # real path of a database -> the base names under which it was opened
_names: set[str] = set()  # all of them, with the suffixes: a cheap first test
_inherited: set[tuple[int, int]] = set()  # device and inode of the files that were open when this process was forked
_lock = threading.RLock()  # an abandoned handle is released by the garbage collector, at any point
_hooked = False


def claim(path: str, driver: str) -> str:
    """Guard the file until `release`.

    UnsafeAccess if this process has it open with the other driver, StoreForked if it inherited it open.
    """
    global _hooked  # noqa: PLW0603
    real = os.path.realpath(path)
    if _inherited and _inode(real) in _inherited:
        raise StoreForked(path)
    with _lock:
        drivers = _live.setdefault(real, Counter())
        others = [name for name, handles in drivers.items() if handles and name != driver]
        if others and os.name == "posix":
            raise UnsafeAccess(
                path, f"opening it with the driver {driver!r} beside {others[0]!r} (two SQLite libraries)"
            )
        drivers[driver] += 1
        _called.setdefault(real, set()).update((os.path.basename(real), os.path.basename(path)))
        _name_all()
        if not _hooked and os.name == "posix":
            _hooked = True
            sys.addaudithook(_hook)  # cannot be removed again; idle, it costs a comparison per audited event
    return real


def release(real: str, driver: str) -> None:
    with _lock:
        drivers = _live.get(real)
        if drivers is None:
            return
        drivers[driver] -= 1
        if drivers[driver] <= 0:
            del drivers[driver]
        if not drivers:
            del _live[real], _called[real]
            _name_all()


def _name_all() -> None:
    _names.clear()
    _names.update(name + suffix for names in _called.values() for name in names for suffix in _SUFFIXES)


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
        if real not in [database + suffix for suffix in _SUFFIXES]:
            continue
        if event == "open":
            raise UnsafeAccess(database, f"opening {os.path.basename(real)!r} as a plain file")
        if "sqlite3" not in drivers:
            raise UnsafeAccess(database, "opening it with the sqlite3 module beside apsw (two SQLite libraries)")


# --- forks ---------------------------------------------------------------------------------------------------------

_forkable: WeakSet[Any] = WeakSet()


def on_fork(handle: object) -> None:
    """Have `handle.after_fork_in_child()` called in a forked child."""
    _forkable.add(handle)


def leak(*objects: object) -> None:
    """Keep the objects from ever being finalised, also at the end of the process."""
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
