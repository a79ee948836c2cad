"""The schema: fresh files and upgraded ones are the same, and an upgrade happens wholly, once, or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goes_lite.errors import StoreError, StoreTooNew, StoreUnavailable
from goes_lite.sqlite import _schema

if TYPE_CHECKING:
    from tests.backends.conftest import Spawn
    from tests.backends.sqlite_kit import check_file, files, note, numbers, store
else:
    from sqlite_kit import check_file, files, note, numbers, store

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


def test_processes_open_a_new_file_at_once(path: str, driver: str, spawn: Spawn) -> None:
    """Of processes that open the same new file at the same time, one makes the store and all use it."""
    workers = [spawn("open_new", path=path, driver=driver) for _ in range(20)]
    for worker in workers:
        worker.expect("ready")
    for worker in workers:
        worker.tell()
    heard = [worker.hear() for worker in workers]
    for worker in workers:
        worker.finish()
    assert len({identity for identity, _ in heard}) == 1
    assert sorted(position for _, position in heard) == list(range(1, 21))
    check_file(path)
