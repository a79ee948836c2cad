"""examples/recipes/freeze.py: real frozen programs are built, and run where nothing is installed."""

from __future__ import annotations

import faulthandler
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import goes_lite as goes
from tests.recipes import recipe_kit as kit

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture
def _patient() -> None:
    """Building has a time limit of its own, and may take longer on a busy machine than the watchdog of pytest allows a test."""
    faulthandler.cancel_dump_traceback_later()


def frozen(folder: Path, how: str, *packages: str) -> Path:
    """Build the program as the recipe does, and return what it made."""
    command = kit.python(kit.RECIPES / "freeze.py", how, kit.RECIPES / "journal.py", "--into", folder / "dist")
    for package in packages:
        command += ["--with", package]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    import_path = os.pathsep.join(str(Path(goes.__file__).parents[1] / part) for part in (".", "adapters"))
    done = subprocess.run(
        [str(word) for word in command], env=kit.environment(PYTHONPATH=import_path, PATH=path), cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return Path(done.stdout.splitlines()[-1])


def run(command: list[object], folder: Path, *arguments: str, code: int = 0) -> str:
    """Run the frozen program without anything of this environment, and return what it prints."""
    done = subprocess.run(
        [str(word) for word in (*command, *arguments)], env={"JOURNAL": "mine.db", "PYTHONUTF8": "1"}, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False, timeout=kit.PATIENCE,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def works(command: list[object], folder: Path) -> str:
    """Write with several processes, read it with the frozen program and with this one; return what it says of itself."""
    kit.at_once(*(lambda n=n: run(command, folder, "add", f"entry {n}") for n in range(3)))
    listed = run(command, folder, "list").splitlines()
    assert sorted(line.partition("  ")[2] for line in listed) == [f"entry {n}" for n in range(3)]
    with goes.blocking.connect(folder / "mine.db", registry=goes.Registry(), unknown="raw") as db:
        assert [event.version for event in db.events.query()] == [1, 2, 3]
    about = run(command, folder, "about")
    assert about.startswith(f"goes_lite {goes.__version__}, Python {sys.version.split()[0]}, ")
    return about


def test_zipapp(tmp_path: Path) -> None:
    """With the standard library alone; the adapter in it is found, and says which driver is missing."""
    program = frozen(tmp_path, "zipapp", "goes_lite_postgres")
    command: list[object] = [sys.executable, "-I", "-S", program]
    assert ", sqlite3, " in works(command, tmp_path)
    refused = run(command, tmp_path, "--store", "postgresql://127.0.0.1:1/x", "list", code=1)
    assert refused == "journal: postgresql needs asyncpg: pip install 'goes-lite[postgres]'\n"


@kit.needs("PyInstaller")
@pytest.mark.usefixtures("_patient")
@pytest.mark.skipif(
    os.name == "posix"
    and not sysconfig.get_config_var("Py_ENABLE_SHARED")
    and not sysconfig.get_config_var("PYTHONFRAMEWORK"),
    reason="PyInstaller needs a Python with a shared library: build it with --enable-shared",
)
def test_pyinstaller(tmp_path: Path) -> None:
    """A folder that needs no Python; the adapter and its driver are in it, and try to reach the server."""
    asyncpg = kit.is_there("asyncpg")
    program = frozen(tmp_path, "pyinstaller", "goes_lite_postgres", *["asyncpg"] * asyncpg)
    about = works([program], tmp_path)
    assert (", apsw, " in about) == kit.is_there("apsw")
    refused = run([program], tmp_path, "--store", "postgresql://127.0.0.1:1/x", "list", code=1)
    assert ("the server cannot be reached" in refused) == asyncpg, refused


@kit.needs("nuitka")
@pytest.mark.usefixtures("_patient")
@pytest.mark.skipif(not shutil.which("gcc") and not shutil.which("clang"), reason="apt-get install gcc")
def test_nuitka(tmp_path: Path, rounds: int) -> None:
    """The same, compiled."""
    if rounds < 2:
        pytest.skip("compiling all modules takes a C compiler and minutes: run it with --rounds 2")
    program = frozen(tmp_path, "nuitka")
    assert (", apsw, " in works([program], tmp_path)) == kit.is_there("apsw")
