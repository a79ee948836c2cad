"""The meaning of a query, its valid arguments, and that the SQL agrees with `matches`."""

from __future__ import annotations

import copy
import importlib.util
import pickle
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goes_lite import blocking
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, Between, EventQuery, Span
from goes_lite.events.registry import Registry
from goes_lite.kit import branches, select

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
registry = Registry()


@registry.event("a")
@dataclass(frozen=True)
class A:
    pass


@registry.event("b", aliases=["old-b"])
@dataclass(frozen=True)
class B:
    pass


@registry.event("c")
@dataclass(frozen=True)
class C:
    pass


# --- construction -----------------------------------------------------------------------------------------------------

BAD: list[dict[str, Any]] = [
    {"names": "a"}, {"names": 5}, {"names": [5]}, {"names": [""]}, {"names": ["a b"]}, {"names": ["a*"]},
    {"names": ["x" * 256]}, {"names": [None]}, {"names": ["\ud800"]}, {"names": b"a"},
    {"aggregates": ("order", "1")}, {"aggregates": [("order",)]}, {"aggregates": [("order", "")]},
    {"aggregates": [("", "1")]}, {"aggregates": ["ab"]}, {"aggregates": [5]}, {"aggregates": [("order", 5)]},
    {"aggregate_names": "order"}, {"aggregate_names": [""]}, {"aggregate_names": [5]},
    {"aggregate_ids": "1"}, {"aggregate_ids": [""]}, {"aggregate_ids": [5]}, {"aggregate_ids": ["a\0"]},
    {"aggregate_ids": ["x" * 1025]}, {"aggregate_ids": ["\ud800"]},
    {"versions": 1}, {"versions": "1"}, {"versions": [-1]}, {"versions": [1.0]}, {"versions": [True]},
    {"versions": [2**63]}, {"versions": [None]}, {"versions": [Between(cast(Any, "a"), cast(Any, "b"))]},
    {"times": NOON}, {"times": [NOON.replace(tzinfo=None)]}, {"times": [date(2026, 1, 1)]}, {"times": ["2026"]},
    {"times": [5]}, {"times": [Between(cast(Any, 1), cast(Any, 2))]},
    {"tags": "color:red"}, {"tags": ["color"]}, {"tags": [":red"]}, {"tags": ["color:"]}, {"tags": [5]},
    {"tags": ["k:" + "x" * 1024]},
    {"ids": UUID(int=1)}, {"ids": [str(UUID(int=1))]}, {"ids": [5]}, {"ids": "x"},
    {"min_version": -1}, {"min_version": "1"}, {"max_version": 1.5}, {"min_version": 3, "max_version": 2},
    {"versions": [1], "min_version": 2}, {"min_time": NOON.replace(tzinfo=None)}, {"max_time": 5},
    {"min_time": NOON, "max_time": NOON - timedelta(microseconds=1)}, {"times": [NOON], "min_time": NOON + timedelta(1)},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD, ids=lambda fields: f"{fields!r:.60}")
def test_bad_fields_are_invalid_query_errors(fields: dict[str, Any]) -> None:
    """They are ValueErrors; the message says more than the type."""
    with pytest.raises(InvalidQueryError) as caught:
        EventQuery(**fields)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize(
    ("first", "last"), [(2, 1), (NOON, NOON - timedelta(1)), (NOON, NOON.replace(tzinfo=None)), (1, "2"), (NOON, 1)]
)
def test_a_range_that_can_hold_nothing_is_refused(first: Any, last: Any) -> None:
    """Between checks its ends on creation; open ends are None."""
    with pytest.raises(InvalidQueryError):
        Between(first, last)
    assert Between(None, 5).first is None
    assert repr(Between(1, None)) == "Between(1, None)"


