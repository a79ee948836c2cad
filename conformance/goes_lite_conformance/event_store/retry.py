"""Appending again: the same events are stored once, and an id identifies one event."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

from goes_lite.contract.backend import PERSISTENT, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import DuplicateEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.harness.asserts import refused, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, B, Noted, note, registry, story, texts
from goes_lite_conformance.rule import needs

MANY = 3000


def again(appended: Appended) -> Appended:
    """Return what a retry of an append returns."""
    return Appended(appended.positions, already_committed=True)


async def differs(db: Backend, *changes: dict[str, Any], registry: Registry = registry, **fields: Any) -> None:
    """Store an event, and check that the same id with any of these changes raises DuplicateEventError."""
    fields = {
        "data": Noted("x"), "aggregate": A, "version": 1, "time": NOON, "metadata": {"actor": "ann"}, "tags": ["color:red"],
        "id": uuid4(), "registry": registry, **fields,
    }  # fmt: skip
    first = Event(Noted("first"), name=fields.get("name"), registry=registry)
    stored = (await db.events.append([first, Event(**fields)])).positions[1]
    async with unchanged(db):
        for change in changes:
            with refused(DuplicateEventError, event_id=fields["id"], position=stored):
                await db.events.append([Event(**{**fields, **change})])
    assert await db.events.append([Event(**fields)]) == Appended((stored,), already_committed=True)


class RetryRules(Contract):
    """Rules ES-RETRY."""

    # --- the very same events ---------------------------------------------------------------------------------------

    async def test_the_same_events_again_are_stored_once(self, db: Backend) -> None:
        """ES-RETRY-001: Appending the same events again returns the original positions and `already_committed`.

        Nothing is written, so a lost acknowledgement can always be resolved by trying again.
        """
        await db.events.append([note("before")])
        batch = [note("x"), *story(A, 2), note("y", tags=["color:red"]), *story(B, 1)]
        first = await db.events.append(batch)
        async with unchanged(db):
            for _ in range(3):
                assert await db.events.append(batch) == again(first)

    async def test_events_of_one_aggregate_again(self, db: Backend) -> None:
        """ES-RETRY-002: Retrying the events of an aggregate is not a conflict, although their versions are taken."""
        batch = story(A, 3)
        first = await db.events.append(batch)
        async with unchanged(db):
            assert await db.events.append(batch) == again(first)

    async def test_events_of_no_aggregate_again(self, db: Backend) -> None:
        """ES-RETRY-003: Retrying events of no aggregate is recognised, although they have no versions."""
        batch = [note("x"), note("y")]
        first = await db.events.append(batch)
        async with unchanged(db):
            assert await db.events.append(batch) == again(first)

    async def test_equal_events_are_the_same(self, db: Backend) -> None:
        """ES-RETRY-004: Events are the same if their fields are equal, even if they are different objects.

        Neither the order of tags and metadata nor the zone of the time makes a difference.
        """

        def made(**fields: Any) -> list[Event[Any]]:
            return [note("x", id=UUID(int=1), **fields), note("y", A, 1, id=UUID(int=2), **fields)]

        first = await db.events.append(made(tags=["a:1", "b:2"], metadata={"k": "1", "l": "2"}, time=NOON))
        there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
        async with unchanged(db):
            other = made(tags=["b:2", "a:1"], metadata={"l": "2", "k": "1"}, time=there)
            assert await db.events.append(other) == again(first)

    async def test_an_event_that_was_read_is_the_same(self, db: Backend) -> None:
        """ES-RETRY-005: Appending an event that was read from the store, by any method, is a retry."""
        event = note("x", A, 1, tags=["color:red"], metadata={"actor": "ann"})
        first = await db.events.append([event])
        for read in (await db.events.query().list(), await db.events.load(A), [await db.events.find(event.id)]):
            assert await db.events.append([one for one in read if one]) == again(first)

    async def test_a_retry_succeeds_after_the_aggregate_moved_on(self, db: Backend) -> None:
        """ES-RETRY-006: A retry succeeds, and sets no aggregate back, whatever has happened to the aggregates since."""
        batch = [*story(A, 2), *story(B, 1)]
        first = await db.events.append(batch)
        await db.events.append([note("between"), *story(A, 3, after=2)])
        await db.events.append(story(B, 1, after=1))
        async with unchanged(db):
            assert await db.events.append(batch) == again(first)
        await db.events.append(story(A, 1, after=5))

    async def test_a_retry_succeeds_though_its_own_events_match_the_condition(self, db: Backend) -> None:
        """ES-RETRY-007: The condition was checked when the events were stored; those events do not refuse their own retry."""
        for event in (note("x", A, 1, tags=["seat:1"]), note("y", tags=["seat:2"])):
            condition = AppendCondition(EventQuery(tags=event.tags))
            first = await db.events.append([event], condition=condition)
            assert await db.events.append([event], condition=condition) == again(first)

    async def test_a_retry_succeeds_whatever_matches_the_condition_by_now(self, db: Backend) -> None:
        """ES-RETRY-008: Matching events that others stored since, before or after them, do not refuse a retry either."""
        condition = AppendCondition(EventQuery(tags=["seat:1"]))
        batches = [[note("x", tags=["seat:1"])], story(A, 1)]
        answers = [await db.events.append(batch, condition=condition if batch[0].tags else None) for batch in batches]
        await db.events.append([note("later", tags=["seat:1"])])
        for batch, first in zip(batches, answers, strict=True):
            assert await db.events.append(batch, condition=condition) == again(first)

    async def test_positions_go_with_the_events(self, db: Backend) -> None:
        """ES-RETRY-009: A retry in another order returns the positions in that order."""
        x, a, b, y = note("x"), *story(A, 1), *story(B, 1), note("y")
        first = await db.events.append([x, a, b, y])
        retried = await db.events.append([b, y, x, a])
        assert retried == Appended(tuple(first.positions[n] for n in (2, 3, 0, 1)), already_committed=True)

    async def test_a_part_of_a_stored_batch_is_stored(self, db: Backend) -> None:
        """ES-RETRY-010: A retry may split or join batches: it succeeds if all of its events are stored."""
        x, *a = note("x"), *story(A, 3)
        first = await db.events.append([x, *a[:2]])
        second = await db.events.append([note("y"), a[2]])
        positions = (*first.positions, second.position)
        async with unchanged(db):
            assert await db.events.append(a[1:2]) == Appended(positions[2:3], already_committed=True)
            assert await db.events.append([x]) == Appended(positions[:1], already_committed=True)
            assert await db.events.append(a) == Appended(positions[1:], already_committed=True)

    async def test_thousands_again(self, db: Backend) -> None:
        """ES-RETRY-011: A retry of a batch of thousands is recognised like any other."""
        batch = [*story(A, MANY // 2), *(note(str(number)) for number in range(MANY // 2))]
        first = await db.events.append(batch)
        assert await db.events.append(batch) == again(first)
        assert await db.events.count() == MANY

    @needs(PERSISTENT)
    async def test_a_retry_after_reopening(self, place: Place) -> None:
        """ES-RETRY-012: A retry is recognised however long ago, and by whichever program, the events were stored."""
        batch = [*story(A, 2), note("x")]
        async with place.open() as db:
            first = await db.events.append(batch)
        async with place.open() as db, unchanged(db):
            assert await db.events.append(batch) == again(first)
            with refused(DuplicateEventError, event_id=batch[2].id, position=first.position):
                await db.events.append([note("y", id=batch[2].id)])

    async def test_the_same_events_side_by_side(self, place: Place, db: Backend) -> None:
        """ES-RETRY-013: Of concurrent appends of the same events, one stores them, and all return their positions."""
        for batch in ([note("x"), note("y")], [*story(A, 2), note("z")]):
            answers = await place.together(*(db.events.append(batch) for _ in range(8)))
            assert len({answer.positions for answer in answers}) == 1
            assert sorted(answer.already_committed for answer in answers) == [False] + [True] * 7
        assert await db.events.count() == 5

    async def test_a_renamed_event_is_the_same(self, place: Place) -> None:
        """ES-RETRY-014: An event renamed since is the same under its former and its current name."""
        old, new = Registry(), Registry()
        old.register("sample.old", Noted)
        new.register("sample.new", Noted, aliases=["sample.old"])
        async with place.open(registry=new) as db:
            event = Event(Noted("x"), aggregate=A, version=1, registry=old)
            today = Event(Noted("x"), aggregate=A, version=1, id=event.id, time=event.time, registry=new)
            first = await db.events.append([event])
            for one in (event, today, *await db.events.load(A)):
                assert await db.events.append([one]) == again(first)

    # --- an id that is used -----------------------------------------------------------------------------------------

    async def test_other_data_under_a_used_id(self, db: Backend) -> None:
        """ES-RETRY-015: The same id with other data raises DuplicateEventError with the id and the stored position.

        Nothing is written, and the stored event stays as it is. It is not a ConcurrencyError, although the version is
        taken: loading and deciding again would not help.
        """
        await differs(db, {"data": Noted("y")}, {"data": Noted("")}, {"data": Noted("X")})

    async def test_another_name_under_a_used_id(self, place: Place) -> None:
        """ES-RETRY-016: The same id with another event name raises DuplicateEventError, even if the data is equal."""
        twins = Registry()
        twins.register("twin.one", Noted)
        twins.register("twin.two", Noted)
        async with place.open(registry=twins) as db:
            await differs(db, {"name": "twin.two"}, name="twin.one", registry=twins)

    async def test_another_aggregate_under_a_used_id(self, db: Backend) -> None:
        """ES-RETRY-017: The same id with another aggregate, or none, raises DuplicateEventError, even if the version fits."""
        await differs(
            db,
            {"aggregate": AggregateRef(A.name, "other")},
            {"aggregate": AggregateRef("other", A.id)},
            {"aggregate": None, "version": 0},
        )
        await differs(db, {"aggregate": B, "version": 1}, aggregate=None, version=0)

    async def test_another_version_under_a_used_id(self, db: Backend) -> None:
        """ES-RETRY-018: The same id with another version raises DuplicateEventError, whether that version fits or not."""
        await differs(db, {"version": 2}, {"version": 7})

    async def test_another_time_under_a_used_id(self, db: Backend) -> None:
        """ES-RETRY-019: The same id with another time raises DuplicateEventError, even if it differs by a microsecond."""
        micro = timedelta(microseconds=1)
        await differs(db, {"time": NOON + micro}, {"time": NOON - micro}, {"time": NOON + timedelta(days=400)})

    async def test_other_metadata_under_a_used_id(self, db: Backend) -> None:
        """ES-RETRY-020: The same id with metadata changed, added or left out raises DuplicateEventError."""
        await differs(db, *({"metadata": other} for other in ({"actor": "bob"}, {"actor": "ann", "cause": "x"}, None)))

    async def test_other_tags_under_a_used_id(self, db: Backend) -> None:
        """ES-RETRY-021: The same id with a tag changed, added or left out raises DuplicateEventError."""
        await differs(db, *({"tags": other} for other in (["color:blue"], ["color:red", "size:1"], [])))

    async def test_a_used_id_anywhere_in_a_batch(self, db: Backend) -> None:
        """ES-RETRY-022: One used id, anywhere in an otherwise valid batch, refuses the whole batch."""
        used = note("used")
        position = (await db.events.append([*story(A, 1), used])).position
        async with unchanged(db):
            for batch in (
                [note("x", A, 2, id=used.id)],
                [*story(A, 2, after=1), note("x", A, 4, id=used.id), note("y")],
                [note("x"), note("y", id=used.id)],
                [note("x", id=used.id), *story(B, 2)],
                [note("x", B, 1), note("other", id=used.id)],
            ):
                with refused(DuplicateEventError, event_id=used.id, position=position):
                    await db.events.append(batch)

    async def test_a_used_id_is_a_duplicate_under_a_condition_too(self, db: Backend) -> None:
        """ES-RETRY-023: A used id raises DuplicateEventError whatever the condition: deciding again would not help."""
        used = note("used")
        position = (await db.events.append([used])).position
        for batch in ([note("x", id=used.id)], [*story(A, 1), note("x", id=used.id)]):
            with refused(DuplicateEventError, event_id=used.id, position=position):
                await db.events.append(batch, condition=AppendCondition(EventQuery()))
        assert await texts(db) == ["used"]

    async def test_a_batch_that_is_stored_in_part(self, db: Backend) -> None:
        """ES-RETRY-024: A batch that is stored only in part raises DuplicateEventError about an event of that part.

        This holds although that part is the same: a retry repeats a whole batch, and half a batch is never stored.
        """
        stored = [*story(A, 2), note("x")]
        positions = (await db.events.append(stored)).positions
        known = {(event.id, position) for event, position in zip(stored, positions, strict=True)}
        async with unchanged(db):
            for batch in (
                [*stored, note("new")],
                [note("new"), stored[2]],
                [*stored[:2], *story(A, 1, after=2)],
                [stored[2], *story(A, 1, after=2)],
                [*story(B, 1), *stored],
            ):
                with refused(DuplicateEventError) as caught:
                    await db.events.append(batch)
                assert (caught.value.event_id, caught.value.position) in known

    async def test_one_id_twice_in_a_batch(self, db: Backend) -> None:
        """ES-RETRY-025: The same id twice in a batch raises DuplicateEventError with position 0, and nothing is written.

        This holds for the same event twice, for two different events, and for an event that is already stored.
        """
        stored, event = note("stored"), note("x")
        await db.events.append([stored])
        async with unchanged(db):
            for batch in (
                [event, note("y"), event],
                [event, note("other", A, 1, id=event.id)],
                [*story(A, 2), note("z", B, 1, id=event.id), note("z", B, 2, id=event.id)],
            ):
                with refused(DuplicateEventError, event_id=event.id, position=0):
                    await db.events.append(batch)
            with refused(DuplicateEventError, event_id=stored.id, position=0):
                await db.events.append([stored, stored])
