"""What commands and other faces show of a log: what belongs together, how much there is, what differs, which names there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.operations.difference import Difference, differences, plain
from goes_lite.operations.names import aggregate_names, event_names
from goes_lite.operations.statistics import statistics
from goes_lite.operations.trace import Step, trace

registry = goes.Registry()


@registry.event("a.happened")
@dataclass(frozen=True)
class Happened:
    text: str = ""


@pytest.fixture
def db() -> Iterator[BlockingDatabase]:
    with goes.blocking.connect(":memory:", registry=registry) as db:
        yield db


def append(db: BlockingDatabase, metadata: Mapping[str, str] | None = None, **fields: Any) -> goes.Event[Any]:
    event = goes.Event(Happened(fields.pop("text", "")), metadata=metadata, registry=registry, **fields)
    return event.at(db.events.append([event]).position)


def shape(steps: list[Step]) -> list[Any]:
    """Positions as nested lists; ids of what is no event."""
    return [[step.event.position if step.event else step.id, *shape(step.consequences)] for step in steps]


def tree(db: BlockingDatabase, event: goes.Event[Any]) -> list[Any]:
    return shape(db._portal.run(trace(db.backend, event)).beginnings)


# --- trace ------------------------------------------------------------------------------------------------------------


def test_a_tree_is_the_same_from_each_of_its_events(db: BlockingDatabase) -> None:
    """Others, and those of other trees, are left out."""
    first = append(db)
    append(db)
    links = {"correlation": str(first.id)}
    second = append(db, {**links, "causation": str(first.id)})
    third = append(db, {**links, "causation": str(second.id)})
    other = append(db)
    append(db, {"correlation": str(other.id), "causation": str(other.id)})
    fourth = append(db, {**links, "causation": str(first.id)})

    for event in (first, second, third, fourth):
        assert tree(db, event) == [[1, [3, [4]], [7]]]
    assert tree(db, other) == [[5, [6]]]


def test_a_command_begins_a_tree(db: BlockingDatabase) -> None:
    """It is no event: what it caused hangs together by its id."""
    links = {"correlation": "c-1", "causation": "c-1"}
    append(db, links)
    second = append(db, links)
    append(db, {"correlation": "c-1", "causation": str(second.id)})

    assert tree(db, second) == [["c-1", [1], [2, [3]]]]


def test_events_that_claim_to_cause_each_other_are_all_there(db: BlockingDatabase) -> None:
    """Metadata is the program's, and may be wrong."""
    one, two = goes.new_id(), goes.new_id()
    append(db, {"correlation": "x", "causation": str(two)}, id=one)
    append(db, {"correlation": "x", "causation": str(one)}, id=two)
    alone = append(db, {"correlation": "x", "causation": str(goes.new_id())})

    found = tree(db, alone)
    assert found[0][1:] == [[3]]
    assert found[1:] == [[1, [2]]]


def test_a_long_chain(db: BlockingDatabase) -> None:
    """Deeper than Python's stack."""
    ids = [goes.new_id() for _ in range(3000)]
    links = [{"correlation": str(ids[0]), "causation": str(before)} for before in ids[:-1]]
    db.events.append([
        goes.Event(Happened(), id=id, metadata=metadata, registry=registry)
        for id, metadata in zip(ids, [{}, *links], strict=True)
    ])  # fmt: skip
    (last,) = db.events.query(limit=1, reverse=True)
    found = db._portal.run(trace(db.backend, last))

    depth, steps = 0, found.beginnings
    while steps:
        depth, steps = depth + 1, steps[0].consequences
    assert (found.events, depth) == (3000, 3000)


# --- statistics and names ---------------------------------------------------------------------------------------------


def test_statistics_count_what_is_there(db: BlockingDatabase) -> None:
    """Sizes are bytes of UTF-8; days are those of UTC; a position limits them on both sides."""
    day = datetime(1969, 12, 31, 23, 59, 59, 999_999, timezone.utc)
    append(db, text="é", time=day)
    append(db, aggregate=("thing", "1"), version=1, time=day + timedelta(microseconds=1))
    append(db, aggregate=("thing", "2"), version=1, time=day + timedelta(days=2))
    told: list[tuple[int, int]] = []

    found = db._portal.run(statistics(db.backend, progress=lambda position, head: told.append((position, head))))

    assert (found.head, found.total.events) == (3, 3)
    assert found.total.bytes == len('{"text":"é"}'.encode()) + 2 * len('{"text":""}')
    assert {name: count.events for name, count in found.aggregates.items()} == {"": 1, "thing": 2}
    assert found.days == {date(1969, 12, 31): 1, date(1970, 1, 1): 1, date(1970, 1, 2): 1}
    assert (found.first, found.last) == (day, day + timedelta(days=2))
    assert told[-1] == (3, 3)
    assert db._portal.run(statistics(db.backend, after=1, upto=2)).total.events == 1
    nothing = db._portal.run(statistics(db.backend, goes.EventQuery(["no.such"])))
    assert (nothing.total.events, nothing.first, nothing.days) == (0, None, {})


def test_names_are_found_without_reading_all(db: BlockingDatabase) -> None:
    """Whatever the ids look like."""
    longest = "\U0010ffff" * 256
    for name in ("a", "a.b", "b", "é"):
        append(db, aggregate=(name, "1"), version=1)
        append(db, aggregate=(name, longest), version=1)

    assert db._portal.run(aggregate_names(db.backend)) == ["a", "a.b", "b", "é"]
    assert db._portal.run(event_names(db.backend)) == ["a.happened"]


# --- differences --------------------------------------------------------------------------------------------------------


class Color(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Thing:
    color: Color
    points: list[Point]
    price: Decimal
    tags: set[str] = field(default_factory=set[str])


def test_a_state_becomes_plain() -> None:
    """What JSON cannot express is text; nothing recurses for ever."""
    thing = Thing(Color.RED, [Point(1, 2)], Decimal("1.50"), {"b", "a"})
    endless: list[Any] = []
    endless.append(endless)

    assert plain(thing) == {"color": "red", "points": [{"x": 1, "y": 2}], "price": "1.50", "tags": ["a", "b"]}
    assert plain({1: float("nan"), "t": datetime(2026, 1, 1, tzinfo=timezone.utc)}) == {
        "1": "nan", "t": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    assert isinstance(plain(endless), list)


def test_differences_say_where() -> None:
    before = {"a": 1, "b": {"c": [1, 2]}, "d": None}
    after = {"a": 1, "b": {"c": [1, 3, 4]}, "e": True}

    assert differences(before, after) == [
        Difference("b.c[1]", 2, 3, "changed"), Difference("b.c[2]", None, 4, "added"),
        Difference("d", None, None, "removed"), Difference("e", None, True, "added"),
    ]  # fmt: skip
    assert differences({"a": 1}, {"a": True}) == [Difference("a", 1, True, "changed")]


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(_values, _values)
def test_there_is_a_difference_unless_they_are_the_same(before: Any, after: Any) -> None:
    assert differences(before, before) == []
    as_json = [json.dumps(value, sort_keys=True) for value in (before, after)]  # where 1 is not true
    assert bool(differences(before, after)) == (as_json[0] != as_json[1])
