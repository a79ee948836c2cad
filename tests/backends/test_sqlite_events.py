"""The promises of `EventStore`, each as one test: in memory and in a file, on every face, with each driver."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import pytest

from goes_lite.backend import Backend
from goes_lite.blocking import connect
from goes_lite.codec import FunctionCodec
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    ConfigError,
    DecodeError,
    DriverMissing,
    DuplicateEventError,
    EncodeError,
    InvalidEventError,
    InvalidQueryError,
    StoreClosed,
    UnknownEventError,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.query import Between, EventQuery
from goes_lite.registry import Raw, Registry
from goes_lite.snapshot import Snapshot
from goes_lite.store import AggregateInfo, AppendCondition, Appended

if TYPE_CHECKING:
    from tests.backends.faces import Counted, Noted, Place, count, note, registry, story
else:
    from faces import Counted, Noted, Place, count, note, registry, story

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
A, B, C = (AggregateRef("order", id) for id in "abc")


async def texts(db: Backend, query: EventQuery | None = None, **options: Any) -> list[str]:
    """The texts of all events that the query gives, in its order."""
    return [event.data.text for event in await db.events.query(query or EventQuery(), **options).list()]


async def everything(db: Backend) -> tuple[Any, ...]:
    """All that a reader can find out about the events of a store."""
    return (
        await db.events.query().list(),
        [(event.id, event.position) for event in await db.events.query().list()],
        await db.events.head(),
        await db.events.count(),
        await db.events.aggregates().list(),
    )


# --- append ---------------------------------------------------------------------------------------------------------


async def test_append_stores_the_events_in_the_order_given(db: Backend) -> None:
    """Positions begin at 1 and grow in the order of the events; `position` is the last of them."""
    first = await db.events.append([note("x"), *story("a", 2), note("y")])
    second = await db.events.append([note("z")])
    assert first == Appended((1, 2, 3, 4), already_committed=False)
    assert (first.position, second.position) == (4, 5)
    assert await texts(db) == ["x", "a-1", "a-2", "y", "z"]
    assert [event.position for event in await db.events.query().list()] == [1, 2, 3, 4, 5]


async def test_append_takes_several_aggregates_and_none_in_one_batch(db: Backend) -> None:
    """Interleaved events of several aggregates and of none are one batch; each aggregate has its own versions."""
    a, b = story("a", 3), story("b", 2, name="invoice")
    await db.events.append([a[0], b[0], note("none"), a[1], b[1], a[2]])
    assert [event.version for event in await db.events.load(A)] == [1, 2, 3]
    assert [event.version for event in await db.events.load(AggregateRef("invoice", "b"))] == [1, 2]
    loose = [event for event in await db.events.query().list() if event.aggregate is None]
    assert [(event.data.text, event.version) for event in loose] == [("none", 0)]


async def test_what_one_handle_appended_another_reads(file: Place) -> None:
    """Once append returns, the events are visible to every reader of the file."""
    event = note("x", A, 1, metadata={"actor": "ann"}, tags=["color:red"], time=NOON)
    async with file.open() as db:
        await db.events.append([event])
        with file.second() as other:
            assert other.events.query().list() == [event]
            other.events.append(story("a", 1, after=1))
        assert [e.version for e in await db.events.load(A)] == [1, 2]
    with file.second() as reopened:
        assert reopened.events.head() == 2
        assert reopened.events.load(A)[0] == event


@pytest.mark.parametrize(("version", "actual"), [(1, 2), (2, 2), (4, 2), (9, 2)])
async def test_append_at_the_wrong_version_is_a_concurrency_error(db: Backend, version: int, actual: int) -> None:
    """ConcurrencyError says which aggregate, what the append builds on and what is stored; nothing is written."""
    await db.events.append(story("a", 2))
    before = await everything(db)
    with pytest.raises(ConcurrencyError) as caught:
        await db.events.append([note("loose"), *story("b", 1), note("late", A, version)])
    assert (caught.value.aggregate, caught.value.expected, caught.value.actual) == (A, version - 1, actual)
    assert await everything(db) == before


async def test_the_first_event_of_a_new_aggregate_has_version_1(db: Backend) -> None:
    """Of an aggregate that does not exist `actual` is 0."""
    with pytest.raises(ConcurrencyError) as caught:
        await db.events.append([note("x", A, 2)])
    assert (caught.value.expected, caught.value.actual) == (1, 0)
    assert await db.events.head() == 0
    assert await db.events.aggregates().list() == []


@pytest.mark.parametrize("versions", [(1, 3), (1, 1), (2, 1)])
async def test_versions_with_a_gap_in_the_batch_are_invalid(db: Backend, versions: tuple[int, int]) -> None:
    """Versions that are not contiguous within the batch are InvalidEventError, and nothing is written."""
    with pytest.raises(InvalidEventError, match="contiguous"):
        await db.events.append([note("x"), *(note("y", A, version) for version in versions)])
    assert await db.events.head() == 0


async def test_an_empty_batch_changes_nothing_and_ignores_the_condition(db: Backend) -> None:
    """It succeeds with no positions, whatever the condition says."""
    await db.events.append([note("x")])
    assert await db.events.append([], condition=AppendCondition(EventQuery(), 0)) == Appended(())
    assert (await db.events.append([])).position == 0
    assert await db.events.head() == 1


async def test_appending_the_very_same_events_again_succeeds(db: Backend) -> None:
    """The original positions, `already_committed`, nothing written twice; also with equal events made anew."""
    batch = [note("x", time=NOON), *story("a", 2), note("y", tags=["b:2", "a:1"], metadata={"m": "1", "k": "2"})]
    first = await db.events.append(batch)
    before = await everything(db)
    assert await db.events.append(batch) == Appended(first.positions, already_committed=True)
    last = batch[-1]
    again = note("y", id=last.id, time=last.time, tags=["a:1", "b:2"], metadata={"k": "2", "m": "1"})
    assert await db.events.append([*batch[:-1], again]) == Appended(first.positions, already_committed=True)
    assert await everything(db) == before


async def test_what_was_read_can_be_appended_again(db: Backend) -> None:
    """A stored event is the same event: appending what a query gave is a retry."""
    await db.events.append([note("x", A, 1, metadata={"a": "b"}, tags=["c:d"])])
    stored = await db.events.query().list()
    assert await db.events.append(stored) == Appended((1,), already_committed=True)


async def test_a_retry_succeeds_after_the_aggregate_moved_on(db: Backend) -> None:
    """Whatever happened to the aggregate since, and whatever was stored in between."""
    batch = story("a", 2)
    await db.events.append(batch)
    await db.events.append([note("between")])
    await db.events.append(story("a", 3, after=2))
    assert await db.events.append(batch) == Appended((1, 2), already_committed=True)
    assert await db.events.head() == 6


@pytest.mark.parametrize("of_aggregate", [True, False])
async def test_a_retry_succeeds_whatever_the_condition(db: Backend, of_aggregate: bool) -> None:
    """Its own events, or later ones, match the condition: they were not there when it was stored."""
    event = note("x", A, 1, tags=["seat:1"]) if of_aggregate else note("x", tags=["seat:1"])
    condition = AppendCondition(EventQuery(tags=["seat:1"]))
    await db.events.append([event], condition=condition)
    await db.events.append([note("later", tags=["seat:1"])])
    assert await db.events.append([event], condition=condition) == Appended((1,), already_committed=True)


async def test_a_retry_answers_the_positions_in_the_order_of_its_events(db: Backend) -> None:
    """The same events in another order are stored already, too; positions go with the events."""
    x, y = note("x"), note("y")
    await db.events.append([x, y])
    assert await db.events.append([y, x]) == Appended((2, 1), already_committed=True)


DIFFERENT: dict[str, dict[str, Any]] = {
    "data": {"data": Noted("other")},
    "name": {"data": Counted(1)},
    "aggregate": {"aggregate": B},
    "version": {"version": 2},
    "time": {"time": NOON + timedelta(microseconds=1)},
    "metadata": {"metadata": {"actor": "bob"}},
    "metadata-less": {"metadata": None},
    "tags": {"tags": ["color:red", "size:1"]},
    "tags-less": {"tags": ()},
}


@pytest.mark.parametrize("field", DIFFERENT)
async def test_a_used_id_with_any_other_field_is_a_duplicate(db: Backend, field: str) -> None:
    """DuplicateEventError names the id, the position of the stored event and the field; nothing is written."""
    fields: dict[str, Any] = {
        "data": Noted("x"), "aggregate": A, "version": 1, "time": NOON, "metadata": {"actor": "ann"},
        "tags": ["color:red"], "id": uuid4(), "registry": registry,
    }  # fmt: skip
    await db.events.append([note("first"), Event(**fields)])
    before = await everything(db)
    with pytest.raises(DuplicateEventError, match=f"its {field.partition('-')[0]} differs") as caught:
        await db.events.append([Event(**{**fields, **DIFFERENT[field]})])
    assert (caught.value.event_id, caught.value.position) == (fields["id"], 2)
    assert await everything(db) == before


async def test_a_used_id_under_a_fitting_version_is_a_duplicate(db: Backend) -> None:
    """Where the versions fit, the used id still decides: in the middle of a batch, and in one of no aggregate."""
    used = note("used")
    await db.events.append([*story("a", 1), used])
    before = await everything(db)
    for batch in (
        [*story("a", 2, after=1), note("x", A, 4, id=used.id), note("y")],
        [note("x", A, 2, id=used.id)],
        [note("x"), note("y", id=used.id)],
        [note("x", B, 1), note("other", id=used.id)],
    ):
        with pytest.raises(DuplicateEventError) as caught:
            await db.events.append(batch)
        assert (caught.value.event_id, caught.value.position) == (used.id, 2)
        assert await everything(db) == before


async def test_a_batch_that_is_stored_in_part_is_a_duplicate(db: Backend) -> None:
    """Also if what is stored is the same: a retry repeats the whole batch. A part of a stored batch is stored wholly."""
    batch = [*story("a", 2), note("x")]
    await db.events.append(batch)
    for partly in ([*batch, note("new")], [*batch[:2], *story("a", 1, after=2)], [note("new"), batch[2]]):
        with pytest.raises(DuplicateEventError, match="only a part"):
            await db.events.append(partly)
    assert await db.events.append(batch[:1]) == Appended((1,), already_committed=True)
    assert await db.events.head() == 3


async def test_one_id_twice_in_a_batch_is_a_duplicate(db: Backend) -> None:
    """DuplicateEventError with position 0, and nothing is written."""
    event = note("x")
    with pytest.raises(DuplicateEventError) as caught:
        await db.events.append([event, note("y"), event])
    assert (caught.value.event_id, caught.value.position) == (event.id, 0)
    assert await db.events.head() == 0


# --- conditions -----------------------------------------------------------------------------------------------------


async def test_a_condition_refuses_what_the_decision_did_not_see(db: Backend) -> None:
    """AppendConditionFailed carries the condition and the position of a match behind `after`; nothing is written."""
    await db.events.append([note("1", tags=["seat:1"]), note("2", tags=["seat:2"]), note("3", tags=["seat:1"])])
    before = await everything(db)
    seat = EventQuery(tags=["seat:1"])
    for after in (0, 1, 2):
        condition = AppendCondition(seat, after)
        with pytest.raises(AppendConditionFailed) as caught:
            await db.events.append([note("4", tags=["seat:1"])], condition=condition)
        assert (caught.value.condition, caught.value.position) == (condition, 3)
    assert await everything(db) == before
    appended = await db.events.append([note("4", tags=["seat:1"])], condition=AppendCondition(seat, 3))
    assert appended.positions == (4,)


async def test_a_query_that_matched_nothing_is_still_a_boundary(db: Backend) -> None:
    """Two decisions on an empty model: the second of them is refused."""
    condition = AppendCondition(EventQuery(tags=["user-name:ann"]))
    await db.events.append([note("unrelated")])
    await db.events.append([note("ann", tags=["user-name:ann"])], condition=condition)
    with pytest.raises(AppendConditionFailed):
        await db.events.append([note("ann too", tags=["user-name:ann"])], condition=condition)
    assert await texts(db) == ["unrelated", "ann"]


async def test_a_condition_is_not_about_its_own_events(db: Backend) -> None:
    """It is judged before anything of the batch is stored, even if all of the batch matches."""
    condition = AppendCondition(EventQuery(), 0)
    assert (await db.events.append([note("x"), note("y")], condition=condition)).positions == (1, 2)


CONDITIONS = {
    "everything": EventQuery(),
    "name": EventQuery(["noted"]),
    "several names": EventQuery(["closed", "noted"]),
    "tag": EventQuery(tags=["color:red"]),
    "two tags": EventQuery(tags=["color:red", "size:1"]),
    "aggregate": EventQuery(aggregates=[A]),
    "several aggregates": EventQuery(aggregates=[C, A]),
    "aggregate name": EventQuery(aggregate_names=["order"]),
    "aggregate id": EventQuery(aggregate_ids=["a"]),
    "version": EventQuery(versions=[1]),
    "time": EventQuery(times=[Between(NOON, None)]),
    "disjunction": EventQuery(["closed"]) | EventQuery(tags=["color:red"]),
    "name and tag": EventQuery(["noted"], tags=["size:1"]),
}
OTHERS = {
    "name": EventQuery(["counted"]),
    "tag": EventQuery(tags=["color:blue"]),
    "two tags": EventQuery(tags=["color:red", "color:blue"]),
    "aggregate": EventQuery(aggregates=[B]),
    "aggregate name": EventQuery(aggregate_names=["invoice"]),
    "aggregate id": EventQuery(aggregate_ids=["b"]),
    "version": EventQuery(versions=[2]),
    "time": EventQuery(max_time=NOON - timedelta(microseconds=1)),
    "disjunction": EventQuery(["closed"]) | EventQuery(tags=["color:blue"]),
    "name and tag": EventQuery(["counted"], tags=["color:red"]),
}


async def test_conditions_look_at_what_the_query_says(db: Backend) -> None:
    """Each kind of query refuses where its event lies behind `after`, and nowhere else."""
    await db.events.append([note("x", A, 1, tags=["color:red", "size:1"], time=NOON)])

    async def allows(condition: AppendCondition) -> bool:
        try:
            async with db.transaction() as tx:
                await tx.events.append([note("y")], condition=condition)
                raise ZeroDivisionError
        except AppendConditionFailed as failed:
            assert failed.position == 1
            return False
        except ZeroDivisionError:
            return True

    for name, query in CONDITIONS.items():
        assert not await allows(AppendCondition(query)), name
        assert await allows(AppendCondition(query, 1)), name
    for name, query in OTHERS.items():
        assert await allows(AppendCondition(query)), name
    assert await db.events.head() == 1


async def test_unrelated_appends_never_fail(db: Backend) -> None:
    """Whoever decides on other events is not disturbed, however many there are."""
    for number in range(20):
        tag = f"seat:{number}"
        condition = AppendCondition(EventQuery(tags=[tag]))
        await db.events.append([note(str(number), tags=[tag])], condition=condition)
    assert await db.events.count() == 20


async def test_a_version_conflict_comes_before_the_condition(db: Backend) -> None:
    """Both are wrong: either error is right, the store is unchanged, and a fitting append still works."""
    await db.events.append(story("a", 1))
    with pytest.raises((ConcurrencyError, AppendConditionFailed)):
        await db.events.append(story("a", 1), condition=AppendCondition(EventQuery()))
    assert await db.events.head() == 1


# --- load, find, head, count ------------------------------------------------------------------------------------------


async def test_load_gives_one_aggregate_in_version_order(db: Backend) -> None:
    """After < version ≤ upto; nothing for an unknown aggregate or beyond its end."""
    await db.events.append([note("noise"), *story("a", 3), *story("b", 2)])
    await db.events.append(story("a", 2, after=3))
    load = db.events.load
    assert [event.data.text for event in await load(A)] == ["a-1", "a-2", "a-3", "a-4", "a-5"]
    assert [event.version for event in await load(A, after=2)] == [3, 4, 5]
    assert [event.version for event in await load(A, upto=2)] == [1, 2]
    assert [event.version for event in await load(A, after=1, upto=3)] == [2, 3]
    assert await load(A, after=5) == await load(A, upto=0) == await load(A, after=3, upto=2) == []
    assert await load(A, after=2**70) == []
    assert [event.version for event in await load(A, upto=2**70)] == [1, 2, 3, 4, 5]
    assert await load(AggregateRef("order", "nobody")) == await load(AggregateRef("nothing", "a")) == []
    assert all(event.aggregate == A for event in await load(A))


async def test_find_gives_the_event_of_an_id(db: Backend) -> None:
    """With all its fields, wherever it is; None for any other id."""
    event = note("x", A, 1, metadata={"a": "b"}, tags=["c:d"], time=NOON)
    await db.events.append([note("noise"), event])
    found = await db.events.find(event.id)
    assert found == event
    assert found is not None
    assert found.position == 2
    assert await db.events.find(uuid4()) is None


async def test_head_is_a_high_water_mark(db: Backend) -> None:
    """0 for an empty store, then the last position; neither a refused append nor a deletion moves it."""
    assert await db.events.head() == 0
    await db.events.append(story("a", 3))
    assert await db.events.head() == 3
    with pytest.raises(ConcurrencyError):
        await db.events.append(story("a", 1))
    assert await db.events.head() == 3
    await db.events.delete(A)
    assert await db.events.head() == 3


async def test_count_counts_what_matches(db: Backend) -> None:
    """Of everything without a query."""
    assert await db.events.count() == 0
    await db.events.append([*story("a", 3, tags=["t:1"]), *story("b", 2), count(1, tags=["t:1"])])
    assert await db.events.count() == 6
    for query, number in [
        (EventQuery(["noted"]), 5),
        (EventQuery(["counted"]), 1),
        (EventQuery(["counted", "noted"]), 6),
        (EventQuery(tags=["t:1"]), 4),
        (EventQuery(["noted"], tags=["t:1"]), 3),
        (EventQuery(aggregates=[A, B], versions=[1, 2]), 4),
        (EventQuery(aggregate_names=["order"]), 5),
        (EventQuery(versions=[0]), 1),
        (EventQuery(tags=["t:1"]) | EventQuery(aggregates=[A]), 4),
        (EventQuery(["nothing"]), 0),
    ]:
        assert await db.events.count(query) == number, query


async def test_aggregates_are_listed_by_name_and_id(db: Backend) -> None:
    """By code point, of one name or all, behind `after`, at most `limit`; with version, first and last time."""
    ids = ["10", "9", "B", "a", "é", "ﬀ", "😀"]  # in the order of code points; UTF-16 would have it otherwise
    for number, id in enumerate(reversed(ids)):
        await db.events.append(story(id, 2, time=NOON + timedelta(days=number)))
        await db.events.append(story(id, 1, after=2, time=NOON - timedelta(days=number)))
    await db.events.append([note("x", ("Order", "z"), 1), note("x", ("zeta", "1"), 1)])
    listed = await db.events.aggregates("order").list()
    assert [info.aggregate for info in listed] == [AggregateRef("order", id) for id in ids]
    last = len(ids) - 1
    assert listed[0] == AggregateInfo(
        AggregateRef("order", "10"), 3, NOON + timedelta(days=last), NOON - timedelta(days=last)
    )
    whole = [info.aggregate for info in await db.events.aggregates().list()]
    assert whole == [AggregateRef("Order", "z"), *(AggregateRef("order", id) for id in ids), AggregateRef("zeta", "1")]
    assert [info.aggregate for info in await db.events.aggregates(after=whole[2]).list()] == whole[3:]
    assert [info.aggregate for info in await db.events.aggregates("order", after=whole[2], limit=3).list()] == whole[
        3:6
    ]
    assert [
        info.aggregate for info in await db.events.aggregates(after=AggregateRef("order", "A"), limit=2).list()
    ] == whole[3:5]
    assert await db.events.aggregates("nothing").list() == await db.events.aggregates(limit=0).list() == []


async def test_aggregates_are_listed_beyond_a_page(db: Backend) -> None:
    """However many there are, each once and in order; `limit` is kept across pages."""
    ids = sorted(f"{number}" for number in range(1500))
    await db.events.append([note("x", ("many", id), 1) for id in ids])
    assert [info.aggregate.id async for info in db.events.aggregates("many")] == ids
    assert [info.aggregate.id async for info in db.events.aggregates(limit=1300)] == ids[:1300]


# --- query ----------------------------------------------------------------------------------------------------------


async def seeded(db: Backend) -> list[Event[Any]]:
    """Nine events with something of everything, as they are stored."""
    day = timedelta(days=1)
    await db.events.append([
        note("0", time=NOON, tags=["color:red"]),
        note("1", A, 1, time=NOON + day, tags=["color:red", "size:1"]),
        note("2", B, 1, time=NOON + 2 * day, tags=["size:1"]),
        count(3, aggregate=A, version=2, time=NOON + 3 * day),
        count(4, time=NOON + 4 * day, tags=["color:blue", "size:1"]),
        note("5", ("invoice", "a"), 1, time=NOON + 5 * day),
        note("6", A, 3, time=NOON, tags=["color:red"]),
        Event(registry.type_of("closed")(), aggregate=A, version=4, time=NOON + 7 * day, registry=registry),
        note("8", time=NOON + 8 * day),
    ])  # fmt: skip
    return await db.events.query().list()


async def test_query_asks_by_every_field(db: Backend) -> None:
    """Any of the values within a field (tags: all of them), all of the fields together."""
    log = await seeded(db)
    ids = [event.id for event in log]
    day = timedelta(days=1)
    for query, positions in [
        (EventQuery(), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (EventQuery(["counted"]), [4, 5]),
        (EventQuery(["counted", "closed", "unheard-of"]), [4, 5, 8]),
        (EventQuery(aggregates=[A]), [2, 4, 7, 8]),
        (EventQuery(aggregates=[("order", "b"), ("invoice", "a")]), [3, 6]),
        (EventQuery(aggregate_names=["order"]), [2, 3, 4, 7, 8]),
        (EventQuery(aggregate_ids=["a"]), [2, 4, 6, 7, 8]),
        (EventQuery(aggregate_names=["invoice"], aggregate_ids=["a"]), [6]),
        (EventQuery(versions=[0]), [1, 5, 9]),
        (EventQuery(versions=[1, 3]), [2, 3, 6, 7]),
        (EventQuery(versions=[Between(2, 3), 1]), [2, 3, 4, 6, 7]),
        (EventQuery(min_version=2), [4, 7, 8]),
        (EventQuery(max_version=1), [1, 2, 3, 5, 6, 9]),
        (EventQuery(min_version=1, max_version=2), [2, 3, 4, 6]),
        (EventQuery(times=[NOON]), [1, 7]),
        (EventQuery(times=[Between(NOON + day, NOON + 3 * day)]), [2, 3, 4]),
        (EventQuery(min_time=NOON + 5 * day), [6, 8, 9]),
        (EventQuery(max_time=NOON + day), [1, 2, 7]),
        (EventQuery(tags=["size:1"]), [2, 3, 5]),
        (EventQuery(tags=["size:1", "color:red"]), [2]),
        (EventQuery(tags=["color:red", "color:blue"]), []),
        (EventQuery(ids=[ids[3], ids[0], uuid4()]), [1, 4]),
        (EventQuery(["noted"], aggregates=[A], versions=[3], tags=["color:red"]), [7]),
        (EventQuery(["noted"], ids=ids[:5], min_time=NOON + day), [2, 3]),
        (EventQuery(["closed"]) | EventQuery(tags=["size:1"]) | EventQuery(aggregates=[A]), [2, 3, 4, 5, 7, 8]),
        (EventQuery(versions=[0]) | EventQuery(["noted"]), [1, 2, 3, 5, 6, 7, 9]),
        (EventQuery(["nothing"]) | EventQuery(), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ]:
        found = await db.events.query(query).list()
        assert [event.position for event in found] == positions, query
        assert found == [event for event in log if query.matches(event)], query
        backwards = await db.events.query(query, reverse=True).list()
        assert [event.position for event in backwards] == positions[::-1], query
        window = await db.events.query(query, after=2, upto=7, limit=2).list()
        assert [event.position for event in window] == [p for p in positions if 2 < p <= 7][:2], query
        window = await db.events.query(query, after=2, upto=7, limit=2, reverse=True).list()
        assert [event.position for event in window] == [p for p in positions if 2 < p <= 7][::-1][:2], query


async def test_query_windows(db: Backend) -> None:
    """After < position ≤ upto and `limit`, whatever their size; an empty window is empty."""
    await db.events.append([note(str(number)) for number in range(1, 6)])
    windows: list[tuple[dict[str, Any], str]] = [
        ({"after": 5}, ""),
        ({"after": 6}, ""),
        ({"after": 2**70}, ""),
        ({"upto": 0}, ""),
        ({"upto": 2**70}, "12345"),
        ({"after": 4, "upto": 2}, ""),
        ({"limit": 0}, ""),
        ({"limit": 2**70}, "12345"),
        ({"limit": 2, "reverse": True}, "54"),
        ({"after": 3, "reverse": True}, "54"),
        ({"upto": 3, "reverse": True}, "321"),
        ({"after": 9, "reverse": True}, ""),
    ]
    for options, expected in windows:
        assert "".join(await texts(db, **options)) == expected, options


@pytest.mark.parametrize("size", [63, 64, 65, 64 + 256, 64 + 256 + 1024, 64 + 256 + 1024 + 1])
async def test_query_goes_beyond_its_pages(place: Place, size: int) -> None:
    """Every event once and in order, both ways, where the log ends at, before and behind the end of a page."""
    expected = [str(number) for number in range(size)]
    async with place.open() as db:
        await db.events.append([note(text, tags=["all:1"]) for text in expected])
        for query in (EventQuery(), EventQuery(tags=["all:1"]), EventQuery(["noted", "counted"])):
            assert await texts(db, query) == expected
            assert await texts(db, query, reverse=True) == expected[::-1]
            assert await texts(db, query, limit=size - 1) == expected[:-1]
            assert await texts(db, query, limit=size - 1, reverse=True) == expected[:0:-1]
        assert [event.data.text async for event in db.events.query()] == expected


async def test_nothing_is_fetched_before_the_first_item(db: Backend) -> None:
    """A query that was made before an append sees it, if nobody asked for an item until then."""
    pages = db.events.query()
    listing = db.events.aggregates()
    await db.events.append(story("a", 2))
    assert len(await pages.list()) == 2
    assert len(await listing.list()) == 1


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_query_ends_at_the_head_of_its_first_page(db: Backend, reverse: bool) -> None:
    """What is appended while it is read is not in it, however many pages it has."""
    await db.events.append([note(str(number)) for number in range(100)])
    pages = db.events.query(reverse=reverse)
    seen = [(await anext(pages)).data.text]
    await db.events.append([note("late") for _ in range(100)])
    async for event in pages:
        seen.append(event.data.text)
        if len(seen) == 70:
            await db.events.append([note("later still")])
    expected = [str(number) for number in range(100)]
    assert seen == (expected[::-1] if reverse else expected)


async def test_a_query_may_be_abandoned_midway(place: Place) -> None:
    """It holds nothing open: others write, the aggregate can be deleted, the store can be closed; reading can go on."""
    async with place.open() as db:
        await db.events.append(story("a", 200))
        abandoned = db.events.query()
        for _ in range(3):
            await anext(abandoned)
        other = db.events.query(aggregates_query := EventQuery(aggregates=[A]))
        assert [(await anext(other)).version for _ in range(5)] == [1, 2, 3, 4, 5]
        assert len(await other.list()) == 195
        assert await other.list() == []
        assert await db.events.delete(A) == 200
        assert len(await abandoned.list()) == 61  # the rest of the page that was fetched
        assert await db.events.query(aggregates_query).list() == []
        await anext(db.events.query(), None)


async def test_pages_can_be_taken_one_by_one(db: Backend) -> None:
    """`next_page` answers what is fetched and not yet taken, then page after page, then nothing for ever."""
    await db.events.append([note(str(number)) for number in range(400)])
    pages = db.events.query()
    sizes: list[int] = []
    while page := await pages.next_page():
        sizes.append(len(page))
    assert sum(sizes) == 400
    assert len(sizes) == 3
    assert list(await pages.next_page()) == []


def test_a_query_may_have_thousands_of_values(driver: str) -> None:
    """Values and alternatives beyond SQLite's limits for expressions work; beyond its parameters, a typed error."""
    with connect(":memory:", driver=driver, registry=registry) as db:
        refs = [AggregateRef("order", str(number)) for number in range(1200)]
        db.events.append([note("x", ref, 1, tags=[f"n:{number}"]) for number, ref in enumerate(refs[:20])])
        times = [NOON + timedelta(seconds=number) for number in range(1200)]
        united = EventQuery.any_of(*(EventQuery(tags=[f"n:{number}"], versions=[1]) for number in range(1200)))
        for query, number in [
            (EventQuery(aggregates=refs), 20),
            (EventQuery(aggregate_ids=[ref.id for ref in refs]), 20),
            (EventQuery(versions=range(1200)), 20),
            (EventQuery(versions=[Between(2 * n, 2 * n + 1) for n in range(1200)]), 20),
            (EventQuery(times=times), 0),
            (EventQuery([f"name-{n}" for n in range(1200)]), 0),
            (EventQuery(ids=[uuid4() for _ in range(1200)]), 0),
            (united, 20),
        ]:
            assert db.events.count(query) == number
            assert len(db.events.query(query).list()) == number
        far_too_many = EventQuery(versions=range(40_000))
        with pytest.raises(InvalidQueryError, match="values"):
            db.events.count(far_too_many)
        with pytest.raises(InvalidQueryError, match="values"):
            db.events.query(far_too_many).list()
        with pytest.raises(InvalidQueryError, match="values"):
            db.events.append([note("x")], condition=AppendCondition(far_too_many))
        assert db.events.head() == 20


