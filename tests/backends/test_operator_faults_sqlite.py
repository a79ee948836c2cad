"""Faults of operators on a store in a file: each is a row of docs/faults.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import (
    ForeignFile,
    StoreDamaged,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from goes_lite.events.fields import AggregateRef
from goes_lite.sqlite import _files
from tests.backends.sqlite_kit import check_file, files, fill, left, note, numbers, sql, store
from tests.operator_faults import saw, situation

posix = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody remove or rename a file that is open")


def refused_while_open(monkeypatch: pytest.MonkeyPatch, path: str, driver: str, fault: Callable[[], object]) -> None:
    """What was acknowledged before the fault is there; after it nothing is acknowledged, and reading is refused as well."""
    monkeypatch.setattr(_files, "LOOK_AGAIN", 0.0)
    with store(path, driver) as db:
        db.events.append([note(1)])
        fault()
        with pytest.raises(StoreUnavailable):
            db.events.append([note(2)])
        with pytest.raises(StoreUnavailable):
            numbers(db)


def refused_at_opening(path: str, driver: str, error: type[StoreError]) -> None:
    """And what is there stays as it is."""
    before = left(path)
    for read_only in (False, True):
        with pytest.raises(error):
            store(path, driver, read_only=read_only)
    assert left(path) == before


def with_a_log(path: str) -> None:
    """Make a store with the events 0 to 5, of which the last is in the -wal alone: its writer was killed."""
    program = (
        "import os; from tests.backends.sqlite_kit import *\n"
        f"db = store({path!r}, 'sqlite3'); db.events.append([note(5)]); os._exit(0)"
    )
    fill(path, "sqlite3", 5)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    assert os.path.getsize(path + "-wal")


# --- the files of an open store -------------------------------------------------------------------------------------


@posix
@situation(
    sees="StoreUnavailable: …/app.db: the file was removed, renamed or replaced while it was open, so nothing that is "
    "written to it would be found again: put it back, with its -wal (or restore a backup, after moving the -wal and -shm "
    "away), and connect again",
    then="Nothing was acknowledged since. Every operation of the handle is refused, reading as well.",
)
def test_the_file_is_deleted(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is deleted while a program has it open."""
    refused_while_open(monkeypatch, path, driver, lambda: os.remove(path))


