"""Keeping the file's locks: nothing in the process opens the files of a store behind SQLite's back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import StoreUnavailable, UnsafeAccess
from goes_lite.sqlite import _guard
from tests.backends.sqlite_kit import note, numbers, store

needs_guard = pytest.mark.skipif(os.name != "posix", reason="only POSIX loses locks when a file is closed")


@needs_guard
def test_the_files_cannot_be_opened_behind_sqlite(path: str, driver: str, spawn: Processes, tmp_path: Path) -> None:
    """UnsafeAccess for whatever opens the database, its -wal or its -shm in the same process.

    The locks remain, which another process proves: it cannot write while a transaction is open.
    """
    lock = spawn("try_lock", path=path)
    with store(path, driver) as db:
        db.events.append([note(1)])
        accesses: list[Callable[[str], object]] = [
            lambda file: open(file, "rb").close(),
            lambda file: os.close(os.open(file, os.O_RDONLY)),
            lambda file: os.close(os.open(os.fsencode(file), os.O_RDONLY)),
            lambda file: Path(file).read_bytes(),
            lambda file: shutil.copy(file, tmp_path / "copy"),
            lambda file: shutil.copy(os.path.relpath(file), tmp_path / "copy"),
        ]
        with db.transaction() as transaction:
            transaction.events.append([note(2)])
            for suffix in ("", "-wal", "-shm"):
                for access in accesses:
                    with pytest.raises(UnsafeAccess, match=r"backup\(\)") as refused:
                        access(path + suffix)
                    assert refused.value.location == path
            lock.tell()
            lock.expect("locked")
        lock.tell()
        lock.expect("free")
        assert numbers(db) == [1, 2]


@needs_guard
def test_a_second_library_is_refused(path: str, spawn: Processes) -> None:
    """sqlite3.connect beside apsw, by any spelling of the name: UnsafeAccess, and the locks remain."""
    pytest.importorskip("apsw", reason="apsw is not installed")
    lock = spawn("try_lock", path=path)
    with store(path, "apsw") as db:
        db.events.append([note(1)])
        spellings: list[Any] = [
            path,
            Path(path),
            os.fsencode(path),
            os.path.relpath(path),
            f"file:{path}?mode=ro",
            f"file:{path}#x",
            f"file://{path}",
            f"file://localhost{path}",
            "file:" + path.replace("app", "%61pp"),
        ]
        with db.transaction() as transaction:
            transaction.events.append([note(2)])
            for spelling in spellings:
                with pytest.raises(UnsafeAccess, match="two SQLite libraries"):
                    sqlite3.connect(spelling, uri=isinstance(spelling, str) and spelling.startswith("file:"))
            lock.tell()
            lock.expect("locked")


@needs_guard
@pytest.mark.parametrize(("first", "second"), [("apsw", "sqlite3"), ("sqlite3", "apsw")])
def test_two_drivers_on_one_file(path: str, first: str, second: str) -> None:
    """UnsafeAccess for the second, until the first is closed."""
    pytest.importorskip("apsw", reason="apsw is not installed")
    with store(path, first) as db:
        db.events.append([note(1)])
        with pytest.raises(UnsafeAccess, match="two SQLite libraries"):
            store(path, second)
        with pytest.raises(UnsafeAccess):
            store(path, second, read_only=True)
        db.events.append([note(2)])
    with store(path, second) as db:
        assert numbers(db) == [1, 2]


def test_the_same_library_may_look(path: str, spawn: Processes) -> None:
    """sqlite3.connect beside a store on sqlite3: one library knows of all its locks."""
    lock = spawn("try_lock", path=path)
    with store(path, "sqlite3") as db:
        db.events.append([note(1)])
        with db.transaction() as transaction:
            transaction.events.append([note(2)])
            connection = sqlite3.connect(path)
            assert connection.execute("SELECT count(*) FROM event_log").fetchall() == [(1,)]
            connection.close()
            lock.tell()
            lock.expect("locked")


@needs_guard
def test_a_store_behind_a_symbolic_link_is_guarded(path: str, driver: str, tmp_path: Path) -> None:
    """By the name that was opened and by the real one; and both names are one store, with one lock file."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with store(link, driver) as db, store(path, driver) as same:
        db.events.append([note(1)])
        same.events.append([note(2)])
        assert numbers(db) == [1, 2]
        for name in (link, Path(path)):
            with pytest.raises(UnsafeAccess):
                name.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["app.db", "app.db-lock", "link.db"]


def test_other_files_are_nobodys_business(
    path: str, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same name elsewhere, the lock file, files with similar names, and the file itself once it is closed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    others = [elsewhere / "app.db", elsewhere / "app.db-wal", tmp_path / "app.db2", tmp_path / "my-app.db"]
    with store(path, driver) as db, store(path, driver):
        db.events.append([note(1)])
        for other in others:
            other.write_bytes(b"mine")
            assert other.read_bytes() == b"mine"
        monkeypatch.chdir(elsewhere)
        assert Path("app.db").read_bytes() == b"mine"
        assert os.path.getsize(path) > 0  # stat opens nothing
        assert Path(path + "-lock").read_bytes() == b""
        os.listdir(tmp_path)
    assert Path(path).read_bytes()[:6] == b"SQLite"
    shutil.copy(path, elsewhere / "copy.db")
    with store(elsewhere / "copy.db", driver) as db:
        assert numbers(db) == [1]


def test_the_guard_outlives_one_of_two_handles(path: str, driver: str) -> None:
    """As long as one handle is open the file is guarded, also if opening a further one failed."""
    with store(path, driver) as db:
        db.events.append([note(1)])
        store(path, driver).close()
        with pytest.raises(StoreUnavailable):
            store(os.path.dirname(path), driver)
        if os.name == "posix":
            with pytest.raises(UnsafeAccess):
                Path(path).read_bytes()
    assert path not in _guard._live
    assert "app.db" not in _guard._names