# --- delete ---------------------------------------------------------------------------------------------------------


async def test_delete_erases_the_aggregate_and_nothing_else(db: Backend) -> None:
    """Its events, tags and snapshots are gone, those of others are not; the answer is how many events it were."""
    mine = story("a", 3, tags=["color:red", "size:1"])
    await db.events.append([*mine[:2], note("x", tags=["color:red"]), *story("b", 2, tags=["color:red"]), mine[2]])
    for ref in (A, B):
        await db.snapshots.save(Snapshot(ref, 2, NOON, 1, "json", "{}"))
    assert await db.events.delete(A) == 3
    assert await texts(db) == ["x", "b-1", "b-2"]
    assert await texts(db, EventQuery(tags=["color:red"])) == ["x", "b-1", "b-2"]
    assert await db.events.count(EventQuery(tags=["size:1"])) == 0
    assert await db.events.load(A) == []
    assert await db.events.find(mine[0].id) is None
    assert [info.aggregate for info in await db.events.aggregates().list()] == [B]
    assert await db.snapshots.latest(A) is None
    assert await db.snapshots.latest(B) is not None
    async with db.transaction() as tx:
        assert await tx.execute("SELECT position FROM event_tags ORDER BY position") == [(3,), (4,), (5,)]
    assert await db.events.delete(A) == 0
    assert await db.events.delete(AggregateRef("nothing", "1")) == 0


