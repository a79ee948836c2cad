"""What the tests of the registry share: each rule holds for both JSON implementations."""

from __future__ import annotations

import pytest

from goes_lite.codec import StdlibJson
from goes_lite.events.registry import Registry
from tests.codec import codec_kit


@pytest.fixture(params=["stdlib", pytest.param("msgspec", marks=codec_kit.needs_msgspec)])
def registry(request: pytest.FixtureRequest) -> Registry:
    """An empty registry, with each JSON implementation."""
    if request.param == "stdlib":
        return Registry(codec=StdlibJson())
    from goes_lite.codec import MsgspecJson

    return Registry(codec=MsgspecJson())
