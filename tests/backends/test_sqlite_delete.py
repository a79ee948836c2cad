"""Deleting an aggregate, in memory and in a file, on every face and driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goes_lite.backend import Backend
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.event import AggregateRef
from goes_lite.query import EventQuery
from goes_lite.snapshot import Snapshot
from goes_lite.store import AppendCondition, Appended

if TYPE_CHECKING:
    from tests.backends.events_kit import NOON, A, B, texts
    from tests.backends.faces import Place, note, story
else:
    from events_kit import NOON, A, B, texts
    from faces import Place, note, story


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