async def test_a_deleted_aggregate_can_begin_again(db: Backend) -> None:
    """At version 1 and no other, with the same ids if need be; positions are never reused."""
    first = story("a", 2, tags=["color:red"])
    await db.events.append(first)
    await db.events.delete(A)
    with pytest.raises(ConcurrencyError) as caught:
        await db.events.append(story("a", 1, after=2))
    assert caught.value.actual == 0
    assert await db.events.append(first) == Appended((3, 4))
    assert [event.position for event in await db.events.load(A)] == [3, 4]
    assert [event.position for event in await db.events.query(EventQuery(tags=["color:red"])).list()] == [3, 4]
    assert [event.position for event in await db.events.query(EventQuery(aggregates=[A]), after=3).list()] == [4]
    condition = AppendCondition(EventQuery(aggregates=[A]), 3)
    with pytest.raises(AppendConditionFailed):
        await db.events.append([note("x")], condition=condition)


async def test_deleting_everything_does_not_set_positions_back(file: Place) -> None:
    """Also after closing and opening again."""
    async with file.open() as db:
        await db.events.append(story("a", 5))
        await db.events.delete(A)
    async with file.open() as db:
        assert await db.events.head() == 5
        assert (await db.events.append([note("x")])).positions == (6,)


# --- exact round trip -----------------------------------------------------------------------------------------------

FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12, minutes=34, seconds=56))
AWKWARD_TIMES = [
    datetime.min.replace(tzinfo=timezone.utc),
    datetime.max.replace(tzinfo=timezone.utc),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
    datetime(1970, 1, 1, tzinfo=timezone.utc),
    datetime(1600, 2, 29, 1, 2, 3, 4, tzinfo=timezone.utc),
    datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=FAR_EAST),
    datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=FAR_WEST),
    datetime(1, 1, 1, tzinfo=FAR_WEST),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=FAR_EAST),
]
AWKWARD_TEXTS = [
    "", " ", "\0", "a\0b", "\n\r\t", "'; DROP TABLE events; --", '"', "\\", "\\u0000", "%s ? $1 {0}", "é", "e\u0301",
    "日本語", "😀👩‍👩‍👧‍👦", "\u202e\u200b\ufeff", "\ud7ff\ue000\uffff\U0010ffff", "x" * 100_000,
]  # fmt: skip


async def test_times_come_back_exactly(db: Backend) -> None:
    """To the microsecond, from year 1 to 9999, as UTC; and they can be asked for."""
    events = [note(str(time), time=time) for time in AWKWARD_TIMES]
    await db.events.append(events)
    for event, time in zip(await db.events.query().list(), AWKWARD_TIMES, strict=True):
        assert event.time == time
        assert event.time.tzinfo is timezone.utc
        assert event == events[event.position - 1]
        exact = await db.events.query(EventQuery(times=[time])).list()
        assert event in exact


