"""Loads what the tests of the relay share, and opens it on each face."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.relay.relay_kit import FakeBus, World
else:
    # Test files are imported by path and their folders are not on sys.path; so are these, under the names that they use.
    for name in ("relay_kit", "relay_jobs"):
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    from relay_kit import FakeBus, World


@pytest.fixture(params=["async", "blocking", "loop"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures are logged, which is not what is looked at here."""
    logger = logging.getLogger("goes_lite.processor")
    logger.disabled = True
    yield
    logger.disabled = False
