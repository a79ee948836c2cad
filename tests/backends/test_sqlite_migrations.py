"""The schema: fresh files and upgraded ones are the same, and an upgrade happens wholly, once, or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import StoreError, StoreLocked, StoreTooNew, StoreUnavailable
from goes_lite.sqlite import _connection, _schema, address_of
from goes_lite.sqlite import _driver as drivers
from tests.backends.sqlite_kit import check_file, files, note, numbers, store

NEXT = (
    "CREATE TABLE later (key INTEGER PRIMARY KEY, value TEXT) STRICT",
    "ALTER TABLE store ADD COLUMN comment TEXT",
    "INSERT INTO later (value) SELECT id FROM aggregates",
)
BROKEN = (*NEXT, "INSERT INTO nowhere VALUES (1)")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


def add(monkeypatch: pytest.MonkeyPatch, migration: tuple[str, ...]) -> None:
    """As if this goes_lite were one migration newer."""
    monkeypatch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, migration))
    monkeypatch.setattr(_schema, "VERSION", _schema.VERSION + 1)


def schema(path: str) -> tuple[object, ...]:
    """Everything that SQLite says about the tables of a file, in the order in which they were made."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ask = connection.execute
        made = ask("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid").fetchall()
        numbers = [ask(f"PRAGMA {name}").fetchall() for name in ("application_id", "user_version", "journal_mode")]
    return made, numbers


def test_a_fresh_file_is_like_a_migrated_one(tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps a file took from the first schema to the newest, it is like one that was made today."""
    old, new = str(tmp_path / "old.db"), str(tmp_path / "new.db")
    store(old, driver).close()
    add(monkeypatch, NEXT)
    for path in (old, new):
        store(path, driver).close()
    assert schema(old) == schema(new)


def test_an_older_file_is_upgraded(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a file of an older schema for writing upgrades it, with what is in it; and then older programs refuse it."""
    with store(path, driver) as db:
        db.events.append([note(1, aggregate=("order", "1"), version=1)])
    with monkeypatch.context() as newer:
        add(newer, NEXT)
        with store(path, driver) as db:
            db.events.append([note(2, aggregate=("order", "1"), version=2)])
            assert numbers(db) == [1, 2]
            with db.transaction() as transaction:
                assert transaction.execute("SELECT value FROM later") == [("1",)]
    check_file(path)
    before = files(path)
    with pytest.raises(StoreTooNew) as refused:
        store(path, driver)
    assert (refused.value.found, refused.value.supported) == (_schema.VERSION + 1, _schema.VERSION)
    assert "upgrade goes-lite" in str(refused.value)
    assert files(path) == before


def test_an_older_file_is_not_upgraded_to_be_read(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read-only opening changes nothing, so it refuses an older schema, and says what to do."""
    store(path, driver).close()
    before = files(path)
    add(monkeypatch, NEXT)
    with pytest.raises(StoreUnavailable, match="open it for writing first"):
        store(path, driver, read_only=True)
    assert files(path)[""] == before[""]


def test_a_migration_that_fails_changes_nothing(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that fails half-way is undone: the older program goes on with the file."""
    with store(path, driver) as db:
        db.events.append([note(1, aggregate=("order", "1"), version=1)])
    before = schema(path)
    with monkeypatch.context() as newer:
        add(newer, BROKEN)
        with pytest.raises(StoreError, match="nowhere"):
            store(path, driver)
    assert schema(path) == before
    with store(path, driver) as db:
        db.events.append([note(2, aggregate=("order", "1"), version=2)])
        assert numbers(db) == [1, 2]
    check_file(path)


def test_a_first_schema_that_fails_leaves_an_empty_file(
    path: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a new file: nothing is in it, and the next to open it makes a store of it."""
    with monkeypatch.context() as broken:
        broken.setattr(_schema, "MIGRATIONS", ((*_schema.MIGRATIONS[0], *BROKEN[-1:]),))
        with pytest.raises(StoreError, match="nowhere"):
            store(path, driver)
    assert schema(path)[0] == []
    with store(path, driver) as db:
        db.events.append([note(1)])
    check_file(path)


def test_processes_open_a_new_file_at_once(tmp_path: Path, driver: str, spawn: Processes, rounds: int) -> None:
    """Of processes that open the same new file at the same time, one makes the store and all use it."""
    paths = [str(tmp_path / f"{number}.db") for number in range(5 * rounds)]
    workers = [spawn("open_new", paths=paths, driver=driver) for _ in range(8)]
    for worker in workers:
        worker.expect("ready")
    for worker in workers:
        worker.tell()
    heard = [[worker.hear() for _ in paths] for worker in workers]
    for worker in workers:
        worker.finish()
    for path, answers in zip(paths, zip(*heard, strict=True), strict=True):
        assert len({identity for identity, _ in answers}) == 1
        assert sorted(position for _, position in answers) == list(range(1, 9))
        check_file(path)


def test_a_store_that_is_made_while_one_looks(path: str, driver: str) -> None:
    """Who looks at an empty file just when another makes a store of it takes it for either, never for a foreign file."""

    class Interrupted:
        """A connection that lets another handle in between two of its statements."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def execute(self, statement: str) -> Any:
            rows = self._connection.execute(statement).fetchall()
            if statement == "PRAGMA application_id":
                with contextlib.suppress(StoreLocked):
                    store(path, driver, lock_timeout=0.1).close()
            return SimpleNamespace(fetchall=lambda: rows)

    used = drivers.driver(driver)
    connection: Any = used.open(f"file:{path}", read_only=False)
    try:
        assert _schema.check(cast(Any, Interrupted(connection)), path) in (0, _schema.VERSION)
    finally:
        connection.close()
    store(path, driver).close()
    check_file(path)


def test_the_switch_to_a_log_is_tried_again(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two who open a new file at once stand in each other's way, and SQLite refuses both without waiting."""
    target = address_of(path, driver_name=driver)
    one, other = (target.driver.open(f"file:{path}", read_only=False) for _ in range(2))
    other.execute("BEGIN")
    other.execute("SELECT * FROM sqlite_schema").fetchall()

    def other_gives_way(seconds: float) -> None:
        other.execute("ROLLBACK")

    monkeypatch.setattr("goes_lite.sqlite._connection.time.sleep", other_gives_way)
    _connection.set_busy_timeout(one, 0)
    assert _connection._use_log(one, target) == "wal"
    for connection in (one, other):
        connection.close()
