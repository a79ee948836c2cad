"""Loads what the tests of commands share, and opens it on each face."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.commands.commands_kit import World
else:
    # Test files are imported by path and their folders are not on sys.path; so is this, under the name that they use.
    spec = importlib.util.spec_from_file_location("commands_kit", Path(__file__).with_name("commands_kit.py"))
    commands_kit = sys.modules["commands_kit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(commands_kit)
    from commands_kit import World


@pytest.fixture(params=["async", "blocking", "loop"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures are logged, which is not what is looked at here."""
    logger = logging.getLogger("goes_lite.commands")
    logger.disabled = True
    yield
    logger.disabled = False