def test_a_registered_type_stands_for_its_names() -> None:
    """All of them, in the registry that is passed; strings can stand next to it."""
    several = Registry()
    several.register("x", A)
    several.register("y", A)
    assert EventQuery([A, "c"], registry=registry) == EventQuery(["a", "c"])
    assert EventQuery([A], registry=several) == EventQuery(["x", "y"])
    assert EventQuery([B], registry=registry).matches(Event(B(), registry=registry))
    with pytest.raises(InvalidQueryError, match=r"^A is not registered as an event: .*another Registry, pass that one"):
        EventQuery([A])
    with pytest.raises(InvalidQueryError, match=r"^names must be a collection of events, not one: write \[A\]$"):
        EventQuery(cast(Any, A), registry=registry)


def test_values_are_kept_as_a_sorted_set() -> None:
    """Their order, repetitions and the type of the collection do not matter."""
    one = EventQuery(["b", "a", "b"], tags=("x:2", "x:1"), aggregates=[("order", "2"), AggregateRef("order", "1")])
    two = EventQuery({"a", "b"}, tags=iter(["x:1", "x:2"]), aggregates=[("order", "1"), ("order", "2")])
    assert one == two
    assert hash(one) == hash(two)
    assert one.items[0].names == ("a", "b")
    assert EventQuery(names={"a": 1}.keys()) == EventQuery(["a"])


def test_a_uuid_stands_for_its_text() -> None:
    """As the id of an aggregate."""
    uuid = uuid4()
    assert EventQuery(aggregate_ids=[uuid]) == EventQuery(aggregate_ids=[str(uuid)])
    assert EventQuery(aggregates=[("order", uuid)]) == EventQuery(aggregates=[("order", str(uuid))])


def test_queries_compare_by_meaning() -> None:
    """Alternatives in any order are equal; anything else is not, nor is another type."""
    a, b = EventQuery(["a"]), EventQuery(["b"])
    assert a | b == b | a == EventQuery.any_of(a, b, a)
    assert hash(a | b) == hash(b | a)
    assert a | a == a
    assert a != b
    assert a != "a"
    assert EventQuery() == EVERYTHING
    assert EventQuery(versions=[1]) == EventQuery(min_version=1, max_version=1)
    assert len({a, b, EventQuery(["a"])}) == 2


def test_only_queries_can_be_united() -> None:
    """The operator raises TypeError, any_of InvalidQueryError; there is no union of nothing."""
    with pytest.raises(TypeError):
        _ = EventQuery() | cast(Any, "a")
    with pytest.raises(InvalidQueryError):
        EventQuery.any_of(cast(Any, 5))
    with pytest.raises(InvalidQueryError):
        EventQuery.any_of()


def test_a_query_is_immutable() -> None:
    """Setting any attribute is an error."""
    with pytest.raises(AttributeError, match="immutable"):
        cast(Any, EventQuery()).items = ()
    with pytest.raises(AttributeError):
        cast(Any, EventQuery()).other = 1


def test_queries_can_be_copied_and_pickled() -> None:
    """Alone and inside an error that crosses a process boundary."""
    query = EventQuery(["a"], times=[NOON], aggregates=[("order", "1")]) | EventQuery(tags=["x:1"])
    assert copy.copy(query) == copy.deepcopy(query) == pickle.loads(pickle.dumps(query)) == query
    error = pickle.loads(pickle.dumps(AppendConditionFailed(AppendCondition(query, 3), 7)))
    assert (error.condition, error.position) == (AppendCondition(query, 3), 7)


def test_events_can_be_copied_and_pickled() -> None:
    """With every field, including the position and the stored form."""
    event = Event(A(), aggregate=("order", "1"), version=1, metadata={"a": "b"}, tags=["x:1"], registry=registry).at(7)
    for again in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert again == event
        assert (again.position, again.encoded, dict(again.metadata)) == (7, event.encoded, {"a": "b"})


