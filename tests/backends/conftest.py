"""What tests of backends share."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from tests.conftest_kit import SQLitePlace, db, pytest_pyfunc_call, url

__all__ = ["db", "pytest_pyfunc_call", "url"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a test keeps the store that it makes."""
    return str(tmp_path / "app.db")


@pytest.fixture(params=["apsw", "sqlite3"])
def driver(request: pytest.FixtureRequest) -> str:
    """Each of the two ways to reach SQLite."""
    if request.param == "apsw":
        pytest.importorskip("apsw", reason="apsw is not installed")
    return str(request.param)


_FACES = ("async-memory", "async-file", "blocking-memory", "blocking-file")
_PLACES = [f"{face}-{driver}" for face in _FACES for driver in ("apsw", "sqlite3")]


def _place(words: Any, folder: Path) -> SQLitePlace:
    face, where, driver = words.split("-")
    if driver == "apsw":
        pytest.importorskip("apsw", reason="apsw is not installed")
    if driver == "any":
        driver = "apsw" if importlib.util.find_spec("apsw") else "sqlite3"
    return SQLitePlace(face, folder, memory=where == "memory", driver=driver)


@pytest.fixture(params=[*_PLACES, "loop-memory-any", "loop-file-any"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    """An empty storage, in memory and in a file, on every face, with each driver."""
    return _place(request.param, tmp_path)


@pytest.fixture(params=[words for words in _PLACES if "-file-" in words])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    """An empty storage in a file, which several handles can share."""
    return _place(request.param, tmp_path)


@pytest.fixture(params=[words for words in _PLACES if words.startswith("async")])
def loop_place(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    """An empty storage on the async face."""
    return _place(request.param, tmp_path)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach; those of tmp_path are private."""
    folder = Path(tempfile.mkdtemp(prefix="goes_lite-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def spawn() -> Iterator[Processes]:
    """Start a worker process on a job of sqlite_jobs; whatever still runs is killed at the end of the test."""
    with Processes("tests.backends.sqlite_jobs", "-W", "error") as spawn:
        yield spawn
