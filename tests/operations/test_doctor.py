"""`doctor` finds nothing where nothing is wrong, and each condition that is planted, with what helps."""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import note, registry

from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.contract.findings import Finding
from goes_lite.sqlite import _examine, _place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="most of the conditions are planted as on Linux")

Plant = Callable[[Path, pytest.MonkeyPatch, ExitStack], dict[str, Any] | None]
PLANTS: dict[str, list[Plant]] = {}
ALSO = {"file-writable": "side-file-rights", "clock-wrong": "clock-skew"}
"""What else such a condition means."""


def plants(code: str) -> Callable[[Plant], Plant]:
    """A function that plants a condition, and returns the options with which the store is then opened."""

    def add(plant: Plant) -> Plant:
        PLANTS.setdefault(code, []).append(plant)
        return plant

    return add


def always(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def filled(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with blocking.connect(path, registry=registry) as db:
        db.events.append([note("x" * 1000) for _ in range(50)])


def raw(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement).fetchall()
    connection.close()


def mounts(path: Path, patch: pytest.MonkeyPatch, kind: str) -> None:
    table = path.parent.parent / "mounts"
    table.write_text(f"1 0 0:1 / / rw - ext4 none rw\n2 1 0:2 / {path.parent} rw - {kind} none rw\n")
    patch.setattr(_place, "MOUNTS", str(table))


@plants("sqlite-wal-reset-bug")
def a_library_with_a_bug(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    patch.setattr(_examine, "wal_reset_bug", always(True))


@plants("network-filesystem")
def a_file_on_a_server(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    mounts(path, patch, "nfs4")


@plants("volatile-filesystem")
def a_file_in_memory(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    mounts(path, patch, "tmpfs")


@plants("synced-folder")
def a_folder_that_is_marked(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    (path.parent.parent / ".stfolder").mkdir()


@plants("synced-folder")
def a_folder_with_a_name(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    other = path.parent.parent / "Dropbox (private)" / "app.db"
    filled(other)
    return {"path": other}


@plants("disk-space")
def a_disk_that_is_almost_full(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    patch.setattr(_examine, "SPARE", 1 << 62)


@plants("wal-large")
def a_log_that_grows(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    patch.setattr(_examine, "LARGE_LOG", 10_000)
    reader = sqlite3.connect(path)
    stack.callback(reader.close)
    reader.execute("BEGIN").fetchall()
    reader.execute("SELECT count(*) FROM events").fetchall()  # a browser that was left open
    reader.execute("SELECT 1").fetchall()
    other = stack.enter_context(blocking.connect(path, registry=registry, driver="sqlite3"))
    other.events.append([note("x" * 1000) for _ in range(50)])


@plants("file-writable")
def a_file_for_everybody(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    path.chmod(0o666)


@plants("folder-writable")
def a_folder_for_everybody(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    path.parent.chmod(0o777)


@plants("folder-read-only")
def a_folder_that_is_not_mine(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    # those who run the tests may be root, who may write everywhere
    def access(name: str, _: int) -> bool:
        return Path(name) != path.parent

    patch.setattr(os, "access", access)


@plants("side-file-rights")
def a_lock_file_of_mine_alone(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    (path.parent / "app.db-lock").chmod(0o600)


@plants("journal-mode")
def a_journal_of_another_kind(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    raw(path, "PRAGMA journal_mode = DELETE")


@plants("durability")
def an_address_that_does_not_wait(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    return {"durability": "normal"}


@plants("durability-of-writers")
def a_writer_that_does_not_wait(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    first, _ = (
        stack.enter_context(blocking.connect(path, registry=registry, durability="normal", driver="sqlite3"))
        for _ in "12"
    )
    first.close()  # the other one still has it open


@plants("free-pages")
def a_file_with_much_room(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    patch.setattr(_examine, "LARGE_LOG", 10_000)
    raw(path, "DELETE FROM events WHERE position < 45")


@plants("clock-skew")
def an_event_of_tomorrow(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    with blocking.connect(path, registry=registry) as db:
        db.events.append([note("x", time=datetime.now(timezone.utc) + timedelta(hours=1))])


@plants("clock-wrong")
def a_clock_of_1970(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    patch.setattr("goes_lite.runtime.SystemClock.now", always(datetime(1970, 1, 1, tzinfo=timezone.utc)))


@plants("consumer-mismatched")
def a_checkpoint_of_another_store(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    with blocking.connect(path, registry=registry) as db:
        db.checkpoints.save("letters", 3)
    raw(path, "UPDATE checkpoints SET store = 'another/1'")


@plants("few-descriptors")
def a_limit_that_is_low(path: Path, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stores" / "app.db"
    path.parent.mkdir()
    mounts(path, monkeypatch, "ext4")  # whatever the tests run on
    filled(path)
    return path


def look(path: Path, **options: Any) -> list[Finding]:
    given: dict[str, Any] = {"registry": registry, "read_only": True, "driver": "apsw", **options}
    with blocking.connect(path, **given) as db:
        return operations.doctor(db)


def test_nothing_is_found_where_nothing_is_wrong(path: Path) -> None:
    pytest.importorskip("apsw", reason="the SQLite of this Python may have the bug")
    assert look(path) == []
    with blocking.connect(path, registry=registry, driver="apsw") as db:
        assert operations.doctor(db) == []
    with blocking.connect(":memory:", driver="apsw") as db:
        assert operations.doctor(db) == []


@pytest.mark.parametrize(
    ("code", "plant"), [pytest.param(code, plant, id=plant.__name__) for code, ones in PLANTS.items() for plant in ones]
)
def test_a_condition_is_found(
    code: str, plant: Plant, path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    with ExitStack() as stack:
        options = plant(path, monkeypatch, stack) or {}
        given: dict[str, Any] = {"path": path, "driver": "sqlite3", **options}
        found = look(**given)
    assert {code} <= {one.code for one in found} <= {code, "sqlite-wal-reset-bug", ALSO.get(code, "")}
    (finding,) = [one for one in found if one.code == code]
    assert len(finding.message) > 40
    assert len(finding.fix) > 5


def test_a_writer_that_is_gone_is_not_told(path: Path) -> None:
    with blocking.connect(path, registry=registry, durability="memory", driver="sqlite3") as db:
        db.events.append([note("x")])
        assert "durability-of-writers" in {one.code for one in look(path, driver="sqlite3")}
    assert "durability-of-writers" not in {one.code for one in look(path, driver="sqlite3")}
