"""A file is replaced while its -wal stays, as by a careless restore: the log of another file is refused, its own never."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import cast

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import StoreUnavailable
from goes_lite.sqlite import SQLiteBackend, checkpointer
from tests.backends.sqlite_kit import check_file, files, fill, left, note, numbers, sql, store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the tests copy files that are open")


def copy(source: str, target: str) -> None:
    """Copy a file as another process does it: opening it here would drop its locks."""
    child = os.posix_spawn(shutil.which("cp") or "/bin/cp", ["cp", source, target], os.environ)
    assert os.waitpid(child, 0)[1] == 0


def write_and_die(spawn: Processes, path: str, driver: str, *written: int) -> None:
    """Leave a -wal behind, with these events in it."""
    worker = spawn("commit", path=path, driver=driver)
    worker.expect("ready")
    for number in written:
        worker.tell(number)
        worker.hear()
    worker.kill()
    worker.close()
    assert os.path.getsize(path + "-wal")


@pytest.fixture
def dead(path: str, driver: str, spawn: Processes) -> str:
    """A store whose writer was killed, with a backup of it, copies by hand, and another store."""
    fill(path, driver, 3)
    shutil.copy(path, path + ".old")
    with store(path, driver) as db:
        db.backup(path + ".backup")
        db.events.append([note(3)])
    with store(path, driver) as db:
        db.events.append([note(4)])
    shutil.copy(path, path + ".base")
    fill(path + ".other", driver, 2)
    write_and_die(spawn, path, driver, 5, 6)
    return path


@pytest.mark.parametrize("copied", ["backup", "old", "other"])
@pytest.mark.parametrize("shared_memory", [True, False])
def test_a_file_that_was_copied_beside_an_old_log_is_refused(
    dead: str, driver: str, copied: str, shared_memory: bool
) -> None:
    """By every way of opening it, and nothing is changed; with the log moved away, the copy is what was copied."""
    path = dead
    shutil.copy(f"{path}.{copied}", path)
    if not shared_memory:
        os.remove(path + "-shm")
    before = left(path)
    for read_only in (False, True, False):
        with pytest.raises(StoreUnavailable, match=r"move the -wal and the -shm .* keep them"):
            store(path, driver, read_only=read_only)
    assert {suffix: left(path)[suffix] for suffix in ("", "-wal")} == {
        suffix: before[suffix] for suffix in ("", "-wal")
    }
    os.rename(path + "-wal", path + ".kept")
    os.remove(path + "-shm")
    with store(path, driver) as db:
        assert numbers(db) == {"backup": [0, 1, 2], "old": [0, 1, 2], "other": [0, 1]}[copied]
        db.events.append([note(100)])
    check_file(path)


def test_the_file_that_the_log_was_begun_for_is_accepted(dead: str, driver: str) -> None:
    """It is the one that the log was written for, whatever its name and its inode."""
    os.remove(dead)
    os.rename(dead + ".base", dead)
    with store(dead, driver) as db:
        assert numbers(db) == [0, 1, 2, 3, 4, 5, 6]
    check_file(dead)


def test_a_log_without_marks_is_accepted(path: str, driver: str, spawn: Processes) -> None:
    """That of a store from before there were any."""
    fill(path, driver, 1)
    sql(path, "DELETE FROM store WHERE key = 'log'")
    write_and_die(spawn, path, driver, 1)
    with store(path, driver) as db:
        assert numbers(db) == [0, 1]
    assert len(sql(path, "SELECT value FROM store WHERE key = 'log'")) == 1


def test_a_crash_at_any_moment_is_no_reason(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each commit, with many checkpoints and a reader in their way: file and log belong together."""
    monkeypatch.setattr(checkpointer, "PAGES", 12)
    monkeypatch.setattr(checkpointer, "LOOK_EVERY", 1)
    crashed = path + ".crashed"
    handles = [store(path, driver, durability="normal") for _ in range(2)]
    reader = store(path, driver, read_only=True)
    numbers(reader)
    connection = cast(SQLiteBackend, reader.backend)._readers._idle[0]
    marks: set[str] = set()
    try:
        for number in range(28):
            if number % 13 == 5:  # keeps the log from beginning anew
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM events").fetchall()
            if number % 13 == 9:
                connection.execute("COMMIT")
            handles[number % 2].events.append([note(number)])
            for suffix in ("", "-wal"):
                copy(path + suffix, crashed + suffix)
            with store(crashed, driver) as db:
                assert numbers(db) == [*range(number + 1)]
                marks.add(db.select("SELECT value FROM store WHERE key = 'log'")[0][0])
            for suffix in ("", "-lock"):
                os.remove(crashed + suffix)
        assert len(marks) > 3
    finally:
        for handle in (*handles, reader):
            handle.close()
    check_file(path)


def test_a_busy_store_is_opened(path: str, driver: str, spawn: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes and marks move from the log to the file."""
    monkeypatch.setattr(checkpointer, "PAGES", 6)
    monkeypatch.setattr(checkpointer, "LOOK_EVERY", 1)
    with store(path, driver, durability="normal") as db:
        worker = spawn("check_logs", path=path, driver=driver)
        worker.expect("checking")
        for number in range(150):
            db.events.append([note(number)])
        worker.tell("end")
        assert worker.hear() > 10
        worker.finish()


def test_what_a_refusal_leaves(dead: str, driver: str) -> None:
    """No file that was not there, but perhaps a -shm."""
    shutil.copy(dead + ".old", dead)
    folder = Path(dead).parent
    before = {*os.listdir(folder)}
    with pytest.raises(StoreUnavailable):
        store(dead, driver)
    assert {*os.listdir(folder)} == before
    assert files(dead)
