"""What tests of operations share: an empty store on each backend, or in a file on each face, and the end of the servers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest_kit import FACES, SQLitePlace, url

__all__ = ["url"]


@pytest.fixture(scope="session", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    """Servers that tests share are started by the first that asks, and end with the run."""
    yield
    for name in ("postgres", "mongo"):
        if server := sys.modules.get(f"goes_lite_conformance.servers.{name}"):
            server.close_shared()


@pytest.fixture(params=FACES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    return SQLitePlace(request.param, tmp_path)
