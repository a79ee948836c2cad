"""The canonical JSON: one text for each value, from either implementation, and reading it back."""

from __future__ import annotations

import collections
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from goes_lite.codec import Codec
from goes_lite.errors import DecodeError
from tests.codec.codec_kit import (
    Address,
    Box,
    Cents,
    Colour,
    Item,
    Lenient,
    Order,
    Point,
    Positive,
    Rights,
    Tree,
    case_id,
    decode,
    encode,
)

CANONICAL: list[tuple[Any, Any, str]] = [
    (
        str,
        'a"\\/\b\f\n\r\t\x00\x7f\u2028\u00e9\U0001f600',
        '"a\\"\\\\/\\b\\f\\n\\r\\t\\u0000\x7f\u2028\u00e9\U0001f600"',
    ),
    (int, 2**70, "1180591620717411303424"),
    (bool, True, "true"),
    (None, None, "null"),
    (float, 1.0, "1.0"),
    (float, -0.0, "-0.0"),
    (float, 1e15, "1000000000000000.0"),
    (float, 1e16, "1e16"),
    (float, 1.5e300, "1.5e300"),
    (float, 1e-4, "0.0001"),
    (float, -1.5e-5, "-0.000015"),
    (float, 9.9e-6, "9.9e-6"),
    (float, 3, "3"),
    (bytes, b"\x00\xff\xfe", '"AP/+"'),
    (datetime, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), '"2026-01-02T03:04:05Z"'),
    (datetime, datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC), '"2026-01-02T03:04:05.000600Z"'),
    (datetime, datetime(2026, 7, 2, tzinfo=ZoneInfo("Europe/Berlin")), '"2026-07-02T00:00:00+02:00"'),
    (datetime, datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/London")), '"2026-01-02T00:00:00Z"'),
    (date, date(26, 1, 2), '"0026-01-02"'),
    (time, time(3, 4), '"03:04:00"'),
    (time, time(3, 4, 5, 6, timezone(timedelta(hours=-3))), '"03:04:05.000006-03:00"'),
    (timedelta, timedelta(0), '"P0D"'),
    (timedelta, timedelta(days=1, seconds=2, milliseconds=500), '"P1DT2.5S"'),
    (timedelta, timedelta(hours=2), '"PT7200S"'),
    (timedelta, timedelta(microseconds=-1), '"-PT0.000001S"'),
    (timedelta, timedelta.min, '"-P999999999D"'),
    (UUID, UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
    (Decimal, Decimal("1.10"), '"1.10"'),
    (Decimal, Decimal("1E+5"), '"1E+5"'),
    (Colour, Colour.RED, '"red"'),
    (Rights, Rights.READ | Rights.WRITE, "3"),
    (Literal[True, 1, "x"], True, "true"),
    (set[str], {"b", "a", "c"}, '["a","b","c"]'),
    (set[int], {10, 9, -1}, "[-1,9,10]"),
    (frozenset[Colour], frozenset(Colour), '["blue","red"]'),
    (dict[str, int], {"b": 1, "a": 2}, '{"b":1,"a":2}'),
    (dict[int, str], {-3: "x"}, '{"-3":"x"}'),
    (dict[UUID, None], {UUID(int=5): None}, '{"00000000-0000-0000-0000-000000000005":null}'),
    (tuple[int, str], (1, "a"), '[1,"a"]'),
    (Any, {"a": [1, None, 2.5, True]}, '{"a":[1,null,2.5,true]}'),
    (Point, Point(1.0, 2.5), '{"x":1.0,"y":2.5}'),
    (Address, {"zip": 5, "street": "x"}, '{"zip":5,"street":"x"}'),
    (Item, Item("a", Decimal(2)), '{"sku":"a","price":"2","quantity":1}'),
    (Tree, Tree(1, (Tree(2), Tree(3))), '{"value":1,"children":[{"value":2,"children":[]},{"value":3,"children":[]}]}'),
    (Positive, Positive(2), '{"amount":2}'),
    (Box[int], Box(1, [2]), '{"content":1,"more":[2]}'),
    (Cents, Cents(5), "5"),
    (Annotated[list[int], []], [1], "[1]"),
]


@pytest.mark.parametrize(("hint", "value", "text"), CANONICAL, ids=case_id)
def test_canonical_text(json_codec: Codec, hint: Any, value: Any, text: str) -> None:
    """Each value has one JSON text, whatever wrote it, and comes back from it."""
    assert encode(json_codec, hint, value) == text
    assert decode(json_codec, hint, text) == value


def test_datetime_keeps_its_offset(json_codec: Codec) -> None:
    """A datetime comes back at the same instant with the same offset; UTC as datetime.UTC itself."""
    berlin = datetime(2026, 7, 2, tzinfo=ZoneInfo("Europe/Berlin"))

    assert decode(json_codec, datetime, encode(json_codec, datetime, berlin)).utcoffset() == timedelta(hours=2)
    assert decode(json_codec, datetime, '"2026-07-02T00:00:00Z"').tzinfo is UTC


def test_subclass_of_datetime_is_a_datetime(json_codec: Codec) -> None:
    """Libraries that fake the clock make subclasses; they are written as what they stand for."""

    class Fake(datetime):
        pass

    assert encode(json_codec, datetime, Fake(2026, 1, 2, tzinfo=UTC)) == '"2026-01-02T00:00:00Z"'


def test_defaults_fill_missing_fields_and_unknown_fields_are_ignored(json_codec: Codec) -> None:
    """Stored events outlive the class: fields may have been added since (with a default) or removed."""
    payload = '{"sku":"a","price":"2","colour":{"old":true}}'

    assert decode(json_codec, Item, payload) == Item("a", Decimal(2), 1)

    first = decode(json_codec, Order, '{"items":[],"placed":"2026-01-02T00:00:00Z"}')
    second = decode(json_codec, Order, '{"items":[],"placed":"2026-01-02T00:00:00Z"}')

    assert first.tags == set()
    assert first.tags is not second.tags


def test_computed_fields_are_made_again(json_codec: Codec) -> None:
    """A field with init=False is not stored; __post_init__ runs on reading."""
    assert decode(json_codec, Positive, '{"amount":4,"doubled":9}').doubled == 8


def test_namedtuple_takes_its_defaults(json_codec: Codec) -> None:
    """A NamedTuple is an object; an array from elsewhere is read too, and fields may be missing if they have defaults."""
    for text in ('{"x":1}', '{"old":5,"x":1}', "[1]"):
        assert decode(json_codec, Point, text) == Point(1.0, 0.0)


def test_enum_with_missing(json_codec: Codec) -> None:
    """An Enum's own _missing_ decides about values that it does not list."""
    assert decode(json_codec, Lenient, '"anything"') is Lenient.KNOWN


def test_int_and_float_in_a_union_stay_apart(json_codec: Codec) -> None:
    """`int | float` is told apart by the number's form: 5 is an int, 5.0 a float."""
    for value in (5, 5.0):
        back = decode(json_codec, int | float, encode(json_codec, int | float, value))

        assert (type(back), back) == (type(value), value)


def test_mapping_and_sequence_are_dict_and_list(json_codec: Codec) -> None:
    """An abstract container is read as the built-in one."""
    assert decode(json_codec, Mapping[str, Sequence[int]], '{"a":[1]}') == {"a": [1]}


def test_dict_subclasses_are_dicts(json_codec: Codec) -> None:
    """A defaultdict or OrderedDict may stand where a dict is expected."""
    assert encode(json_codec, dict[str, int], collections.OrderedDict([("b", 1), ("a", 2)])) == '{"b":1,"a":2}'


def test_private_and_class_attributes(json_codec: Codec) -> None:
    """Fields with a leading underscore are stored; class variables and stray attributes are not."""

    @dataclass
    class Account:
        _secret: int
        limit: ClassVar[int] = 3

    account = Account(1)
    cast(Any, account).stray = 2

    assert encode(json_codec, Account, account) == '{"_secret":1}'
    assert decode(json_codec, Account, '{"_secret":1}') == Account(1)


def test_local_recursive_class(json_codec: Codec) -> None:
    """A class may refer to itself even where no module knows it."""

    @dataclass
    class Node:
        next: Node | None = None

    assert encode(json_codec, Node, Node(Node())) == '{"next":{"next":null}}'
    assert decode(json_codec, Node, '{"next":{"next":null}}') == Node(Node())


def test_generic_dataclass_checks_its_parameter(json_codec: Codec) -> None:
    """Box[int] holds ints."""
    with pytest.raises(DecodeError, match=r"^\$\.content: expected int, got str$"):
        decode(json_codec, Box[int], '{"content":"a"}')


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with Python 3.12")
def test_type_aliases(json_codec: Codec) -> None:
    """A `type` alias is what it stands for, also when it names itself."""
    namespace: dict[str, Any] = {}
    exec("type Tree = list[Tree] | int\ntype Trees = list[Tree]", namespace)
    text = "[1,[2,[]]]"

    assert encode(json_codec, namespace["Tree"], decode(json_codec, namespace["Tree"], text)) == text
    assert decode(json_codec, namespace["Trees"], "[[3],4]") == [[3], 4]
    with pytest.raises(DecodeError, match=r"^\$\[1\]\[0\]: expected .* got str$"):
        decode(json_codec, namespace["Trees"], '[1,["x"]]')
