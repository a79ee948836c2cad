"""What tests of operations share: an empty store on each backend, or in a file on each face."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest_kit import FACES, SQLitePlace, url

__all__ = ["url"]


@pytest.fixture(params=FACES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    return SQLitePlace(request.param, tmp_path)
