"""What the tests of the codecs share: each rule holds for both JSON implementations."""

from __future__ import annotations

import pytest

from goes_lite.codec import Codec, StdlibJson
from tests.codec import codec_kit


@pytest.fixture(params=["stdlib", pytest.param("msgspec", marks=codec_kit.needs_msgspec)], name="json_codec")
def either_json_codec(request: pytest.FixtureRequest) -> Codec:
    """Each JSON implementation."""
    if request.param == "stdlib":
        return StdlibJson()
    from goes_lite.codec import MsgspecJson

    return MsgspecJson()
