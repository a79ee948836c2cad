"""What the tests of the codecs share: each rule holds for both JSON implementations."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goes_lite.codec import Codec, StdlibJson

if TYPE_CHECKING:
    from tests.codec import codec_kit
else:
    # Test files are imported by path and their folders are not on sys.path; so is this, under the name that they use.
    spec = importlib.util.spec_from_file_location("codec_kit", Path(__file__).with_name("codec_kit.py"))
    codec_kit = sys.modules["codec_kit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(codec_kit)


@pytest.fixture(params=["stdlib", pytest.param("msgspec", marks=codec_kit.needs_msgspec)], name="json_codec")
def either_json_codec(request: pytest.FixtureRequest) -> Codec:
    """Each JSON implementation."""
    if request.param == "stdlib":
        return StdlibJson()
    from goes_lite.codec import MsgspecJson

    return MsgspecJson()
