"""What is read equals what was written; a value of which that is not so is refused when it is written."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from threading import Lock
from typing import Any, Literal, NamedTuple, Self, TypedDict, cast
from zoneinfo import ZoneInfo

import pytest

from goes_lite.codec import Codec
from goes_lite.codec import codec as find_codec
from goes_lite.codec._equal import MAX_DEPTH
from goes_lite.errors import EncodeError, RegistrationError
from tests.codec.codec_kit import Positive, decode, encode, needs_attrs, needs_msgspec, stripped

NOON = datetime(2026, 10, 25, 12, tzinfo=UTC)


@pytest.fixture(params=["stdlib", *(pytest.param(name, marks=needs_msgspec) for name in ("msgspec", "msgpack"))])
def any_codec(request: pytest.FixtureRequest) -> Codec:
    """Each encoding and implementation of this package."""
    if request.param == "msgpack":
        return find_codec("msgpack")
    from goes_lite.codec import StdlibJson

    return StdlibJson() if request.param == "stdlib" else find_codec("json")


@dataclass
class Placed:
    id: str
    warnings: list[str] = field(init=False, default_factory=list[str])


@dataclass
class Cached:
    id: str
    hits: int = field(init=False, default=0, compare=False)
    lock: Any = field(init=False, default_factory=Lock, compare=False)


@dataclass
class Growing:
    items: list[str]

    def __post_init__(self) -> None:
        self.items.append("!")


@dataclass(frozen=True)
class Halved:
    amount: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", self.amount // 2)


class Amount(NamedTuple):
    amount: int


class Doubled(Amount):
    __slots__ = ()

    def __new__(cls, amount: int) -> Self:
        return super().__new__(cls, amount * 2)


def warned() -> Placed:
    placed = Placed("1")
    placed.warnings.append("no stock")
    return placed


def invalid() -> Positive:
    positive = Positive(1)
    positive.amount = -1
    return positive


class Moment(datetime):
    """Like the timestamps of pandas: with nanoseconds."""

    nanoseconds = 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and super().__eq__(other)

    __hash__ = datetime.__hash__


class Span(timedelta):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span)

    __hash__ = timedelta.__hash__


BERLIN = ZoneInfo("Europe/Berlin")
#: Python never calls a time in the hour of a clock change equal to the same instant in another zone.
TWICE = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@dataclass
class Holder:
    placed: tuple[Placed, ...]


REFUSED: list[tuple[Any, Any, str]] = [
    (Placed, warned(), r"\$\.warnings: \['no stock'\] would be read as \[\]: a field with init=False"),
    (Holder, Holder((Placed("0"), warned())), r"\$\.placed\[1\]\.warnings: \['no stock'\] would be read as \[\]"),
    (Growing, Growing(["a"]), r"\$\.items: \['a', '!'\] would be read as \['a', '!', '!'\]"),
    (Halved, Halved(8), r"\$\.amount: 4 would be read as 2: .*__post_init__"),
    (Doubled, Doubled(2), r"\$\.amount: 4 would be read as 8"),
    (Positive, invalid(), r"\$: cannot be read back: Positive refused it: ValueError: amount must be positive"),
    (set[datetime], set(TWICE), r"would be read as .*datetimes of the same instant in two zones become one"),
    (dict[datetime, int], dict.fromkeys(TWICE, 1), "would be read as"),
    (frozenset[tuple[datetime, int]], frozenset((time, 1) for time in TWICE), "would be read as"),
    (datetime, Moment(2026, 1, 1, tzinfo=UTC), "of Moment is more than"),
    (timedelta, Span(1), "of Span is more than"),
]


@pytest.mark.parametrize(("hint", "value", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_would_be_read_as_another_value_is_refused(any_codec: Codec, hint: Any, value: Any, message: str) -> None:
    """A value that its stored form does not give back is an EncodeError that says where and why."""
    with pytest.raises(EncodeError, match=message):
        encode(any_codec, hint, value)


EQUAL: list[tuple[Any, Callable[[], Any]]] = [
    (Placed, lambda: Placed("1")),
    (Positive, lambda: Positive(3)),
    (Cached, lambda: Cached("1")),
    (set[datetime], lambda: {NOON, NOON + timedelta(seconds=1)}),
    (dict[datetime, int], lambda: {TWICE[1]: 1, NOON: 2}),
    (uuid.UUID, lambda: uuid.UUID(int=7, is_safe=uuid.SafeUUID.safe)),
    (date, lambda: type("Day", (date,), {})(2026, 1, 2)),
]


@pytest.mark.parametrize(("hint", "make"), EQUAL, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_made_again_equal_is_stored(any_codec: Codec, hint: Any, make: Callable[[], Any]) -> None:
    """Fields with init=False, code of the class and datetimes in sets are no hindrance where the value comes back."""
    assert decode(any_codec, hint, encode(any_codec, hint, make())) == make()


def test_an_int_where_a_float_is_expected_is_equal(any_codec: Codec) -> None:
    """Also in a class whose code runs when it is read."""

    @dataclass
    class Price:
        amount: float

        def __post_init__(self) -> None:
            assert self.amount >= 0

    assert decode(any_codec, Price, encode(any_codec, Price, Price(3))) == Price(3.0)


@needs_attrs
def test_attrs_code_that_changes_values(any_codec: Codec) -> None:
    """Converters and computed fields of attrs classes are tried as well; eq=False is the way out."""
    import attrs

    @attrs.define
    class Account:
        owner: str = attrs.field(converter=stripped)
        limit: int = attrs.field(default=1, validator=attrs.validators.gt(0), on_setattr=attrs.setters.NO_OP)
        seen: list[str] = attrs.field(init=False, factory=list[str])
        hits: int = attrs.field(init=False, default=0, eq=False)

    @attrs.define
    class Extended(dict[str, int]):
        owner: str

    with pytest.raises(RegistrationError, match="only its fields are stored"):
        any_codec.check(Extended)
    account = cast("Any", Account)(" ann ")
    account.hits = 5
    assert decode(any_codec, Account, encode(any_codec, Account, account)) == account
    account.limit = 0
    with pytest.raises(EncodeError, match=r"cannot be read back: Account refused it: ValueError"):
        encode(any_codec, Account, account)
    account.limit = 1
    account.seen.append("x")
    with pytest.raises(EncodeError, match=r"\$\.seen: \['x'\] would be read as \[\]"):
        encode(any_codec, Account, account)


# --- classes that cannot keep the promise ---------------------------------------------------------------------------


@dataclass
class Failure(Exception):
    code: int


@dataclass
class Extended(dict[str, int]):
    code: int = 1


Private = make_dataclass("Private", [("_Private__code", int)])  # as @dataclass names it


class Secret(TypedDict):
    __code: int


@dataclass
class Busy:
    lock: Callable[[], None] = field(init=False)


REFUSED_TYPES: list[tuple[Any, str]] = [
    (Failure, "only its fields are stored, and it cannot be made from them"),
    (Extended, "only its fields are stored, and it cannot be made from them"),
    (Private, "Private._Private__code: Python puts the name of the class into .* use one underscore"),
    (Secret, "use one underscore"),
    (Busy, r"Busy.lock: .* is not supported.* with compare=False it does not count"),
    (dict[Literal["1", 1], int], r"two keys of Literal\['1', 1\] would be the same"),
]


@pytest.mark.parametrize(("hint", "message"), REFUSED_TYPES, ids=lambda value: getattr(value, "__name__", ""))
def test_types_that_lose_values_are_refused_at_registration(any_codec: Codec, hint: Any, message: str) -> None:
    """What could be written but would not come back is refused before anything is written."""
    with pytest.raises(RegistrationError, match=message):
        any_codec.check(hint)


# --- nesting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    next: Node | None = None
    more: tuple[Node, ...] | None = None


def lists(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value, '"[{']
    return value


def nodes(depth: int) -> Node:
    value = Node()
    for _ in range(depth - 1):
        value = Node(value)
    return value


def branches(depth: int) -> Node:
    value = Node()
    for _ in range(depth // 2 - 1):
        value = Node(None, (value,))
    return value


def far_down(frames: int, act: Callable[[], Any]) -> Any:
    return act() if frames == 0 else far_down(frames - 1, act)


@pytest.mark.parametrize(("hint", "make"), [(Any, lists), (Node, nodes), (Node, branches)], ids=["any", "one", "many"])
def test_what_can_be_nested_can_be_read_anywhere(any_codec: Codec, hint: Any, make: Callable[[int], Any]) -> None:
    """Up to the limit, a value that was written at the top of the stack is read far down; beyond it, it is refused."""
    value = make(MAX_DEPTH)
    payload = encode(any_codec, hint, value)
    again = far_down(500, lambda: decode(any_codec, hint, payload))
    assert encode(any_codec, hint, again) == payload
    plain = any_codec.plain(payload)
    assert far_down(500, lambda: encode(any_codec, hint, any_codec.from_plain(hint)(plain))) == payload
    for depth in (MAX_DEPTH + 2, 5 * MAX_DEPTH, 20_000 if make is lists else 900):
        with pytest.raises(EncodeError, match=r"nested too deeply \(more than 100 levels\), or contains itself$"):
            encode(any_codec, hint, make(depth))


def test_offsets_are_kept(any_codec: Codec) -> None:
    """A datetime in the repeated hour keeps its instant and its offset."""
    for fold, hours in ((0, 2), (1, 1)):
        time = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)
        again = decode(any_codec, datetime, encode(any_codec, datetime, time))
        assert again == datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=hours)))
        assert again.utcoffset() == time.utcoffset()