def test_times_outside_utc_are_refused() -> None:
    """A local time whose UTC lies before year 1 or behind 9999 is InvalidEventError, in events and in queries."""
    for time in (datetime.min.replace(tzinfo=FAR_EAST), datetime.max.replace(tzinfo=FAR_WEST)):
        with pytest.raises(InvalidEventError, match="years 1 to 9999"):
            note("x", time=time)
        with pytest.raises(InvalidQueryError, match="years 1 to 9999"):
            EventQuery(min_time=time)


async def test_texts_come_back_exactly(db: Backend) -> None:
    """In the data, the metadata, and where they are allowed in ids and tags."""
    events = [note(text, metadata={text or "-": text, "other": text[::-1]}) for text in AWKWARD_TEXTS]
    named = [text for text in AWKWARD_TEXTS if text and "\0" not in text and len(text.encode()) <= 1000]
    events += [
        note(text, ("order", text), 1, tags=[f"{text}:{text}", f"k:{text}"]) for text in named if ":" not in text
    ]
    await db.events.append(events)
    stored = await db.events.query().list()
    assert stored == events
    for event, again in zip(events, stored, strict=True):
        assert dict(again.metadata) == dict(event.metadata)
        assert again.tags == event.tags
        assert again.encoded == event.encoded
        if event.aggregate is not None:
            assert await db.events.load(event.aggregate) == [event]
            assert await db.events.query(EventQuery(tags=event.tags)).list() == [event]
            assert await db.events.query(EventQuery(aggregate_ids=[event.aggregate.id])).list() == [event]


async def test_other_fields_come_back_exactly(db: Backend) -> None:
    """64-bit numbers, nil and full ids, a UUID as the id of an aggregate, a thousand tags, ids of 1,024 bytes."""
    uuid = uuid4()
    events = [
        *(count(number) for number in (0, -1, 2**63 - 1, -(2**63), 2**63, 10**30)),
        note("nil", id=UUID(int=0)),
        note("full", id=UUID(int=2**128 - 1)),
        note("uuid", ("order", uuid), 1),
        note("tags", tags=[f"key-{number}:{number}" for number in range(1000)]),
        note("long", ("x" * 255, "é" * 512), 1, tags=["k:" + "é" * 511]),
        note("metadata", metadata={f"key {number}": "v" * number for number in range(300)}),
    ]
    await db.events.append(events)
    assert await db.events.query().list() == events
    assert [event.data.text for event in await db.events.load(AggregateRef("order", str(uuid)))] == ["uuid"]
    assert await db.events.find(UUID(int=0)) == events[6]
    assert [event.id for event in await db.events.query(EventQuery(ids=[UUID(int=2**128 - 1)])).list()] == [
        events[7].id
    ]
    assert await texts(db, EventQuery(tags=["key-7:7", "key-999:999"])) == ["tags"]


