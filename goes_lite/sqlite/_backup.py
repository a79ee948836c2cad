"""Copy a live store completely, under a new epoch.

VACUUM INTO reads in one transaction, so the copy is consistent and compact. Once the copy is in use, it and the original
have different events at the same positions. The new epoch keeps a checkpoint that is stored elsewhere from being mistaken
for one of the other store. The checkpoints inside the copy move to its epoch; its leases are released.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from urllib.parse import quote

from goes_lite.errors import ConfigError, GoesError, StoreFull, StoreUnavailable
from goes_lite.events.ids import new_id_text
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection, translate
from goes_lite.sqlite._fence import put
from goes_lite.sqlite._log import begin_log
from goes_lite.sqlite._rights import create_like
from goes_lite.sqlite._schema import identity


def path_of(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a backup; ConfigError unless it can be one."""
    try:
        found = os.path.abspath(os.path.expanduser(path))
        if b"\0" in os.fsencode(found):
            raise ValueError("it contains NUL")
    except (TypeError, ValueError, OSError) as exc:
        raise ConfigError(f"cannot back up to {path!r:.80}: it is not the path of a file ({exc!s:.200})") from None
    if not isinstance(found, str):
        raise ConfigError(f"cannot back up to {path!r:.80}: a path is a str or an os.PathLike of str")
    return found


def back_up(connection: Connection, address: FileAddress, copy: str, check_usable: Callable[[], None]) -> None:
    """Write the copy to a new file, which appears once it is complete. Raise ConfigError if the file exists."""
    if os.path.lexists(copy):
        raise ConfigError(f"cannot back up to {copy!r}: the file exists; choose a new one")
    for suffix in ("-wal", "-shm", "-journal"):
        if os.path.lexists(copy + suffix):  # SQLite would take it for a part of the copy
            raise ConfigError(
                f"cannot back up to {copy!r}: {copy + suffix!r} of another file exists; choose a new name"
            )
    part = f"{copy}.part-{new_id_text()}"
    try:
        create_like(None if address.memory else address.path, part)
        connection.execute("VACUUM INTO ?", (part,)).fetchall()
        _begin_epoch(address.driver.open(f"file:{quote(part)}", read_only=False))
        check_usable()  # a file that is read without locks may have changed
        _put(part, copy)
    except address.driver.error as exc:
        raise translate(exc, address.driver.code(exc), copy) from exc
    except OSError as exc:
        if isinstance(exc, GoesError):
            raise
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (StoreFull(copy) if full else StoreUnavailable(copy, f"cannot be created: {exc.strerror}")) from exc
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)  # a partial backup is useless


def _put(part: str, copy: str) -> None:
    """Give the complete copy its name, unless a file of that name was created meanwhile."""
    try:
        os.link(part, copy)  # unlike rename, never replaces a file
    except FileExistsError:
        raise ConfigError(f"cannot back up to {copy!r}: the file exists; choose a new one") from None
    except OSError:
        os.rename(part, copy)  # a file system without links


def _begin_epoch(connection: Connection) -> None:
    try:
        before = identity(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE store SET value = ? WHERE key = 'epoch'", (new_id_text(),))
        put(connection, "")  # a fence belongs to the original
        begin_log(connection)  # a -wal of the original does not belong to it
        connection.execute("UPDATE checkpoints SET store = ? WHERE store = ?", (identity(connection), before))
        connection.execute("UPDATE leases SET owner = '', expires = 0")
        connection.execute("COMMIT")
    finally:
        connection.close()
