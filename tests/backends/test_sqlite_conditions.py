"""Appending under a condition, in memory and in a file, on every face and driver."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from goes_lite.backend import Backend
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.query import Between, EventQuery
from goes_lite.store import AppendCondition

if TYPE_CHECKING:
    from tests.backends.events_kit import NOON, A, B, C, everything, texts
    from tests.backends.faces import note, story
else:
    from events_kit import NOON, A, B, C, everything, texts
    from faces import note, story


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
