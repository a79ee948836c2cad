"""Laws that hold for every supported type: generated types, generated values, all codecs."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib.util import find_spec
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict, Union, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goes_lite.codec import StdlibJson
from goes_lite.codec import codec as find_codec
from goes_lite.errors import DecodeError, EncodeError, RegistrationError
from goes_lite.events.registry import Registry

needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")

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
