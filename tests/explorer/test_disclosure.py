"""How much of a payload is shown: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from goes_lite import Registry
from goes_lite.errors import ConfigError
from goes_lite.explorer import Explorer
from goes_lite.explorer.disclosure import MASK, Disclosure, Level, mask_of

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
        "notes": {"x": MASK, "z": None},
        "added": 7,
    }


def test_a_type_that_contains_itself_and_one_without_declarations() -> None:
    assert mask_of(Harmless) == {}
    assert mask_of(list[Person | None])
    assert not mask_of(dict[str, int])


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
