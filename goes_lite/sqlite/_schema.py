"""The tables, as an ordered list of migrations; the n-th takes a file from `user_version` n-1 to n.

The schema is simple, because people open the file with other tools: STRICT tables, JSON as text, times as microseconds
since 1970 UTC, and readable views of the log. Aggregates and event names have integer keys, which keeps rows and indexes
small. Positions come from AUTOINCREMENT, so none is ever reused.
"""

from __future__ import annotations

import contextlib

from goes_lite.errors import ForeignFile, StoreDamaged, StoreTooNew
from goes_lite.events.ids import new_id_text
from goes_lite.sqlite._driver import Connection, Driver, path_of
from goes_lite.sqlite._own import Entry, check_own, made_by, names_of

APPLICATION_ID = 0x676F_6573
"""'goes' in the header of the file, so that tools such as `file` can identify it."""

_TIME = (
    "strftime('%Y-%m-%dT%H:%M:%S', ({0} - (({0} % 1000000) + 1000000) % 1000000) / 1000000, 'unixepoch')"
    " || printf('.%06dZ', (({0} % 1000000) + 1000000) % 1000000)"
)
_UUID = (
    "lower(substr(hex({0}), 1, 8) || '-' || substr(hex({0}), 9, 4) || '-' || substr(hex({0}), 13, 4) || '-' || "
    "substr(hex({0}), 17, 4) || '-' || substr(hex({0}), 21))"
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # id: who this store is; epoch: which life of it (a restored copy begins another); log: which -wal belongs to it
        "CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE event_names (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
        """CREATE TABLE aggregates (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            id TEXT NOT NULL,
            version INTEGER NOT NULL,
            first_time INTEGER NOT NULL,
            last_time INTEGER NOT NULL,
            UNIQUE (name, id)
        ) STRICT""",
        """CREATE TABLE events (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id BLOB NOT NULL UNIQUE,
            name_key INTEGER NOT NULL REFERENCES event_names (key),
            aggregate_key INTEGER REFERENCES aggregates (key),
            version INTEGER NOT NULL,
            time INTEGER NOT NULL,
            encoding TEXT NOT NULL,
            schema INTEGER NOT NULL,
            data ANY NOT NULL,
            metadata TEXT,
            tags TEXT
        ) STRICT""",
        "CREATE UNIQUE INDEX events_of_aggregate ON events (aggregate_key, version) WHERE aggregate_key IS NOT NULL",
        "CREATE INDEX events_by_name ON events (name_key)",
        """CREATE TABLE event_tags (
            tag TEXT NOT NULL,
            position INTEGER NOT NULL,
            PRIMARY KEY (tag, position)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE snapshots (
            key INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            id TEXT NOT NULL,
            version INTEGER NOT NULL,
            time INTEGER NOT NULL,
            schema INTEGER NOT NULL,
            encoding TEXT NOT NULL,
            state ANY NOT NULL,
            deleted INTEGER NOT NULL,
            UNIQUE (name, id, version)
        ) STRICT""",
        """CREATE TABLE models (
            collection TEXT NOT NULL,
            id TEXT NOT NULL,
            version INTEGER NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (collection, id)
        ) STRICT""",
        """CREATE TABLE checkpoints (
            name TEXT PRIMARY KEY,
            position INTEGER NOT NULL,
            store TEXT NOT NULL,
            time INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE leases (
            name TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            token INTEGER NOT NULL,
            expires INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        f"""CREATE VIEW event_log AS
            SELECT e.position, {_TIME.format("e.time")} AS time, n.name AS event, a.name AS aggregate,
                   a.id AS aggregate_id, e.version, e.data, e.metadata, e.tags, e.encoding, e.schema,
                   {_UUID.format("e.id")} AS id
            FROM events e JOIN event_names n ON n.key = e.name_key LEFT JOIN aggregates a ON a.key = e.aggregate_key
            ORDER BY e.position""",
        f"""CREATE VIEW aggregate_list AS
            SELECT name, id, version, {_TIME.format("first_time")} AS first_time, {_TIME.format("last_time")} AS last_time
            FROM aggregates ORDER BY name, id""",
    ),
)  # fmt: skip

VERSION = len(MIGRATIONS)


def check(connection: Connection, location: str, driver: Driver | None = None) -> int:
    """Return the schema version of the file, or 0 if it is new and empty, without changing it.

    Raise ForeignFile if it belongs to another program, StoreTooNew if a newer goes_lite wrote it. With the driver, also
    raise StoreDamaged unless the schema is ours.
    """
    # In one transaction: otherwise a store that another process is just creating would look foreign.
    connection.execute("BEGIN")
    try:
        version = _check(connection, location)
        if driver is not None and version:
            check_own(connection, location, _made(driver, version))
        return version
    finally:
        with contextlib.suppress(Exception):  # the error above is the one
            connection.execute("ROLLBACK")


def _made(driver: Driver, version: int) -> frozenset[Entry]:
    return made_by(driver, tuple(statement for statements in MIGRATIONS[:version] for statement in statements))


def check_again(connection: Connection, location: str, driver: Driver) -> None:
    """Raise StoreDamaged if the schema of a store that is open is no longer ours."""
    check_own(connection, location, _made(driver, VERSION))


def own_names(driver: Driver) -> frozenset[str]:
    """Return the names of everything that belongs to goes_lite, in lower case."""
    return names_of(_made(driver, VERSION))


def _check(connection: Connection, location: str) -> int:
    application = connection.execute("PRAGMA application_id").fetchall()[0][0]
    version = int(connection.execute("PRAGMA user_version").fetchall()[0][0])
    if application != APPLICATION_ID:
        tables = connection.execute("SELECT name FROM sqlite_schema LIMIT 3").fetchall()
        if application or version or tables:
            named = f"application_id {application:#x}, tables {', '.join(repr(row[0]) for row in tables) or 'none'}"
            raise ForeignFile(location, f"an SQLite database of another program: {named}")
        return 0
    if version > VERSION:
        raise StoreTooNew(location, version, VERSION)
    if version < 1:
        raise StoreDamaged(location, f"its schema version is {version}")
    return version


def migrate(connection: Connection, location: str, *, until: int | None = None) -> None:
    """Migrate the file in one transaction. Several processes may call this at once; one does the work."""
    until = VERSION if until is None else until
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _check(connection, location)  # another process may have been faster
        for statements in MIGRATIONS[version:until]:
            for statement in statements:
                connection.execute(statement)
        if version == 0:
            identity = [("id", new_id_text()), ("epoch", "1"), ("log", new_id_text())]
            connection.executemany("INSERT INTO store (key, value) VALUES (?, ?)", identity)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if version < until:
            connection.execute(f"PRAGMA user_version = {until}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):  # a full disk makes SQLite roll back by itself; the error above is the one
            connection.execute("ROLLBACK")
        raise


def identity(connection: Connection) -> str:
    """Return the store's identity with its epoch, to which checkpoints belong."""
    found = connection.execute("SELECT key, value FROM store WHERE key IN ('epoch', 'id') ORDER BY key").fetchall()
    if [(key, type(value)) for key, value in found] != [("epoch", str), ("id", str)]:
        raise StoreDamaged(
            path_of(connection), f"the table 'store' must have texts for 'epoch' and 'id', it has {found!r:.80}"
        )
    return f"{found[1][1]}/{found[0][1]}"
