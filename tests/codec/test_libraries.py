"""Classes and formats of other libraries: attrs, msgspec, msgpack and protobuf."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from goes_lite.codec import Codec
from goes_lite.codec import codec as find_codec
from goes_lite.errors import DecodeError, EncodeError, RegistrationError
from tests.codec.codec_kit import Item, decode, encode, needs_attrs, needs_msgspec, needs_protobuf, stripped


@needs_attrs
def test_attrs_classes(json_codec: Codec) -> None:
    """An attrs class goes through its own constructor: aliases, converters, validators and factories work."""
    import attrs

    @attrs.frozen
    class Account:
        owner: str = attrs.field(converter=stripped)
        _limit: int = attrs.field(default=3, validator=attrs.validators.gt(0))
        log: tuple[str, ...] = attrs.field(factory=tuple)
        label: str = attrs.Factory(lambda self: f"<{self.owner}>", takes_self=True)

    account = cast("Any", Account)(" ann ", limit=5)
    text = encode(json_codec, Account, account)

    assert text == '{"owner":"ann","_limit":5,"log":[],"label":"<ann>"}'
    assert decode(json_codec, Account, text) == account
    assert decode(json_codec, Account, '{"owner":" bob "}').label == "<bob>"
    with pytest.raises(DecodeError, match="Account refused it: ValueError"):
        decode(json_codec, Account, '{"owner":"a","_limit":0}')
    with pytest.raises(DecodeError, match=r"^\$\.owner: missing, and Account has no default for it$"):
        decode(json_codec, Account, "{}")


@needs_msgspec
def test_msgspec_structs(json_codec: Codec) -> None:
    """A msgspec Struct works with both implementations, renamed fields included."""
    import msgspec

    class Account(msgspec.Struct, rename="camel", frozen=True):
        account_owner: str
        log: list[str] = []

    text = '{"accountOwner":"ann","log":["x"]}'

    assert encode(json_codec, Account, Account("ann", ["x"])) == text
    assert decode(json_codec, Account, text) == Account("ann", ["x"])
    assert decode(json_codec, Account, '{"accountOwner":"ann"}') == Account("ann")
    with pytest.raises(DecodeError, match=r"^\$\.accountOwner: missing, and Account has no default for it$"):
        decode(json_codec, Account, "{}")
    with pytest.raises(EncodeError, match=r"^\$\.account_owner: expected str, got int$"):
        encode(json_codec, Account, Account(cast(Any, 1)))


@needs_msgspec
def test_struct_options_that_change_the_format(json_codec: Codec) -> None:
    """Struct options that would make another JSON are refused."""
    import msgspec

    class Tagged(msgspec.Struct, tag="x"):
        pass

    with pytest.raises(RegistrationError, match="tag='x' is not supported"):
        json_codec.check(Tagged)


@needs_msgspec
def test_msgpack() -> None:
    """msgpack keeps bytes as bytes and UTC datetimes as timestamps; other offsets survive; integers have 64 bits."""
    codec = find_codec("msgpack")
    berlin = datetime(2026, 7, 2, tzinfo=timezone(timedelta(hours=2)))

    assert decode(codec, bytes, encode(codec, bytes, b"\xff")) == b"\xff"
    assert decode(codec, datetime, encode(codec, datetime, berlin)).utcoffset() == timedelta(hours=2)
    assert encode(codec, set[int], {3, 1, 2}) == encode(codec, list[int], [1, 2, 3])
    with pytest.raises(EncodeError, match="64 bits"):
        encode(codec, int, 2**64)
    with pytest.raises(EncodeError, match=r"^\$\.price: expected Decimal, got int$"):
        encode(codec, Item, Item("a", cast(Any, 1)))
    with pytest.raises(DecodeError, match=r"^\$\.price: expected Decimal, got list$"):
        decode(codec, Item, encode(codec, Any, {"sku": "a", "price": []}))
    with pytest.raises(DecodeError, match="expected msgpack as bytes, got str"):
        decode(codec, Item, "{}")
    with pytest.raises(DecodeError, match="not msgpack"):
        decode(codec, Item, b"\xc1")


@needs_protobuf
def test_protobuf() -> None:
    """A protobuf Message is stored in its own format; other types and other messages are refused."""
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    codec = find_codec("protobuf")
    payload = encode(codec, Duration, Duration(seconds=3))

    assert decode(codec, Duration, payload) == Duration(seconds=3)
    assert codec.plain(payload) == payload
    assert codec.from_plain(Duration)("3s" and payload) == Duration(seconds=3)
    with pytest.raises(EncodeError, match="expected Duration, got Timestamp"):
        encode(codec, Duration, Timestamp())
    with pytest.raises(DecodeError, match="not a Duration"):
        decode(codec, Duration, b"\xff\xff")
    with pytest.raises(DecodeError, match="expected protobuf as bytes, got str"):
        decode(codec, Duration, "x")
    with pytest.raises(RegistrationError, match="Item is not a protobuf Message class"):
        codec.check(Item)
