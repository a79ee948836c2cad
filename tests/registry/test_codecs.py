"""Codecs in the registry: swapping them, one per event, and Raw, which needs no type."""

from __future__ import annotations

import pickle
from typing import Any, cast

import pytest

from goes_lite.codec import FunctionCodec, StdlibJson
from goes_lite.errors import DecodeError, RegistrationError
from goes_lite.events.registry import Encoded, Raw, Registry
from tests.codec.codec_kit import needs_msgspec, needs_protobuf
from tests.registry.registry_kit import Note, Placed, upcaster

# --- codecs ---------------------------------------------------------------------------------------------------------


def shout() -> FunctionCodec:
    return FunctionCodec(
        "shout", lambda note: note.text.upper().encode(), lambda payload, type: Note(payload.decode().lower(), 0)
    )


def test_codec_is_one_line_to_swap(registry: Registry) -> None:
    """After a swap new events have the new encoding, and old ones are still read."""
    registry.register("note", Note)
    before = registry.capture(Note("a", 0))[2]
    registry.codec = shout()
    after = registry.capture(Note("b", 0))[2]
    registry.codec = "json"

    assert (before.encoding, after.encoding) == ("json", "shout")
    assert registry.decode("note", *before) == Note("a", 0)
    assert registry.decode("note", *after) == Note("b", 0)
    assert registry.codec.name == "json"


def test_codec_of_one_event(registry: Registry) -> None:
    """One event may have its own codec."""
    registry.register("note", Note, codec=shout())
    registry.register("placed", Placed)

    assert registry.capture(Note("a", 0))[2] == Encoded("shout", 1, b"A")
    assert registry.capture(Placed([]))[2].encoding == "json"


def test_unknown_encoding(registry: Registry) -> None:
    """An encoding that no codec is known for is a DecodeError that names it."""
    registry.register("note", Note)

    with pytest.raises(DecodeError, match="no codec is known for the encoding 'shout'"):
        registry.decode("note", "shout", 1, b"A")


def test_codec_that_cannot_hold_what_is_registered(registry: Registry) -> None:
    """A swap to a codec that a registered type cannot use is refused, and nothing changes."""

    class Picky(StdlibJson):
        name = "picky"

        def check(self, type: Any, /) -> None:
            raise RegistrationError("not this one")

    registry.register("note", Note)
    with pytest.raises(RegistrationError, match="not this one"):
        registry.codec = Picky()

    assert registry.capture(Note("a", 1))[2].encoding == "json"


@needs_msgspec
def test_msgpack_events() -> None:
    """The msgpack codec stores bytes; old schemas are upcast from it like from JSON."""
    registry = Registry(codec="msgpack")
    registry.register("note", Note, schema=2)
    registry.upcast("note", 1)(upcaster(lambda old: {**old, "amount": 7}))
    payload = registry.encode_value(dict[str, str], {"text": "a"}).payload

    assert registry.capture(Note("a", 1))[2].encoding == "msgpack"
    assert isinstance(payload, bytes)
    assert registry.decode("note", "msgpack", 1, payload) == Note("a", 7)


@needs_protobuf
def test_protobuf_events(registry: Registry) -> None:
    """Protobuf messages use protobuf by themselves; their upcasters get bytes; a dataclass can succeed a message."""
    from google.protobuf.duration_pb2 import Duration

    registry.register("waited", Duration)
    data = Duration(seconds=3)
    name, copy, encoded = registry.capture(data)
    data.seconds = 4

    assert (name, encoded.encoding) == ("waited", "protobuf")
    assert copy == Duration(seconds=3)
    assert registry.decode("waited", *encoded) == Duration(seconds=3)

    newer = Registry(codec=registry.codec)
    newer.register("waited", Note, schema=2)
    with pytest.raises(DecodeError, match="no upcaster leads from schema 1"):
        newer.decode("waited", *encoded)

    @newer.upcast("waited", 1)
    def from_message(old: bytes) -> dict[str, Any]:
        return {"text": "waited", "amount": Duration.FromString(old).seconds}

    assert newer.decode("waited", *encoded) == Note("waited", 3)
    assert from_message(cast(bytes, encoded.payload)) == {"text": "waited", "amount": 3}
    with pytest.raises(DecodeError, match="the encoding 'protobuf' cannot hold the current type"):
        newer.decode("waited", "protobuf", 2, encoded.payload)


# --- Raw ------------------------------------------------------------------------------------------------------------


def test_raw() -> None:
    """Raw is a value: equal by its fields, hashable, unchangeable, and readable without a type."""
    raw = Raw("gone", "json", 2, '{"a":[1]}')

    assert raw.plain() == {"a": [1]}
    assert raw == Raw("gone", "json", 2, '{"a":[1]}')
    assert raw != Raw("gone", "json", 1, '{"a":[1]}')
    assert len({raw, Raw("gone", "json", 2, '{"a":[1]}')}) == 1
    assert pickle.loads(pickle.dumps(raw)) == raw
    assert repr(raw) == "<Raw 'gone' schema 2, 9 characters of 'json'>"
    with pytest.raises(AttributeError, match="cannot be changed"):
        cast(Any, raw).name = "x"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del cast(Any, raw).name


def test_raw_of_an_unknown_encoding_is_its_payload() -> None:
    """Where no codec is known, or the codec needs a type, plain() is the payload; damage is an error."""
    assert Raw("gone", "shout", 1, b"A").plain() == b"A"
    with pytest.raises(DecodeError):
        Raw("gone", "json", 1, "{").plain()
