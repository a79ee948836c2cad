"""Laws that hold for every supported type: generated types, generated values, all codecs."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.codec import StdlibJson
from goes_lite.codec import codec as find_codec
from goes_lite.errors import DecodeError, EncodeError
from goes_lite.events.registry import Registry
from tests.codec.codec_strategies import DICT, LISTS, SET, TUPLE, outcome, plain, same, thorough, typed_values

needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")


@thorough
@given(typed_values())
def test_stdlib_round_trip(typed: tuple[Any, Any]) -> None:
    """What the standard library's codec wrote, it reads back the same, from str and from bytes."""
    hint, value = typed
    payload = StdlibJson().encoder(hint)(value)
    decode = StdlibJson().decoder(hint)

    assert isinstance(payload, str)
    assert same(value, decode(payload))
    assert same(value, decode(payload.encode()))


@thorough
@given(typed_values())
def test_json_is_standard(typed: tuple[Any, Any]) -> None:
    """The text is JSON for everyone else too, compact, and without a duplicate key."""
    payload = StdlibJson().encoder(typed[0])(typed[1])

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    found = json.loads(payload, parse_constant=refuse, object_pairs_hook=once)

    assert StdlibJson().encoder(Any)(found) == payload


@thorough
@given(typed_values())
def test_from_plain_is_the_rest_of_decoding(typed: tuple[Any, Any]) -> None:
    """decode == from_plain after plain: what an upcaster gets, it can give back unchanged."""
    hint, value = typed
    stdlib = StdlibJson()

    assert same(value, stdlib.from_plain(hint)(stdlib.plain(stdlib.encoder(hint)(value))))


@needs_msgspec
@thorough
@given(typed_values())
def test_both_json_codecs_write_the_same_bytes(typed: tuple[Any, Any]) -> None:
    """With and without msgspec, every value of every type has the same JSON text."""
    from goes_lite.codec import MsgspecJson

    hint, value = typed

    assert StdlibJson().encoder(hint)(value) == MsgspecJson().encoder(hint)(value)


@needs_msgspec
@thorough
@given(typed_values())
def test_both_json_codecs_read_each_other(typed: tuple[Any, Any]) -> None:
    """What one JSON implementation wrote, the other reads as the same value."""
    from goes_lite.codec import MsgspecJson

    hint, value = typed
    stdlib, fast = StdlibJson(), MsgspecJson()

    assert same(value, fast.decoder(hint)(stdlib.encoder(hint)(value)))
    assert same(value, stdlib.decoder(hint)(fast.encoder(hint)(value)))


@needs_msgspec
@thorough
@given(typed_values(), typed_values())
def test_both_json_codecs_refuse_the_same_values(typed: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    """A value of another type is refused by both, with the same words, or written the same by both."""
    from goes_lite.codec import MsgspecJson

    hint, value = typed[0], other[1]

    assert outcome(StdlibJson().encoder(hint), value) == outcome(MsgspecJson().encoder(hint), value)


@needs_msgspec
@thorough
@given(typed_values(), st.one_of(plain.map(json.dumps), st.text(), typed_values()))
def test_both_json_codecs_refuse_the_same_payloads(typed: tuple[Any, Any], payload: Any) -> None:
    """A payload that does not fit is refused by both, with the same words, or read the same by both."""
    from goes_lite.codec import MsgspecJson

    hint = typed[0]
    if isinstance(payload, tuple):
        payload = StdlibJson().encoder(cast(Any, payload[0]))(payload[1])
    slow, fast = outcome(StdlibJson().decoder(hint), payload), outcome(MsgspecJson().decoder(hint), payload)

    assert same(slow, fast)


@thorough
@given(typed_values(), st.binary(max_size=40), st.integers(0, 200), st.sampled_from(["json", "msgpack"]))
def test_damaged_payloads_are_decode_errors(typed: tuple[Any, Any], junk: bytes, at: int, encoding: str) -> None:
    """Junk, and good payloads with junk in them, end in a value of the type or a DecodeError, never in a crash."""
    if encoding == "msgpack":
        pytest.importorskip("msgspec", reason="msgspec is not installed")
    codec = find_codec(encoding)
    hint, value = typed
    decode = codec.decoder(hint)
    try:
        payload = codec.encoder(hint)(value)
    except EncodeError:  # beyond the 64 bits of msgpack
        payload = b""
    raw = payload.encode() if isinstance(payload, str) else payload

    for damaged in (junk, raw[:at], raw[:at] + junk + raw[at:]):
        try:
            found = decode(damaged)
        except DecodeError:
            continue
        StdlibJson().encoder(hint)(found)


@needs_msgspec
@thorough
@given(typed_values())
def test_msgpack_round_trip(typed: tuple[Any, Any]) -> None:
    """msgpack keeps every value that has no integer beyond 64 bits, and says so about the others."""
    hint, value = typed
    codec = find_codec("msgpack")
    payload = outcome(codec.encoder(hint), value)
    if isinstance(payload, str):
        assert payload == "EncodeError: $: msgpack has integers of 64 bits, and one is larger"
        return

    assert same(value, codec.decoder(hint)(payload))


@thorough
@given(typed_values(), st.sampled_from(["stdlib", "msgspec"]))
def test_capture_is_private_and_equal(typed: tuple[Any, Any], implementation: str) -> None:
    """capture gives an equal copy, which shares nothing that could change with the caller's value."""
    if implementation == "msgspec":
        pytest.importorskip("msgspec", reason="msgspec is not installed")
    hint, value = typed
    registry = Registry(codec=StdlibJson() if implementation == "stdlib" else find_codec("json"))
    registry.register("made.up", hint)
    name, copy, encoded = registry.capture(value, "made.up")

    assert name == "made.up"
    assert same(value, copy)
    assert same(value, registry.decode("made.up", *encoded))
    assert shared_mutables(value, copy) == []


def shared_mutables(a: Any, b: Any) -> list[Any]:
    """The lists, dicts and sets that two equal values have in common."""
    if isinstance(a, DICT):
        return [a] if a is b else shared_mutables(list(a.values()), list(b.values()))
    if isinstance(a, LISTS):
        shared = a is b and not isinstance(a, TUPLE)
        return [a] if shared else [found for pair in zip(a, b, strict=True) for found in shared_mutables(*pair)]
    if isinstance(a, SET):
        return [a] if a is b else []
    names: list[str] = list(getattr(a, "__dataclass_fields__", ()))
    return [found for name in names for found in shared_mutables(getattr(a, name), getattr(b, name))]
