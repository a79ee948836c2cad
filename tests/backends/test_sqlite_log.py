"""Big things and the write-ahead log, which stays bounded; durability, and what a person sees in the file."""

from __future__ import annotations

import os
import threading
from typing import Any, cast

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import ConfigError
from goes_lite.sqlite import SQLiteBackend
from goes_lite.sqlite import _driver as drivers
from tests.backends.sqlite_kit import check_file, note, numbers, sql, store

# --- big things -----------------------------------------------------------------------------------------------------


def wal_size(path: str) -> int:
    return os.path.getsize(path + "-wal")


def test_fifty_megabytes_in_one_event(path: str, driver: str) -> None:
    """They are stored, come back, and do not stay in the -wal."""
    text = "\u00e4" * 25_000_000
    with store(path, driver) as db:
        db.events.append([note(1, text=text)])
        assert next(db.events.query()).data.text == text
        db.events.append([note(2)])
        assert wal_size(path) < 20_000_000
    assert len(check_file(path)) == 2


def test_the_log_stays_bounded(path: str, driver: str) -> None:
    """90 MB are written while others read without a pause: the -wal never grows beyond a few checkpoints' worth."""
    done = threading.Event()
    failed: list[BaseException] = []

    def read(db: Any) -> None:
        try:
            while not done.is_set():
                numbers(db)
        except BaseException as error:
            failed.append(error)

    def follow(db: Any) -> None:
        try:
            for event in db.events.follow(after=0):
                if event.data.number < 0:
                    return
        except BaseException as error:
            failed.append(error)

    with store(path, driver, durability="normal") as db, store(path, driver, read_only=True) as other:
        threads = [threading.Thread(target=run, args=(on,)) for run, on in ((read, db), (read, other), (follow, other))]
        for thread in threads:
            thread.start()
        largest = 0
        for number in range(900):
            db.events.append([note(number, text="x" * 100_000)])
            largest = max(largest, wal_size(path))
        done.set()
        db.events.append([note(-1)])
        for thread in threads:
            thread.join()
    assert not failed
    assert largest < 60_000_000


def test_the_log_recovers_from_a_long_reader(path: str, driver: str, spawn: Processes) -> None:
    """A program that keeps a read transaction open makes the -wal grow; when it ends, the -wal shrinks again."""
    with store(path, driver, durability="normal") as db:
        db.events.append([note(0)])
        reader = spawn("read_long", path=path)
        reader.expect("reading")
        for number in range(300):
            db.events.append([note(number, text="x" * 100_000)])
        assert wal_size(path) > 25_000_000
        reader.tell()
        reader.expect("done")
        for number in range(100):
            db.events.append([note(number, text="x" * 100_000)])
        assert wal_size(path) < 25_000_000


def test_many_transactions_keep_the_log_bounded(path: str, driver: str) -> None:
    """The same for a program that writes in transactions only."""
    with store(path, driver, durability="normal") as db:
        for number in range(300):
            with db.transaction() as transaction:
                transaction.events.append([note(number, text="x" * 100_000)])
        assert wal_size(path) < 20_000_000


class Recorder:
    """A connection that remembers what it was asked."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.statements: list[str] = []

    def execute(self, statement: str, *parameters: Any) -> Any:
        self.statements.append(statement)
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_checkpoints_of_a_vulnerable_library_keep_writers_out(
    path: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the WAL-reset bug every checkpoint holds the writer lock (RESTART or TRUNCATE), and SQLite makes none by itself."""
    monkeypatch.setattr(drivers.driver(driver), "version", (3, 51, 2))
    with store(path, driver, durability="normal") as db:
        backend = cast(SQLiteBackend, db.backend)
        assert backend.wal_reset_bug
        recorder = Recorder(backend.writer.transactions.connection)
        monkeypatch.setattr(backend.writer.transactions, "connection", recorder)
        monkeypatch.setattr(backend.writer.transactions.checkpointer, "_connection", recorder)
        for number in range(200):
            db.events.append([note(number, text="x" * 100_000)])
        made = [statement for statement in recorder.statements if "checkpoint" in statement]
        assert len(made) >= 2
        assert set(made) <= {"PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)"}
        assert recorder.execute("PRAGMA wal_autocheckpoint").fetchall() == [(0,)]
        monkeypatch.undo()


def test_which_libraries_are_vulnerable() -> None:
    """3.7.0 to 3.51.2 but for the fixed branches."""
    vulnerable = [(3, 7, 0), (3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 2), (3, 51, 0), (3, 51, 2, 1)]
    fixed = [(3, 6, 23), (3, 44, 6), (3, 44, 9), (3, 50, 7), (3, 51, 3), (3, 51, 3, 0), (3, 53, 0), (3, 54, 1)]
    assert [version for version in vulnerable + fixed if drivers.wal_reset_bug(version)] == vulnerable


# --- promises that a person can look at -----------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1), ("memory", 0)])
def test_the_durability_is_what_sqlite_is_told(path: str, driver: str, durability: str, synchronous: int) -> None:
    """And so are the other settings: a log, checked pages, no trust in the schema, no memory-mapping."""
    with store(path, driver, durability=durability) as db:
        backend = cast(SQLiteBackend, db.backend)
        backend.writer.transactions.connection.execute("SELECT 1").fetchall()

        def setting(name: str) -> Any:
            return backend.writer.transactions.connection.execute(f"PRAGMA {name}").fetchall()[0][0]

        assert setting("synchronous") == synchronous
        assert setting("journal_mode") == "wal"
        assert (setting("trusted_schema"), setting("cell_size_check"), setting("mmap_size")) == (0, 1, 0)
        assert db.durability == ("os-crash" if durability == "full" else "process-crash")
        numbers(db)
        for reader in backend._readers.all:
            assert reader.execute("PRAGMA query_only").fetchall() == [(1,)]
    with pytest.raises(ConfigError, match="'full'"):
        store(path, driver, durability="fsync")


def test_a_person_can_read_the_file(path: str, driver: str) -> None:
    """With any SQLite tool, once the store is closed: views in plain words, payloads that json_extract takes apart."""
    with store(path, driver) as db:
        event = note(7, aggregate=("order", "2026-001"), version=1, text="\u00e4")
        db.events.append([event])
    assert sorted(os.listdir(os.path.dirname(path))) == ["app.db", "app.db-lock"]
    ((position, time, name, aggregate, id, version, number, text, event_id),) = sql(
        path,
        "SELECT position, time, event, aggregate, aggregate_id, version, json_extract(data, '$.number'), data ->> 'text', id "
        "FROM event_log",
    )
    assert (position, name, aggregate, id, version) == (1, "noted", "order", "2026-001", 1)
    assert (number, text, event_id) == (7, "\u00e4", str(event.id))
    assert time == event.time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert sql(path, "SELECT name, id, version, first_time FROM aggregate_list") == [("order", "2026-001", 1, time)]
    with open(path, "rb") as file:
        assert file.read(72)[68:] == b"goes"
