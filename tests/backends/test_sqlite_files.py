"""The files of an open store are removed, renamed or replaced: nothing is acknowledged that nobody finds again."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from goes_lite_conformance.harness import Processes

import goes_lite
from goes_lite.errors import StoreUnavailable
from goes_lite.sqlite import SQLiteBackend, _files, _wakeup
from goes_lite.sqlite._files import Files
from goes_lite.sqlite._turnstile import Turnstile
from tests.backends.sqlite_kit import check_file, fill, note, numbers, registry, store, writer_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody remove or rename a file that is open")


def _rename(path: str) -> None:
    os.rename(path, path + ".moved")


def _rename_all(path: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        os.rename(path + suffix, path + ".moved" + suffix)


def _rename_and_link(path: str) -> None:
    _rename(path)
    os.symlink(path + ".moved", path)


def _rename_folder(path: str) -> None:
    os.rename(os.path.dirname(path), os.path.dirname(path) + ".moved")


def _remove(*suffixes: str) -> Callable[[str], None]:
    def remove(path: str) -> None:
        for suffix in suffixes:
            os.remove(path + suffix)

    return remove


def _replace(suffix: str) -> Callable[[str], None]:
    """As an editor, rsync or a deployment does it: a copy is renamed into the place of the file."""

    def replace(path: str) -> None:
        subprocess_copy(path + suffix, path + ".copy")
        os.rename(path + ".copy", path + suffix)

    return replace


def subprocess_copy(source: str, target: str) -> None:
    """Copy a file as another process does it: opening it here would drop its locks."""
    child = os.posix_spawn(shutil.which("cp") or "/bin/cp", ["cp", source, target], os.environ)
    assert os.waitpid(child, 0)[1] == 0


LOSSES: dict[str, Callable[[str], None]] = {
    "file removed": _remove(""),
    "all removed": _remove("", "-wal", "-shm", "-lock"),
    "log removed": _remove("-wal"),
    "shared memory removed": _remove("-shm"),
    "both removed": _remove("-wal", "-shm"),
    "file renamed": _rename,
    "all renamed": _rename_all,
    "renamed and linked": _rename_and_link,
    "folder renamed": _rename_folder,
    "file replaced": _replace(""),
    "log replaced": _replace("-wal"),
    "shared memory replaced": _replace("-shm"),
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "folder").mkdir()
    return str(tmp_path / "folder" / "app.db")


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_more_is_acknowledged(path: str, driver: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """StoreUnavailable from every write, and from reading as well; closing is possible, and changes nothing."""
    monkeypatch.setattr(_files, "LOOK_AGAIN", 0.0)
    with store(path, driver, durability="normal") as db:
        db.events.append([note(1)])
        assert numbers(db) == [1]
        LOSSES[loss](path)
        writes: list[Callable[[], object]] = [
            lambda: db.events.append([note(2)]),
            lambda: db.events.append([note(3)]),
            lambda: db.models.put("c", "1", "{}"),
            lambda: db.checkpoints.save("p", 1),
            lambda: db.leases.acquire("l", "me", 1.0),
            lambda: _append_inside(db),
            lambda: numbers(db),
            db.events.head,
            lambda: db.backup(path + ".backup"),
        ]
        for write in writes:
            with pytest.raises(StoreUnavailable, match="removed") as refused:
                write()
            assert refused.value.location == path
        before = _contents(path)
    assert _contents(path) == before


def _append_inside(db: Any) -> None:
    with db.transaction() as tx:
        tx.events.append([note(4)])


def _contents(path: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for suffix in ("", "-wal"):
        if os.path.exists(path + suffix):
            child = os.path.join(os.path.dirname(os.path.dirname(path)), "copy")
            subprocess_copy(path + suffix, child)
            found[suffix] = Path(child).read_bytes()
    return found


@pytest.mark.parametrize("loss", ["file removed", "shared memory removed"])
def test_nothing_more_is_acknowledged_on_the_async_face(path: str, driver: str, loss: str) -> None:
    """The same for a loop, whose tasks share a commit."""

    async def main() -> list[BaseException | Any]:
        async with goes_lite.connect(path, driver=driver, registry=registry) as db:
            await db.events.append([note(1)])
            LOSSES[loss](path)
            return await asyncio.gather(*(db.events.append([note(2)]) for _ in range(5)), return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(main())] == [StoreUnavailable] * 5


def test_a_loss_is_noticed_after_a_while_of_rest(path: str, driver: str) -> None:
    """Usually only the folder is looked at; it tells of every change."""
    with store(path, driver, durability="normal") as db:
        files = cast(Files, cast(SQLiteBackend, db.backend)._address.files)
        number = 0
        while not files._settled:
            db.events.append([note(number)])
            number += 1
        looks = files.looks
        db.events.append([note(number)])
        assert files.looks == looks
        os.remove(path + "-shm")
        with pytest.raises(StoreUnavailable):
            db.events.append([note(number)])


def test_a_file_that_is_lost_during_a_commit(path: str) -> None:
    """The COMMIT succeeds, into a file without a name: an error, no acknowledgement."""
    with store(path, "sqlite3", durability="full") as db:
        db.events.append([note(1)])

        def lose(statement: str) -> None:
            if statement == "COMMIT":
                os.remove(path)

        connection: Any = writer_of(db).transactions.connection
        connection.set_trace_callback(lose)
        with pytest.raises(StoreUnavailable):
            db.events.append([note(2)])


def test_what_is_put_back_works_again(path: str, driver: str) -> None:
    """Renamed and renamed back: the handle goes on, with every event that it acknowledged."""
    with store(path, driver) as db:
        db.events.append([note(1)])
        _rename_all(path)
        with pytest.raises(StoreUnavailable):
            db.events.append([note(2)])
        for suffix in ("", "-wal", "-shm"):
            os.rename(path + ".moved" + suffix, path + suffix)
        assert db.events.append([note(3)]).positions == (2,)
    with store(path, driver) as db:
        assert numbers(db) == [1, 3]


@pytest.mark.parametrize("loss", ["shared memory removed", "both removed"])
def test_two_processes_are_not_given_one_position(path: str, driver: str, loss: str, spawn: Processes) -> None:
    """A clean-up removes files beside the store under a handle; another process writes, and closes. All it stored stays.

    The handle stores nothing more, moves no log of its own over that of the other, and its process cannot go on by
    connecting again: SQLite would use the removed files.
    """
    fill(path, driver, 1)
    with store(path, driver) as db:
        db.events.append([note(100)])
        LOSSES[loss](path)
        worker = spawn("commit", path=path, driver=driver)
        worker.expect("ready")
        with pytest.raises(StoreUnavailable):
            db.events.append([note(101)])
        for number in (1, 2, 3):
            worker.tell(number)
            worker.hear()
        worker.tell(None)
        worker.finish()
    with pytest.raises(StoreUnavailable, match="end all programs"):
        store(path, driver)
    reader = spawn("read_all", path=path, driver=driver)
    found = reader.hear()
    reader.finish()
    assert found == [0, *([100] if loss == "shared memory removed" else []), 1, 2, 3]


def test_a_lock_file_that_was_removed_is_made_again(path: str, driver: str, spawn: Processes) -> None:
    """And all processes use the new one, so that they have fair turns again."""
    with store(path, driver, durability="normal") as db, store(path, driver, durability="normal") as other:
        db.events.append([note(1)])
        os.remove(path + "-lock")
        for number in (2, 3):
            db.events.append([note(number)])
            other.events.append([note(number)])
        turnstiles = [cast(Turnstile, writer_of(handle).transactions.turnstile) for handle in (db, other)]
        locks = [os.fstat(turnstile._file) for turnstile in turnstiles]
        assert os.path.samestat(*locks)
        assert os.path.samestat(locks[0], os.stat(path + "-lock"))
        assert numbers(db) == [1, 2, 2, 3, 3]
    check_file(path)


def test_followers_are_told(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for the next event gets the error soon, although nothing is written."""
    monkeypatch.setattr(_wakeup, "RETRY", 0.01)
    monkeypatch.setattr(_files, "LOOK_AGAIN", 0.0)
    outcome: list[BaseException] = []
    waiting = threading.Event()

    def follow() -> None:
        try:
            for _ in db.events.follow(after=0):
                waiting.set()
        except StoreUnavailable as error:
            outcome.append(error)

    with store(path, driver) as db:
        db.events.append([note(1)])
        thread = threading.Thread(target=follow)
        thread.start()
        assert waiting.wait(20)
        os.remove(path)
        thread.join(20)
        assert [type(error) for error in outcome] == [StoreUnavailable]


def test_read_only_handles_notice_as_well(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was replaced, as by a deployment, is not read to the end of days."""
    monkeypatch.setattr(_files, "LOOK_AGAIN", 0.0)
    fill(path, driver, 2)
    fill(path + ".new", driver, 3)
    with store(path, driver, read_only=True) as db:
        assert numbers(db) == [0, 1]
        os.rename(path + ".new", path)
        with pytest.raises(StoreUnavailable):
            numbers(db)
