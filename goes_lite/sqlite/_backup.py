"""A complete copy of a live store, as the beginning of another life of it.

VACUUM INTO reads in one transaction, so the copy is of one moment, and compact. Once the copy is in use, it and the
original go different ways under the same positions. So the copy gets an epoch of its own: a checkpoint that was kept
outside, of the one, is not mistaken for one of the other. The checkpoints inside the copy belong to it and go with it;
its leases are nobody's.
"""

from __future__ import annotations

import contextlib
import os
from urllib.parse import quote

from goes_lite.errors import ConfigError
from goes_lite.events.ids import new_id_text
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection, translate
from goes_lite.sqlite._schema import identity


def back_up(connection: Connection, address: FileAddress, copy: str) -> None:
    """Write the copy to a path where no file is (else ConfigError). It appears there when it is complete."""
    if os.path.exists(copy):
        raise ConfigError(f"backup to {copy!r}: the file exists and is not overwritten")
    part = f"{copy}.part-{new_id_text()}"
    try:
        connection.execute("VACUUM INTO ?", (part,)).fetchall()
        _begin_anew(address.driver.open(f"file:{quote(part)}", read_only=False))
        _put(part, copy)
    except address.driver.error as exc:
        raise translate(exc, address.driver.code(exc), copy) from exc
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)  # half of it is no backup


def _put(part: str, copy: str) -> None:
    """Give the complete copy its name, unless somebody else took the name meanwhile."""
    try:
        os.link(part, copy)  # unlike rename, never replaces a file
    except FileExistsError:
        raise ConfigError(f"backup to {copy!r}: the file exists and is not overwritten") from None
    except OSError:
        os.rename(part, copy)  # a file system without links


def _begin_anew(connection: Connection) -> None:
    try:
        before = identity(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE store SET value = ? WHERE key = 'epoch'", (new_id_text(),))
        connection.execute("UPDATE checkpoints SET store = ? WHERE store = ?", (identity(connection), before))
        connection.execute("UPDATE leases SET owner = '', expires = 0")
        connection.execute("COMMIT")
    finally:
        connection.close()