async def test_large_payloads_come_back_exactly(place: Place) -> None:
    """1 MB and 50 MB, beside small ones."""
    sizes = (10**6, 1, *([50 * 10**6] if place.face == "blocking" and not place.memory else []))
    async with place.open() as db:
        for size in sizes:
            await db.events.append([note("€" + "x" * size)])
        events = await db.events.query().list()
        assert [len(event.data.text) - 1 for event in events] == list(sizes)
        assert all(event.data.text[0] == "€" and event.data.text.strip("x") == "€" for event in events)


async def test_a_second_handle_reads_the_same_fields(file: Place) -> None:
    """What the face of this test wrote, the inline blocking face reads, field by field."""
    events = [
        note(text, A if number == 0 else None, int(number == 0), metadata={"m": text}, tags=["t:1"], time=time)
        for number, (text, time) in enumerate(zip(AWKWARD_TEXTS, AWKWARD_TIMES * 2, strict=False))
    ]
    async with file.open() as db:
        await db.events.append(events)
    with file.second() as other:
        for event, again in zip(events, other.events.query(), strict=True):
            fields = ("id", "name", "data", "time", "aggregate", "version", "metadata", "tags", "encoded")
            assert [getattr(event, field) for field in fields] == [getattr(again, field) for field in fields]


# --- bad input ------------------------------------------------------------------------------------------------------

ABSURD_IDS: list[Any] = ["", "x" * 1_000_000, "a\0b", "\ud800", "x\udfff", None, 5, b"a", ["a"], ("a",)]


def test_absurd_ids_are_refused_where_they_enter() -> None:
    """Aggregate ids and names, tags and event ids that not every backend could keep are InvalidEventError."""
    for id in ABSURD_IDS:
        with pytest.raises(InvalidEventError):
            AggregateRef("order", id)
        with pytest.raises(InvalidEventError):
            AggregateRef(id, "1")
        with pytest.raises(InvalidEventError):
            note("x", ("order", id), 1)
        with pytest.raises(InvalidEventError):
            note("x", tags=[id])
        with pytest.raises(InvalidQueryError):
            EventQuery(aggregate_ids=[id])
    for tags in ("color:red", b"color:red", 5, ["color"], ["color:"], [":red"], [None]):
        with pytest.raises(InvalidEventError):
            note("x", tags=tags)


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


BAD_CALLS: dict[str, Callable[[Backend], Any]] = {
    "append a value": lambda db: db.events.append([cast(Any, Noted("x"))]),
    "append None": lambda db: db.events.append([note("x"), cast(Any, None)]),
    "append an event": lambda db: db.events.append(cast(Any, note("x"))),
    "append a number": lambda db: db.events.append(cast(Any, 5)),
    "condition is a query": lambda db: db.events.append([note("x")], condition=cast(Any, EventQuery())),
    "condition of a string": lambda db: db.events.append([note("x")], condition=AppendCondition(cast(Any, "noted"))),
    "condition after None": lambda db: db.events.append(
        [note("x")], condition=AppendCondition(EventQuery(), cast(Any, None))
    ),
    "condition after -1": lambda db: db.events.append([note("x")], condition=AppendCondition(EventQuery(), -1)),
    "condition after 1.5": lambda db: db.events.append(
        [note("x")], condition=AppendCondition(EventQuery(), cast(Any, 1.5))
    ),
    "load a string": lambda db: db.events.load(cast(Any, "ab")),
    "load a number": lambda db: db.events.load(cast(Any, 5)),
    "load an empty id": lambda db: db.events.load(cast(Any, ("order", ""))),
    "load after -1": lambda db: db.events.load(A, after=-1),
    "load after a string": lambda db: db.events.load(A, after=cast(Any, "1")),
    "load upto a bool": lambda db: db.events.load(A, upto=True),
    "query a string": lambda db: db.events.query(cast(Any, "noted")).list(),
    "query None": lambda db: db.events.query(cast(Any, None)).list(),
    "query after -1": lambda db: db.events.query(after=-1).list(),
    "query upto a time": lambda db: db.events.query(upto=cast(Any, NOON)).list(),
    "query limit -1": lambda db: db.events.query(limit=-1).list(),
    "query limit a float": lambda db: db.events.query(limit=cast(Any, 1.0)).list(),
    "find a string": lambda db: db.events.find(cast(Any, str(uuid4()))),
    "find bytes": lambda db: db.events.find(cast(Any, b"0" * 16)),
    "aggregates of a number": lambda db: db.events.aggregates(cast(Any, 5)).list(),
    "aggregates of nothing": lambda db: db.events.aggregates("").list(),
    "aggregates of surrogates": lambda db: db.events.aggregates("\ud800").list(),
    "aggregates after a string": lambda db: db.events.aggregates(after=cast(Any, "ab")).list(),
    "aggregates limit -1": lambda db: db.events.aggregates(limit=-1).list(),
    "count a string": lambda db: db.events.count(cast(Any, "noted")),
    "follow a string": lambda db: anext(db.events.follow(cast(Any, "noted"), after=0)),
    "follow after -1": lambda db: anext(db.events.follow(after=-1)),
    "follow after None": lambda db: anext(db.events.follow(after=cast(Any, None))),
    "delete a string": lambda db: db.events.delete(cast(Any, "ab")),
    "delete None": lambda db: db.events.delete(cast(Any, None)),
}


async def test_bad_arguments_get_typed_errors_and_change_nothing(db: Backend) -> None:
    """Every argument of every method: InvalidQueryError or InvalidEventError that says more than its type."""
    await db.events.append(story("a", 1))
    before = await everything(db)
    for what, call in BAD_CALLS.items():
        try:
            await call(db)
        except (InvalidQueryError, InvalidEventError) as error:
            assert len(str(error)) > 20, what
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        else:
            raise AssertionError(f"{what}: accepted")
    assert await everything(db) == before


async def test_a_payload_that_sqlite_cannot_store_is_refused(db: Backend) -> None:
    """A codec of the user's own that gives out lone surrogates: a typed error, and neighbours are not disturbed."""
    own = Registry(
        codec=FunctionCodec("own", lambda value: value.text, lambda payload, _: Noted(str(payload)), text=True)
    )
    own.register("noted", Noted)
    with pytest.raises((InvalidEventError, EncodeError)):
        await db.events.append([Event(Noted("fine"), registry=own), Event(Noted("\ud800"), registry=own)])
    assert await db.events.head() == 0
    await db.events.append([note("x")])


# --- follow ---------------------------------------------------------------------------------------------------------


async def take(pages: Any, number: int) -> list[str]:
    """The texts of the next `number` events."""
    return [(await anext(pages)).data.text for _ in range(number)]


async def test_follow_begins_with_what_is_stored(db: Backend) -> None:
    """In position order, behind `after`, across pages; then what is committed, each once."""
    await db.events.append([note(str(number)) for number in range(1200)])
    following = db.events.follow(after=2)
    assert await take(following, 1198) == [str(number) for number in range(2, 1200)]
    await db.events.append([note("new"), count(1), note("newer")])
    following_notes = db.events.follow(EventQuery(["noted"]), after=1200)
    assert [(await anext(following)).position for _ in range(3)] == [1201, 1202, 1203]
    assert await take(following_notes, 2) == ["new", "newer"]


