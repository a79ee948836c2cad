"""Appending: order, versions, retries and duplicates, in memory and in a file, on every face and driver."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from goes_lite.backend import Backend
from goes_lite.errors import ConcurrencyError, DuplicateEventError, InvalidEventError
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.store import AppendCondition, Appended

if TYPE_CHECKING:
    from tests.backends.events_kit import NOON, A, B, everything, texts
    from tests.backends.faces import Counted, Noted, Place, note, registry, story
else:
    from events_kit import NOON, A, B, everything, texts
    from faces import Counted, Noted, Place, note, registry, story


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
