"""The fence of a store that was moved: triggers, which exist only as long as there is one.

Functions on JSON are not safe in triggers for every SQLite, so the end of the fence has a row of its own, `fence_end`.
A writer whose statement was compiled before notices the new schema in the same step, so no handle has to look for a fence, and
a store without one pays nothing. The row `fence` in the table `store` says where the store is. The transaction of who may pass
leaves a row `passing` there for as long as it lasts, which nobody else can see.
"""

from __future__ import annotations

import contextlib
import time

from goes_lite.errors import StoreMoved
from goes_lite.kit.fencing import changed_fence, fence_of
from goes_lite.sqlite._driver import CONSTRAINT, Connection

TRIGGERED = CONSTRAINT | 7 << 8
"""SQLite's code for the error that a trigger raises."""

_TABLES = ("aggregates", "events", "snapshots", "models", "checkpoints", "leases")
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + 2000"
"""In microseconds. SQLite's clock counts whole milliseconds: what has ended for Python has ended for the triggers."""


def _trigger(action: str, table: str) -> str:
    return (
        f"CREATE TRIGGER goes_fence_{action.lower()}_{table} BEFORE {action} ON {table} "
        "WHEN NOT EXISTS (SELECT 1 FROM store WHERE key = 'passing') BEGIN "
        f"SELECT RAISE(ABORT, 'the store was moved') FROM store WHERE key = 'fence_end' AND CAST(value AS INTEGER) > {_NOW}; "
        "DELETE FROM store WHERE key IN ('fence', 'fence_end'); END"  # it has ended
    )


TRIGGERS = {
    f"goes_fence_{action.lower()}_{table}": _trigger(action, table)
    for table in _TABLES
    for action in ("INSERT", "UPDATE", "DELETE")
}
"""The statements that make the triggers, by their names."""

_READ = "SELECT value FROM store WHERE key = 'fence'"
_WRITE = (
    "INSERT INTO store (key, value) VALUES ('fence', ?), ('fence_end', ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_BEGIN_PASSING = (
    "INSERT INTO store (key, value) SELECT 'passing', ?1 FROM store "
    "WHERE key = 'fence' AND json_extract(value, '$.move') = ?1"
)


def now() -> int:
    """Return the time by which fences end, in microseconds: that of the machine, as in the triggers."""
    return time.time_ns() // 1000


def stored(connection: Connection) -> str | None:
    """Return the text of the fence."""
    rows = connection.execute(_READ).fetchall()
    return str(rows[0][0]) if rows else None


def put(connection: Connection, text: str) -> None:
    """Set the fence to a text, or remove it; inside a transaction."""
    if found := fence_of(text):
        for statement in TRIGGERS.values():
            connection.execute(statement.replace("CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS", 1))
        connection.execute(_WRITE, (text, str(found[1])))
        return
    for name in TRIGGERS:
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
    connection.execute("DELETE FROM store WHERE key IN ('fence', 'fence_end', 'passing')")


def put_changed(connection: Connection, location: str, change: tuple[object, str | None, int | None]) -> None:
    """Set the fence as a `set_fence` asks; inside a transaction."""
    put(connection, changed_fence(location, stored(connection), now(), change))  # type: ignore[arg-type]


def begin_passing(connection: Connection, move: str) -> None:
    """Let the rest of the transaction pass the fence of that move."""
    connection.execute(_BEGIN_PASSING, (move,))


def end_passing(connection: Connection) -> None:
    """End what `begin_passing` began, before the commit."""
    connection.execute("DELETE FROM store WHERE key = 'passing'")


def moved(connection: Connection, location: str) -> StoreMoved | None:
    """Return the error for a write that a trigger has refused; None if it was none of ours."""
    with contextlib.suppress(Exception):  # the error of the trigger is what is left then
        if found := fence_of(stored(connection)):
            return StoreMoved(location, found[0].to, found[0].move)
    return None


def check_open(connection: Connection, location: str) -> None:
    """Raise StoreMoved if writers are kept out: for statements on tables of others, which have no triggers."""
    found = fence_of(stored(connection))
    if found and found[1] > now() and not connection.execute("SELECT 1 FROM store WHERE key = 'passing'").fetchall():
        raise StoreMoved(location, found[0].to, found[0].move)
