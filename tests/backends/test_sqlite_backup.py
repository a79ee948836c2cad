"""Backups: complete while others write, and whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import ConfigError
from tests.backends.sqlite_kit import check_file, fill, note, numbers, store


def test_a_backup_while_others_write(tmp_path: Path, driver: str, spawn: Processes) -> None:
    """It holds every event that was committed before it began, and of those after it a contiguous part; it opens."""
    path = str(tmp_path / "app.db")
    fill(path, driver, 100)
    writer = spawn("commit_flat_out", path=path, driver=driver, process=1)
    writer.expect("ready")
    writer.tell()
    writer.expect("going")
    with store(path, driver) as db:
        for number in range(3):
            copy = str(tmp_path / f"copy{number}.db")
            before = db.events.head()
            db.backup(copy)
            after = db.events.head()
            with store(copy, driver) as restored:
                assert before <= restored.events.head() <= after
                assert restored.events.append([note(-1)]).position == restored.events.head()
                log = [(event.position, event.id) for event in restored.events.query()][:-1]
                assert log == [(event.position, event.id) for event in db.events.query(upto=len(log))]
            check_file(copy)
        with pytest.raises(ConfigError, match="the file exists"):
            db.backup(path)
    writer.tell("stop")
    writer.hear()
    writer.finish()


def test_a_backup_that_fails_leaves_nothing(path: str, driver: str, spawn: Processes) -> None:
    """No room for the copy: StoreFull, which names the copy, and no half of one that looks like a backup."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    fill(path, driver, 200)
    worker = spawn("backup_without_room", path=path, driver=driver, copy=path + ".copy")
    kind, message = worker.hear()
    assert (kind, path + ".copy" in message) == ("StoreFull", True), message
    worker.finish()
    assert sorted(os.listdir(os.path.dirname(path))) == ["app.db", "app.db-lock"]
    check_file(path)


def test_a_backup_of_a_read_only_store_and_of_one_in_memory(tmp_path: Path, driver: str) -> None:
    """Whatever can be read can be backed up."""
    path = str(tmp_path / "app.db")
    fill(path, driver, 3)
    with store(path, driver, read_only=True) as db:
        db.backup(tmp_path / "one.db")
    with store(":memory:", driver) as db:
        db.events.append([note(0), note(1), note(2)])
        db.backup(tmp_path / "two.db")
    for copy in ("one.db", "two.db"):
        with store(str(tmp_path / copy), driver) as db:
            assert numbers(db) == [0, 1, 2]