async def test_follow_gives_what_other_handles_commit(file: Place) -> None:
    """Whoever committed it, in whatever handle of this process; from now on with `after=head()`."""
    async with file.open() as db:
        await db.events.append([note("old")])
        following = db.events.follow(after=await db.events.head())
        with file.second() as other:
            other.events.append([note("theirs")])
            assert await take(following, 1) == ["theirs"]
            await db.events.append([note("ours")])
            other.events.append([note("theirs again")])
            assert await take(following, 2) == ["ours", "theirs again"]


async def test_follow_wakes_for_another_thread(place: Place) -> None:
    """A follower that waits gets what is committed by another thread, soon, whether it matches or not."""
    async with place.open() as db:
        blocking_db = getattr(db, "target", None) if place.face != "async" else None
        go_on = threading.Event()

        def write() -> None:
            go_on.wait()
            for number in range(20):
                assert blocking_db is not None
                blocking_db.events.append([count(number), note(str(number))])

        following = db.events.follow(EventQuery(["noted"]), after=0)
        if blocking_db is not None:
            writer = threading.Thread(target=write)
            writer.start()
            go_on.set()
            assert await take(following, 20) == [str(number) for number in range(20)]
            writer.join()
        else:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(take(following, 20))
                for number in range(20):
                    await asyncio.sleep(0.001)
                    await db.events.append([count(number), note(str(number))])
            assert reading.result() == [str(number) for number in range(20)]


async def test_follow_ends_when_the_store_is_closed(place: Place) -> None:
    """A waiting follower gets StoreClosed, and every later attempt too; nothing hangs."""
    async with place.open() as db:
        await db.events.append([note("x")])
        following = db.events.follow(after=0)
        assert await take(following, 1) == ["x"]
        if place.face == "async":
            waiting = asyncio.create_task(take(following, 1))
            await asyncio.sleep(0.02)
            await db.close()
            with pytest.raises(StoreClosed):
                await asyncio.wait_for(waiting, 10)
        else:
            closer = threading.Timer(0.02, cast(Any, db).target.close)
            closer.start()
            with pytest.raises(StoreClosed):
                await take(following, 1)
            closer.join()
        with pytest.raises(StoreClosed):
            await take(following, 1)


async def test_a_waiting_follower_costs_nothing(loop_place: Place) -> None:
    """It looks again when something was committed, and now and then; it does not spin."""
    async with loop_place.open() as db:
        await db.events.append([note("x")])
        waits = 0
        wait = db.runtime.wait

        async def counted(*args: Any, **kwargs: Any) -> bool:
            nonlocal waits
            waits += 1
            return await wait(*args, **kwargs)

        db.runtime.wait = counted  # type: ignore[method-assign]
        following = asyncio.create_task(take(db.events.follow(EventQuery(["noted"]), after=1), 1))
        await asyncio.sleep(0.2)
        assert 0 < waits < 10
        await db.events.append([count(1), note("y")])
        assert await following == ["y"]


async def test_a_cancelled_follower_loses_nothing(loop_place: Place) -> None:
    """Whenever it is cancelled, the next call goes on exactly where the last event was given out."""
    async with loop_place.open() as db:
        following = db.events.follow(after=0)
        seen: list[str] = []

        async def follow() -> None:
            async for event in following:
                seen.append(event.data.text)

        for number in range(60):
            waiting = asyncio.create_task(follow())
            for _ in range(number % 7):
                await asyncio.sleep(0)
            appending = asyncio.create_task(db.events.append([note(str(number))]))
            for _ in range(number % 11):
                await asyncio.sleep(0.0002 * (number % 3))
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            await appending
        while len(seen) < 60:
            seen += await take(following, 1)
        assert seen == [str(number) for number in range(60)]


async def test_two_followers_and_a_busy_writer(loop_place: Place) -> None:
    """Neither misses or repeats an event while batches are committed concurrently."""
    async with loop_place.open() as db:

        async def write(writer: int) -> None:
            for number in range(25):
                await db.events.append([note(f"{writer}-{number}"), *([count(1)] if number % 2 else [])])

        async def follow(query: EventQuery, number: int) -> list[int]:
            following = db.events.follow(query, after=0)
            return [(await anext(following)).position for _ in range(number)]

        async with asyncio.TaskGroup() as group:
            whole = group.create_task(follow(EventQuery(), 25 * 8 + 12 * 8))
            some = group.create_task(follow(EventQuery(["counted"]), 12 * 8))
            for writer in range(8):
                group.create_task(write(writer))
        assert whole.result() == list(range(1, 25 * 8 + 12 * 8 + 1))
        assert all(before < after for before, after in pairwise(some.result()))
        assert len(set(some.result())) == 12 * 8


async def test_everything_is_refused_once_the_store_is_closed(place: Place) -> None:
    """StoreClosed, whatever is called; closing again is fine."""
    async with place.open() as db:
        await db.events.append([note("x")])
        pages = db.events.query()
        await db.close()
        await db.close()
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "append": lambda: db.events.append([note("y")]),
            "load": lambda: db.events.load(A),
            "query": lambda: db.events.query().list(),
            "pages": pages.list,
            "find": lambda: db.events.find(uuid4()),
            "head": db.events.head,
            "aggregates": lambda: db.events.aggregates().list(),
            "count": db.events.count,
            "follow": lambda: anext(db.events.follow(after=0)),
            "delete": lambda: db.events.delete(A),
            "transaction": lambda: db.transaction().__aenter__(),
            "snapshots": lambda: db.snapshots.latest(A),
            "models": lambda: db.models.put("c", "1", "{}"),
            "checkpoints": db.checkpoints.all,
            "leases": lambda: db.leases.acquire("job", "me", 1.0),
        }
        for name, call in calls.items():
            with pytest.raises(StoreClosed):
                await call()
                raise AssertionError(name)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("goes_lite-")], (
            "no thread is left"
        )


# --- unknown names, aliases, old versions, encodings ------------------------------------------------------------------


async def unknown_among_known(place: Place) -> tuple[Registry, AggregateRef]:
    """A log of: known, unknown of A, known of A, unknown, known; and a registry that knows no `counted`."""
    async with place.open() as db:
        await db.events.append([
            note("1"), count(2, aggregate=A, version=1), note("3", A, 2), count(4), note("5"),
        ])  # fmt: skip
    poorer = Registry()
    poorer.register("noted", Noted)
    return poorer, A


async def test_unknown_names_are_errors_by_default(file: Place) -> None:
    """UnknownEventError names the event and its position; what lies before it is given out, wherever a page ends."""
    poorer, ref = await unknown_among_known(file)
    async with file.open(registry=poorer) as db:
        for attempt in (
            db.events.query().list,
            lambda: db.events.load(ref),
            lambda: db.events.query(reverse=True, upto=4).list(),
        ):
            with pytest.raises(UnknownEventError) as caught:
                await attempt()
            assert caught.value.name == "counted"
        for pages in (db.events.query(), db.events.follow(after=0)):
            assert (await anext(pages)).data == Noted("1")
            for _ in range(2):  # asking again does not skip it
                with pytest.raises(UnknownEventError) as caught:
                    await anext(pages)
                assert (caught.value.name, caught.value.position) == ("counted", 2)
        backwards = db.events.query(reverse=True)
        assert (await anext(backwards)).data == Noted("5")
        with pytest.raises(UnknownEventError) as caught:
            await anext(backwards)
        assert caught.value.position == 4
        with pytest.raises(UnknownEventError):
            await db.events.load(ref)
        assert await texts(db, EventQuery(["noted"])) == ["1", "3", "5"]
        with pytest.raises(UnknownEventError):
            await db.events.query(EventQuery(["counted"])).list()
        assert await db.events.count() == 5


