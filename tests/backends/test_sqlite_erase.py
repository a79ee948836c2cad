"""Removing a store for good, which tests of others do to the ones that they made."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from goes_lite import Event, Registry, blocking
from goes_lite.errors import ConfigError, ForeignFile, StoreLocked, StoreReadOnly, StoreTooNew, UnsafeAccess
from goes_lite.sqlite import SQLiteBackend

registry = Registry()
registry.register("noted", str)


def make(path: str, driver: str) -> None:
    with blocking.connect(path, driver=driver, registry=registry) as db:
        db.events.append([Event("x", registry=registry)])


def erase(path: str, **options: object) -> None:
    asyncio.run(SQLiteBackend.erase(path, **options))


def test_nothing_is_left_of_it(path: str, driver: str) -> None:
    make(path, driver)
    assert len(os.listdir(os.path.dirname(path))) > 1  # the -lock stays after closing

    erase(path, driver=driver)

    assert os.listdir(os.path.dirname(path)) == []


def test_what_a_killed_process_left_is_removed_too(tmp_path: Path, driver: str) -> None:
    folder, copy = tmp_path / "live", tmp_path / "killed"
    folder.mkdir()
    path = str(folder / "app.db")
    with blocking.connect(path, driver=driver, registry=registry) as db:
        db.events.append([Event("x", registry=registry)])
        # in another process, for this one may not open the files
        subprocess.run(
            [sys.executable, "-c", f"import shutil; shutil.copytree({str(folder)!r}, {str(copy)!r})"], check=True
        )
    assert (copy / "app.db-wal").stat().st_size

    erase(str(copy / "app.db"), driver=driver)

    assert list(copy.iterdir()) == []


def test_one_that_is_not_there_is_no_error(path: str, driver: str) -> None:
    erase(path, driver=driver)
    erase(":memory:", driver=driver)


def test_an_empty_file_is_a_store_that_was_not_finished(path: str, driver: str) -> None:
    Path(path).touch()

    erase(path, driver=driver)

    assert not os.path.exists(path)


@pytest.mark.parametrize("content", [b"x", b"not a database at all" * 100], ids=["a byte", "a text"])
def test_a_file_that_is_no_database_stays(content: bytes, path: str, driver: str) -> None:
    Path(path).write_bytes(content)

    with pytest.raises(ForeignFile):
        erase(path, driver=driver)

    assert Path(path).read_bytes() == content


def test_a_database_of_another_program_stays(path: str, driver: str) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = Path(path).read_bytes()

    with pytest.raises(ForeignFile):
        erase(path, driver=driver)

    assert Path(path).read_bytes() == before


def test_a_store_of_a_newer_version_stays(path: str, driver: str) -> None:
    make(path, driver)
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()

    with pytest.raises(StoreTooNew):
        erase(path, driver=driver)

    assert os.path.exists(path)


def test_a_store_that_is_in_use_stays(path: str, driver: str) -> None:
    with blocking.connect(path, driver=driver, registry=registry) as db:
        db.events.append([Event("x", registry=registry)])

        with pytest.raises(StoreLocked):
            erase(path, driver=driver)

        db.events.append([Event("y", registry=registry)])
        assert db.events.count() == 2


def test_a_store_that_is_in_use_by_the_other_driver_stays(path: str) -> None:
    pytest.importorskip("apsw", reason="apsw is not installed")
    with blocking.connect(path, driver="apsw") as db:
        with pytest.raises(UnsafeAccess if os.name == "posix" else StoreLocked):
            erase(path, driver="sqlite3")

        assert db.events.count() == 0


def test_it_is_not_done_read_only(path: str, driver: str) -> None:
    make(path, driver)

    with pytest.raises(StoreReadOnly):
        erase(path, driver=driver, read_only=True)

    assert os.path.exists(path)


def test_options_are_those_of_connect(path: str) -> None:
    with pytest.raises(ConfigError, match="speed"):
        erase(path, speed="high")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (":memory:", ":memory:"),
        ("/dir/app.db", "/dir/app-t1.db"),
        ("app", "app-t1"),
        ("/a.b/app", "/a.b/app-t1"),
    ],
)
def test_a_store_for_tests_lies_beside_the_one_that_is_named(location: str, expected: str) -> None:
    assert SQLiteBackend.scratch(location, "t1") == expected
