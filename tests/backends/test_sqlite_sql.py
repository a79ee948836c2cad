"""The user's own SQL, outside and inside transactions, and the identity of copies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.errors import ConfigError, LeaseLost, StoreReadOnly

registry = goes.Registry()


@registry.event("noted")
@dataclass(frozen=True)
class Noted:
    text: str


def noted(text: str) -> goes.Event[Noted]:
    return goes.Event(Noted(text), registry=registry)


@pytest.fixture(params=["file", "memory"])
def db(request: pytest.FixtureRequest, driver: str, tmp_path: Path) -> Iterator[goes.blocking.BlockingDatabase]:
    place = tmp_path / "app.db" if request.param == "file" else "sqlite:///:memory:"
    with goes.blocking.connect(place, driver=driver, registry=registry) as backend:
        yield backend


def test_select_reads_what_is_committed(db: goes.blocking.BlockingDatabase) -> None:
    """select() answers rows of any table or view, with parameters."""
    db.events.append([noted("a"), noted("b")])

    rows = db.select("SELECT position, event FROM event_log WHERE position > ?", (1,))

    assert rows == [(2, "noted")]


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN",
        "SAVEPOINT s",
        "PRAGMA query_only = OFF",
        "ATTACH ':memory:' AS other",
        "WITH x AS (SELECT 1) INSERT INTO store SELECT 'a', 'b' FROM x",
    ],
)
def test_select_refuses_everything_else(db: goes.blocking.BlockingDatabase, statement: str) -> None:
    """A statement that does more than read is StoreReadOnly, does nothing, and leaves the connection usable."""
    db.events.append([noted("a")])

    for _ in range(2):
        with pytest.raises(StoreReadOnly, match="only reads"):
            db.select(statement)

    assert db.select("SELECT count(*) FROM events") == [(1,)]
    with db.transaction() as tx:
        tx.execute("CREATE TABLE mine (a)")
    db.events.append([noted("b")])
    assert db.events.count() == 2


def test_a_read_only_handle_lists_no_ability_to_write(driver: str, tmp_path: Path) -> None:
    """What a read-only handle cannot do is not among its abilities; reading SQL works."""
    path = tmp_path / "app.db"
    with goes.blocking.connect(path, driver=driver, registry=registry) as db:
        db.events.append([noted("a")])
        assert {"transactions", "sql"} <= db.abilities

    with goes.blocking.connect(path, driver=driver, registry=registry, read_only=True) as db:
        assert not {"transactions", "sql"} & db.abilities
        assert db.select("SELECT count(*) FROM event_log") == [(1,)]
        with pytest.raises(StoreReadOnly, match="open it without read_only"):
            db.events.append([noted("b")])


def test_a_backup_is_another_life_of_the_store(db: goes.blocking.BlockingDatabase, tmp_path: Path) -> None:
    """The copy has the events, an identity of its own that its checkpoints belong to, and no owner of any lease."""
    db.events.append([noted("a")])
    db.checkpoints.save("reader", 1)
    lease = db.leases.acquire("reader", "me", 60)
    original = db.checkpoints.get("reader")
    copy = tmp_path / "a copy?.db"

    db.backup(copy)

    with goes.blocking.connect(copy, registry=registry) as other:
        assert [Noted("a")] == [event.data for event in other.events.query()]
        copied = other.checkpoints.get("reader")
        assert copied is not None
        assert original is not None
        assert copied.position == original.position
        assert copied.store != original.store
        other.checkpoints.save("later", 1)
        later = other.checkpoints.get("later")
        assert later is not None
        assert later.store == copied.store
        assert other.leases.get("reader") is None
        with pytest.raises(LeaseLost):
            other.leases.renew(lease, 60)
    assert original == db.checkpoints.get("reader")


def test_a_backup_overwrites_nothing_and_leaves_nothing_half_done(
    db: goes.blocking.BlockingDatabase, tmp_path: Path
) -> None:
    """An existing file is ConfigError and stays as it is; where the copy cannot be written nothing is left."""
    taken = tmp_path / "taken.db"
    taken.write_text("mine")

    with pytest.raises(ConfigError, match="exists"):
        db.backup(taken)
    with pytest.raises(goes.errors.StoreError):
        db.backup(tmp_path / "missing" / "copy.db")

    assert taken.read_text() == "mine"
    assert [path for path in tmp_path.iterdir() if ".part-" in path.name] == []


def test_a_backup_of_a_file_can_be_read_by_any_sqlite(driver: str, tmp_path: Path) -> None:
    """The copy is a plain SQLite database without a -wal."""
    with goes.blocking.connect(tmp_path / "app.db", driver=driver, registry=registry) as db:
        db.events.append([noted("a")])
        db.backup(tmp_path / "copy.db")

    connection = sqlite3.connect(tmp_path / "copy.db")
    try:
        assert connection.execute("SELECT event FROM event_log").fetchall() == [("noted",)]
    finally:
        connection.close()
