"""Check that a file is exactly a store: the tables of goes_lite as it made them, and any tables of the user's own.

The triggers of a fence may be there, too: see `_fence`.

A file may come from anybody. A trigger on `events` would make an acknowledged append vanish, and so would a view that
replaces a table; another index or constraint would refuse it. So each is refused when the file is opened.
"""

from __future__ import annotations

from typing import cast

from goes_lite.errors import StoreDamaged
from goes_lite.sqlite._driver import Connection, Driver
from goes_lite.sqlite._fence import TRIGGERS

Entry = tuple[str, str, str, str | None]
"""Type, name, table and statement of an entry of the schema."""

_ENTRIES = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_SEQUENCE = (
    "SELECT max(position), (SELECT count(*) FROM sqlite_sequence WHERE name = 'events'), "
    "(SELECT seq FROM sqlite_sequence WHERE name = 'events') FROM events"
)
_WITH_THE_SHELL = "with the sqlite3 shell, while no program uses the file"


_made: dict[tuple[str, tuple[str, ...]], frozenset[Entry]] = {}


def made_by(driver: Driver, statements: tuple[str, ...]) -> frozenset[Entry]:
    """Return the entries of the schema that the statements make."""
    key = driver.name, statements
    if key not in _made:
        connection = driver.open(":memory:", read_only=False)
        try:
            for statement in statements:
                connection.execute(statement)
            _made[key] = frozenset(connection.execute(_ENTRIES).fetchall())
        finally:
            connection.close()
    return _made[key]


def check_own(connection: Connection, location: str, expected: frozenset[Entry]) -> None:
    """Raise StoreDamaged unless what goes_lite makes is there and unchanged."""
    names = names_of(expected)
    entries = cast("list[Entry]", connection.execute(_ENTRIES).fetchall())
    found = frozenset(
        one
        for one in entries
        if (str(one[1]).lower() in names or str(one[2]).lower() in names) and (one[1], one[3]) not in TRIGGERS.items()
    )
    if found == expected:
        return
    of_ours = {entry[:2]: entry for entry in expected}
    for kind, name, table, _ in sorted(found - expected, key=repr):
        if (kind, name) in of_ours:
            raise StoreDamaged(
                location,
                f"the {kind} {name!r} is not as goes_lite made it",
                f"restore a backup after moving the -wal and -shm away, or undo the change {_WITH_THE_SHELL}",
            )
        raise StoreDamaged(
            location,
            f"somebody has added the {kind} {name!r} on {table!r}, which belongs to goes_lite",
            f"find out what it did, and drop it {_WITH_THE_SHELL}",
        )
    # a dropped table has taken its indexes with it, which cannot be created again without it
    kind, name, table, statement = min(expected - found, key=lambda entry: (entry[0] != "table", repr(entry)))
    again = " ".join((statement or "").split())
    way_out = f"create it again {_WITH_THE_SHELL}: {again}" if kind in ("index", "view") and again else ""
    named = f"the {kind} {name!r}" if kind == "table" else f"the {kind} {name!r} of {table!r}"
    raise StoreDamaged(location, f"{named} is missing", way_out)


def names_of(entries: frozenset[Entry]) -> frozenset[str]:
    """Return the names of the tables, indexes and views, in lower case."""
    return frozenset(name.lower() for _, name, _, _ in entries)


def check_head(connection: Connection, location: str) -> int:
    """Return the highest position that was ever used; raise StoreDamaged if events have a higher one, or it is lost."""
    last, rows, head = connection.execute(_SEQUENCE).fetchall()[0]
    if rows == 0 and last is None:
        return 0
    if rows != 1 or type(head) is not int or head < (last or 0):
        said = "nothing" if rows == 0 else f"{rows} rows" if rows > 1 else repr(head)
        raise StoreDamaged(
            location,
            f"the last event is at position {last}, but sqlite_sequence, which holds the last position, has {said}",
            "restore a backup after moving the -wal and -shm away; "
            "where no event after that one was ever stored and deleted, you may run "
            "DELETE FROM sqlite_sequence WHERE name = 'events'; "
            f"INSERT INTO sqlite_sequence VALUES ('events', {last or 0}) {_WITH_THE_SHELL}",
        )
    return head