def test_repr_shows_the_arguments() -> None:
    """In the form in which one would write it; a union as a union."""
    query = EventQuery(["a"], versions=[1, Between(3, None)], min_time=NOON) | EventQuery()
    assert repr(EventQuery()) == "EventQuery()"
    assert repr(query) == (
        f"EventQuery(names=['a'], versions=[1, Between(3, None)], times=[Between({NOON!r}, None)]) | EventQuery()"
    )
    assert repr(EventQuery(tags=["x:1"], times=[NOON])) == f"EventQuery(times=[{NOON!r}], tags=['x:1'])"


def test_bounds_narrow_every_range() -> None:
    """min and max apply in addition to versions and times."""
    query = EventQuery(versions=[1, Between(2, 8), Between(None, None)], min_version=3, max_version=5)
    assert set(query.items[0].versions) == {Span(3, 5)}
    assert EventQuery(versions=[9, 4], max_version=5) == EventQuery(versions=[4])


def test_everything_is_recognised() -> None:
    """A query without restrictions, also as one of several alternatives."""
    assert EventQuery().is_everything
    assert (EventQuery(["a"]) | EventQuery()).is_everything
    assert not EventQuery(["a"]).is_everything


def test_matches_is_and_across_fields_and_or_within() -> None:
    """Except tags, all of which an event must carry; events of no aggregate match no field about aggregates."""
    event = Event(A(), aggregate=("order", "1"), version=2, tags=["x:1", "y:2"], time=NOON, registry=registry)
    loose = Event(B(), tags=["x:1"], time=NOON, registry=registry)
    day = timedelta(days=1)
    for query, of_event, of_loose in [
        (EventQuery(), True, True),
        (EventQuery(["a", "c"]), True, False),
        (EventQuery(["c"]), False, False),
        (EventQuery(aggregates=[("order", "1"), ("order", "2")]), True, False),
        (EventQuery(aggregates=[("order", "2")]), False, False),
        (EventQuery(aggregate_names=["order"]), True, False),
        (EventQuery(aggregate_ids=["1"]), True, False),
        (EventQuery(aggregate_names=["order"], aggregate_ids=["2"]), False, False),
        (EventQuery(versions=[0, 1]), False, True),
        (EventQuery(versions=[Between(2, 2)]), True, False),
        (EventQuery(min_version=1), True, False),
        (EventQuery(times=[Between(NOON, NOON)]), True, True),
        (EventQuery(times=[Between(NOON + day, None), Between(None, NOON - day)]), False, False),
        (EventQuery(tags=["x:1"]), True, True),
        (EventQuery(tags=["x:1", "y:2"]), True, False),
        (EventQuery(ids=[event.id]), True, False),
        (EventQuery(["a"], tags=["x:1"], versions=[1]), False, False),
        (EventQuery(["a"]) | EventQuery(["b"]), True, True),
    ]:
        assert (query.matches(event), query.matches(loose)) == (of_event, of_loose), query


# --- the SQL agrees -----------------------------------------------------------------------------------------------------

REFS = [AggregateRef(name, id) for name in ("order", "invoice") for id in ("1", "2", "é")]
TAGS = ["t:1", "t:2", "u:1"]
TIMES = [NOON + timedelta(microseconds=number) for number in (-(10**15), -1, 0, 1, 10**9)]
IDS = [UUID(int=number) for number in range(1, 40)]


@st.composite
def logs(draw: st.DrawFn) -> list[Event[Any]]:
    versions: dict[AggregateRef, int] = {}
    log: list[Event[Any]] = []
    for id in IDS[: draw(st.integers(0, 30))]:
        ref = draw(st.sampled_from([None, *REFS]))
        if ref is not None:
            versions[ref] = versions.get(ref, 0) + 1
        log.append(
            Event(
                draw(st.sampled_from([A(), B(), C()])),
                id=id,
                aggregate=ref,
                version=versions[ref] if ref else 0,
                time=draw(st.sampled_from(TIMES)),
                tags=draw(st.sets(st.sampled_from(TAGS))),
                registry=registry,
            )
        )
    return log


