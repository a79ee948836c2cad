"""Which file a -wal belongs to: both have marks, so that the log of another file is refused.

SQLite replays whatever -wal lies next to a file, also next to a backup that was copied over it: the pages of both are mixed.
So the table `store` has a mark, which changes each time that a log starts again; its first commit writes the new mark, with
the mark before it. A file that the log belongs to has one of these two: it has the one before, until a checkpoint moves the
new one into it. An older or another file has neither.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from urllib.parse import quote

from goes_lite.errors import StoreUnavailable
from goes_lite.events.ids import new_id_text
from goes_lite.sqlite._connection import FileAddress, set_busy_timeout
from goes_lite.sqlite._driver import CORRUPT, NOTADB, Connection

_MARKS = "SELECT value FROM store WHERE key = 'log'"
_BEGIN = (
    "INSERT INTO store (key, value) VALUES ('log', ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value || ' ' || substr(value, 1, 36)"
)
_MARK = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRIES = 10
"""How often to look at a store that others write to: a mark may move from the log to the file in between. If the marks still
change then, the file is in use, so log and file belong together."""


def is_empty(path: str) -> bool:
    """Whether the log of a file is empty: the next commit begins it, if the write lock is held."""
    with suppress(OSError):
        return not os.stat(path + "-wal").st_size
    return False


def begin_log(connection: Connection) -> None:
    """Write a new mark, with the one before it, in a transaction that begins a log."""
    connection.execute(_BEGIN, (new_id_text(),))


def marks(connection: Connection) -> str:
    """Return the mark of the store and the one before it."""
    rows = connection.execute(_MARKS).fetchall()
    return str(rows[0][0]) if rows else ""


def begin_log_after(connection: Connection, before: str) -> None:
    """Begin a log after a checkpoint of everything, unless somebody else has done so since the marks were these."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        if marks(connection) == before:
            begin_log(connection)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(Exception):
            connection.execute("ROLLBACK")
        raise


def check_log(address: FileAddress) -> None:
    """Refuse a -wal that was written for another file, before anything is changed."""
    driver = address.driver
    seen: tuple[str, str] | None = None
    for _ in range(_TRIES):
        if not os.path.exists(address.path + "-wal") or is_empty(address.path):
            return
        try:
            known = _read(address, "")
        except driver.error as exc:
            if driver.code(exc) & 0xFF not in (CORRUPT, NOTADB):
                return  # whatever it is, opening the store tells
            known = ""  # the pages of two files make no sense together
        try:
            mark = _MARK.match(_read(address, "&immutable=1"))
        except driver.error:
            return  # nothing is known: a page may be torn, which the log repairs
        if mark is None or mark[0] in known:
            return
        if (known, mark[0]) == seen:
            raise StoreUnavailable(address.path, _FOREIGN)
        seen = known, mark[0]


_FOREIGN = (
    "its -wal was written for another file: probably a backup was copied over the old file, whose -wal is still there. End "
    "all programs that use the store, move the -wal and the -shm to another folder (and keep them: they may hold the newest "
    "events of the old file), and open the store again"
)


def _read(address: FileAddress, options: str) -> str:
    """Return the marks in the log, or in the file if the log has none; only those in the file if it is `immutable`.

    The connection can only read, so closing it moves nothing from the log into the file.
    """
    connection = address.driver.open(f"file:{quote(address.path)}?mode=ro{options}", read_only=True)
    try:
        set_busy_timeout(connection, address.lock_timeout)
        return marks(connection)
    finally:
        connection.close()
