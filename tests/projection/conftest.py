"""What the tests of projections share: a place on each face, and tests that are coroutines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest_kit import FACES, SQLitePlace, db, pytest_pyfunc_call
from tests.projection.projection_kit import registry

__all__ = ["db", "pytest_pyfunc_call"]


@pytest.fixture(params=FACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    """Provide an empty storage in a file, on each face."""
    return SQLitePlace(request.param, tmp_path, registry)


@pytest.fixture
def loop_place(tmp_path: Path) -> SQLitePlace:
    """Provide an empty storage in a file, on the async face."""
    return SQLitePlace("async", tmp_path, registry)
