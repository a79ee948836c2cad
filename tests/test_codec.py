"""The codecs: the canonical JSON, what is refused and in which words, and each kind of type once."""

from __future__ import annotations

import collections
import enum
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib.util import find_spec
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
    cast,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

import goes_lite.codec
from goes_lite.codec import Codec, FunctionCodec, StdlibJson
from goes_lite.codec import codec as find_codec
from goes_lite.errors import ConfigError, DecodeError, DriverMissing, EncodeError, RegistrationError

needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")
needs_attrs = pytest.mark.skipif(find_spec("attrs") is None, reason="attrs is not installed")
HAS_PROTOBUF = find_spec("google") is not None and find_spec("google.protobuf") is not None
needs_protobuf = pytest.mark.skipif(not HAS_PROTOBUF, reason="protobuf is not installed")

T = TypeVar("T")
Cents = NewType("Cents", int)


@pytest.fixture(params=["stdlib", pytest.param("msgspec", marks=needs_msgspec)], name="json_codec")
def either_json_codec(request: pytest.FixtureRequest) -> Codec:
    """Each JSON implementation."""
    if request.param == "stdlib":
        return StdlibJson()
    from goes_lite.codec import MsgspecJson

    return MsgspecJson()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Lenient(enum.Enum):
    KNOWN = "known"

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        return cls.KNOWN


@dataclass(frozen=True)
class Item:
    sku: str
    price: Decimal
    quantity: int = 1


@dataclass
class Order:
    items: list[Item]
    placed: datetime
    note: str | None = None
    tags: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Tree:
    value: int
    children: tuple[Tree, ...] = ()


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Address(TypedDict):
    street: str
    zip: NotRequired[int]


@dataclass
class Positive:
    amount: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("amount must be positive")
        self.doubled = self.amount * 2


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list[T])


def stripped(text: str) -> str:
    return text.strip()


def encode(codec: Codec, hint: Any, value: object) -> str | bytes:
    return codec.encoder(hint)(value)


def decode(codec: Codec, hint: Any, payload: str | bytes) -> Any:
    return codec.decoder(hint)(payload)


def case_id(value: object) -> str:
    return repr(value)[:40] if isinstance(value, str) else type(value).__name__


# --- the canonical form ---------------------------------------------------------------------------------------------

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
    (Point, Point(1.0, 2.5), "[1.0,2.5]"),
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
    """A NamedTuple is an array; trailing fields may be missing if they have defaults."""
    assert decode(json_codec, Point, "[1]") == Point(1.0, 0.0)


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
    (float, float("nan"), "$: nan cannot be stored: JSON has finite numbers only"),
    (float, float("-inf"), "$: -inf cannot be stored: JSON has finite numbers only"),
    (float, 2**53 + 1, "$: the integer 9007199254740993 does not fit a float exactly"),
    (float, 10**400, f"$: the integer 1{'0' * 58}… does not fit a float exactly"),
    (int, 10**4300, "$: an integer of more than 4300 digits cannot be stored"),
    (Any, {"a": (1,)}, "$.a: expected a JSON value, got tuple"),
    (Any, [{1: 2}], "$[0][1]: a JSON object has keys of type str, not int"),
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
            "$: the time zone of datetime.time(1, 0, tzinfo=zoneinfo.ZoneInfo(key='Europe/Be… gives no UTC offset: "
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
    (Undecorated, "Undecorated: Undecorated is a subclass of the dataclass Base and not itself one"),
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


# --- other kinds of classes -----------------------------------------------------------------------------------------


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


def test_function_codec() -> None:
    """Two functions make a codec; what they raise becomes our errors, with the cause kept."""
    codec = FunctionCodec(
        "csv", lambda value: ",".join(value).encode(), lambda payload, type: payload.decode().split(",")
    )

    assert encode(codec, list[str], ["a", "b"]) == b"a,b"
    assert decode(codec, list[str], b"a,b") == ["a", "b"]
    assert codec.plain(b"a,b") == ["a", "b"]
    with pytest.raises(EncodeError, match="the codec 'csv' refused it: TypeError") as caught:
        encode(codec, list[str], [1])
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(DecodeError, match="the codec 'csv' refused it: UnicodeDecodeError"):
        decode(codec, list[str], b"\xff")


def test_function_codec_gives_what_it_promised() -> None:
    """A codec whose function gives str for bytes would be stored in the wrong column, so it is refused."""
    codec = FunctionCodec("text", str, lambda payload, type: payload)

    with pytest.raises(EncodeError, match="gave str instead of bytes"):
        encode(codec, int, 1)


# --- finding codecs -------------------------------------------------------------------------------------------------


def test_codecs_by_name() -> None:
    """A codec is found by name, and is a Codec; a codec is itself."""
    own = StdlibJson()

    assert find_codec("json").name == "json"
    assert find_codec("json") is find_codec("json")
    assert isinstance(find_codec("json"), Codec)
    assert find_codec(own) is own
    with pytest.raises(ConfigError, match=r"no codec is called 'yaml' \(there are: json, msgpack, protobuf\)"):
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
