"""What the JSON codecs refuse, and in which words: values, payloads, and types at registration."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from goes_lite.codec import Codec
from goes_lite.errors import DecodeError, EncodeError, RegistrationError
from tests.codec.codec_kit import (
    Address,
    Box,
    Colour,
    Item,
    Order,
    Point,
    Positive,
    T,
    Tree,
    case_id,
    decode,
    encode,
)

# --- refusals -------------------------------------------------------------------------------------------------------

ITEM = Item("a", Decimal(1))
NOW = datetime(2026, 1, 2, tzinfo=UTC)

BAD_VALUES: list[tuple[Any, Any, str]] = [
    (Item, Item("a", cast(Any, 1)), "$.price: expected Decimal, got int"),
    (Item, Item("a", Decimal(1), cast(Any, True)), "$.quantity: expected int, got bool"),
    (Item, {"sku": "a"}, "$: expected Item, got dict"),
    (Order, Order([ITEM, ITEM, Item("c", cast(Any, []))], NOW), "$.items[2].price: expected Decimal, got list"),
    (Order, Order(cast(Any, (ITEM,)), NOW), "$.items: expected list[Item], got tuple"),
    (Order, Order([], NOW, cast(Any, 5)), "$.note: expected str | None, got int"),
    (str, UUID(int=1), "$: expected str, got UUID"),
    (str, "\ud800", r"$: a lone surrogate ('\ud800') cannot be stored in UTF-8"),
    (dict[str, int], {"\udfff": 1}, r"$['\udfff']: as a key: a lone surrogate ('\udfff') cannot be stored in UTF-8"),
    (float, float("nan"), "$: nan cannot be stored: JSON has only finite numbers"),
    (float, float("-inf"), "$: -inf cannot be stored: JSON has only finite numbers"),
    (float, 2**53 + 1, "$: the integer 9007199254740993 does not fit a float exactly"),
    (float, 10**400, f"$: the integer 1{'0' * 58}… does not fit a float exactly"),
    (int, 10**4300, "$: an integer of more than 4300 digits cannot be stored"),
    (Any, {"a": (1,)}, "$.a: expected a JSON value, got tuple"),
    (Any, [{1: 2}], "$[0][1]: keys of a JSON object must be str, not int"),
    (Decimal, Decimal("NaN"), "$: Decimal('NaN') cannot be stored: only finite numbers can"),
    (
        datetime,
        datetime(2026, 1, 2),
        "$: a datetime needs a time zone, 2026-01-02T00:00:00 has none: use datetime.now(UTC)",
    ),
    (
        datetime,
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(seconds=61))),
        "$: the UTC offset of 2026-01-02T00:00:00+00:01:01 is not in whole minutes: convert it with .astimezone(UTC)",
    ),
    (
        time,
        time(1, tzinfo=ZoneInfo("Europe/Berlin")),
        (
            "$: the time zone of datetime.time(1, 0, tzinfo=zoneinfo.ZoneInfo(key='Europe/Be… has no UTC offset: "
            "use datetime.UTC"
        ),
    ),
    (date, NOW, "$: expected date, got datetime"),
    (tuple[int, int], (1,), "$: expected tuple[int, int], got a tuple of 1"),
    (Address, {"street": "x", "city": "y"}, "$.city: Address has no such key"),
    (Address, {"zip": 1}, "$.street: missing, and Address requires it"),
    (Literal["a", 1], True, "$: expected Literal['a', 1], got True"),
    (float | Literal[1], 2, "$: expected float | Literal[1], got int"),
    (Colour, "red", "$: expected Colour, got str"),
    (dict[int, int], {True: 1}, "$[True]: as a key: expected int, got bool"),
]


@pytest.mark.parametrize(("hint", "value", "message"), BAD_VALUES, ids=case_id)
def test_bad_values_are_refused(json_codec: Codec, hint: Any, value: Any, message: str) -> None:
    """A value that does not fit its type is an EncodeError that says where, what was expected, and what it got."""
    with pytest.raises(EncodeError) as caught:
        encode(json_codec, hint, value)

    assert str(caught.value) == message


BAD_PAYLOADS: list[tuple[Any, str | bytes, str]] = [
    (Order, '{"items":[{"sku":"a","price":[]}],"placed":"x"}', "$.items[0].price: expected Decimal, got list"),
    (Order, '{"items":[]}', "$.placed: missing, and Order has no default for it"),
    (Order, "[]", "$: expected Order, got list"),
    (Address, "{}", "$.street: missing, and Address requires it"),
    (int, "1.0", "$: expected int, got float"),
    (int, "true", "$: expected int, got bool"),
    (float, "1e400", "$: the number is out of range"),
    (Any, '{"a":[1e400]}', "$.a[0]: the number is out of range"),
    (float, "NaN", "$: not JSON: NaN is not a number that JSON has"),
    (int, "9" * 5000, "$: an integer of more than 4300 digits cannot be read"),
    (str, b"\xff", "$: not UTF-8: invalid start byte at byte 0"),
    (str, '"\\ud800"', "$: not JSON: a lone surrogate has no character"),
    (str, '"\ud800"', "$: not JSON: a lone surrogate has no character"),
    (list[int], "[1,]", "$: not JSON: "),
    (list[int], "", "$: not JSON: "),
    (list[int], "[1] x", "$: not JSON: Extra data at character 4"),
    (datetime, '"2026-01-02T00:00:00"', "$: a datetime needs a UTC offset, '2026-01-02T00:00:00' has none"),
    (datetime, '"yesterday"', "$: expected datetime, got 'yesterday'"),
    (datetime, "5", "$: expected datetime, got int"),
    (Decimal, '"NaN"', "$: expected a finite Decimal, got 'NaN'"),
    (Decimal, '"x"', "$: expected Decimal, got 'x'"),
    (UUID, '"x"', "$: expected UUID, got 'x'"),
    (bytes, '"AP/"', "$: expected bytes in base64, got 'AP/'"),
    (timedelta, '"P1Y"', "$: expected timedelta, got 'P1Y'"),
    (timedelta, '"P"', "$: expected timedelta, got 'P'"),
    (timedelta, '"P9999999999D"', "$: expected timedelta, got 'P9999999999D'"),
    (date, '"2026-02-30"', "$: expected date, got '2026-02-30'"),
    (time, '"25:00:00"', "$: expected time, got '25:00:00'"),
    (Colour, '"green"', "$: 'green' is not a value of Colour"),
    (Literal["a"], "{}", "$: expected Literal['a'], got {}"),
    (dict[int, int], '{"01":1}', "$['01']: as a key: expected int, got str"),
    (tuple[int, int], "[1]", "$: expected tuple[int, int], got an array of 1"),
    (set[Any], "[[]]", "$: set[Any] cannot hold these items: "),
    (Positive, '{"amount":-1}', "$: Positive refused it: ValueError: amount must be positive"),
    (Point, "[]", "$: expected Point of 2 items, got an array of 0"),
    (Point, "[1,2,3]", "$: expected Point of 2 items, got an array of 3"),
    (Tree, '{"value":1,"children":[{"value":2},{}]}', "$.children[1].value: missing, and Tree has no default for it"),
]


@pytest.mark.parametrize(("hint", "payload", "message"), BAD_PAYLOADS, ids=case_id)
def test_bad_payloads_are_refused(json_codec: Codec, hint: Any, payload: Any, message: str) -> None:
    """A payload that does not fit its type is a DecodeError with the path, in the same words from both codecs."""
    with pytest.raises(DecodeError) as caught:
        decode(json_codec, hint, payload)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("hint", [Any, list[Any], Tree])
def test_deep_nesting_is_a_decode_error(json_codec: Codec, hint: Any) -> None:
    """A payload made to exhaust the stack is refused like any other bad one."""
    depth = 200_000

    with pytest.raises(DecodeError, match="nested too deeply|expected Tree"):
        decode(json_codec, hint, "[" * depth + "]" * depth)


def test_deep_objects_are_a_decode_error(json_codec: Codec) -> None:
    """The same through a recursive type, where each level is valid."""
    depth = 100_000

    with pytest.raises(DecodeError, match="nested too deeply"):
        decode(json_codec, Tree, '{"value":1,"children":[' * depth + "]}" * depth)


def test_a_value_that_contains_itself(json_codec: Codec) -> None:
    """A cycle has no end, so it is an EncodeError."""
    cycle: list[Any] = []
    cycle.append(cycle)

    with pytest.raises(EncodeError, match="contains itself"):
        encode(json_codec, Any, cycle)


def test_unset_attribute(json_codec: Codec) -> None:
    """A field that was deleted or never set is an EncodeError, not an AttributeError."""
    order = Order([], NOW)
    del order.placed

    with pytest.raises(EncodeError, match=r"^\$\.placed: this field of Order was never set$"):
        encode(json_codec, Order, order)


def test_subclass_of_a_registered_class_is_refused(json_codec: Codec) -> None:
    """A subclass would lose its own fields on the way, so it is not taken for its base."""

    @dataclass(frozen=True)
    class Special(Item):
        extra: int = 0

    with pytest.raises(EncodeError, match=r"^\$: expected Item, got Special$"):
        encode(json_codec, Item, Special("a", Decimal(1)))


# --- types that are refused at registration -------------------------------------------------------------------------


@dataclass
class WithInitVar:
    a: int
    b: InitVar[int]


class Mixed(enum.Enum):
    A = 1
    B = "b"


class Plain:
    pass


@dataclass
class Base:
    a: int


class Undecorated(Base):
    pass


@dataclass
class Holder:
    callback: Callable[[], None]


BAD_TYPES: list[tuple[Any, str]] = [
    (Plain, "Plain: Plain is not supported: use a dataclass"),
    (Holder, "Holder.callback: collections.abc.Callable[[], None] is not supported"),
    (complex, "complex: complex is not supported"),
    (WithInitVar, "WithInitVar.b: an InitVar is not kept"),
    (Mixed, "Mixed: an Enum is stored by value, so its values must be all str or all int, not 1, 'b'"),
    (Undecorated, "Undecorated: Undecorated is a subclass of the dataclass Base but not a dataclass itself"),
    (Item | Base, "is ambiguous, because Item and Base are both written as an object"),
    (str | UUID, "is ambiguous, because str and UUID are both written as a string"),
    (Colour | datetime, "is ambiguous, because Colour and datetime are both written as a string"),
    (list[int] | tuple[int, ...], "are both written as an array"),
    (Item | dict[str, int], "are both written as an object"),
    (dict[float, int], "float cannot be the key of a dict"),
    (dict[Item, int], "Item cannot be the key of a dict"),
    (dict[Literal[True], int], "cannot be the key of a dict"),
    (Literal[b"x"], "b'x' cannot be in a Literal"),
    (Box, "Box.content: the type variable ~T has no type"),
    (list[T], "the type variable ~T has no type"),  # type: ignore[valid-type]
]


@pytest.mark.parametrize(("hint", "message"), BAD_TYPES, ids=case_id)
def test_unsupported_types_are_refused_at_registration(json_codec: Codec, hint: Any, message: str) -> None:
    """What could never be stored is refused at once, naming the field and the way out."""
    with pytest.raises(RegistrationError) as caught:
        json_codec.check(hint)

    assert message in str(caught.value)
