"""What cannot be opened, or only to be read: other programs' files, folders, missing rights, network file systems.

Each has an error that says what, where and what to do, and nothing that was stored is harmed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import ForeignFile, NetworkFilesystem, StoreReadOnly, StoreUnavailable
from goes_lite.events.fields import AggregateRef
from goes_lite.sqlite import _place
from tests.backends.sqlite_kit import check_file, files, fill, left, note, numbers, sql, store

# --- files that are no stores ---------------------------------------------------------------------------------------

FOREIGN: dict[str, tuple[str, ...]] = {
    "tables": ("CREATE TABLE users (name TEXT)", "INSERT INTO users VALUES ('Ada')"),
    "application_id": ("PRAGMA application_id = 252006674",),
    "user_version": ("PRAGMA user_version = 3",),
    "both": ("PRAGMA application_id = 1", "CREATE TABLE events (position INTEGER PRIMARY KEY)"),
    "wal": ("PRAGMA journal_mode = WAL", "CREATE TABLE users (name TEXT)"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_another_program_is_left_alone(path: str, driver: str, kind: str, read_only: bool) -> None:
    """G13: ForeignFile, and not a byte of the file is changed."""
    sql(path, *FOREIGN[kind])
    before = files(path)
    with pytest.raises(ForeignFile, match="not a goes_lite store") as refused:
        store(path, driver, read_only=read_only)
    assert refused.value.location == path
    assert left(path) == before


def test_a_foreign_database_in_use_is_left_alone(path: str, driver: str, spawn: Processes) -> None:
    """The same while the other program has it open, with changes that are only in its -wal."""
    sql(path, "PRAGMA journal_mode = WAL", "CREATE TABLE events (n)")
    holder = spawn("read_long", path=path)
    holder.expect("reading")
    sql(path, "INSERT INTO events VALUES (1)")
    before = left(path)
    assert before["-wal"]
    with pytest.raises(ForeignFile):
        store(path, driver)
    assert left(path) == before
    holder.tell()
    holder.rest()
    holder.finish()


@pytest.mark.parametrize("content", [b"x", b"a text file\n", b"\x89PNG\r\n\x1a\n" * 1000, bytes(8192)])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_another_kind_is_left_alone(path: str, driver: str, content: bytes, read_only: bool) -> None:
    """G13: what is no SQLite database at all is ForeignFile, and stays as it is."""
    Path(path).write_bytes(content)
    with pytest.raises(ForeignFile, match="not an SQLite database"):
        store(path, driver, read_only=read_only)
    assert left(path) == {"": content}


def test_an_empty_file_becomes_a_store(path: str, driver: str) -> None:
    """As `mktemp` makes it. But not for one who only wants to read."""
    Path(path).touch()
    with pytest.raises(StoreUnavailable, match="empty"):
        store(path, driver, read_only=True)
    assert left(path) == {"": b""}
    with store(path, driver) as db:
        db.events.append([note(1)])
    check_file(path)


def test_places_where_no_store_can_be(tmp_path: Path, driver: str) -> None:
    """G13: a folder, a missing folder, a file as a folder, a missing file that is to be read."""
    (tmp_path / "file").touch()
    missing = str(tmp_path / "missing" / "app.db")
    cases: list[tuple[str, bool, str]] = [
        (str(tmp_path), False, "is a folder"),
        (missing, False, "does not exist: create it first"),
        (str(tmp_path / "file" / "app.db"), False, "does not exist"),
        (str(tmp_path / "app.db"), True, "check the path"),
    ]
    for path, read_only, message in cases:
        with pytest.raises(StoreUnavailable, match=message) as refused:
            store(path, driver, read_only=read_only)
        assert refused.value.location == path
        assert isinstance(refused.value, OSError)
    assert sorted(os.listdir(tmp_path)) == ["file"]


# --- reading only ---------------------------------------------------------------------------------------------------


def lock_up(folder: Path) -> None:
    """Nobody may write to the folder or its files (but root, whom permissions do not stop)."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def as_nobody(spawn: Processes, path: str, driver: str, *, read_only: bool, write: bool = False) -> list[Any]:
    worker = spawn("as_nobody", path=path, driver=driver, read_only=read_only, write=write)
    said = worker.rest()
    worker.finish()
    return said


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_a_read_only_file_and_folder_can_be_read(public: Path, driver: str, spawn: Processes) -> None:
    """With read_only=True, by a user who may not even make the -shm that SQLite wants; writing is StoreReadOnly."""
    path = str(public / "app.db")
    fill(path, driver, 3)
    lock_up(public)
    before = files(path), os.listdir(public)
    assert as_nobody(spawn, path, driver, read_only=True) == [[0, 1, 2]]
    assert as_nobody(spawn, path, driver, read_only=True, write=True)[1][0] == "StoreReadOnly"
    assert (files(path), os.listdir(public)) == before


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_a_read_only_file_cannot_be_opened_for_writing(public: Path, driver: str, spawn: Processes) -> None:
    """Without read_only=True it is StoreReadOnly, which names that option."""
    path = str(public / "app.db")
    fill(path, driver, 3)
    lock_up(public)
    before = files(path)
    kind, message = as_nobody(spawn, path, driver, read_only=False, write=True)[-1]
    assert (kind, "read_only=True" in message) == ("StoreReadOnly", True), message
    public.chmod(0o777)  # now only the file is read-only
    kind, message = as_nobody(spawn, path, driver, read_only=False, write=True)[-1]
    assert (kind, "read_only=True" in message) == ("StoreReadOnly", True), message
    assert files(path)[""] == before[""]


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_what_a_killed_writer_left_can_be_read(public: Path, driver: str, spawn: Processes) -> None:
    """The acknowledged events in the -wal of a killed writer are seen by those who only read.

    Where that is impossible (a read-only folder without the -shm), it is an error, never a store without its newest
    events.
    """
    path = str(public / "app.db")
    with store(path, driver) as db:
        db.events.append([note(100)])  # this one is in the file itself
    worker = spawn("commit", path=path, driver=driver)
    worker.expect("ready")
    for number in range(5):
        worker.tell(number)
        worker.hear()
    worker.kill()
    worker.close()
    assert os.path.getsize(path + "-wal")
    lock_up(public)
    assert as_nobody(spawn, path, driver, read_only=True) == [[100, 0, 1, 2, 3, 4]]
    public.chmod(0o755)
    os.remove(path + "-shm")
    lock_up(public)
    ((kind, message),) = as_nobody(spawn, path, driver, read_only=True)
    assert kind in ("StoreUnavailable", "StoreReadOnly"), message
    public.chmod(0o777)  # with a place for the -shm it can be read again
    assert as_nobody(spawn, path, driver, read_only=True) == [[100, 0, 1, 2, 3, 4]]


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_a_reader_of_another_user_sees_a_live_store(public: Path, driver: str, spawn: Processes) -> None:
    """One user writes, another may only read: that one sees what is committed."""
    path = str(public / "app.db")
    with store(path, driver) as db:
        db.events.append([note(1), note(2)])
        assert as_nobody(spawn, path, driver, read_only=True) == [[1, 2]]
        db.events.append([note(3)])
        assert as_nobody(spawn, path, driver, read_only=True) == [[1, 2, 3]]


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_a_file_without_locks_is_read_as_of_one_moment(public: Path, driver: str, spawn: Processes) -> None:
    """Who cannot make a -shm sees the file as of opening, until it is written to: then an error says to connect again."""
    path = str(public / "app.db")
    fill(path, driver, 300)
    lock_up(public)
    reader = spawn("read_frozen", path=path, driver=driver)
    reader.expect("ready")

    def read() -> Any:
        reader.tell(True)
        return reader.hear()

    assert read() == list(range(300))
    public.chmod(0o755)
    for file in public.iterdir():
        file.chmod(0o644)
    with store(path, driver) as db:
        db.events.append([note(300)])
        assert read() == list(range(300))  # as long as the new event is only in the -wal
    kind, message = read()
    assert (kind, "connect again" in message) == ("StoreUnavailable", True), message
    reader.tell(False)
    reader.finish()


