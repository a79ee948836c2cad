"""What the tests of commands share: a place on each face."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.commands_kit import registry
from tests.conftest_kit import FACES, SQLitePlace
from tests.conftest_kit import quiet as _quiet

quiet = _quiet("goes_lite.commands")


@pytest.fixture(params=FACES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> SQLitePlace:
    return SQLitePlace(request.param, tmp_path, registry)
