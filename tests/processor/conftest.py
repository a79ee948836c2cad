"""Loads what the tests of processors share, and opens it on each face."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processor.processor_kit import World


@pytest.fixture(params=["async", "blocking"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures are logged, which is not what is looked at here."""
    logger = logging.getLogger("goes_lite.processor")
    logger.propagate = False
    handler = logging.NullHandler()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    logger.propagate = True
