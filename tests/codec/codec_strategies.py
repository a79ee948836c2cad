"""Generated types and values of them, for laws that hold for every supported type."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict, Union, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from goes_lite.codec import StdlibJson
from goes_lite.errors import DecodeError, EncodeError, RegistrationError

Typed = tuple[Any, st.SearchStrategy[Any]]


class Colour(enum.Enum):
    RED = "r\u00e9d"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = -7


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Nothing(NamedTuple):
    pass


UserId = NewType("UserId", int)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.one_of(st.integers(), st.sampled_from([0, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**40]))
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e16, 1e15, 1e-5, 1.5e-5, 9.999e-6, 1e-4, 5e-324, 1.7976931348623157e308, -1e-5, 1e22]),
)
offsets = st.one_of(
    st.just(UTC),
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
SINCE = datetime(1990, 1, 1)
datetimes = st.one_of(
    st.datetimes(timezones=offsets),
    # Python never calls a time in the hour of a clock change equal to the same instant in another zone.
    st.datetimes(SINCE, timezones=st.just(ZoneInfo("Europe/Berlin"))).filter(lambda time: time == time.astimezone(UTC)),
    st.datetimes(SINCE, timezones=st.just(ZoneInfo("Europe/London"))).filter(lambda time: time == time.astimezone(UTC)),
)
times = st.one_of(st.times(), st.times(timezones=offsets))
decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from([Decimal("1.10"), Decimal("-0")])
)

SCALARS: list[Typed] = [
    (str, text),
    (int, integers),
    (float, floats),
    (bool, st.booleans()),
    (None, st.none()),
    (bytes, st.binary(max_size=12)),
    (datetime, datetimes),
    (date, st.dates()),
    (time, times),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Decimal, decimals),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Rights, st.sampled_from([Rights.READ, Rights.WRITE, Rights.READ | Rights.WRITE, Rights(0)])),
    (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
    (Literal[True, 0, 1], st.sampled_from([True, 0, 1])),
    (UserId, integers),
    (Annotated[int, "cents"], integers),
    (Nothing, st.just(Nothing())),
]
KEYS: list[Typed] = [
    (str, text),
    (int, integers),
    (bytes, st.binary(max_size=5)),
    (UUID, st.uuids()),
    (Decimal, decimals),
    (date, st.dates()),
    (datetime, datetimes),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
]
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, floats, text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)
field_names = st.lists(
    st.sampled_from(["a", "_b", "c_", "\u00e9", "name", "type", "self", "items", "value", "v", "x0", "UTC"]),
    min_size=1,
    max_size=4,
    unique=True,
)


def hashable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def is_hashable(value: Any) -> bool:
        try:
            hash(value)
        except TypeError:
            return False
        return True

    return values.filter(is_hashable)


@st.composite
def dataclasses_of(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    names = draw(field_names)
    typed = [draw(inner) for _ in names]
    made = make_dataclass(
        "Made",
        [(name, hint) for name, (hint, _) in zip(names, typed, strict=True)],
        frozen=draw(st.booleans()),
        slots=draw(st.booleans()),
        kw_only=draw(st.booleans()),
        namespace={"__module__": __name__},
    )
    values = st.tuples(*(values for _, values in typed)).map(lambda drawn: made(**dict(zip(names, drawn, strict=True))))
    return made, values


@st.composite
def typeddicts_of(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    names = draw(field_names)
    typed = {name: draw(inner) for name in names}
    optional = draw(st.sets(st.sampled_from(names)))
    hints = {name: NotRequired[hint] if name in optional else hint for name, (hint, _) in typed.items()}
    made: Any = cast(Any, TypedDict)("Made", hints)
    return made, st.fixed_dictionaries(
        {name: values for name, (_, values) in typed.items() if name not in optional},
        optional={name: values for name, (_, values) in typed.items() if name in optional},
    )


@st.composite
def namedtuples_of(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    typed = draw(st.lists(inner, min_size=1, max_size=3))
    made: Any = cast(Any, NamedTuple)("Made", [(f"f{index}", hint) for index, (hint, _) in enumerate(typed)])
    return made, st.tuples(*(values for _, values in typed)).map(lambda drawn: made(*drawn))


def form(origin: Any, *args: Any) -> Any:
    """A type form from parts that only exist at run time."""
    return origin[args]


def is_supported(hint: Any) -> bool:
    try:
        StdlibJson().check(hint)
    except RegistrationError:
        return False
    return True


@st.composite
def unions_of(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    members = draw(st.lists(inner.filter(lambda typed: typed[0] is not Any), min_size=2, max_size=3))
    for chosen in (members, [(None, st.none()), members[0]]):
        hint = form(Union, *(hint for hint, _ in chosen))
        if is_supported(hint):  # else it is ambiguous
            return hint, st.one_of(*(values for _, values in chosen))
    return members[0]


def containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def of(
        origin: Any, collect: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]]
    ) -> st.SearchStrategy[Typed]:
        return inner.map(lambda typed: (form(origin, typed[0]), collect(typed[1])))

    def keyed(origin: Any) -> st.SearchStrategy[Typed]:
        return st.tuples(st.sampled_from(KEYS), inner).map(
            lambda pair: (form(origin, pair[0][0], pair[1][0]), st.dictionaries(pair[0][1], pair[1][1], max_size=3))
        )

    return st.one_of(
        of(list, lambda values: st.lists(values, max_size=3)),
        of(Sequence, lambda values: st.lists(values, max_size=3)),
        of(set, lambda values: st.sets(hashable(values), max_size=4)),
        of(frozenset, lambda values: st.frozensets(hashable(values), max_size=4)),
        inner.map(lambda typed: (form(tuple, typed[0], ...), st.lists(typed[1], max_size=3).map(tuple))),
        st.lists(inner, max_size=3).map(
            lambda parts: (form(tuple, *(hint for hint, _ in parts)), st.tuples(*(values for _, values in parts)))
        ),
        keyed(dict),
        keyed(Mapping),
        dataclasses_of(inner),
        dataclasses_of(inner),
        typeddicts_of(inner),
        namedtuples_of(inner),
        unions_of(inner),
    )


types = st.recursive(st.sampled_from([*SCALARS, (Any, plain)]), containers, max_leaves=6)


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """A supported type and a value of it."""
    hint, values = draw(types)
    return hint, draw(values)


LISTS: tuple[type[Any], ...] = (list, tuple)
TUPLE: type[Any] = tuple
SET: type[Any] = set
DICT: type[Any] = dict


def same(a: Any, b: Any) -> bool:
    """Equal, and of equal types all the way down (1 == 1.0 == True, and -0.0 == 0.0, would hide a bug)."""
    if a.__class__ is not b.__class__:
        return False
    if isinstance(a, LISTS):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, DICT):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, float | Decimal):
        return repr(a) == repr(b)
    if isinstance(a, datetime | time):
        return a.isoformat() == str(b.isoformat())
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)


def outcome(act: Callable[[Any], Any], value: Any) -> Any:
    """What comes out, or the message of the error."""
    try:
        return act(value)
    except (EncodeError, DecodeError) as exc:
        return f"{type(exc).__name__}: {exc}"


slow_data = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
thorough = settings(max_examples=3 * settings().max_examples, deadline=None, suppress_health_check=slow_data)
