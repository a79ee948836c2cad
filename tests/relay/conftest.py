"""Loads what the tests of the relay share, and opens it on each face."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.relay.relay_kit import FakeBus, World


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
