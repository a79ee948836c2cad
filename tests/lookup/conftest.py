"""Loads what the tests of lookups share, and opens it on each face."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lookup.lookup_kit import World
else:
    # Test files are imported by path and their folders are not on sys.path; so is this, under the name that they use.
    spec = importlib.util.spec_from_file_location("lookup_kit", Path(__file__).with_name("lookup_kit.py"))
    lookup_kit = sys.modules["lookup_kit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lookup_kit)
    from lookup_kit import World


@pytest.fixture(params=["async", "blocking", "loop"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures are logged, which is not what is looked at here."""
    logger = logging.getLogger("goes_lite.processor")
    logger.disabled = True
    yield
    logger.disabled = False
