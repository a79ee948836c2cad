"""What a comparison of two types says is what happens when values of one are read as the other."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from goes_lite.codec import StdlibJson
from goes_lite.codec.types import describe
from goes_lite.schema import gaps
from tests.codec.codec_strategies import SCALARS, Nothing, Rights, Typed, plain, slow_data, types
from tests.codec.test_evolution import KINDS
from tests.schema.schema_kit import between, goes_wrong, kept, loses_keys, node, read


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class More(enum.Flag):
    READ = 1
    WRITE = 2
    OWN = 4


class Fewer(enum.Flag, boundary=enum.CONFORM):
    READ = 1
    WRITE = 2


class Lenient(enum.Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        return cls.RED


class Options(TypedDict, total=False):
    x: int


class Point(NamedTuple):
    x: int
    y: int = 0


SOME: list[tuple[Any, list[Any]]] = [
    (Colour, [*Colour]),
    (Size, [*Size]),
    (More, [*More, More(0), More(7)]),
    (Fewer, [*Fewer, Fewer(0), Fewer(3)]),
    (Options, [{}, {"x": 1}]),
    (Point, [Point(1, 2), Point(3)]),
    (Literal["red"], ["red"]),
    (Literal["red", "blue", "green"], ["red", "blue", "green"]),
    (Literal[1, 2], [1, 2]),
    (Literal["2026-01-01"], ["2026-01-01"]),
    (int | None, [None, 7]),
    (Decimal | None, [None, Decimal("1.10")]),
    (float | str, [0.5, 3.0, "x"]),
    (Literal["red"] | int, ["red", 2**53 + 1]),
    (Colour | None, [None, Colour.RED]),
    (list[int] | dict[str, int], [[1], {"x": 1}]),
    (list[int], [[], [1, 1], [2**53 + 1]]),
    (list[float], [[], [0.5, 3.0]]),
    (list[Decimal | None], [[], [None, Decimal(1)]]),
    (list[Any], [[], [1, "x", [None]]]),
    (set[int], [set[int](), {1, 2}]),
    (set[str], [set[str](), {"x", "red"}]),
    (frozenset[Decimal], [frozenset[Decimal](), frozenset((Decimal(1), Decimal("0.5")))]),
    (tuple[int, ...], [(), (1, 1), (1, 2, 3)]),
    (tuple[int, int], [(1, 1), (2, 1)]),
    (tuple[int, Decimal], [(1, Decimal("1.5"))]),
    (tuple[()], [()]),
    (dict[str, int], [{}, {"x": 1}]),
    (dict[str, Any], [{}, {"x": None, "red": {}}]),
    (dict[int, str], [{}, {-1: "x"}]),
    (dict[Decimal, str], [{}, {Decimal("0.5"): "x"}]),
    (dict[Colour, int], [{}, {Colour.RED: 1}]),
    (dict[Size, int], [{}, {Size.SMALL: 1}]),
    (dict[Rights, int], [{}, {Rights.READ: 1}]),
    (dict[date, int], [{}, {date(2026, 1, 1): 1}]),
    (dict[Literal["x", "y"], int], [{}, {"x": 1, "y": 2}]),
]

#: Types of which some can be read as others, and their values.
CLOSE: list[Typed] = [
    *((type(None) if hint is None else hint, values) for hint, values in SCALARS if hint is not Nothing),
    *((hint, st.sampled_from(values)) for hint, values in SOME),
    (Any, plain),
]

slow_pairs = settings(deadline=None, suppress_health_check=slow_data)


def check(old: Any, new: Any, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Without a gap every value of the old type is read as the new one; and each gap has an example that goes wrong."""
    assume(settles_sets(old) and settles_sets(new))
    found = between(old, new)
    for gap in found:  # fields of another order have the same example where each has only one value, such as []
        assert goes_wrong(old, new, gap.example) or "another order" in gap.problem, gap
    if not found:
        payload = StdlibJson().encoder(old)(data.draw(values))
        again = StdlibJson().encoder(new)(read(new, str(payload)))
        assert kept(json.loads(payload), json.loads(again))
        assert not loses_keys(describe(old), json.loads(payload), json.loads(again))


