"""A file is reached by one name: what has several, or hides one, is refused before two programs have two logs for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from goes_lite.errors import StoreUnavailable
from goes_lite.sqlite import _place
from tests.backends.sqlite_kit import fill, note, numbers, store

posix = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@posix
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_with_two_names_is_refused(path: str, driver: str, read_only: bool) -> None:
    """By either name, which the message lists; with the other name gone, it opens."""
    fill(path, driver, 3)
    os.link(path, path + ".link")
    for name in (path, path + ".link"):
        with pytest.raises(StoreUnavailable, match=r"has 2 names .* remove the other names") as refused:
            store(name, driver, read_only=read_only)
        assert repr(os.path.basename(path if name != path else path + ".link")) in str(refused.value)
    os.remove(path + ".link")
    with store(path, driver, read_only=read_only) as db:
        assert numbers(db) == [0, 1, 2]


@posix
def test_a_second_name_while_it_is_open_is_refused(path: str, driver: str) -> None:
    """The handle that has it open goes on; nobody opens it by the new name."""
    with store(path, driver) as db:
        os.link(path, path + ".link")
        with pytest.raises(StoreUnavailable, match="has 2 names"):
            store(path + ".link", driver)
        db.events.append([note(1)])
        assert numbers(db) == [1]


@pytest.mark.skipif(os.name == "nt", reason="mountinfo is Linux's")
@pytest.mark.parametrize("suffix", ["", "-wal", "-lock"])
def test_a_file_that_is_mounted_alone_is_refused(
    path: str, driver: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a file beside it, and for reading: the rest of its folder would be missing."""
    fill(path, driver, 1)
    mounts = Path(path + ".mountinfo")
    mounts.write_text(f"28 1 254:1 / / rw - ext4 /dev/vda1 rw\n40 28 254:1 /x {path}{suffix} rw - ext4 /dev/vda1 rw\n")
    monkeypatch.setattr(_place, "MOUNTS", str(mounts))
    for read_only in (False, True):
        with pytest.raises(StoreUnavailable, match="mount the folder"):
            store(path, driver, read_only=read_only)


def _may_mount() -> bool:
    command = shutil.which("unshare")
    return (
        command is not None and not subprocess.run([command, "-m", "true"], capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not _may_mount(), reason="mounting needs Linux and its root"
)
def test_a_bind_mount_of_the_file_is_refused(tmp_path: Path) -> None:
    """As a container makes it, with the kernel's own list of mounts."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "app.db").touch()
    fill(str(tmp_path / "app.db"), "sqlite3", 1)
    code = "import goes_lite; goes_lite.blocking.connect('box/app.db', driver='sqlite3')"
    script = f'mount --bind app.db box/app.db && exec "{sys.executable}" -c "{code}"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "StoreUnavailable" in done.stderr
    assert "mount the folder" in done.stderr


@posix
def test_symbolic_links_lead_to_one_set_of_files(tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the file or to its folder, relative or not, several in a row: the files beside it are beside the real one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "one.db").symlink_to("folder/app.db")
    (tmp_path / "two.db").symlink_to(tmp_path / "one.db")
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("real/app.db", "folder/app.db", "one.db", "two.db", "./real/../two.db")):
        with store(name, driver) as db, store("real/app.db", driver) as other:
            assert db.location == other.location == str(tmp_path.resolve() / "real" / "app.db")
            db.events.append([note(number)])
            assert numbers(other) == [*range(number + 1)]
            assert sorted(os.listdir("real")) == ["app.db", "app.db-lock", "app.db-shm", "app.db-wal"]
    assert sorted(os.listdir(".")) == ["folder", "one.db", "real", "two.db"]
    (tmp_path / "loop.db").symlink_to("loop.db")
    with pytest.raises(StoreUnavailable):
        store("loop.db", driver)


@posix
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-lock"])
@pytest.mark.parametrize("there", [True, False])
def test_links_in_the_place_of_files_beside_it_are_not_followed(
    path: str, driver: str, suffix: str, there: bool
) -> None:
    """What they lead to belongs to somebody else: it is neither written to nor created."""
    target = Path(path + ".target")
    if there:
        target.write_text("mine")
    os.symlink(target, path + suffix)
    with pytest.raises(StoreUnavailable, match="is a symbolic link"):
        store(path, driver)
    assert target.read_text() == "mine" if there else not target.exists()
    assert not os.path.exists(path)


@posix
def test_what_is_no_file_is_refused(path: str, driver: str) -> None:
    """A pipe, which would keep the program waiting, and a device."""
    os.mkfifo(path)
    for name in (path, "/dev/null"):
        with pytest.raises(StoreUnavailable, match="not a regular file"):
            store(name, driver)


def test_files_beside_a_store_are_no_stores(path: str, driver: str) -> None:
    """The lock file is empty, and would become one."""
    fill(path, driver, 1)
    for suffix in ("-lock", "-wal"):
        with pytest.raises(StoreUnavailable, match=r"belongs to .*app\.db': open that one"):
            store(path + suffix, driver)
    assert os.path.getsize(path + "-lock") == 0
    with store(path + ".another-lock", driver) as db:  # but a name may end like this
        db.events.append([note(1)])