async def test_unknown_names_can_be_skipped(file: Place) -> None:
    """Left out of queries, follow and find; `limit` counts what is given out; an aggregate keeps them as Raw."""
    poorer, ref = await unknown_among_known(file)
    async with file.open(registry=poorer, unknown="skip") as db:
        assert await texts(db) == ["1", "3", "5"]
        assert await texts(db, limit=2) == ["1", "3"]
        assert await texts(db, limit=2, reverse=True) == ["5", "3"]
        assert await texts(db, after=3, limit=1) == ["5"]
        following = db.events.follow(after=0)
        assert await take(following, 3) == ["1", "3", "5"]
        kinds = [(event.version, event.data.__class__.__name__) for event in await db.events.load(ref)]
        assert kinds == [(1, "Raw"), (2, "Noted")]
        with file.second() as other:
            unknown = other.events.query(EventQuery(["counted"])).list()
        assert await db.events.find(unknown[0].id) is None
        assert await db.events.query(EventQuery(["counted"])).list() == []


async def test_a_log_of_skipped_events_does_not_end_a_query(file: Place) -> None:
    """Pages with nothing but unknown events are read over, both ways and by followers."""
    async with file.open() as db:
        await db.events.append([note("first"), *(count(number) for number in range(2500)), note("last")])
    poorer = Registry()
    poorer.register("noted", Noted)
    async with file.open(registry=poorer, unknown="skip") as db:
        assert await texts(db) == ["first", "last"]
        assert await texts(db, reverse=True) == ["last", "first"]
        assert await texts(db, limit=2) == ["first", "last"]
        assert await take(db.events.follow(after=0), 2) == ["first", "last"]


async def test_unknown_names_can_be_read_raw(file: Place) -> None:
    """With Raw data: name, encoding, schema and payload as stored; what is raw can be appended again as a retry."""
    poorer, ref = await unknown_among_known(file)
    async with file.open(registry=poorer, unknown="raw") as db:
        log = await db.events.query().list()
        assert [event.name for event in log] == ["noted", "counted", "noted", "counted", "noted"]
        raw = cast(Raw, log[1].data)
        assert (raw.name, raw.encoding, raw.schema, raw.plain()) == ("counted", "json", 1, {"number": 2})
        assert (await db.events.load(ref))[0].data == raw
        assert await db.events.find(log[1].id) == log[1]
        following = db.events.follow(EventQuery(["counted"]), after=0)
        assert [(await anext(following)).position for _ in range(2)] == [2, 4]
        assert await db.events.append(log) == Appended((1, 2, 3, 4, 5), already_committed=True)


async def test_damaged_data_is_a_decode_error_with_its_position(place: Place) -> None:
    """It names the event and position, and comes behind what can be read."""
    strict = Registry()
    strict.register("noted", Noted)
    loose = Registry(
        codec=FunctionCodec("json", lambda _: '{"text": 5}', lambda payload, _: Noted(str(payload)), text=True)
    )
    loose.register("noted", Noted)
    async with place.open(registry=strict) as db:
        await db.events.append([note("x"), Event(Noted("broken"), registry=loose), note("y")])
        pages = db.events.query()
        assert (await anext(pages)).data == Noted("x")
        with pytest.raises(DecodeError) as caught:
            await anext(pages)
        assert (caught.value.name, caught.value.position) == ("noted", 2)
        assert await texts(db, after=2) == ["y"]


async def test_old_names_are_found_by_the_new_name(file: Place) -> None:
    """A renamed event is read, queried, counted, followed and guarded by conditions under its new name."""
    async with file.open() as db:
        await db.events.append([note("old", A, 1, tags=["t:1"]), count(1)])
    renamed = Registry()
    renamed.register("written-down", Noted, aliases=["noted"])
    renamed.register("counted", Counted)
    new = EventQuery(["written-down"])
    async with file.open(registry=renamed) as db:
        await db.events.append([Event(Noted("new"), aggregate=A, version=2, registry=renamed)])
        assert [event.name for event in await db.events.load(A)] == ["written-down", "written-down"]
        assert await texts(db, new) == ["old", "new"]
        assert await texts(db, new, reverse=True, limit=1) == ["new"]
        assert await texts(db, EventQuery(["written-down", "closed"])) == ["old", "new"]
        assert await texts(db, EventQuery(["written-down"], tags=["t:1"])) == ["old"]
        assert await db.events.count(new) == 2
        assert await take(db.events.follow(new, after=0), 2) == ["old", "new"]
        with pytest.raises(AppendConditionFailed) as caught:
            await db.events.append([Event(Counted(2), registry=renamed)], condition=AppendCondition(new, 1))
        assert caught.value.position == 3
        old = (await db.events.query(limit=1).list())[0]
        assert await db.events.append([old]) == Appended((1,), already_committed=True)


async def test_old_schemas_are_upcast_when_they_are_read(file: Place) -> None:
    """By load, query, find and follow; the stored bytes stay as they were."""

    @dataclass(frozen=True)
    class Written:
        text: str
        language: str

    async with file.open() as db:
        await db.events.append([note("hello", A, 1)])
    today = Registry()
    today.register("noted", Written, schema=2)

    @today.upcast("noted", 1)
    def add_language(plain: dict[str, Any]) -> dict[str, Any]:
        return {**plain, "language": "en"}

    expected = Written("hello", "en")
    async with file.open(registry=today) as db:
        event = (await db.events.load(A))[0]
        assert event.data == expected
        assert (await db.events.query().list())[0].data == expected
        found = await db.events.find(event.id)
        assert found is not None
        assert found.data == expected
        assert (await anext(db.events.follow(after=0))).data == expected
        assert event.encoded.schema == 1
        assert await db.events.append([event]) == Appended((1,), already_committed=True)
    with file.second() as other:
        assert other.events.load(A)[0].data == Noted("hello")


async def test_one_log_holds_several_encodings(place: Place) -> None:
    """json, msgpack and a codec of one's own, side by side, read by one registry; text stays text, bytes stay bytes."""
    own = FunctionCodec(
        "reversed", lambda value: value.text[::-1].encode(), lambda payload, _: Noted(bytes(payload).decode()[::-1])
    )
    mixed = Registry(codec=own)
    mixed.register("noted", Noted)
    codecs: list[Any] = ["json", own]
    try:
        Registry(codec="msgpack")
    except DriverMissing:
        pass
    else:
        codecs.insert(1, "msgpack")
    async with place.open(registry=mixed) as db:
        for codec in codecs:
            writer = Registry(codec=codec)
            writer.register("noted", Noted)
            await db.events.append([Event(Noted(f"{number}-é\0"), registry=writer) for number in range(3)])
        log = await db.events.query().list()
        assert [event.data.text for event in log] == [f"{number}-é\0" for number in range(3)] * len(codecs)
        encodings = [event.encoded.encoding for event in log[::3]]
        assert encodings == (["json", "msgpack", "reversed"] if len(codecs) == 3 else ["json", "reversed"])
        assert isinstance(log[0].encoded.payload, str)
        assert isinstance(log[-1].encoded.payload, bytes)
        assert (await db.events.append(log)).already_committed


async def test_an_unknown_policy_is_refused(place: Place) -> None:
    """ConfigError for anything but error, skip and raw."""
    with pytest.raises(ConfigError, match="unknown="):
        async with place.open(unknown="ignore"):
            raise AssertionError("opened")
