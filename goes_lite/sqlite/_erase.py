"""Remove a store permanently, for tests; refuses foreign files and stores in use."""

from __future__ import annotations

import contextlib
import os
import time
from urllib.parse import quote

from goes_lite.errors import StoreLocked, StoreReadOnly
from goes_lite.sqlite import _guard, _schema
from goes_lite.sqlite._connection import FileAddress, set_busy_timeout
from goes_lite.sqlite._driver import BUSY, LOCKED, Connection, translate
from goes_lite.sqlite._place import check_place

PATIENCE = 1.0
"""How many seconds to wait for other users of the file to close it."""


def erase(address: FileAddress) -> None:
    """Remove the database, its -wal, -shm and -lock.

    Raise ForeignFile, StoreTooNew or StoreDamaged if it is not a usable store, StoreLocked or UnsafeAccess if it is in use.
    """
    path = os.path.realpath(address.path)
    address = address._replace(path=path)
    if not os.path.exists(path):
        return
    check_place(address)
    if address.read_only:
        raise StoreReadOnly(address.location, "opened read-only", "leave out read_only to remove it")
    us = object()
    try:
        _guard.claim(path, address.driver.name, us)
        _check(address)
    finally:
        _guard.release(os.path.realpath(path), address.driver.name, us)
    for suffix in ("-lock", "-wal", "-shm", ""):  # the database last: after an interruption it is still a store
        with contextlib.suppress(FileNotFoundError):
            os.remove(path + suffix)


def _check(address: FileAddress) -> None:
    driver = address.driver
    try:
        connection = driver.open(f"file:{quote(address.path)}?mode=rw", read_only=False)
        try:
            set_busy_timeout(connection, PATIENCE)
            _schema.check(connection, address.location)
            _only_user(connection, address)
        finally:
            connection.close()
    except driver.error as exc:
        raise translate(exc, driver.code(exc), address.location, waited=PATIENCE) from exc


def _only_user(connection: Connection, address: FileAddress) -> None:
    """Raise StoreLocked if there are other connections: SQLite lets only the last one leave the write-ahead log."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            return
        except address.driver.error as exc:
            if address.driver.code(exc) & 0xFF not in (BUSY, LOCKED):
                raise
            if time.monotonic() >= deadline:
                raise StoreLocked(address.location, PATIENCE) from exc
        time.sleep(0.01)
