"""What the tests of the registry share: each rule holds for both JSON implementations."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goes_lite.codec import StdlibJson
from goes_lite.events.registry import Registry

if TYPE_CHECKING:
    from tests.registry import registry_kit
else:
    # Test files are imported by path and their folders are not on sys.path; so is this, under the name that they use.
    spec = importlib.util.spec_from_file_location("registry_kit", Path(__file__).with_name("registry_kit.py"))
    registry_kit = sys.modules["registry_kit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(registry_kit)


@pytest.fixture(params=["stdlib", pytest.param("msgspec", marks=registry_kit.needs_msgspec)])
def registry(request: pytest.FixtureRequest) -> Registry:
    """An empty registry, with each JSON implementation."""
    if request.param == "stdlib":
        return Registry(codec=StdlibJson())
    from goes_lite.codec import MsgspecJson

    return Registry(codec=MsgspecJson())
