"""The raw limit: the same rows in the same tables by the bare driver, without goes_lite in between.

The schema is that of goes_lite (its migrations create the file), so both sides maintain the same tables and indexes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import goes_lite as goes
from bench.domain import NOTE
from goes_lite.sqlite import checkpointer

EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
NEW = "INSERT INTO aggregates (name, id, version, first_time, last_time) VALUES ('account', ?, 0, 0, 0) RETURNING key"
MOVE = "UPDATE aggregates SET version = ?, last_time = ? WHERE key = ?"
LOAD = (
    "SELECT * FROM events WHERE aggregate_key = (SELECT key FROM aggregates WHERE name = ? AND id = ?) ORDER BY version"
)


def connect(path: Path, driver: str, durability: str) -> Any:
    """Open a bare connection to a new store."""
    goes.blocking.connect(path, driver=driver).close()
    if driver == "apsw":
        import apsw

        connection: Any = apsw.Connection(str(path))
    else:
        connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}").fetchall()
    connection.execute(f"PRAGMA wal_autocheckpoint = {checkpointer.PAGES}").fetchall()
    connection.execute("INSERT OR IGNORE INTO event_names VALUES (1, 'account.changed')").fetchall()
    return connection


def rows(count: int, aggregate: int, position: int, version: int) -> list[tuple[Any, ...]]:
    """Make rows of the events table."""
    data = f'{{"amount":1,"note":"{NOTE}"}}'
    now = time.time_ns() // 1000
    return [
        (
            position + n,
            os.urandom(8) + n.to_bytes(8, "big"),
            1,
            aggregate,
            version + n,
            now,
            "json",
            1,
            data,
            None,
            None,
        )
        for n in range(count)
    ]


def append(connection: Any, count: int, batch: int) -> float:
    """Return the seconds to insert `count` events of one aggregate in transactions of `batch`, without making the rows."""
    key = connection.execute(NEW, (os.urandom(8).hex(),)).fetchall()[0][0]
    head = connection.execute("SELECT ifnull(max(position), 0) FROM events").fetchall()[0][0]
    made = rows(count, key, head + 1, 1)
    execute, many = connection.execute, connection.executemany
    started = time.perf_counter()
    for start in range(0, count, batch):
        part = made[start : start + batch]
        execute("BEGIN IMMEDIATE")
        if batch == 1:
            execute(EVENT, part[0])
        else:
            many(EVENT, part)
        execute(MOVE, (start + len(part), part[-1][5], key))
        execute("COMMIT")
    return time.perf_counter() - started


def scan(connection: Any) -> float:
    """Return the seconds to read every row of the log."""
    started = time.perf_counter()
    connection.execute("SELECT * FROM events ORDER BY position").fetchall()
    return time.perf_counter() - started


def load(connection: Any, ids: list[str]) -> float:
    """Return the seconds to read the events of each aggregate."""
    started = time.perf_counter()
    for name in ids:
        connection.execute(LOAD, ("account", name)).fetchall()
    return time.perf_counter() - started
