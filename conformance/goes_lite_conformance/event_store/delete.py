"""Deleting an aggregate permanently."""

from __future__ import annotations

from datetime import timedelta

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend
from goes_lite.contract.event_store import AggregateInfo, AppendCondition
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import refused, same, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, A, B, C, note, snapshot, story, texts
from goes_lite_conformance.rule import needs


class DeleteRules(Contract):
    """Rules ES-DELETE."""

    async def test_delete_erases_an_aggregate(self, db: Backend) -> None:
        """ES-DELETE-001: `delete` erases all events of an aggregate and returns their number."""
        await db.events.append([*story(A, 2), note("x")])
        await db.events.append(story(A, 1, after=2))
        assert await db.events.delete(A) == 3
        assert await db.events.load(A) == []

    async def test_deleted_events_are_not_found(self, db: Backend) -> None:
        """ES-DELETE-002: Deleted events are in no query and no count, and their ids find nothing."""
        mine = story(A, 3, tags=["color:red"], time=NOON)
        await db.events.append([mine[0], note("x", tags=["color:red"], time=NOON), *mine[1:]])
        await db.events.delete(A)
        for query, left in [
            (EventQuery(), ["x"]), (EventQuery(tags=["color:red"]), ["x"]), (EventQuery(["sample.noted"]), ["x"]),
            (EventQuery(times=[NOON]), ["x"]), (EventQuery(aggregates=[A]), []), (EventQuery(aggregate_ids=["a"]), []),
            (EventQuery(aggregate_names=["order"]), []), (EventQuery(min_version=1), []),
            (EventQuery(ids=[event.id for event in mine]), []),
        ]:  # fmt: skip
            assert await texts(db, query) == left, query
            assert await db.events.count(query) == len(left), query
        assert [await db.events.find(event.id) for event in mine] == [None] * 3

    async def test_a_deleted_aggregate_is_not_listed(self, db: Backend) -> None:
        """ES-DELETE-003: A deleted aggregate is no longer listed."""
        await db.events.append([*story(A, 1), *story(B, 2), *story(C, 1)])
        await db.events.delete(B)
        assert [info.aggregate for info in await db.events.aggregates().list()] == [A, C]

    async def test_delete_erases_snapshots(self, db: Backend) -> None:
        """ES-DELETE-004: The snapshots of the aggregate are deleted, too; those of others stay."""
        await db.events.append([*story(A, 2), *story(B, 2)])
        for ref in (A, B):
            for version in (1, 2):
                await db.snapshots.save(snapshot(ref, version))
        await db.events.delete(A)
        assert await db.snapshots.latest(A) is None
        assert await db.snapshots.query().list() == [snapshot(B, 1), snapshot(B, 2)]

    async def test_delete_touches_no_other_event(self, db: Backend) -> None:
        """ES-DELETE-005: All other events, of aggregates or of none, keep their fields and positions."""
        others = [note("x", tags=["color:red"]), *story(B, 3, tags=["color:red"], metadata={"by": "me"})]
        mine = story(A, 3, tags=["color:red"])
        log = [mine[0], others[0], others[1], mine[1], others[2], mine[2], others[3]]
        at = dict(zip(log, (await db.events.append(log)).positions, strict=True))
        await db.events.delete(A)
        left = await db.events.query().list()
        same(left, others)
        assert [event.position for event in left] == [at[event] for event in others]
        assert await db.events.query(EventQuery(tags=["color:red"])).list() == others
        assert [info.version for info in await db.events.aggregates().list()] == [3]
        await db.events.append(story(B, 1, after=3))

    async def test_delete_takes_nothing_for_something_else(self, db: Backend) -> None:
        """ES-DELETE-006: Only the aggregate with exactly this name and id is deleted, whatever the id looks like."""
        refs = [AggregateRef("order", id) for id in CONFUSABLE] + [
            AggregateRef("invoice", "a"),
            AggregateRef("Order", "a"),
        ]
        await db.events.append([note("x", ref, 1) for ref in refs])
        for number, ref in enumerate(refs, 1):
            assert await db.events.delete(ref) == 1
            assert await db.events.count() == len(refs) - number

    async def test_deleting_an_unknown_aggregate(self, db: Backend) -> None:
        """ES-DELETE-007: Deleting an unknown or already deleted aggregate returns 0 and changes nothing."""
        await db.events.append([*story(A, 2), *story(B, 2)])
        await db.events.delete(B)
        async with unchanged(db):
            for unknown in (B, AggregateRef("order", "nobody"), AggregateRef("nothing", "a")):
                assert await db.events.delete(unknown) == 0

    async def test_a_long_history_is_deleted_whole(self, db: Backend) -> None:
        """ES-DELETE-008: A history of thousands of events is deleted whole."""
        await db.events.append([note("x"), *story(A, 2500, tags=["color:red"])])
        assert await db.events.delete(A) == 2500
        assert await texts(db) == ["x"]

    # --- afterwards -------------------------------------------------------------------------------------------------

    async def test_a_deleted_aggregate_begins_again(self, db: Backend) -> None:
        """ES-DELETE-009: A deleted aggregate can begin again, at version 1 only."""
        await db.events.append(story(A, 2))
        await db.events.delete(A)
        with refused(ConcurrencyError, aggregate=A, expected=2, actual=0):
            await db.events.append(story(A, 1, after=2))
        await db.events.append(story(A, 2))
        assert [event.version for event in await db.events.load(A)] == [1, 2]

    async def test_nothing_is_left_of_the_first_life(self, db: Backend) -> None:
        """ES-DELETE-010: An aggregate that began again shows only its new events and their times."""
        await db.events.append(story(A, 3, tags=["color:red"], time=NOON))
        await db.events.delete(A)
        later = NOON + timedelta(days=1)
        again = story(A, 1, time=later)
        await db.events.append(again)
        assert await db.events.load(A) == await db.events.query(EventQuery(aggregates=[A])).list() == again
        assert await db.events.count(EventQuery(tags=["color:red"])) == 0
        assert await db.events.aggregates().list() == [AggregateInfo(A, 1, later, later)]

    async def test_deleted_ids_are_free(self, db: Backend) -> None:
        """ES-DELETE-011: The ids of deleted events are free: the same or other events can be stored with them."""
        first = story(A, 3)
        await db.events.append(first)
        await db.events.delete(A)
        appended = await db.events.append(first[:2])
        assert not appended.already_committed
        await db.events.append([note("x", id=first[2].id)])
        assert await texts(db) == ["a-1", "a-2", "x"]

    async def test_positions_are_not_used_again(self, db: Backend) -> None:
        """ES-DELETE-012: No position is reused, neither the last ones nor any when the store is left empty."""
        last = (await db.events.append(story(B, 2))).position
        for _ in range(3):
            positions = (await db.events.append(story(A, 3))).positions
            assert positions[0] > last
            last = positions[-1]
            await db.events.delete(A)
        await db.events.delete(B)
        assert (await db.events.append([note("x")])).position > last

    async def test_the_head_does_not_go_back(self, db: Backend) -> None:
        """ES-DELETE-013: The head never goes back, even if the last events, or all of them, are deleted."""
        await db.events.append(story(B, 1))
        head = (await db.events.append(story(A, 3))).position
        for ref in (A, B):
            await db.events.delete(ref)
            assert await db.events.head() >= head

    async def test_deleted_events_fail_no_condition(self, db: Backend) -> None:
        """ES-DELETE-014: A condition does not see deleted events, but sees those that follow under the same id."""
        condition = AppendCondition(EventQuery(aggregates=[A]) | EventQuery(tags=["color:red"]))
        await db.events.append(story(A, 2, tags=["color:red"]))
        await db.events.delete(A)
        await db.events.append([note("x")], condition=condition)
        position = (await db.events.append(story(A, 1))).position
        with refused(AppendConditionFailed, condition=condition, position=position):
            await db.events.append([note("y")], condition=condition)
        assert await texts(db) == ["x", "a-1"]

    @needs(PERSISTENT)
    async def test_a_deletion_lasts(self, place: Place) -> None:
        """ES-DELETE-015: After reopening, deleted events are still gone, their positions still used, the head unchanged."""
        async with place.open() as db:
            head = (await db.events.append([note("x"), *story(A, 4)])).position
            await db.snapshots.save(snapshot(A, 4))
            await db.events.delete(A)
        async with place.open() as db:
            assert await texts(db) == ["x"]
            assert await db.events.aggregates().list() == []
            assert await db.snapshots.latest(A) is None
            assert await db.events.head() >= head
            assert (await db.events.append(story(A, 1))).position > head

    @needs(PROCESSES)
    async def test_another_handle_sees_a_deletion(self, place: Place, db: Backend) -> None:
        """ES-DELETE-016: A handle that has read and written the aggregate sees its deletion by another at once."""
        async with place.open() as other:
            await other.events.append(story(A, 2, tags=["color:red"]))
            assert len(await other.events.load(A)) == 2
            await db.events.delete(A)
            assert await other.events.load(A) == await other.events.query().list() == []
            await other.events.append(story(A, 1))
            assert await texts(db) == ["a-1"]