@posix
@situation(
    sees="StoreUnavailable: …/app.db: the file was removed, renamed or replaced while it was open, so nothing that is "
    "written to it would be found again: put it back, with its -wal…",
    then="The same. Renamed back with its `-wal` and `-shm`, the same handle goes on with every event that it acknowledged.",
)
def test_the_file_is_moved(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is moved or renamed while a program has it open."""
    beside = ("", "-wal", "-shm")
    monkeypatch.setattr(_files, "LOOK_AGAIN", 0.0)
    with store(path, driver) as db:
        db.events.append([note(1)])
        for suffix in beside:
            os.rename(path + suffix, path + ".away" + suffix)
        with pytest.raises(StoreUnavailable):
            db.events.append([note(2)])
        for suffix in beside:
            os.rename(path + ".away" + suffix, path + suffix)
        db.events.append([note(3)])
        assert numbers(db) == [1, 3]


@posix
@situation(
    sees="StoreUnavailable: …/app.db: the file was removed, renamed or replaced while it was open, so nothing that is "
    "written to it would be found again: put it back, with its -wal…",
    then="The same, and nothing of the old file gets into the new one. Restore a backup while no program has the store open: "
    "[Restore](sqlite.md#restore).",
)
def test_the_file_is_replaced(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file is put in its place while a program has it open, by a restore, a deployment or an editor."""
    fill(path + ".backup", driver, 3)
    refused_while_open(monkeypatch, path, driver, lambda: os.replace(path + ".backup", path))
    with pytest.raises(StoreUnavailable, match="its -wal was written for another file"):
        store(path, driver)
    os.remove(path + "-wal")
    with store(path, driver) as db:
        assert numbers(db) == [0, 1, 2]


@posix
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@situation(
    sees="StoreUnavailable: …/app.db: its -… was removed or replaced while it was open, so programs no longer notice each "
    "other: end all programs that have the store open, then connect again, and leave the files next to a store alone",
    then="Nothing was acknowledged since. Exclude the four files from clean-ups and synchronisation.",
)
def test_a_file_beside_it_is_deleted(path: str, driver: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `-wal` or `-shm` is deleted while a program has the store open."""
    refused_while_open(monkeypatch, path, driver, lambda: os.remove(path + suffix))


@posix
@situation(
    sees="nothing: the program goes on",
    then="It is made again. It only says whose turn it is; SQLite's own locks keep writers apart meanwhile.",
)
def test_the_lock_file_is_deleted(path: str, driver: str) -> None:
    """The `-lock` is deleted while a program has the store open."""
    with store(path, driver) as db:
        db.events.append([note(1)])
        os.remove(path + "-lock")
        db.events.append([note(2)])
        with store(path, driver) as other:
            other.events.append([note(3)])
        assert numbers(db) == [1, 2, 3]


# --- the files while nothing runs -----------------------------------------------------------------------------------


@situation(
    sees="StoreUnavailable: …/app.db: its -wal was written for another file: probably a backup was copied over the old file, "
    "whose -wal is still there. End all programs that use the store, move the -wal and the -shm to another folder…",
    then="Nothing is changed. What the `-wal` holds are the newest events of the old file.",
)
def test_a_backup_is_copied_over_it(path: str, driver: str) -> None:
    """A backup is copied over the file of a killed program, whose `-wal` stays next to it."""
    fill(path + ".backup", driver, 3)
    with_a_log(path)
    shutil.copy(path + ".backup", path)
    refused_at_opening(path, driver, StoreUnavailable)


@situation(
    sees="nothing: the store opens without the commits that were in it",
    then="They are lost, and nothing can tell. Never delete a `-wal`: opening and closing the store empties it.",
)
def test_the_log_of_a_killed_program_is_deleted(path: str, driver: str) -> None:
    """The `-wal` that a killed program has left is deleted before the store is opened again."""
    with_a_log(path)
    os.remove(path + "-wal")
    with store(path, driver) as db:
        assert numbers(db) == [0, 1, 2, 3, 4]


@situation(sees="nothing: SQLite makes it again", then="Every acknowledged event is there.")
def test_the_shared_memory_of_a_killed_program_is_deleted(path: str, driver: str) -> None:
    """The `-shm` that a killed program has left is deleted before the store is opened again."""
    with_a_log(path)
    os.remove(path + "-shm")
    with store(path, driver) as db:
        assert numbers(db) == [0, 1, 2, 3, 4, 5]


@situation(
    sees="nothing: a new, empty store is made. With `read_only=True`: StoreUnavailable: … does not exist, and opening it "
    "read-only does not create it: check the path",
    then="Pass an absolute path, so that a program that starts in another folder does not find an empty store either.",
)
def test_the_file_is_gone(path: str, driver: str) -> None:
    """The file is deleted while no program runs."""
    fill(path, driver, 3)
    os.remove(path)
    with pytest.raises(
        StoreUnavailable, match="does not exist, and opening it read-only does not create it: check the path"
    ):
        store(path, driver, read_only=True)
    with store(path, driver) as db:
        assert numbers(db) == []


@posix
@situation(
    sees="StoreUnavailable: …/app.db: has 2 names (hard links, here also 'app.db.link'), and programs that open it by "
    "different names lose each other's events: remove the other names, or replace this one by a copy of the file",
    then="Nothing is changed.",
)
def test_a_second_name(path: str, driver: str) -> None:
    """A backup tool makes a hard link to the file."""
    fill(path, driver, 3)
    os.link(path, path + ".link")
    refused_at_opening(path, driver, StoreUnavailable)


@situation(
    sees="StoreUnavailable: …/app.db: the folder '…' does not exist: create it first",
    then="A volume that is not mounted gets no empty store in its place.",
)
def test_the_folder_is_gone(path: str, driver: str) -> None:
    """The folder of the store is not there."""
    path = os.path.join(os.path.dirname(path), "data", "app.db")
    with pytest.raises(StoreUnavailable):
        store(path, driver)
    assert not os.path.exists(os.path.dirname(path))


@situation(
    sees="ForeignFile: …/app.db: not a goes_lite store (an SQLite database of another program: application_id 0x0, tables "
    "'users'), left unchanged: choose another path",
    then="Nothing is changed.",
)
def test_a_database_of_another_program(path: str, driver: str) -> None:
    """The path names a database of another program."""
    sql(path, "CREATE TABLE users (name TEXT)")
    refused_at_opening(path, driver, ForeignFile)


@situation(
    sees="ForeignFile: …/app.db: not a goes_lite store (it is not an SQLite database, or its first page is damaged), left "
    "unchanged: choose another path",
    then="Nothing is changed.",
)
def test_another_kind_of_file(path: str, driver: str) -> None:
    """The path names a file of another kind, or the beginning of the file is overwritten."""
    fill(path, driver, 3)
    with open(path, "r+b") as file:
        file.write(b"a letter to a friend, by mistake\n" * 10)
    refused_at_opening(path, driver, ForeignFile)


@situation(
    sees="StoreTooNew: …/app.db: written by a newer goes_lite (schema 99, this one knows up to …): upgrade goes-lite",
    then="Nothing is changed. A newer release upgrades a file once, and older ones cannot open it any more.",
)
def test_a_newer_file(path: str, driver: str) -> None:
    """An older release is rolled back to after a newer one has upgraded the file."""
    fill(path, driver, 3)
    sql(path, "PRAGMA user_version = 99")
    refused_at_opening(path, driver, StoreTooNew)


# --- what is in the file --------------------------------------------------------------------------------------------


@situation(
    sees="StoreDamaged: …/app.db: the store is damaged (the table 'events' is missing): restore a backup…",
    then="The store cannot be opened. Nothing is changed.",
)
def test_a_table_is_dropped(path: str, driver: str) -> None:
    """A table of the store is dropped with another tool."""
    fill(path, driver, 3)
    sql(path, "DROP TABLE events")
    refused_at_opening(path, driver, StoreDamaged)


@situation(
    sees="StoreDamaged: …/app.db: the store is damaged (the index 'events_by_name' of 'events' is missing): create it again "
    "with the sqlite3 shell, while no program uses the file: CREATE INDEX events_by_name ON events (name_key)",
    then="No event is lost; after the statement in the message, the store opens.",
)
def test_an_index_is_dropped(path: str, driver: str) -> None:
    """An index of the store is dropped with another tool."""
    fill(path, driver, 3)
    sql(path, "DROP INDEX events_by_name")
    with pytest.raises(StoreDamaged) as refused:
        store(path, driver)
    sql(path, str(refused.value).partition("uses the file: ")[2])
    with store(path, driver) as db:
        assert numbers(db) == [0, 1, 2]


@situation(
    sees="StoreDamaged: …/app.db: the store is damaged (somebody has added the trigger 'audit' on 'events', which belongs to "
    "goes_lite): find out what it did, and drop it with the sqlite3 shell, while no program uses the file",
    then="The trigger has not run for anything that goes_lite wrote.",
)
def test_a_trigger_is_added(path: str, driver: str) -> None:
    """Somebody adds a trigger to a table of the store."""
    fill(path, driver, 3)
    sql(path, "CREATE TRIGGER audit AFTER INSERT ON events BEGIN DELETE FROM events; END")
    refused_at_opening(path, driver, StoreDamaged)


@situation(
    sees="StoreDamaged: …/app.db: the store is damaged (the aggregate 'order', id '0', is stored at version 2, but without its "
    "event of version 1): restore a backup…",
    then="Other aggregates load. The events that are left can be read with `load(…, after=1)` and with queries.",
)
def test_an_event_is_deleted(path: str, driver: str) -> None:
    """Rows of events are deleted with another tool."""
    fill(path, driver, 9)
    sql(path, "DELETE FROM events WHERE position = 1")
    with store(path, driver) as db:
        with pytest.raises(StoreDamaged):
            db.events.load(AggregateRef("order", "0"))
        assert [event.version for event in db.events.load(AggregateRef("order", "1"))] == [1, 2]


@situation(
    sees="StoreDamaged: …/app.db: the store is damaged (database disk image is malformed (SQLite code 11)): restore a backup "
    "after moving the -wal and -shm of the file away, or save what is readable with `sqlite3 FILE .dump`: see 'Restore' and "
    "'A damaged file' in docs/sqlite.md",
    then="Nothing is changed.",
)
def test_a_copy_that_broke_off(path: str, driver: str) -> None:
    """A copy of the file broke off, or its end is cut off."""
    fill(path, driver)
    os.truncate(path, os.path.getsize(path) // 2)
    refused_at_opening(path, driver, StoreDamaged)


@situation(
    sees="StoreDamaged: …/app.db: the store is damaged (database disk image is malformed (SQLite code 11)): restore a backup "
    "after moving the -wal and -shm of the file away…",
    then="What does not need the page works. `goes-lite verify` reads everything, and says what is wrong.",
)
def test_a_damaged_page(path: str, driver: str) -> None:
    """A failing disk has overwritten pages in the middle of the file."""
    fill(path, driver)
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096 * 20)
    with store(path, driver) as db, pytest.raises(StoreDamaged):
        numbers(db)


# --- room, rights and locks -----------------------------------------------------------------------------------------


@situation(
    sees="StoreFull: …/app.db: no room left on the disk (or a quota is reached), nothing was written: make room and retry",
    then="What was acknowledged is there, the append that failed is not stored in part, and smaller ones still fit. With "
    "room again, the same handle goes on.",
)
def test_the_disk_is_full(path: str, driver: str, spawn: Processes) -> None:
    """The disk is full."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    worker = spawn("fill", path=path, driver=driver, room=400_000, sizes=[4_000_000, 1000])
    saw(*worker.hear())
    worker.expect("stored")
    worker.expect([0, 2])
    worker.expect([0, 2, -1])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == [0, 2, -1]


@posix
@situation(
    sees="StoreReadOnly: …/app.db: the file or its folder is read-only, so nothing can be written: open it with read_only=True "
    "to read it, or move it to a writable folder",
    then="With `read_only=True` the store can be read.",
)
def test_a_read_only_folder(public: Path, driver: str, spawn: Processes) -> None:
    """The user of the program may not write to the file or its folder."""
    path = str(public / "app.db")
    fill(path, driver, 3)
    for file in public.iterdir():
        file.chmod(0o444)
    public.chmod(0o555)
    before = files(path)
    for read_only in (False, True):
        worker = spawn("as_nobody", path=path, driver=driver, read_only=read_only, write=True)
        *read, error = worker.rest()
        worker.finish()
        assert (read, error[0]) == ([[0, 1, 2]] if read_only else [], StoreReadOnly.__name__)
        saw(*error)
    assert files(path) == before


@situation(
    sees="StoreLocked: …/app.db: locked by another connection for more than … s: find the program that holds it "
    "(an open transaction in a database browser does), or raise lock_timeout",
    then="Readers do not wait. Once the other program lets go, the same handle goes on.",
)
def test_locked_by_another_program(path: str, driver: str, spawn: Processes) -> None:
    """Another program, such as a database browser, keeps a transaction open."""
    with store(path, driver, lock_timeout=0.25) as db:
        db.events.append([note(1)])
        holder = spawn("hold_foreign", path=path)
        holder.expect("held")
        with pytest.raises(StoreLocked):
            db.events.append([note(2)])
        assert numbers(db) == [1]
        holder.tell()
        holder.expect("free")
        db.events.append([note(3)])
        assert numbers(db) == [1, 3]
