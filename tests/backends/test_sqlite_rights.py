"""Files beside a store, and backups of it, are for whom the store is for."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import ConfigError, StoreUnavailable
from goes_lite.sqlite import _backup
from tests.backends.sqlite_kit import fill, note, numbers, store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions here")


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@contextmanager
def umask(mask: int) -> Generator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("wanted", [0o600, 0o640, 0o664])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_a_backup_is_for_whom_the_store_is_for(
    path: str, driver: str, wanted: int, mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the mode of the store, and has never had more: not while it is written either."""
    fill(path, driver, 3)
    os.chmod(path, wanted)
    seen: list[int] = []
    begin_epoch = _backup._begin_epoch

    def look(*arguments: Any) -> None:
        folder = os.path.dirname(path)
        seen.extend(mode(os.path.join(folder, name)) for name in os.listdir(folder) if ".part-" in name)
        begin_epoch(*arguments)

    monkeypatch.setattr(_backup, "_begin_epoch", look)
    with umask(mask), store(path, driver) as db:
        db.backup(path + ".copy")
    assert seen == [wanted]
    assert mode(path + ".copy") == wanted
    with store(path + ".copy", driver) as db:
        assert numbers(db) == [0, 1, 2]


def test_the_copy_is_empty_until_it_is_private(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is created for its owner only, before its group and mode are those of the store."""
    fill(path, driver, 1)
    os.chmod(path, 0o640)
    created: list[int] = []
    chmod = os.fchmod

    def look(file: int, wanted: int) -> None:
        status = os.fstat(file)
        created.append(stat.S_IMODE(status.st_mode))
        assert status.st_size == 0
        chmod(file, wanted)

    with umask(0), store(path, driver) as db:
        monkeypatch.setattr(os, "fchmod", look)
        db.backup(path + ".copy")
    assert created == [0o600]


def test_a_backup_replaces_nothing(path: str, driver: str) -> None:
    """Neither the store itself, nor a link that leads nowhere; and it does not lie beside the log of another file."""
    fill(path, driver, 1)
    os.symlink("nowhere", path + ".link")
    Path(path + ".new-wal").touch()
    with store(path, driver) as db:
        for copy in (path, os.path.relpath(path), path + ".link", path + ".new"):
            with pytest.raises(ConfigError, match="exists; choose a new"):
                db.backup(copy)
        with pytest.raises(StoreUnavailable, match="cannot be created: No such file"):
            db.backup(path + ".missing/copy.db")
    assert not os.path.lexists(path + ".new")


@pytest.mark.parametrize("wanted", [0o600, 0o660, 0o666])
def test_the_files_beside_it_have_its_mode(path: str, driver: str, wanted: int) -> None:
    """Whatever the umask; also a lock file that is left from the time before the mode was changed."""
    fill(path, driver, 1)
    os.chmod(path, wanted)
    with umask(0o027), store(path, driver):
        assert {suffix: mode(path + suffix) for suffix in ("-wal", "-shm", "-lock")} == {
            "-wal": wanted,
            "-shm": wanted,
            "-lock": wanted,
        }


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become other users")
def test_users_of_a_shared_folder_write_in_turn(tmp_path: Path, driver: str, spawn: Processes) -> None:
    """The store has a group whose members open it, first root, then one after the other, and at the same time."""
    folder = tmp_path / "shared"
    folder.mkdir()
    for parent in (folder, *folder.parents):
        if parent != Path("/") and not os.stat(parent).st_mode & 0o001:
            parent.chmod(os.stat(parent).st_mode | 0o055)
    path = str(folder / "app.db")
    fill(path, driver, 1)
    for name in (path, path + "-lock", str(folder)):
        os.chown(name, 4001, 4000)
    folder.chmod(0o770)
    os.chmod(path, 0o660)
    with store(path, driver) as db:  # as root, who leaves nothing behind that others cannot use
        db.events.append([note(1)])
    first = spawn("as_member", path=path, driver=driver, user=4001, own=4001, group=4000, number=2)
    assert first.hear() == "stored"
    second = spawn("as_member", path=path, driver=driver, user=4002, own=4002, group=4000, number=3)
    assert second.hear() == "stored"
    for worker in (first, second):
        worker.tell("end")
        worker.finish()
    assert (os.stat(path + "-lock").st_uid, os.stat(path + "-lock").st_gid) == (4001, 4000)
    with store(path, driver) as db:
        assert numbers(db) == [0, 1, 2, 3]
