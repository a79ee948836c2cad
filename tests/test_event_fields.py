"""What no backend could keep is refused where it enters: by the constructors of events, references and queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from goes_lite.errors import InvalidEventError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry

registry = Registry()
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
A = AggregateRef("order", "a")


@registry.event("noted")
@dataclass(frozen=True)
class Noted:
    text: str = ""


ABSURD_IDS: list[Any] = ["", "x" * 1_000_000, "a\0b", "\ud800", "x\udfff", None, 5, b"a", ["a"], ("a",)]


def test_absurd_ids_are_refused_where_they_enter() -> None:
    """Aggregate ids and names, tags and event ids that not every backend could keep are InvalidEventError."""
    for id in ABSURD_IDS:
        with pytest.raises(InvalidEventError):
            AggregateRef("order", id)
        with pytest.raises(InvalidEventError):
            AggregateRef(id, "1")
        with pytest.raises(InvalidEventError):
            Event(Noted("x"), aggregate=("order", id), version=1, registry=registry)
        with pytest.raises(InvalidEventError):
            Event(Noted("x"), tags=[id], registry=registry)
        with pytest.raises(InvalidQueryError):
            EventQuery(aggregate_ids=[id])
    absurd_tags: list[Any] = ["color:red", b"color:red", 5, ["color"], ["color:"], [":red"], [None]]
    for tags in absurd_tags:
        with pytest.raises(InvalidEventError):
            Event(Noted("x"), tags=tags, registry=registry)


BAD_FIELDS: list[dict[str, Any]] = [
    {"aggregate": 5, "version": 1}, {"aggregate": "ab", "version": 1}, {"aggregate": ("a",), "version": 1},
    {"aggregate": ("a", "b", "c"), "version": 1}, {"aggregate": A}, {"version": 1}, {"aggregate": A, "version": 0},
    {"aggregate": A, "version": -1}, {"aggregate": A, "version": "1"}, {"aggregate": A, "version": True},
    {"aggregate": A, "version": 1.0}, {"id": "x"}, {"id": b"0" * 16}, {"id": 5}, {"time": NOON.replace(tzinfo=None)},
    {"time": "2026"}, {"time": 5}, {"time": NOON.date()}, {"metadata": [("a", "b")]}, {"metadata": "ab"},
    {"metadata": {"a": 5}}, {"metadata": {5: "a"}}, {"metadata": {"": "a"}}, {"metadata": {"a": "\ud800"}},
    {"metadata": {"a": None}}, {"name": 5}, {"name": ["noted"]},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=repr)
def test_bad_fields_of_an_event_are_refused(fields: dict[str, Any]) -> None:
    """InvalidEventError, which is a ValueError, with the value in its message."""
    with pytest.raises(InvalidEventError) as caught:
        Event(Noted("x"), registry=registry, **fields)
    assert isinstance(caught.value, ValueError)


def test_the_id_of_its_aggregate() -> None:
    """A str, not one or None; an error for an event without an aggregate says what to look at."""
    of_one = Event(Noted("x"), aggregate=A, version=1, registry=registry)
    assert of_one.aggregate_id == of_one.at(7).aggregate_id == A.id
    with pytest.raises(InvalidEventError, match="at position 7 happened to no aggregate.*its .aggregate is None$"):
        _ = Event(Noted("x"), registry=registry).at(7).aggregate_id


def test_times_outside_utc_are_refused() -> None:
    """A local time whose UTC lies before year 1 or behind 9999 is an error, in events and in queries."""
    far_east, far_west = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12, minutes=34, seconds=56))
    for time in (datetime.min.replace(tzinfo=far_east), datetime.max.replace(tzinfo=far_west)):
        with pytest.raises(InvalidEventError, match="years 1 to 9999"):
            Event(Noted("x"), time=time, registry=registry)
        with pytest.raises(InvalidQueryError, match="years 1 to 9999"):
            EventQuery(min_time=time)
