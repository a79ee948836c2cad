"""A file is a store if its schema is exactly ours, plus what the user has made: everything else is refused unchanged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from goes_lite.errors import ForeignFile, GoesError, StoreDamaged, TransactionError
from goes_lite.sqlite._schema import MIGRATIONS
from tests.backends.sqlite_kit import check_file, files, fill, note, numbers, sql, sql_of_killed, store

HOSTILE: dict[str, tuple[str, tuple[str, ...]]] = {
    "swallows": ("trigger 't'", ("CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT raise(IGNORE); END",)),
    "deletes": (
        "trigger 't'",
        ("CREATE TRIGGER t AFTER INSERT ON Events BEGIN DELETE FROM events WHERE position = new.position; END",),
    ),
    "instead of a view": (
        "trigger 't'",
        ("CREATE TRIGGER t INSTEAD OF INSERT ON event_log BEGIN DELETE FROM events; END",),
    ),
    "partial index": ("index 'i'", ("CREATE UNIQUE INDEX i ON events (time) WHERE version = 9",)),
    "expression index": (r"index 'i'|schema \(i\)", ("CREATE INDEX i ON models (json_extract(data, '$.x'))",)),
    "dropped index": ("'events_of_aggregate' of 'events' is missing", ("DROP INDEX events_of_aggregate",)),
    "dropped table": ("the table 'event_tags' is missing", ("DROP TABLE event_tags",)),
    "another column": (
        "table 'events'",
        ("ALTER TABLE events ADD COLUMN more INTEGER GENERATED ALWAYS AS (time + 1)",),
    ),
    "a view as table": (
        "checkpoints",
        ("ALTER TABLE checkpoints RENAME TO hidden", "CREATE VIEW checkpoints AS SELECT * FROM hidden"),
    ),
    "another view": ("view 'event_log'", ("DROP VIEW event_log", "CREATE VIEW event_log AS SELECT 1 AS position")),
    "an index of another table": (
        "index 'events_by_name'",
        ("DROP INDEX events_by_name", "CREATE TABLE mine (a)", "CREATE INDEX events_by_name ON mine (a)"),
    ),
    "no constraint": (
        "table 'models'",
        (
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = replace(sql, 'data TEXT NOT NULL', 'data TEXT') WHERE name = 'models'",
        ),
    ),
    "sequence lost": ("sqlite_sequence.* has nothing", ("DELETE FROM sqlite_sequence",)),
    "sequence too low": ("sqlite_sequence.* has 2", ("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'events'",)),
    "sequence of another type": ("sqlite_sequence.* has 'x'", ("UPDATE sqlite_sequence SET seq = 'x'",)),
    "sequence twice": ("sqlite_sequence.* has 2 rows", ("INSERT INTO sqlite_sequence VALUES ('events', 9)",)),
    "no identity": ("'store' must have", ("DELETE FROM store WHERE key = 'epoch'",)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_whose_schema_is_not_ours_is_refused(path: str, driver: str, kind: str) -> None:
    """G13: StoreDamaged names the object, for every kind of handle, and the file stays as it is."""
    fill(path, driver, 3)
    message, statements = HOSTILE[kind]
    sql(path, *statements)
    before = files(path)
    for read_only in (False, True):
        with pytest.raises(StoreDamaged, match=message):
            store(path, driver, read_only=read_only)
    assert files(path) == before
    assert not os.path.exists(path + "-shm")


def test_what_the_user_makes_is_allowed(path: str, driver: str) -> None:
    """Tables, indexes, views and triggers of the user's own, also a view of our tables; and the triggers run."""
    fill(path, driver, 3)
    with store(path, driver) as db, db.transaction() as tx:
        for statement in (
            "CREATE TABLE mine (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT UNIQUE)",
            "CREATE TABLE done (b)",
            "CREATE INDEX mine_b ON mine (b) WHERE b > 'x'",
            "CREATE VIEW mine_log AS SELECT m.b, e.position FROM mine m JOIN events e ON e.position = m.a",
            "CREATE TRIGGER mine_t AFTER INSERT ON mine BEGIN INSERT INTO done VALUES (new.b); END",
            "CREATE TEMP TABLE scratch (a)",
        ):
            tx.execute(statement)
        tx.execute("INSERT INTO mine (b) VALUES ('x')")
    sql(path, "ANALYZE")
    for _ in range(2):
        with store(path, driver) as db:
            for text in ("y", "z"):
                with db.transaction() as tx:
                    tx.events.append([note(db.events.head())])
                    tx.execute("INSERT INTO mine (b) VALUES (?)", (text + str(db.events.head()),))
            assert db.select("SELECT count(*) FROM mine") == db.select("SELECT count(*) FROM done")
    check_file(path)


def test_a_trigger_that_another_program_adds_later(path: str, driver: str) -> None:
    """An append that a trigger takes part in is refused while the file is open, not only when it is opened."""
    with store(path, driver) as db:
        db.events.append([note(1), note(2)])
        sql_of_killed(path, *HOSTILE["swallows"][1])
        for batch in ([note(3)], [note(3), note(4)]):
            with pytest.raises(StoreDamaged, match="trigger 't'"):
                db.events.append(batch)
        with pytest.raises(StoreDamaged, match="trigger 't'"), db.transaction() as tx:
            tx.events.append([note(3)])
        assert numbers(db) == [1, 2]
        sql_of_killed(path, "DROP TRIGGER t")
        db.events.append([note(3)])
    assert [one.number for one in check_file(path)] == [1, 2, 3]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_refused_file_keeps_the_log_of_a_killed_writer(path: str, driver: str, read_only: bool) -> None:
    """What a killed writer left is not moved into a file that is refused: whoever examines it finds it as it was."""
    fill(path, driver, 3)
    sql_of_killed(path, *HOSTILE["deletes"][1])
    before = files(path)
    assert before["-wal"]
    with pytest.raises(StoreDamaged, match="trigger 't'"):
        store(path, driver, read_only=read_only)
    assert files(path) == before