def some(values: list[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    """A strategy that usually draws nothing, so that queries match something."""
    return st.one_of(st.just([]), st.just([]), st.lists(st.sampled_from(values), max_size=most))


def ranges(values: list[Any]) -> st.SearchStrategy[Any]:
    def between(ends: tuple[Any, Any]) -> Between[Any]:
        return Between(*(ends if None in ends else sorted(ends)))

    return st.tuples(st.sampled_from([None, *values]), st.sampled_from([None, *values])).map(between)


ITEMS = st.builds(
    EventQuery,
    some(["a", "b", "c", "nothing"]),
    aggregates=some([*REFS, AggregateRef("order", "none")]),
    aggregate_names=some(["order", "invoice", "none"]),
    aggregate_ids=some(["1", "2", "é", "none"]),
    versions=st.one_of(st.just([]), st.lists(st.one_of(st.integers(0, 5), ranges([0, 1, 2, 4])), max_size=2)),
    times=st.one_of(st.just([]), st.lists(st.one_of(st.sampled_from(TIMES), ranges(TIMES)), max_size=2)),
    tags=some(TAGS, 2),
    ids=some([*IDS[:20], UUID(int=99)]),
)
QUERIES = st.lists(ITEMS, min_size=1, max_size=3).map(lambda items: EventQuery.any_of(*items))
# Many alternatives that differ in one value, which become one branch.
WIDE = st.tuples(ITEMS, st.just(EventQuery([f"name-{n}" for n in range(70)]))).map(lambda pair: pair[0] | pair[1])
POSITIONS = st.one_of(st.none(), st.integers(0, 32))


@pytest.mark.parametrize("where", ["memory", "file", "several statements"])
@pytest.mark.parametrize("driver", ["apsw", "sqlite3"])
def test_a_store_agrees_with_matches(
    driver: str, where: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Query with after, upto, limit and reverse; count; and conditions, which refuse exactly where something matches."""
    if driver == "apsw" and importlib.util.find_spec("apsw") is None:
        pytest.skip("apsw is not installed")
    if where == "several statements":  # as for a thousand alternatives, with few
        for module, name, value in (
            (branches, "FEW", 1), (branches, "MANY", 2), (branches, "STRETCH", 2),
            (select, "MAX_BRANCHES", 2), (select, "COUNTED", 3),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, value)

    @settings(settings() if where == "memory" else settings(max_examples=10 if where == "file" else 40))
    @given(logs(), st.lists(st.one_of(QUERIES, WIDE), min_size=1, max_size=6), POSITIONS, POSITIONS, POSITIONS)
    def check(
        log: list[Event[Any]], queries: list[EventQuery], after: int | None, upto: int | None, limit: int | None
    ) -> None:
        path = ":memory:" if where != "file" else str(tmp_path_factory.mktemp("store") / "store.db")
        with blocking.connect(path, driver=driver, registry=registry, durability="memory") as db:
            db.events.append(log)
            stored = db.events.query().list()
            assert stored == log
            for query in queries:
                matching = [event for event in stored if query.matches(event)]
                assert db.events.query(query).list() == matching
                assert db.events.count(query) == len(matching)
                for reverse in (False, True):
                    window = [e for e in matching if (after or 0) < e.position and (upto is None or e.position <= upto)]
                    expected = window[::-1] if reverse else window
                    found = db.events.query(query, after=after or 0, upto=upto, limit=limit, reverse=reverse).list()
                    assert found == (expected if limit is None else expected[:limit])
                last = matching[-1].position if matching else 0
                condition = AppendCondition(query, after or 0)
                head = db.events.head()
                if last > (after or 0):
                    with pytest.raises(AppendConditionFailed) as caught:
                        db.events.append([Event(A(), registry=registry)], condition=condition)
                    assert query.matches(stored[caught.value.position - 1])
                    assert caught.value.position > (after or 0)
                    assert db.events.head() == head
                else:
                    with pytest.raises(ZeroDivisionError), db.transaction() as transaction:
                        transaction.events.append([Event(A(), registry=registry)], condition=condition)
                        raise ZeroDivisionError

    check()
