"""How much of a payload is shown: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import pytest

from goes_lite import Registry
from goes_lite.errors import ConfigError
from goes_lite.explorer import Explorer
from goes_lite.explorer.disclosure import MASK, OURS, Disclosure, Level, is_personal

PERSONAL = {"personal": True}


@dataclass
class Address:
    street: str = field(metadata=PERSONAL)
    city: str


@dataclass
class Person:
    name: str = field(metadata=PERSONAL)
    age: int
    home: Address
    former: list[Address]
    by_year: dict[str, Address]
    friend: Person | None = None
    notes: Mapping[str, str] = field(default_factory=dict[str, str], metadata=PERSONAL)


@dataclass
class Harmless:
    amount: int


DATA = {
    "name": "Ada",
    "age": 36,
    "home": {"street": "A 1", "city": "Bonn"},
    "former": [{"street": "B 2", "city": "Ulm"}],
    "by_year": {"1999": {"street": "C 3", "city": "Jena"}},
    "friend": None,
    "notes": {"x": "y", "z": None},
    "added": 7,
}


def test_what_is_declared_personal_is_masked_at_any_depth() -> None:
    shown = Disclosure("limited").value(DATA, Person)

    assert shown == {
        "name": MASK,
        "age": 36,
        "home": {"street": MASK, "city": "Bonn"},
        "former": [{"street": MASK, "city": "Ulm"}],
        "by_year": {"1999": {"street": MASK, "city": "Jena"}},
        "friend": None,
        "notes": MASK,
        "added": 7,
    }


def test_a_type_that_contains_itself_and_one_without_declarations() -> None:
    assert not is_personal(Harmless)
    assert is_personal(list[Person | None])
    assert not is_personal(dict[str, int])
    friend = Disclosure("limited").value({"friend": {"friend": DATA | {"home": None}}}, Person)["friend"]["friend"]
    assert (friend["name"], friend["former"][0]["street"], friend["age"]) == (MASK, MASK, 36)


@pytest.mark.parametrize(
    ("level", "unknown", "harmless", "older"),
    [
        ("none", MASK, MASK, MASK),
        ("masked", {"amount": MASK}, {"amount": 1}, {"name": MASK}),
        ("limited", {"amount": 1}, {"amount": 1}, {"name": MASK}),
        ("full", {"amount": 1}, {"amount": 1}, {"name": "Ada"}),
    ],
)
def test_levels(level: Level, unknown: Any, harmless: Any, older: Any) -> None:
    disclosure = Disclosure(level)

    assert disclosure.value({"amount": 1}) == unknown
    assert disclosure.value({"amount": 1}, Harmless) == harmless
    assert disclosure.value({"name": "Ada"}, Person, current=False) == older


@pytest.mark.parametrize(("level", "shown"), [("none", MASK), ("masked", MASK), ("limited", "x"), ("full", "x")])
def test_a_payload_without_a_structure(level: Level, shown: str) -> None:
    assert Disclosure(level).text("x") == shown
    assert Disclosure(level).text("x", Harmless) == shown
    assert Disclosure(level).text("x", Person) == (shown if level == "full" else MASK)
    assert Disclosure(level).text("x", OURS) == (shown if level == "full" else MASK)


class Row(NamedTuple):
    person: Address


class Card(TypedDict):
    person: Address


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    item: T
    owner: str = field(default="", metadata=PERSONAL)
    seen: object = field(init=False, compare=False, default=None)


@attrs.define
class Letter:
    to: str = attrs.field(metadata=PERSONAL)
    size: int


@dataclass
class Phones:
    by_name: dict[str, str] = field(metadata=PERSONAL)


class Odd:
    """A type that only a codec of the program knows."""

    letter: Letter


class Lost:
    letter: Nowhere  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


ADA = {"street": "Ada", "city": "Bonn"}
HIDDEN = {"street": MASK, "city": "Bonn"}


@pytest.mark.parametrize("level", ["masked", "limited"])
@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (Row, {"person": ADA}, {"person": HIDDEN}),
        (Card, {"person": ADA}, {"person": HIDDEN}),
        (Box[Address], {"item": ADA, "owner": "Ada"}, {"item": HIDDEN, "owner": MASK}),
        (Box[list[Address]], {"item": [ADA], "seen": "Ada"}, {"item": [HIDDEN], "seen": MASK}),
        (tuple[int, Address], [1, ADA], [1, HIDDEN]),
        (dict[str, int | Address], {"a": ADA, "b": 1}, {"a": HIDDEN, "b": 1}),
        (Letter, {"to": "Ada", "size": 3}, {"to": MASK, "size": 3}),
        (Phones, {"by_name": {"Ada": "1"}}, {"by_name": MASK}),
        (Row, {"person": "Ada"}, {"person": MASK}),
        (Row, ["Ada"], MASK),
        (tuple[int, Address], [1], MASK),
        (Odd, {"letter": {"to": "Ada"}}, {"letter": MASK}),
        (Lost, {"letter": "Ada"}, {"letter": MASK}),
        (OURS, {"payload": "Ada", "more": {"Ada": 1}}, {"payload": MASK, "more": MASK}),
    ],
)
def test_a_value_is_walked_with_its_type_and_masked_where_it_cannot_be(
    level: Level, kind: Any, value: Any, shown: Any
) -> None:
    assert Disclosure(level).value(value, kind) == shown
    assert Disclosure("full").value(value, kind) == value


def test_a_field_that_the_type_does_not_know() -> None:
    assert Disclosure("masked").value({"amount": 1, "email": "a@b"}, Harmless) == {"amount": 1, "email": MASK}
    assert Disclosure("limited").value({"amount": 1, "email": "a@b"}, Harmless) == {"amount": 1, "email": "a@b"}


@pytest.mark.parametrize("level", ["none", "masked", "limited"])
def test_of_an_error_only_the_class_is_shown(level: Level) -> None:
    disclosure = Disclosure(level)
    assert disclosure.error("ValueError: no address of Ada") == "ValueError"
    assert disclosure.error("no address of Ada: none") == disclosure.error("Ada") == MASK
    assert disclosure.error("") == ""
    assert Disclosure("full").error("ValueError: Ada") == "ValueError: Ada"


def test_an_event_of_an_older_schema_is_masked_as_a_whole() -> None:
    """Its fields may have had other names."""
    registry = Registry()
    registry.register("person.joined", Person, schema=2)
    event = {"event": "person.joined", "schema": 1, "data": {"fullname": "Ada", "age": 36}}

    assert Disclosure("limited").event(event, registry)["data"] == {"fullname": MASK, "age": MASK}
    assert Disclosure("limited").event({**event, "schema": 2}, registry)["data"] == {"fullname": "Ada", "age": 36}
    assert Disclosure("full").event(event, registry)["data"] == event["data"]


def test_another_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="none, masked, limited, full"):
        Explorer(None, disclose="everything")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