def settles_sets(hint: Any) -> bool:
    """Whether the items of all sets in the type are hashable, which a schema does not say."""
    return all(shape.parts[0].immutable() for shape in describe(hint).walk() if shape.kind in ("set", "frozenset"))


@slow_pairs
@given(st.data())
def test_what_is_said_of_any_two_types_is_what_happens(data: st.DataObject) -> None:
    old, values = data.draw(types)
    new, _ = data.draw(st.one_of(st.just((old, values)), types))
    check(old, new, values, data)


@slow_pairs
@given(st.data(), st.sampled_from(CLOSE), st.sampled_from(CLOSE))
def test_what_is_said_of_two_close_types_is_what_happens(data: st.DataObject, old: Typed, new: Typed) -> None:
    check(old[0], new[0], old[1], data)


@slow_pairs
@given(st.data())
def test_what_is_said_of_two_classes_is_what_happens(data: st.DataObject) -> None:
    """Of classes of any kind, with fields that are kept, changed, added and removed, with and without defaults."""

    def drawn() -> tuple[Any, dict[str, Typed]]:
        names = data.draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True))
        typed = {name: data.draw(st.sampled_from(CLOSE)) for name in names}
        optional = data.draw(st.sets(st.sampled_from(names), max_size=2))
        defaults = {name: data.draw(typed[name][1]) for name in names if name in optional}
        hints = {name: hint for name, (hint, _) in typed.items()}
        return data.draw(st.sampled_from(KINDS))(hints, defaults), typed

    (old, typed), (new, _) = drawn(), drawn()
    values = st.fixed_dictionaries({name: values for name, (_, values) in typed.items()})
    check(old, new, values.map(lambda given: old(**given)), data)


@pytest.mark.parametrize(
    ("old", "new", "gap"),
    [
        (dict[str, int], Options, ("$", "dict[str, int] is stored, and Options has no field for keys such as '?'", {"?": 0})),
        (
            dict[Literal["x", "y"], int], Options,
            ("$", "dict['x' | 'y', int] is stored, and Options has no field for keys such as 'y'", {"y": 0}),
        ),
        (More, Fewer, ("$", "More is stored, Fewer has no bit 4", 4)),
        (Colour, Lenient, ("$", "'blue' is stored, no member of Lenient, unless its _missing_ makes one of it", "blue")),
    ],
)  # fmt: skip
def test_what_would_be_lost_without_an_error_is_a_gap(old: Any, new: Any, gap: Any) -> None:
    assert between(old, new) == [gap]
    assert goes_wrong(old, new, gap[2])


def test_keys_that_all_have_a_field_are_kept() -> None:
    assert between(dict[Literal["x"], int], Options) == []
    assert between(Fewer, More) == []


class Swapped(NamedTuple):
    y: int
    x: int = 0


class Longer(NamedTuple):
    x: int
    y: int = 0
    z: str = ""


@dataclass
class Plain:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("first", "between_them", "last", "stored"),
    [
        (int, Decimal, str, "5"),
        (float, Decimal, str | None, "0.5"),
        (list[int], list[Decimal], list[str], "[5]"),
        (tuple[int, int], Point, Plain, "[1,2]"),
        (tuple[int, int], Point, Swapped, "[1,2]"),
        (tuple[int, int], Point, dict[str, int], "[1,2]"),
        (tuple[int, int], Point, Longer, "[1,2]"),
        (float, Decimal, Decimal | None, "0.5"),
        (int, Decimal, float | str, "9007199254740993"),
        (dict[int, int], dict[Decimal, int], dict[str, int], '{"1":2}'),
    ],
)
def test_two_upgrades_that_lose_nothing_lose_nothing_together(
    first: Any, between_them: Any, last: Any, stored: str
) -> None:
    read(first, stored)
    assert between(first, between_them) == []
    found = between(between_them, last)
    assert bool(found) == goes_wrong(between_them, last, json.loads(stored))
    assert all(goes_wrong(between_them, last, gap.example) for gap in found)


def test_what_a_program_never_writes_does_not_matter_to_an_older_one() -> None:
    assert gaps(node(Decimal), node(str), earlier=False) == gaps(node(Longer), node(Point), earlier=False) == []
