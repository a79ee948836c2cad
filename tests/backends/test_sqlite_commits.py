"""Waiting for commits where SQLite makes it hard: on a handle that only reads, and where nobody can look for others."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import StoreUnavailable
from goes_lite.runtime import Signal
from goes_lite.sqlite import _connection, _wakeup
from goes_lite.sqlite._driver import Connection
from tests.backends.sqlite_kit import note, store

PATIENCE = 60


def settled(db: BlockingDatabase) -> int:
    """The count, once the first look of the watch, which wakes without cause, is over."""
    while True:
        seen = db.commits.count
        if not db.commits.wait(seen, 0.1):
            return seen


def test_a_handle_that_only_reads_learns_of_commits(path: str, driver: str, spawn: Processes) -> None:
    """Of other handles in its process at once, and of those of other processes."""
    with store(path, driver) as writer, store(path, driver, read_only=True) as db:
        seen = settled(db)
        writer.models.put("c", "1", "1")
        assert db.commits.count > seen
        assert db.commits.wait(seen, PATIENCE)
        other = spawn("commit", path=path, driver=driver)
        other.expect("ready")
        for number in range(3):
            seen = settled(db)
            other.tell(number)
            assert db.commits.wait(seen, PATIENCE)
            other.hear()
        other.tell(None)
        other.finish()


def test_in_memory_too(driver: str) -> None:
    """There is nobody else, so nobody is watched for: no thread is started."""
    with store(":memory:", driver) as db:
        before = threading.active_count()
        seen = db.commits.count
        assert not db.commits.wait(seen, 0.05)
        assert db.commits.count == seen
        db.events.append([note(1)])
        assert db.commits.wait(seen)
        assert threading.active_count() == before


def test_who_waits_looks_for_himself_where_nobody_else_can(
    path: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the watch cannot open the file, waiting ends by itself, now and then, rather than never."""

    def refuse(target: object) -> Any:
        raise StoreUnavailable(path, "too many open files: close some")

    monkeypatch.setattr(_wakeup, "open_reader", refuse)
    monkeypatch.setattr(_wakeup, "RETRY", 0.01)
    signal = Signal()
    with store(path, driver) as db:
        for _ in range(3):
            assert db.commits.wait(db.commits.count, PATIENCE)
        with db.commits.watch(signal):
            assert signal.block(0, PATIENCE)


def test_a_watch_that_breaks_off_is_taken_up_again(
    path: str, driver: str, spawn: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while it looks ends it; whoever waits is woken, and the next to wait is told of commits as ever."""
    look, errors = _wakeup._data_version, [StoreUnavailable(path, "cannot be read: is the disk all right?")]

    def fail_once(connection: Connection) -> int:
        if errors:
            raise errors.pop()
        return look(connection)

    monkeypatch.setattr(_wakeup, "RETRY", 0.01)
    with store(path, driver) as db:
        monkeypatch.setattr(_wakeup, "_data_version", fail_once)
        assert db.commits.wait(db.commits.count, PATIENCE)
        other = spawn("commit", path=path, driver=driver)
        other.expect("ready")
        seen = settled(db)
        assert errors == []
        other.tell(1)
        assert db.commits.wait(seen, PATIENCE)
        other.hear()
        other.tell(None)
        other.finish()


def test_a_watch_goes_on_for_who_stays_in_its_block(
    path: str, driver: str, spawn: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot look for a while, and nobody else begins to wait: it is taken up again all the same."""
    open_reader, refused = _connection.open_reader, threading.Event()

    def refuse(target: Any) -> Any:
        if refused.is_set():
            return open_reader(target)
        raise StoreUnavailable(path, "too many open files: close some")

    monkeypatch.setattr(_wakeup, "RETRY", 0.01)
    monkeypatch.setattr(_wakeup, "open_reader", refuse)
    signal = Signal()
    with store(path, driver) as db, db.commits.watch(signal):
        assert signal.block(signal.count, PATIENCE)
        refused.set()
        other = spawn("commit", path=path, driver=driver)
        other.expect("ready")
        while signal.block(told := signal.count, 0.1):
            pass  # the first look of a watch wakes without cause
        other.tell(1)
        other.hear()
        assert signal.block(told, PATIENCE)
        other.tell(None)
        other.finish()