def test_read_only_handles_refuse_every_write(path: str, driver: str) -> None:
    """StoreReadOnly, which is a PermissionError too; and nothing is left beside the file."""
    fill(path, driver, 3)
    before = files(path)
    with store(path, driver, read_only=True) as db:
        writes: list[Callable[[], object]] = [
            lambda: db.events.append([note(9)]),
            lambda: db.events.delete(AggregateRef("order", "0")),
            lambda: db.models.put("c", "1", "{}"),
            lambda: db.checkpoints.save("p", 1),
            lambda: db.leases.acquire("l", "me", 1.0),
            lambda: db.transaction().__enter__(),
        ]
        for write in writes:
            with pytest.raises(StoreReadOnly, match="opened read-only"):
                write()
        with pytest.raises(PermissionError):
            writes[0]()
        assert numbers(db) == [0, 1, 2]
    assert left(path) == before


# --- other places ---------------------------------------------------------------------------------------------------

MOUNTINFO = """\
21 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
40 28 0:50 / /mnt/share rw,relatime shared:5 - nfs4 server:/export rw
41 40 0:51 / /mnt/share/local rw - xfs /dev/vdb rw
42 28 0:52 / /mnt/with\\040space\\134and\\303\\274 rw - fuse.sshfs me@there: rw
43 28 0:53 / /mnt/over rw - ext4 /dev/vdc rw
44 28 0:54 / /mnt/over rw - cifs //there/c rw
"""


@pytest.mark.skipif(os.name == "nt", reason="mountinfo is Linux's")
def test_the_type_of_a_file_system_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The innermost mount counts, of several on one folder the last; names are as awkward as they are in mountinfo."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO)
    kinds = {
        "/home": "ext4",
        "/": "ext4",
        "/mnt/share": "nfs4",
        "/mnt/share/deep/er": "nfs4",
        "/mnt/shared": "ext4",
        "/mnt/share/local/x": "xfs",
        "/mnt/with space\\and\u00fc/x": "fuse.sshfs",
        "/mnt/over/x": "cifs",
    }
    monkeypatch.setattr(_place, "MOUNTS", str(mounts))
    assert {folder: _place.filesystem_of(folder, _place.mounted()) for folder in kinds} == kinds
    monkeypatch.setattr(_place, "MOUNTS", str(tmp_path / "missing"))
    assert _place.filesystem_of("/", _place.mounted()) == ""


@pytest.mark.skipif(os.name == "nt", reason="mountinfo is Linux's")
def test_a_network_file_system_is_refused(tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NetworkFilesystem before anything is created; also behind a symbolic link; reading is allowed."""
    share = tmp_path / "share"
    share.mkdir()
    path = str(share / "app.db")
    fill(path, driver, 3)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"28 1 254:1 / / rw - ext4 /dev/vda1 rw\n40 28 0:50 / {share} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(_place, "MOUNTS", str(mounts))
    (tmp_path / "link.db").symlink_to(path)
    for name in (path, str(share / "new.db"), str(tmp_path / "link.db")):
        with pytest.raises(NetworkFilesystem, match="use a local disk") as refused:
            store(name, driver)
        assert refused.value.filesystem == "nfs4"
    assert sorted(os.listdir(share)) == ["app.db", "app.db-lock"]
    with store(path, driver, read_only=True) as db:
        assert numbers(db) == [0, 1, 2]
    store(str(tmp_path / "local.db"), driver).close()
