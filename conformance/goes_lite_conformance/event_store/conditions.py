"""Append conditions: the decision still holds, or nothing is written."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from goes_lite.contract.backend import PERSISTENT, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.events.event import Event
from goes_lite.events.query import Between, EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.harness.asserts import refused, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, B, Closed, count, everything, note, story, texts
from goes_lite_conformance.rule import needs

MANY = 1500
SEAT = EventQuery(tags=["seat:1"])


async def forbids(db: Backend, query: EventQuery, after: int = 0) -> bool:
    """Return whether a condition refuses an append of an old note, which the condition itself does not match."""
    condition = AppendCondition(query, after)
    probe = note("probe", time=NOON - timedelta(days=1000))
    try:
        appended = await db.events.append([probe], condition=condition)
    except AppendConditionFailed as failed:
        assert failed.condition == condition
        assert failed.position > after
        return True
    assert appended.already_committed is False
    return False


class ConditionRules(Contract):
    """Rules ES-COND."""

    # --- the boundary -----------------------------------------------------------------------------------------------

    async def test_a_condition_refuses_what_the_decision_did_not_see(self, db: Backend) -> None:
        """ES-COND-001: A matching event after `after` raises AppendConditionFailed, and nothing is written.

        The error has the condition, and the position of an event that matches and lies after `after`.
        """
        seats = [note("1", tags=["seat:1"]), note("2", tags=["seat:2"]), note("3", tags=["seat:1"]), note("4")]
        positions = (await db.events.append(seats)).positions
        async with unchanged(db):
            for after, matching in ((0, (0, 2)), (positions[0], (2,)), (positions[1], (2,)), (positions[2] - 1, (2,))):
                condition = AppendCondition(SEAT, after)
                with refused(AppendConditionFailed, condition=condition) as caught:
                    await db.events.append([note("x"), *story(A, 2)], condition=condition)
                assert caught.value.position in {positions[n] for n in matching}

    async def test_a_condition_allows_what_the_decision_saw(self, db: Backend) -> None:
        """ES-COND-002: Matches at or before `after` have been seen: the append is stored whole and returns as usual."""
        seen = (await db.events.append([note("1", tags=["seat:1"]), note("2", tags=["seat:1"])])).position
        await db.events.append([note("other", tags=["seat:2"])])
        batch = [*story(A, 2), note("3", tags=["seat:1"])]
        appended = await db.events.append(batch, condition=AppendCondition(SEAT, seen))
        assert appended.already_committed is False
        assert (await db.events.query(after=seen).list())[1:] == batch
        assert appended.position == await db.events.head()

    async def test_a_condition_begins_at_the_beginning(self, db: Backend) -> None:
        """ES-COND-003: `after` is 0 by default: any matching event, even the very first, refuses the append."""
        await db.events.append([note("1", tags=["seat:1"]), note("2")])
        with refused(AppendConditionFailed, condition=AppendCondition(SEAT, 0)):
            await db.events.append([note("x")], condition=AppendCondition(SEAT))

    async def test_a_query_that_matched_nothing_is_still_a_boundary(self, db: Backend) -> None:
        """ES-COND-004: Of two decisions on an empty model, the second is refused, in an empty store or any other."""
        for name in ("ann", "bob"):
            condition = AppendCondition(EventQuery(tags=[f"user:{name}"]), await db.events.head())
            await db.events.append([note(name, tags=[f"user:{name}"])], condition=condition)
            with refused(AppendConditionFailed, condition=condition, position=await db.events.head()):
                await db.events.append([note(f"{name} too", tags=[f"user:{name}"])], condition=condition)
        assert await texts(db) == ["ann", "bob"]

    async def test_a_condition_is_not_about_its_own_events(self, db: Backend) -> None:
        """ES-COND-005: A condition is checked before the batch is stored, so its own events never fail it."""
        batch = [note("x", tags=["seat:1"]), note("y", tags=["seat:1"]), *story(A, 3, tags=["seat:1"])]
        await db.events.append(batch, condition=AppendCondition(SEAT | EventQuery(aggregates=[A])))
        assert await db.events.query().list() == batch

    async def test_a_condition_need_not_be_about_what_is_appended(self, db: Backend) -> None:
        """ES-COND-006: A condition looks at the log, not at the batch: it refuses appends of unrelated events, too."""
        await db.events.append([note("1", tags=["seat:1"])])
        condition = AppendCondition(SEAT)
        async with unchanged(db):
            for batch in ([count(1)], story(A, 1), [note("2", tags=["seat:2"])]):
                with refused(AppendConditionFailed, condition=condition):
                    await db.events.append(batch, condition=condition)

    async def test_a_condition_ignores_unrelated_events(self, db: Backend) -> None:
        """ES-COND-007: Unrelated events after `after`, however many, do not fail a condition; a related one still does."""
        seen = (await db.events.append([note("1", tags=["seat:1"])])).position
        await db.events.append([note(str(number), tags=[f"other:{number}"]) for number in range(MANY)])
        assert not await forbids(db, SEAT, seen)
        assert await forbids(db, SEAT, seen - 1)

    async def test_a_condition_may_look_beyond_the_head(self, db: Backend) -> None:
        """ES-COND-008: An `after` far beyond the head refuses nothing, and does not affect later appends."""
        await db.events.append([note("1", tags=["seat:1"])])
        for after in (await db.events.head() + 100, 2**31, 2**63 - 1, 2**63, 2**100):
            assert not await forbids(db, SEAT, after)
        await db.events.append([note("2", tags=["seat:1"])])
        assert await forbids(db, SEAT)

    # --- what it looks at -------------------------------------------------------------------------------------------

    async def test_a_condition_on_everything(self, db: Backend) -> None:
        """ES-COND-009: The empty query refuses an append exactly if there is any event after `after`."""
        assert not await forbids(db, EventQuery())
        head = await db.events.head()
        assert await forbids(db, EventQuery())
        assert await forbids(db, EventQuery(), head - 1)
        assert not await forbids(db, EventQuery(), head)

    async def test_a_condition_on_names(self, db: Backend) -> None:
        """ES-COND-010: A condition on names concerns events with any of them."""
        await db.events.append([count(1)])
        for names in (["sample.counted"], ["other.closed", "sample.counted"], ["sample.counted", "zoo.closed"]):
            assert await forbids(db, EventQuery(names)), names
        assert not await forbids(db, EventQuery(["other.closed", "sample.count", "sample", "Sample.counted"]))

    async def test_a_condition_on_names_that_this_program_does_not_know(self, place: Place) -> None:
        """ES-COND-011: Events whose name is not registered here count as well, however readers treat them."""
        other = Registry()
        other.register("theirs.noted", Closed)
        async with place.open(unknown="skip") as db:
            await db.events.append([Event(Closed(), tags=["seat:1"], registry=other)])
            for query in (SEAT, EventQuery(["theirs.noted"]), EventQuery()):
                assert await forbids(db, query)
        async with place.open(unknown="error") as db:
            first = Event(Closed(), aggregate=A, version=1, tags=["seat:7"], registry=other)
            await db.events.append([first])
            assert await forbids(db, EventQuery(aggregates=[A]))

    async def test_a_condition_on_tags(self, db: Backend) -> None:
        """ES-COND-012: A condition on tags concerns events that carry all of them, not some of them each."""
        await db.events.append([note("1", tags=["color:red", "size:1", "x:y"]), note("2", A, 1, tags=["color:blue"])])
        assert await forbids(db, EventQuery(tags=["color:red"]))
        assert await forbids(db, EventQuery(tags=["size:1", "color:red"]))
        assert await forbids(db, EventQuery(tags=["color:blue"]))
        for tags in (["color:red", "color:blue"], ["color:red", "size:2"], ["color:r"], ["color:RED"], ["size:1 "]):
            assert not await forbids(db, EventQuery(tags=tags)), tags

    async def test_a_condition_on_aggregates(self, db: Backend) -> None:
        """ES-COND-013: A condition on aggregates concerns these pairs, not the name of one with the id of another."""
        await db.events.append([note("1", ("order", "a"), 1), note("1", ("invoice", "b"), 1)])
        for refs in ([("order", "a")], [("order", "z"), ("invoice", "b")], [("order", "a"), ("apple", "a")]):
            assert await forbids(db, EventQuery(aggregates=refs)), refs
        assert not await forbids(db, EventQuery(aggregates=[("order", "b"), ("invoice", "a"), ("order", "A")]))

    async def test_a_condition_on_aggregate_names(self, db: Backend) -> None:
        """ES-COND-014: A condition on aggregate names concerns all aggregates with any of these names."""
        await db.events.append([note("1", ("order", "a"), 1)])
        for names in (["order"], ["invoice", "order"], ["order", "zoo"]):
            assert await forbids(db, EventQuery(aggregate_names=names)), names
        assert not await forbids(db, EventQuery(aggregate_names=["invoice", "a", "orders"]))

    async def test_a_condition_on_aggregate_ids(self, db: Backend) -> None:
        """ES-COND-015: A condition on aggregate ids concerns aggregates with any of these ids, whatever their names."""
        await db.events.append([note("1", ("order", "a"), 1)])
        for ids in (["a"], ["A", "a"], ["a", "b"]):
            assert await forbids(db, EventQuery(aggregate_ids=ids)), ids
        assert not await forbids(db, EventQuery(aggregate_ids=["b", "order", "A"]))

    async def test_a_condition_on_versions(self, db: Backend) -> None:
        """ES-COND-016: A condition on versions concerns events in any of the ranges, both ends included."""
        positions = (await db.events.append(story(A, 3))).positions
        choices: list[list[int | Between[int]]] = [
            [3],
            [3, 7],
            [1, 3],
            [Between(3, 9)],
            [Between(2, 3)],
            [Between(3, None), 1],
        ]
        for versions in choices:
            assert await forbids(db, EventQuery(versions=versions), positions[1]), versions
        assert await forbids(db, EventQuery(min_version=3))
        assert not await forbids(db, EventQuery(versions=[4, Between(5, None)]))
        assert not await forbids(db, EventQuery(versions=[2, 1]), positions[1])

    async def test_a_condition_on_times(self, db: Backend) -> None:
        """ES-COND-017: A condition on times concerns events in any of the ranges, both ends included, to the microsecond."""
        micro = timedelta(microseconds=1)
        await db.events.append([note("1", time=NOON)])
        for times in ([NOON], [NOON - micro, NOON], [NOON, NOON + micro], [Between(NOON, None)], [Between(None, NOON)]):
            assert await forbids(db, EventQuery(times=times)), times
        assert await forbids(db, EventQuery(min_time=NOON - micro, max_time=NOON))
        assert not await forbids(db, EventQuery(times=[NOON - micro, Between(NOON + micro, None)]))

    async def test_a_condition_on_ids(self, db: Backend) -> None:
        """ES-COND-018: A condition on ids concerns the events with any of these ids."""
        event = note("1")
        await db.events.append([event])
        for ids in ([event.id], [UUID(int=0), event.id], [event.id, UUID(int=2**128 - 1)]):
            assert await forbids(db, EventQuery(ids=ids)), ids
        assert not await forbids(db, EventQuery(ids=[uuid4()]))

    async def test_all_fields_of_a_condition_hold_for_one_event(self, db: Backend) -> None:
        """ES-COND-019: A condition with several fields concerns events that match all of them."""
        await db.events.append([count(1, A, 1, tags=["seat:1"], time=NOON), note("2", B, 1, tags=["seat:2"])])
        assert await forbids(db, EventQuery(["sample.counted"], tags=["seat:1"], aggregates=[A], times=[NOON]))
        for query in (
            EventQuery(["sample.counted"], tags=["seat:2"]),
            EventQuery(["sample.noted"], tags=["seat:1"]),
            EventQuery(tags=["seat:1"], aggregates=[B]),
            EventQuery(aggregates=[A], versions=[2]),
            EventQuery(["sample.noted"], aggregate_ids=["b"], tags=["seat:2"], max_time=NOON - timedelta(days=1)),
        ):
            assert not await forbids(db, query), query

    async def test_a_condition_on_a_disjunction(self, db: Backend) -> None:
        """ES-COND-020: A condition on a disjunction concerns events that match at least one of its queries."""
        await db.events.append([count(1, tags=["seat:1"])])
        missing = EventQuery(["other.closed"]) | EventQuery(["sample.counted"], tags=["seat:2"])
        assert not await forbids(db, missing)
        assert await forbids(db, missing | SEAT)
        assert await forbids(db, EventQuery(["sample.counted"]) | missing)

    async def test_a_condition_on_hundreds_of_alternatives(self, db: Backend) -> None:
        """ES-COND-021: A condition may have hundreds of alternatives; a match of any of them refuses the append."""
        await db.events.append([note("1", tags=["seat:299"])])
        free = EventQuery.any_of(*(EventQuery(["sample.noted"], tags=[f"seat:{number}"]) for number in range(299)))
        assert not await forbids(db, free)
        assert await forbids(db, free | EventQuery(tags=["seat:299"]))

    # --- with everything else ---------------------------------------------------------------------------------------

    async def test_a_refused_append_leaves_no_boundary(self, db: Backend) -> None:
        """ES-COND-022: A refused append leaves nothing: neither its events nor its condition affect later appends."""
        await db.events.append([note("1", tags=["seat:1"]), *story(A, 1)])
        refused_one = [note("x", tags=["seat:2"]), *story(B, 2)]
        with refused(AppendConditionFailed):
            await db.events.append(refused_one, condition=AppendCondition(SEAT))
        with refused(ConcurrencyError):
            await db.events.append([note("x", tags=["seat:3"]), *story(A, 1)])
        for tag in ("seat:2", "seat:3"):
            assert not await forbids(db, EventQuery(tags=[tag]))
        assert (await db.events.append(refused_one)).already_committed is False

    async def test_a_condition_does_not_replace_versions(self, db: Backend) -> None:
        """ES-COND-023: Versions are still checked when a condition holds."""
        await db.events.append(story(A, 2))
        async with unchanged(db):
            with refused(ConcurrencyError, aggregate=A, expected=0, actual=2):
                await db.events.append(story(A, 1), condition=AppendCondition(SEAT))

    async def test_a_conflict_under_a_condition_that_fails(self, db: Backend) -> None:
        """ES-COND-024: If both the version and the condition fail, either error is right, and nothing is written."""
        await db.events.append(story(A, 1, tags=["seat:1"]))
        before = await everything(db)
        try:
            await db.events.append([note("x"), *story(A, 1)], condition=AppendCondition(SEAT))
        except (ConcurrencyError, AppendConditionFailed):
            assert await everything(db) == before
        else:
            raise AssertionError("accepted")

    @needs(PERSISTENT)
    async def test_a_condition_sees_what_was_there_before_opening(self, place: Place) -> None:
        """ES-COND-025: After reopening, a condition sees everything that was stored before."""
        async with place.open() as db:
            seen = (await db.events.append([count(1, A, 1, tags=["seat:1"])])).position
        async with place.open() as db:
            for query in (SEAT, EventQuery(["sample.counted"]), EventQuery(aggregates=[A]), EventQuery()):
                assert await forbids(db, query)
            assert not await forbids(db, SEAT, seen)

    async def test_one_of_many_crosses_a_boundary(self, place: Place, db: Backend) -> None:
        """ES-COND-026: Of concurrent decisions on the same query, one is stored; decisions on other queries are not disturbed."""
        seats, people = range(5), range(6)

        async def take(seat: int, person: int) -> Appended:
            tag = f"seat:{seat}"
            return await db.events.append(
                [note(str(person), tags=[tag])], condition=AppendCondition(EventQuery(["sample.noted"], tags=[tag]))
            )

        answers = await place.together(*(take(seat, person) for person in people for seat in seats))
        for seat in seats:
            outcomes = [type(answer).__name__ for answer in answers[seat :: len(seats)]]
            assert sorted(outcomes) == ["AppendConditionFailed"] * 5 + ["Appended"]
        assert await db.events.count() == len(seats)

    async def test_two_who_watch_each_other(self, place: Place, db: Backend) -> None:
        """ES-COND-027: Condition and write are one step: of two appends that refuse each other, exactly one is stored.

        Neither writes what it looks at itself, so comparing what is written is not enough.
        """
        for number in range(8):
            left, right = f"left:{number}", f"right:{number}"
            answers = await place.together(
                db.events.append([note("l", tags=[left])], condition=AppendCondition(EventQuery(tags=[right]))),
                db.events.append([note("r", tags=[right])], condition=AppendCondition(EventQuery(tags=[left]))),
            )
            assert {type(answer) for answer in answers} == {Appended, AppendConditionFailed}
