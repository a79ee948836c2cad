"""Codecs of one's own, finding codecs, and doing without the optional packages."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any, cast

import pytest

import goes_lite.codec
from goes_lite.codec import Codec, FunctionCodec, StdlibJson
from goes_lite.codec import codec as find_codec
from goes_lite.errors import ConfigError, DecodeError, DriverMissing, EncodeError
from tests.codec.codec_kit import HAS_PROTOBUF, decode, encode

# --- codecs of one's own --------------------------------------------------------------------------------------------


def test_function_codec() -> None:
    """Two functions make a codec; what they raise becomes our errors, with the cause kept."""
    codec = FunctionCodec(
        "csv", lambda value: ",".join(value).encode(), lambda payload, type: payload.decode().split(",")
    )

    assert encode(codec, list[str], ["a", "b"]) == b"a,b"
    assert decode(codec, list[str], b"a,b") == ["a", "b"]
    assert codec.plain(b"a,b") == ["a", "b"]
    with pytest.raises(EncodeError, match="the codec 'csv' failed: TypeError") as caught:
        encode(codec, list[str], [1])
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(DecodeError, match="the codec 'csv' failed: UnicodeDecodeError"):
        decode(codec, list[str], b"\xff")


def test_function_codec_gives_what_it_promised() -> None:
    """A codec whose function gives str for bytes would be stored in the wrong column, so it is refused."""
    codec = FunctionCodec("text", str, lambda payload, type: payload)

    with pytest.raises(EncodeError, match="returned str instead of bytes"):
        encode(codec, int, 1)


# --- finding codecs -------------------------------------------------------------------------------------------------


def test_codecs_by_name() -> None:
    """A codec is found by name, and is a Codec; a codec is itself."""
    own = StdlibJson()

    assert find_codec("json").name == "json"
    assert find_codec("json") is find_codec("json")
    assert isinstance(find_codec("json"), Codec)
    assert find_codec(own) is own
    with pytest.raises(ConfigError, match=r"unknown codec 'yaml' \(known: json, msgpack, protobuf\)"):
        find_codec("yaml")


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python in which neither msgspec nor protobuf is installed."""
    for name in list(sys.modules):
        if name.split(".")[0] == "msgspec" or name.startswith(("google.protobuf", "goes_lite.codec._msgspec")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "goes_lite.codec._protobuf", raising=False)
    for name in ("msgspec", "google.protobuf"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(goes_lite.codec, "_known", {})


@pytest.mark.usefixtures("without_packages")
def test_without_msgspec_json_is_the_standard_librarys() -> None:
    """The json codec needs nothing; the others say what to install."""
    assert type(find_codec("json")) is StdlibJson
    with pytest.raises(DriverMissing, match=r"the msgpack codec needs msgspec: pip install 'goes-lite\[fast\]'"):
        find_codec("msgpack")
    with pytest.raises(DriverMissing, match=r"the protobuf codec needs protobuf: pip install 'goes-lite\[protobuf\]'"):
        find_codec("protobuf")


def test_public_names_exist() -> None:
    """Every name in __all__ can be imported."""
    for name in goes_lite.codec.__all__:
        if name in ("MsgspecJson", "MsgspecMsgpack") and find_spec("msgspec") is None:
            continue
        if name == "ProtobufCodec" and not HAS_PROTOBUF:
            continue
        assert getattr(goes_lite.codec, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cast(Any, goes_lite.codec).nothing
