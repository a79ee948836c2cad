"""What the tests of lookups share: a place on each face."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest_kit import FACES, SQLitePlace
from tests.conftest_kit import quiet as _quiet
from tests.lookup.lookup_kit import registry

quiet = _quiet("goes_lite.processor")


@pytest.fixture(params=FACES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    return SQLitePlace(request.param, tmp_path, registry)
