"""Read models of a type are found and ordered by the values of its fields, and only by fields that it has."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

import goes_lite as goes
from goes_lite.errors import InvalidQueryError

BERLIN = ZoneInfo("Europe/Berlin")
T0 = datetime(2026, 10, 25, 0, 10, tzinfo=UTC)  # 2:10 in Berlin, for the first time

NIL = UUID(int=0)


class State(enum.Enum):
    OPEN = "open"
    DONE = "done"


class Place(NamedTuple):
    city: str
    metres: float = 0.0


class Note(TypedDict):
    text: str


@dataclass
class Everything:
    number: int = 0
    ratio: float = 0.0
    name: str = ""
    day: date = date(2026, 1, 1)
    key: UUID = NIL
    state: State = State.OPEN
    due: Decimal = Decimal(0)
    at: datetime = T0
    clock: time = time(0)
    took: timedelta = timedelta(0)
    raw: bytes = b""
    mixed: Decimal | int | None = None
    place: Place | None = None
    notes: dict[str, Note] = field(default_factory=dict[str, Note])
    tags: list[str] = field(default_factory=list[str])
    extra: Any = None
    total: int = field(init=False, default=0)


#: Values of each field in their order.
ORDERED: dict[str, list[Any]] = {
    "number": [-5, 0, 7, 10],
    "ratio": [-1e300, -0.5, 2, 10.5],
    "name": ["", "10", "9", "B", "a", "é"],
    "day": [date(1, 2, 3), date(999, 1, 1), date(2026, 1, 1)],
    "key": [UUID(int=1), UUID(int=2**64), UUID(int=2**127)],
    "state": [State.DONE, State.OPEN],  # as they are stored
    "due": [Decimal(-10), Decimal("-9.5"), Decimal("0E+3"), Decimal("1E-7"), Decimal("9.00"), Decimal(10), Decimal("1E+2")],
    "at": [
        T0.astimezone(timezone(timedelta(hours=2))),
        T0 + timedelta(microseconds=1),
        (T0 + timedelta(hours=1)).astimezone(timezone(timedelta(hours=1))),  # what clocks in Berlin show a second time
        (T0 + timedelta(hours=1, seconds=30)).astimezone(timezone(timedelta(hours=-9))),
        T0 + timedelta(hours=1, minutes=1),
    ],
    "clock": [time(3, 4, 5), time(3, 4, 5, 1), time(4), time(12, tzinfo=timezone(timedelta(hours=9))), time(4, tzinfo=UTC)],
    "took": [timedelta(-1), timedelta(seconds=-1), timedelta(seconds=9), timedelta(seconds=10), timedelta(1)],
    "raw": [b"", b"\x00", b"\x01", b"0", b"\xff"],
    "mixed": [None, 9, Decimal("9.5"), Decimal("1E+1"), 11],
}  # fmt: skip


@pytest.fixture(name="typed")
def models() -> Iterator[Any]:
    with goes.blocking.connect("sqlite:///:memory:") as db:
        yield db.models_of("everything", Everything)


@pytest.mark.parametrize("name", ORDERED)
def test_ordered_by_value(typed: Any, name: str) -> None:
    """Every type of field that has an order is ordered by it, None first, equal values by id, and both ways."""
    values = ORDERED[name]
    written = {f"{7 * number % 10}": Everything(**{name: value}) for number, value in enumerate(values)}
    typed.put_many({**written, "same": written["0"]})
    expected = [written["0"], *written.values()]
    if name != "mixed":
        expected[0:2] = [written["0"], written["0"]]
    assert typed.query(order_by=name).list() == expected
    assert typed.query(order_by=name, reverse=True).list() == expected[::-1]
    assert typed.query(order_by=name, limit=2).list() == expected[:2]
    assert typed.query(order_by=name, reverse=True, limit=2).list() == expected[:-3:-1]
    for value in values:
        found = typed.query(where={name: value}).list()
        assert found == [model for model in expected if getattr(model, name) == value], value


def test_a_path_leads_through_every_kind_of_class(typed: Any) -> None:
    """Through objects, NamedTuples, TypedDicts, dicts and plain JSON, by the names of their fields."""
    typed.put("a", Everything(place=Place("Bonn", 10), notes={"x": {"text": "b"}}, extra={"deep": [1, {"er": 2}]}))
    typed.put("b", Everything(place=Place("Ulm", 9.5), notes={"x": {"text": "a"}}, extra={"deep": 5}))
    typed.put("c", Everything())
    numbers = {model.place and model.place.city for model in typed.query(where={"notes.x.text": "a"})}
    assert numbers == {"Ulm"}
    assert [model.place and model.place.city for model in typed.query(order_by="place.metres")] == [None, "Ulm", "Bonn"]
    assert len(typed.query(where={"extra.deep": 5}).list()) == 1
    assert len(typed.query(where={"place.city": None}).list()) == 1


def test_a_value_may_be_given_as_json(typed: Any) -> None:
    """As the store has it, which for a Decimal or a datetime means the value."""
    typed.put("a", Everything(due=Decimal("9.00"), key=UUID(int=5), at=T0))
    for where in (
        {"due": "9.0"},
        {"key": str(UUID(int=5))},
        {"at": "2026-10-25T02:10:00+02:00"},
        {"at": T0.astimezone(BERLIN)},
        {"state": "open"},
    ):
        assert len(typed.query(where=where).list()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"where": {"nubmer": 1}}, "Everything has no field 'nubmer': it has number, ratio, name, day,"),
        ({"order_by": "nubmer"}, "Everything has no field 'nubmer': it has number, ratio,"),
        ({"where": {"place.town": 1}}, "Everything.place has no field 'town': it has city, metres"),
        ({"order_by": "notes.x.txet"}, "Everything.notes.x has no field 'txet': it has text"),
        ({"where": {"number.x": 1}}, "Everything.number has no field 'x': it is int"),
        ({"where": {"total": 0}}, "Everything does not store its field 'total', which has init=False"),
        ({"where": {"tags": ["a"]}}, "cannot compare Everything.tags with ['a']: it is list[str]"),
        ({"order_by": "tags"}, "cannot order by Everything.tags, because list[str] has no order"),
        ({"order_by": "place"}, "cannot order by Everything.place, because Place has no order"),
        ({"where": {"number": "1"}}, "where Everything.number = '1': expected int, got str, the field is int"),
        ({"where": {"due": "x"}}, "where Everything.due = 'x': expected Decimal, got str, the field is Decimal"),
        ({"where": {"at": datetime(2026, 1, 1)}}, "a datetime needs a time zone"),
        ({"where": {"state": "opne"}}, "where Everything.state = 'opne': expected State, got str"),
        ({"where": {"extra": Decimal(1)}}, "only str, int (64 bit), float, bool and None can be compared"),
        ({"order_by": 5}, "a field is a dotted path"),
        ({"where": 5}, "where is a mapping"),
        ({"where": {"due": Decimal(1)}, "limit": -1}, "limit is an int ≥ 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(typed: Any, arguments: Any, message: str) -> None:
    """It is refused before anything is read, with what there is."""
    with pytest.raises(InvalidQueryError) as caught:
        typed.query(**arguments)
    assert message in str(caught.value)


def test_many_pages(typed: Any) -> None:
    """What this process selects and orders holds for any number of models."""
    written = {f"{number:04}": Everything(due=Decimal(number % 7), number=number) for number in range(2500)}
    typed.put_many(written)
    found = [model.number for model in typed.query(order_by="due", reverse=True, limit=800)]
    assert found == sorted(range(2500), key=lambda number: (number % 7, number), reverse=True)[:800]
    for limit in (None, 0, 5, 2000):
        some = [model.number for model in typed.query(where={"due": Decimal("3.0")}, order_by="number", limit=limit)]
        assert some == [*range(3, 2500, 7)][:limit]


def test_a_range_of_times_over_the_end_of_summer_time() -> None:
    """The clocks of a zone go back: the range is judged by the instants, not by what the clocks show."""
    early, late = (datetime(2026, 10, 25, 2, 30 - 20 * fold, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    goes.Between(early, late)
    goes.EventQuery(min_time=early, max_time=late)
    with pytest.raises(InvalidQueryError, match="is empty"):
        goes.Between(late, early)
    with pytest.raises(InvalidQueryError, match="a time needs a zone"):
        goes.Between(early.replace(tzinfo=None), late.replace(tzinfo=None))


def test_a_deadline_can_only_move_earlier_over_the_end_of_summer_time() -> None:
    """The same for deadlines."""
    early, late = (datetime(2026, 10, 25, 2, 30 - 20 * fold, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    with goes.Context.bind(deadline=early), goes.Context.bind(deadline=late) as context:
        assert context.deadline == early.astimezone(UTC)