def test_a_damaged_schema_is_typed(path: str, driver: str) -> None:
    """Bytes in the schema that are no text: SQLite's message has them in it, which breaks one driver."""
    store(path, driver).close()
    content = Path(path).read_bytes().replace(b"CREATE TABLE aggregates", b"CREATE TA\xb8LE aggregates")
    Path(path).write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreDamaged):
            store(path, driver, read_only=read_only)
    assert Path(path).read_bytes() == content
    assert set(os.listdir(os.path.dirname(path))) == {"app.db", "app.db-lock"}


@pytest.mark.parametrize("read_only", [False, True])
def test_the_unfinished_work_of_another_program_is_left_alone(path: str, driver: str, read_only: bool) -> None:
    """A foreign file with the journal of a killed program: looking at it would roll that back."""
    sql(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(500000))")
    with_small_cache = (
        "PRAGMA cache_size = 1",
        "BEGIN",
        "UPDATE t SET a = randomblob(500000)",
        "SELECT count(*) FROM t",
    )
    sql_of_killed(path, *with_small_cache)
    before = files(path)
    assert before["-journal"]
    with pytest.raises(ForeignFile):
        store(path, driver, read_only=read_only)
    assert files(path) == before


@pytest.mark.parametrize("kind", ["swallows", "dropped index", "another view", "sequence lost", "sequence twice"])
def test_the_advice_for_a_changed_schema(path: str, driver: str, kind: str) -> None:
    """Whoever does what the message says has a store again, with everything in it."""
    fill(path, driver, 3)
    sql(path, *HOSTILE[kind][1])
    with pytest.raises(StoreDamaged) as refused:
        store(path, driver)
    advice = str(refused.value)
    if kind == "swallows":
        assert "drop it" in advice
        sql(path, "DROP TRIGGER t")
    elif kind == "another view":
        assert "undo the change" in advice
        original = next(text for text in MIGRATIONS[0] if "VIEW event_log" in text)
        sql(path, "DROP VIEW event_log", original)
    elif kind == "dropped index":
        sql(path, "CREATE " + advice.partition(": CREATE ")[2])
    else:
        statements = advice[advice.index("DELETE FROM sqlite_sequence") : advice.index(" with the sqlite3 shell")]
        sql(path, *statements.split("; "))
    with store(path, driver) as db:
        db.events.append([note(3)])
        assert numbers(db) == [0, 1, 2, 3]


REFUSED = {
    "COMMIT": "commits when its block ends",
    "PRAGMA locking_mode = EXCLUSIVE": "connection",
    "PRAGMA query_only(1)": "connection",
    "PRAGMA journal_mode = DELETE": "connection",
    "PRAGMA main.writable_schema = ON": "connection",
    "PRAGMA wal_checkpoint": "connection",
    "ATTACH ':memory:' AS other": "connection",
    "DETACH main": "connection",
    "CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END": "belongs to goes_lite",
    "CREATE TEMP TRIGGER t AFTER INSERT ON main.events BEGIN SELECT 1; END": "belongs to goes_lite",
    "CREATE TEMP TABLE events (a)": "belongs to goes_lite",
    "CREATE TEMP VIEW Aggregates AS SELECT 1": "belongs to goes_lite",
    "CREATE INDEX i ON models (version)": "belongs to goes_lite",
    "DROP TABLE event_tags": "belongs to goes_lite",
    "ALTER TABLE events ADD COLUMN a": "belongs to goes_lite",
    "ALTER TABLE scratch RENAME TO events": "connection",
}


@pytest.mark.parametrize("memory", [False, True])
def test_sql_that_would_change_the_connection_or_our_tables_is_refused(path: str, driver: str, memory: bool) -> None:
    """TransactionError says why, the transaction goes on, and neither the handle nor another one is locked out."""
    with store("sqlite:///:memory:" if memory else path, driver) as db:
        with db.transaction() as tx:
            tx.execute("CREATE TEMP TABLE scratch (a)")
            for statement, why in REFUSED.items():
                for _ in range(2):
                    with pytest.raises(TransactionError, match=why):
                        tx.execute(statement)
            tx.events.append([note(1)])
            assert tx.execute("PRAGMA user_version") == [(1,)]
            assert len(tx.execute("PRAGMA table_info(events)")) == 11
            assert tx.execute("PRAGMA quick_check('events')") == [("ok",)]
            tx.execute("PRAGMA defer_foreign_keys = ON")
        assert numbers(db) == [1]
        if not memory:
            with store(path, driver) as other:
                other.events.append([note(2)])
            assert numbers(db) == [1, 2]


def test_a_foreign_file_in_use_leaves_no_side_files(path: str, driver: str) -> None:
    """A refused file that was closed properly is alone in its folder afterwards, with the same rights."""
    sql(path, "PRAGMA journal_mode = WAL", "CREATE TABLE users (name TEXT)")
    os.chmod(path, 0o640)
    for read_only in (False, True):
        with pytest.raises(GoesError) as refused:
            store(path, driver, read_only=read_only)
        assert type(refused.value) is ForeignFile
    assert os.listdir(os.path.dirname(path)) == ["app.db"]
    assert os.name == "nt" or stat.S_IMODE(os.stat(path).st_mode) == 0o640
