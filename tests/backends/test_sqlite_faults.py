"""What can be wrong with a file, a folder or a disk.

Each has an error that says what, where and what to do, and nothing that was stored is harmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import shutil
import sqlite3
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import goes_lite
from goes_lite.errors import (
    CodecError,
    ConfigError,
    ForeignFile,
    GoesError,
    NetworkFilesystem,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
)
from goes_lite.event import AggregateRef
from goes_lite.sqlite import SQLiteBackend, _connection
from goes_lite.sqlite import _driver as drivers

if TYPE_CHECKING:
    from tests.backends.conftest import Spawn
    from tests.backends.sqlite_kit import check_file, files, note, numbers, registry, store
else:
    from sqlite_kit import check_file, files, note, numbers, registry, store

BIG = 5000
"""Bytes of text with which events fill pages."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


def fill(path: str, driver: str, events: int = 200) -> None:
    """A store of a few hundred pages, closed."""
    with store(path, driver) as db:
        db.events.append([
            note(number, aggregate=("order", str(number % 7)), version=number // 7 + 1, text="x" * (number * 37 % BIG))
            for number in range(events)
        ])  # fmt: skip


def left(path: str) -> dict[str, bytes]:
    """What is on the disk, but for the empty log that SQLite makes for readers."""
    return {suffix: content for suffix, content in files(path).items() if content or not suffix}


def sql(path: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as another program does; the rows of the last."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


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


def test_a_foreign_database_in_use_is_left_alone(path: str, driver: str, spawn: Spawn) -> None:
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


# --- damage ---------------------------------------------------------------------------------------------------------


def use_everything(path: str, driver: str) -> list[GoesError]:
    """Open, read in all ways, append, close. The errors that it met, which must be of ours."""
    met: list[GoesError] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except GoesError as error:
            met.append(error)

    def read_all() -> None:
        for event in db.events.query():
            assert (event.id, event.time, event.metadata, event.tags) is not None

    try:
        db = store(path, driver)
    except GoesError as error:
        return [error]
    with db:
        attempt(read_all)
        for number in range(7):
            ref = AggregateRef("order", str(number))
            attempt(functools.partial(db.events.load, ref))
        attempt(lambda: db.events.aggregates().list())
        attempt(db.events.count)
        attempt(lambda: db.events.append([note(-1, text="x" * BIG)]))
        attempt(lambda: db.events.append([note(-2, aggregate=("order", "0"), version=30)]))
    return met


def test_a_damaged_first_page(path: str, driver: str) -> None:
    """A file whose first bytes are gone is refused, and left for those who rescue it."""
    fill(path, driver)
    with open(path, "r+b") as file:
        file.write(bytes(100))
    before = files(path)
    with pytest.raises(ForeignFile, match="first page is damaged"):
        store(path, driver)
    assert left(path) == before


@pytest.mark.parametrize("seed", range(25))
def test_damaged_pages(path: str, driver: str, seed: int) -> None:
    """G13: whatever page is damaged, reading and appending either work or raise an error of ours.

    StoreDamaged if SQLite notices; nothing hangs, crashes or raises what only SQLite's authors understand.
    """
    fill(path, driver)
    chance = random.Random(seed)
    data = bytearray(files(path)[""])
    (size,) = struct.unpack_from(">H", data, 16)
    for _ in range(chance.choice((1, 1, 3))):
        page = chance.randrange(len(data) // size)
        length = chance.choice((1, 8, 200, size))
        begin = max(100, page * size + chance.choice((0, chance.randrange(size))))  # the header has its own test
        length = min(length, len(data) - begin)
        data[begin : begin + length] = chance.randbytes(length)
    Path(path).write_bytes(data)
    for error in use_everything(path, driver):
        assert isinstance(error, (StoreError, CodecError)), repr(error)
        assert type(error) is not StoreError, f"not classified: {error}"


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.99])
def test_a_truncated_file(path: str, driver: str, keep: float) -> None:
    """G13: a copy that broke off is StoreDamaged, which says how to save what is left, and is not changed."""
    fill(path, driver)
    before = files(path)[""]
    os.truncate(path, int(len(before) * keep))
    with pytest.raises(StoreDamaged, match=r"restore a backup.*\.recover"):
        store(path, driver)
    assert left(path) == {"": before[: int(len(before) * keep)]}


def test_a_damaged_log(path: str, driver: str, spawn: Spawn) -> None:
    """The -wal of a killed writer, cut in the middle of a frame: what lies before the cut is there, whole batches only."""
    worker = spawn("crash", path=path, driver=driver, process=1, seed=1)
    worker.expect("ready")
    for _ in range(30):
        worker.hear()
    worker.kill()
    worker.rest()
    worker.close()
    log = path + "-wal"
    os.truncate(log, os.path.getsize(log) * 2 // 3)
    os.remove(path + "-shm")
    with store(path, driver) as db:
        db.events.append([note(1)])
    assert len(check_file(path)) > 1


# --- hostile schemas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["load_extension('/tmp/evil')", "danger()"])
def test_a_hostile_trigger_is_not_trusted(path: str, driver: str, call: str) -> None:
    """A schema comes with the file, from anybody: what it names must not reach outside the database.

    Nor must it call what the program has defined for its own statements.
    """
    fill(path, driver, 3)
    called: list[int] = []
    sql(path, f"CREATE TRIGGER evil AFTER INSERT ON events BEGIN SELECT {call}; END")
    with store(path, driver) as db:
        connection: Any = cast(SQLiteBackend, db.backend).writer.connection
        define = connection.create_scalar_function if driver == "apsw" else connection.create_function
        define(
            *(("danger", lambda: called.append(1), 0) if driver == "apsw" else ("danger", 0, lambda: called.append(1)))
        )
        with pytest.raises(StoreError, match="unsafe use of"):
            db.events.append([note(9)])
        assert numbers(db) == [0, 1, 2]
    assert not called
    sql(path, "DROP TRIGGER evil")
    with store(path, driver) as db:
        db.events.append([note(3)])
    check_file(path)


def test_a_hostile_view_is_not_trusted(path: str, driver: str) -> None:
    """The same for a view that stands where a table is expected."""
    fill(path, driver, 3)
    columns = "position, id, name_key, aggregate_key, version, time, encoding, schema, data, metadata, tags"
    evil = columns.replace(" data", " load_extension('/tmp/evil') AS data")
    sql(path, "ALTER TABLE events RENAME TO hidden", f"CREATE VIEW events AS SELECT {evil} FROM hidden")
    with store(path, driver) as db:
        with pytest.raises(StoreError, match="unsafe use of load_extension"):
            numbers(db)
        with pytest.raises(StoreError, match="view"):
            db.events.append([note(9)])
    assert sql(path, "SELECT count(*) FROM hidden") == [(3,)]


# --- reading only ---------------------------------------------------------------------------------------------------


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach; those of tmp_path are private."""
    folder = Path(tempfile.mkdtemp(prefix="goes_lite-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def lock_up(folder: Path) -> None:
    """Nobody may write to the folder or its files (but root, whom permissions do not stop)."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def as_nobody(spawn: Spawn, path: str, driver: str, *, read_only: bool, write: bool = False) -> list[Any]:
    worker = spawn("as_nobody", path=path, driver=driver, read_only=read_only, write=write)
    said = worker.rest()
    worker.finish()
    return said


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_a_read_only_file_and_folder_can_be_read(public: Path, driver: str, spawn: Spawn) -> None:
    """With read_only=True, by a user who may not even make the -shm that SQLite wants; writing is StoreReadOnly."""
    path = str(public / "app.db")
    fill(path, driver, 3)
    lock_up(public)
    before = files(path), os.listdir(public)
    assert as_nobody(spawn, path, driver, read_only=True) == [[0, 1, 2]]
    assert as_nobody(spawn, path, driver, read_only=True, write=True)[1][0] == "StoreReadOnly"
    assert (files(path), os.listdir(public)) == before


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")
def test_a_read_only_file_cannot_be_opened_for_writing(public: Path, driver: str, spawn: Spawn) -> None:
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
def test_what_a_killed_writer_left_can_be_read(public: Path, driver: str, spawn: Spawn) -> None:
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
def test_a_reader_of_another_user_sees_a_live_store(public: Path, driver: str, spawn: Spawn) -> None:
    """One user writes, another may only read: that one sees what is committed."""
    path = str(public / "app.db")
    with store(path, driver) as db:
        db.events.append([note(1), note(2)])
        assert as_nobody(spawn, path, driver, read_only=True) == [[1, 2]]
        db.events.append([note(3)])
        assert as_nobody(spawn, path, driver, read_only=True) == [[1, 2, 3]]


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


# --- full disks -----------------------------------------------------------------------------------------------------


def test_a_file_size_limit(path: str, driver: str, spawn: Spawn) -> None:
    """An event for which there is no room is StoreFull; smaller ones still fit, and later there is room again."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    sizes = [1000, 4_000_000, 1000, 400_000, 1000]
    worker = spawn("fill", path=path, driver=driver, room=400_000, sizes=sizes)
    worker.expect("stored")
    kind, message = worker.hear()
    assert kind == "StoreFull"
    assert path in message
    assert "make room and retry" in message
    worker.expect("stored")
    assert worker.hear()[0] == "StoreFull"
    worker.expect("stored")
    worker.expect([0, 1, 3, 5])
    worker.expect([0, 1, 3, 5, -1])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == [0, 1, 3, 5, -1]


@pytest.mark.parametrize("big", [400_000, 4_000_000], ids=["at commit", "half-way"])
def test_no_room_for_one_of_a_group(path: str, driver: str, big: int, spawn: Spawn) -> None:
    """Those who are committed together with an event for which there is no room are stored nevertheless."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    worker = spawn("fill_group", path=path, driver=driver, room=400_000, big=big)
    worker.expect(["Appended", "Appended", "StoreFull", "Appended", "Appended"])
    worker.expect([0, 1, 2, 4, 5])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == [0, 1, 2, 4, 5]


def test_a_full_disk(tmp_path: Path, driver: str, spawn: Spawn) -> None:
    """A disk that is really full: StoreFull, everything before it is intact, and with more room the store goes on."""
    worker = spawn("fill_disk", path=str(tmp_path / "app.db"), driver=driver, size=3_000_000)
    if (said := worker.hear()) != "mounted":
        pytest.skip(f"mounting a disk for a process is {said}")
    assert worker.hear()[0] == "StoreFull"
    assert worker.hear() > 10
    worker.expect("goes on")
    worker.finish()


def test_a_transaction_that_a_full_disk_ended(path: str, driver: str, spawn: Spawn) -> None:
    """SQLite rolls back by itself then. The rest of the block must not be committed piece by piece."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    worker = spawn("fill_transaction", path=path, driver=driver, room=400_000, big=8_000_000)
    assert worker.hear()[0] == "StoreFull"
    assert worker.hear() in ("stored", ["TransactionError"])  # whether SQLite had to roll back is its own business
    together = worker.hear()
    assert together in ([0], [0, 1, 3])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == together


# --- other programs, other places -----------------------------------------------------------------------------------

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
def test_the_type_of_a_file_system_is_found(tmp_path: Path) -> None:
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
    assert {folder: _connection.filesystem_of(folder, str(mounts)) for folder in kinds} == kinds
    assert _connection.filesystem_of("/", str(tmp_path / "missing")) == ""


@pytest.mark.skipif(os.name == "nt", reason="mountinfo is Linux's")
def test_a_network_file_system_is_refused(tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NetworkFilesystem before anything is created; also behind a symbolic link; reading is allowed."""
    share = tmp_path / "share"
    share.mkdir()
    path = str(share / "app.db")
    fill(path, driver, 3)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"28 1 254:1 / / rw - ext4 /dev/vda1 rw\n40 28 0:50 / {share} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(_connection, "MOUNTS", str(mounts))
    (tmp_path / "link.db").symlink_to(path)
    for name in (path, str(share / "new.db"), str(tmp_path / "link.db")):
        with pytest.raises(NetworkFilesystem, match="use a local disk") as refused:
            store(name, driver)
        assert refused.value.filesystem == "nfs4"
    assert sorted(os.listdir(share)) == ["app.db", "app.db-lock"]
    with store(path, driver, read_only=True) as db:
        assert numbers(db) == [0, 1, 2]
    store(str(tmp_path / "local.db"), driver).close()


def test_locked_by_another_program(path: str, driver: str, spawn: Spawn) -> None:
    """StoreLocked once the lock timeout is over, with how long it waited; when the other lets go, all is well."""
    with store(path, driver, lock_timeout=0.25) as db:
        db.events.append([note(1)])
        holder = spawn("hold_foreign", path=path)
        holder.expect("held")
        begun = time.monotonic()
        with pytest.raises(StoreLocked, match="raise lock_timeout") as refused:
            db.events.append([note(2)])
        assert refused.value.waited >= 0.25
        assert isinstance(refused.value, TimeoutError)
        assert time.monotonic() - begun < 20  # it is a limit, though not a sharp one on a busy machine
        with pytest.raises(StoreLocked):
            db.transaction().__enter__()
        assert numbers(db) == [1]  # readers do not wait
        holder.tell()
        holder.expect("free")
        assert db.events.append([note(3)]).position == 2
        with db.transaction() as transaction:
            transaction.events.append([note(4)])
        assert numbers(db) == [1, 3, 4]


def test_locked_by_another_program_async(path: str, driver: str, spawn: Spawn) -> None:
    """The same on the async face: all who wait get the error, and the loop goes on meanwhile."""
    store(path, driver).close()
    holder = spawn("hold_foreign", path=path)
    holder.expect("held")

    async def main() -> None:
        async with goes_lite.connect(path, registry=registry, driver=driver, lock_timeout=0.25) as db:
            appends = asyncio.gather(*(db.events.append([note(n)]) for n in range(5)), return_exceptions=True)
            assert await db.events.head() == 0
            assert {type(result) for result in await appends} == {StoreLocked}
            holder.tell()
            await asyncio.to_thread(holder.expect, "free")
            await asyncio.gather(*(db.events.append([note(n)]) for n in range(5)))

    asyncio.run(main())
    assert sorted(noted.number for noted in check_file(path)) == [0, 1, 2, 3, 4]


def test_one_process_waits_for_another(path: str, driver: str, spawn: Spawn) -> None:
    """A process that stays in its transaction for longer than another's lock timeout: StoreLocked there too."""
    holder = spawn("stay_inside", path=path, driver=driver)
    holder.expect("inside")
    with store(path, driver, lock_timeout=0.25) as db:
        with pytest.raises(StoreLocked):
            db.events.append([note(1)])
        holder.kill()
        holder.process.wait()
        db.events.append([note(2)])
        assert numbers(db) == [2]


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
    """60 MB are written while others read without a pause: the -wal never grows beyond a few checkpoints' worth."""
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
        for number in range(600):
            db.events.append([note(number, text="x" * 100_000)])
            largest = max(largest, wal_size(path))
        done.set()
        db.events.append([note(-1)])
        for thread in threads:
            thread.join()
    assert not failed
    assert largest < 32_000_000


def test_the_log_recovers_from_a_long_reader(path: str, driver: str, spawn: Spawn) -> None:
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
        recorder = Recorder(backend.writer.connection)
        monkeypatch.setattr(backend.writer, "connection", recorder)
        monkeypatch.setattr(backend.writer.checkpointer, "_connection", recorder)
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
        backend.writer.connection.execute("SELECT 1").fetchall()

        def setting(name: str) -> Any:
            return backend.writer.connection.execute(f"PRAGMA {name}").fetchall()[0][0]

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


# --- backup ---------------------------------------------------------------------------------------------------------


def test_a_backup_while_others_write(tmp_path: Path, driver: str, spawn: Spawn) -> None:
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
        with pytest.raises(ConfigError, match="exists and is not overwritten"):
            db.backup(path)
    writer.tell("stop")
    writer.hear()
    writer.finish()


def test_a_backup_that_fails_leaves_nothing(path: str, driver: str, spawn: Spawn) -> None:
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


def test_full_is_a_typed_error() -> None:
    """StoreFull is the OSError that people expect."""
    assert isinstance(StoreFull("app.db"), OSError)
