"""Appending: atomicity, versions, positions, visibility."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from goes_lite.contract.backend import DENSE_POSITIONS, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, DuplicateEventError, InvalidEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.harness.asserts import refused, same, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, B, C, Noted, careless, everything, note, story, texts
from goes_lite_conformance.rule import needs

MANY = 3000
"""More events than any backend is expected to hold in one batch, page or list of parameters."""


async def versions(db: Backend, aggregate: AggregateRef) -> list[int]:
    """Return the versions of an aggregate as it is loaded."""
    return [event.version for event in await db.events.load(aggregate)]


class AppendRules(Contract):
    """Rules ES-APPEND."""

    # --- order and positions ----------------------------------------------------------------------------------------

    async def test_events_are_stored_in_the_order_given(self, db: Backend) -> None:
        """ES-APPEND-001: The events of a batch are stored in the given order, with every field unchanged."""
        batch = [note("x"), *story(A, 2, metadata={"actor": "ann"}), note("y", tags=["color:red"], time=NOON)]
        await db.events.append(batch)
        same(await db.events.query().list(), batch)

    async def test_append_answers_the_positions(self, db: Backend) -> None:
        """ES-APPEND-002: An append returns an Appended with the position of each event, in the order of the events.

        `already_committed` is False, and `position` is the last of the positions: the one that read-your-writes waits for.
        """
        batch = [note("x"), note("1", A, 1), note("y"), note("1", B, 1), note("2", A, 2)]
        appended = await db.events.append(batch)
        assert isinstance(appended, Appended)
        assert appended.already_committed is False
        stored = [await db.events.find(event.id) for event in batch]
        assert appended.positions == tuple(event.position for event in stored if event)
        assert appended.position == appended.positions[-1]

    async def test_positions_grow(self, db: Backend) -> None:
        """ES-APPEND-003: Positions start at 1 or above, and increase within a batch and from each append to the next."""
        batches = [[note("1")], [note("2"), note("3"), *story(A, 2)], story(B, 2), [note("4")], story(A, 1, after=2)]
        positions = [position for batch in batches for position in (await db.events.append(batch)).positions]
        assert positions[0] >= 1
        assert positions == sorted(set(positions))

    @needs(DENSE_POSITIONS)
    async def test_dense_positions_have_no_gaps(self, db: Backend) -> None:
        """ES-APPEND-004: Dense positions are 1, 2, 3, …: refused, repeated and empty appends use up none."""
        first = [note("1"), note("2")]
        await db.events.append(first)
        with refused(ConcurrencyError):
            await db.events.append([note("x"), note("late", A, 5)])
        with refused(DuplicateEventError):
            await db.events.append([note("x"), note("used", id=first[0].id)])
        with refused(AppendConditionFailed):
            await db.events.append([note("x")], condition=AppendCondition(EventQuery()))
        await db.events.append(first)
        await db.events.append([])
        assert (await db.events.append([note("3"), note("4")])).positions == (3, 4)
        assert [event.position for event in await db.events.query().list()] == [1, 2, 3, 4]

    async def test_order_is_that_of_the_appends(self, db: Backend) -> None:
        """ES-APPEND-005: Neither times nor ids affect the order: clocks run back, and ids may be anything."""
        batch = [
            note(str(number), time=NOON - timedelta(days=number), id=UUID(int=2**128 - 1 - number * 2**120))
            for number in range(6)
        ]
        await db.events.append(batch[:3])
        await db.events.append(batch[3:5])
        await db.events.append(batch[5:])
        assert await texts(db) == list("012345")

    async def test_an_event_gets_a_position_whatever_it_had(self, db: Backend) -> None:
        """ES-APPEND-006: An event that already has a position, from whichever log, gets a new one."""
        far = 2**62
        first = await db.events.append([note("0"), note("1")])
        appended = await db.events.append([note("2").at(first.positions[0]), note("3", A, 1).at(far)])
        positions = (*first.positions, *appended.positions, (await db.events.append([note("4")])).position)
        assert list(positions) == sorted(set(positions))
        assert far not in positions
        assert [(event.data.text, event.position) for event in await db.events.query().list()] == list(
            zip("01234", positions, strict=True)
        )

    async def test_the_event_passed_in_stays_as_it_was(self, db: Backend) -> None:
        """ES-APPEND-007: Appending changes no event: the events passed in have no position afterwards either."""
        event = note("x", A, 1, time=NOON, tags=["color:red"])
        await db.events.append([event])
        assert event.position == 0
        assert event == note("x", A, 1, id=event.id, time=NOON, tags=["color:red"])

    # --- visibility -------------------------------------------------------------------------------------------------

    async def test_every_reader_sees_it_at_once(self, db: Backend) -> None:
        """ES-APPEND-008: Once an append has returned, every way of reading shows its events."""
        for version in range(1, 6):
            event = note(str(version), A, version, tags=[f"version:{version}"])
            position = (await db.events.append([event])).position
            assert await db.events.find(event.id) == event
            assert (await db.events.load(A))[-1] == event
            assert await db.events.query(after=position - 1).list() == [event]
            assert await db.events.query(EventQuery(tags=[f"version:{version}"])).list() == [event]
            assert await db.events.count() == version
            assert await db.events.head() == position
            assert [info.version for info in await db.events.aggregates().list()] == [version]

    async def test_a_reader_sees_a_batch_whole_or_not_at_all(self, place: Place, db: Backend) -> None:
        """ES-APPEND-009: A reader never sees part of a batch while others append."""
        rounds, size = 15, 20

        async def write() -> None:
            for number in range(rounds):
                half = size // 2
                await db.events.append([*story(A, half, after=number * half), *(note() for _ in range(half))])

        writing = place.alongside(write())
        while not writing.ended:
            assert len(await db.events.query().list()) % size == 0
            assert await db.events.count() % size == 0
            assert len(await db.events.load(A)) % (size // 2) == 0
        await writing.result()
        assert await db.events.count() == rounds * size

    # --- versions ---------------------------------------------------------------------------------------------------

    async def test_an_aggregate_grows(self, db: Backend) -> None:
        """ES-APPEND-010: An aggregate begins at version 1, and each append continues from its current version."""
        await db.events.append(story(A, 1))
        await db.events.append(story(A, 3, after=1))
        await db.events.append(story(A, 1, after=4))
        assert await versions(db, A) == [1, 2, 3, 4, 5]

    async def test_a_version_that_is_taken_is_a_conflict(self, db: Backend) -> None:
        """ES-APPEND-011: A first version that the aggregate has already reached or passed raises ConcurrencyError.

        The error names the aggregate, the version that the append builds on, and the stored version.
        """
        await db.events.append(story(A, 3))
        async with unchanged(db):
            for version in (1, 2, 3):
                with refused(ConcurrencyError, aggregate=A, expected=version - 1, actual=3):
                    await db.events.append(story(A, 4, after=version - 1))

    async def test_a_version_that_leaves_a_gap_is_a_conflict(self, db: Backend) -> None:
        """ES-APPEND-012: A first version beyond the next one raises ConcurrencyError, too: no history has gaps."""
        await db.events.append(story(A, 3))
        async with unchanged(db):
            for version in (5, 6, 100):
                with refused(ConcurrencyError, aggregate=A, expected=version - 1, actual=3):
                    await db.events.append([note("late", A, version)])

    async def test_an_unknown_aggregate_is_at_version_0(self, db: Backend) -> None:
        """ES-APPEND-013: For an aggregate that does not exist, `actual` is 0, and the attempt does not create it."""
        with refused(ConcurrencyError, aggregate=A, expected=1, actual=0):
            await db.events.append([note("2", A, 2)])
        assert await everything(db) == ([], [], 0, 0, [])

    async def test_versions_of_any_size_are_compared(self, db: Backend) -> None:
        """ES-APPEND-014: A version too large for any database's integers conflicts like any other."""
        await db.events.append(story(A, 1))
        async with unchanged(db):
            for version in (2**31, 2**32 + 2, 2**53 + 1, 2**63 - 1, 2**63, 2**64 + 2, 10**30):
                with refused(ConcurrencyError, aggregate=A, expected=version - 1, actual=1):
                    await db.events.append([note("x", A, version)])
                with refused(ConcurrencyError, aggregate=B, expected=version - 1, actual=0):
                    await db.events.append([note("x", B, version)])

    async def test_an_aggregate_is_its_name_and_its_id(self, db: Backend) -> None:
        """ES-APPEND-015: Aggregates that share a name or an id, or look the same when joined, are independent."""
        refs = [AggregateRef(name, id) for name in ("order", "invoice") for id in "ab"]
        for joint in (":", "/", ".", "|", "-", "_", ",", "$", "#", "@", "+"):
            refs += [AggregateRef(f"x{joint}y", "z"), AggregateRef("x", f"y{joint}z")]
        await db.events.append([event for ref in refs for event in story(ref, 2)])
        for ref in refs:
            await db.events.append(story(ref, 1, after=2))
            assert await versions(db, ref) == [1, 2, 3], ref

    # --- batches ----------------------------------------------------------------------------------------------------

    async def test_a_batch_may_be_about_several_aggregates(self, db: Backend) -> None:
        """ES-APPEND-016: A batch may interleave events of several aggregates, new and old, and of none.

        Each aggregate advances by its own events only, and the next append has to match all of them.
        """
        await db.events.append(story(A, 2))
        a, b, c = story(A, 3, after=2), story(B, 2), story(C, 1)
        batch = [b[0], a[0], note("x"), a[1], c[0], b[1], note("y"), a[2]]
        await db.events.append(batch)
        assert (await db.events.query().list())[2:] == batch
        assert [await versions(db, ref) for ref in (A, B, C)] == [[1, 2, 3, 4, 5], [1, 2], [1]]
        for ref, stored in ((A, 5), (B, 2), (C, 1)):
            with refused(ConcurrencyError, aggregate=ref, expected=stored - 1, actual=stored):
                await db.events.append(story(ref, 1, after=stored - 1))
        await db.events.append([*story(C, 1, after=1), *story(A, 1, after=5), *story(B, 1, after=2)])

    async def test_events_of_no_aggregate_never_conflict(self, db: Backend) -> None:
        """ES-APPEND-017: Events of no aggregate have no version and never conflict, however many are stored."""
        for number in range(4):
            await db.events.append([note(f"{number}"), note(f"{number}+")])
        found = await db.events.query().list()
        assert [(event.aggregate, event.version) for event in found] == [(None, 0)] * 8

    async def test_every_aggregate_of_a_batch_is_checked(self, db: Backend) -> None:
        """ES-APPEND-018: A conflict of any aggregate in a batch, wherever it stands, refuses the whole batch.

        The error is about that aggregate; nothing of the others is written, and none of them is created.
        """
        await db.events.append([*story(A, 2), *story(B, 1)])
        async with unchanged(db):
            for late in (story(A, 2, after=1), story(A, 1), story(A, 1, after=7)):
                bad = {"aggregate": A, "expected": late[0].version - 1, "actual": 2}
                for batch in (
                    [*story(B, 1, after=1), *story(C, 2), note("x"), *late],
                    [*story(C, 1), late[0], note("x")],
                    [*late, *story(B, 1, after=1)],
                ):
                    with refused(ConcurrencyError, **bad):
                        await db.events.append(batch)

    async def test_an_empty_batch_changes_nothing(self, db: Backend) -> None:
        """ES-APPEND-019: An empty batch succeeds, has no positions (`position` is 0), and writes nothing."""
        assert await db.events.append([]) == Appended((), already_committed=False)
        await db.events.append([note("x")])
        async with unchanged(db):
            assert (await db.events.append([])).position == 0

    async def test_an_empty_batch_does_not_look_at_the_condition(self, db: Backend) -> None:
        """ES-APPEND-020: An empty batch succeeds even if its condition does not hold."""
        await db.events.append([note("x")])
        async with unchanged(db):
            assert await db.events.append([], condition=AppendCondition(EventQuery())) == Appended(())

    async def test_a_batch_is_any_collection_of_events(self, db: Backend) -> None:
        """ES-APPEND-021: A batch is any iterable, such as a list, a tuple or a generator, and is iterated only once."""
        once: Any = (note(word) for word in "345")
        await db.events.append((note("1"), note("2")))
        assert len((await db.events.append(once)).positions) == 3
        await db.events.append(deque([note("6"), note("7")]))
        assert await texts(db) == list("1234567")

    async def test_a_batch_of_thousands(self, db: Backend) -> None:
        """ES-APPEND-022: A batch of thousands is one batch: every event is stored, in order, with its position."""
        batch = [*story(A, MANY // 2, tags=["size:big"]), *(note(str(number)) for number in range(MANY // 2))]
        appended = await db.events.append(batch)
        found = await db.events.query().list()
        same(found, batch)
        assert appended.positions == tuple(event.position for event in found)
        assert list(appended.positions) == sorted(set(appended.positions))
        assert await versions(db, A) == list(range(1, MANY // 2 + 1))

    async def test_a_batch_of_thousands_is_refused_whole(self, db: Backend) -> None:
        """ES-APPEND-023: If the last of thousands of events is refused, nothing of the batch is written."""
        used = note("used")
        await db.events.append([used])
        async with unchanged(db):
            with refused(DuplicateEventError, event_id=used.id):
                await db.events.append([*story(A, MANY), note("other", id=used.id)])
            with refused(ConcurrencyError, aggregate=B, expected=1, actual=0):
                await db.events.append([*story(A, MANY), note("late", B, 2)])

    # --- neighbours -------------------------------------------------------------------------------------------------

    async def test_a_refused_append_uses_up_nothing(self, db: Backend) -> None:
        """ES-APPEND-024: After a refusal, the same ids and the right versions succeed as if nothing had been tried."""
        await db.events.append(story(A, 1))
        early = note("x", A, 1)
        loose = note("y", tags=["color:red"])
        with refused(ConcurrencyError, aggregate=A, expected=0, actual=1):
            await db.events.append([*story(B, 2), loose, early])
        rebased = note("x", A, 2, id=early.id, time=early.time)
        appended = await db.events.append([loose, *story(B, 1), rebased])
        assert appended.already_committed is False
        assert await texts(db) == ["a-1", "y", "b-1", "x"]

    async def test_one_of_many_takes_a_version(self, place: Place, db: Backend) -> None:
        """ES-APPEND-025: Of concurrent appends of the same version, one is stored; the others raise ConcurrencyError.

        Each error has the version that is stored by then, and nothing else of its batch is written.
        """
        for version in (1, 2, 3):
            answers = await place.together(
                *(db.events.append([note("beside"), note(str(number), A, version)]) for number in range(8))
            )
            conflicts = [answer for answer in answers if not isinstance(answer, Appended)]
            assert len(conflicts) == 7
            for conflict in conflicts:
                with refused(ConcurrencyError, aggregate=A, expected=version - 1, actual=version):
                    raise conflict
            assert await versions(db, A) == list(range(1, version + 1))
            assert await db.events.count() == 2 * version

    async def test_a_refused_append_does_not_disturb_its_neighbours(self, place: Place, db: Backend) -> None:
        """ES-APPEND-026: Each of several concurrent appends gets its own outcome, even if the store writes them together."""
        used = note("used", tags=["seat:1"])
        await db.events.append([used, *story(A, 1)])
        taken = AppendCondition(EventQuery(tags=["seat:1"]))

        def outcomes(number: int) -> dict[type, Any]:
            own = AggregateRef("own", str(number))
            return {
                Appended: db.events.append(story(own, 2)),
                ConcurrencyError: db.events.append([note("x"), *story(B, 1, after=1)]),
                DuplicateEventError: db.events.append([note("x"), note("x", ("new", str(number)), 1, id=used.id)]),
                AppendConditionFailed: db.events.append([note("x")], condition=taken),
                InvalidEventError: db.events.append([note("x"), Event(Noted("\ud800"), registry=careless)]),
            }

        calls = [(expected, call) for number in range(8) for expected, call in outcomes(number).items()]
        answers = await place.together(*(call for _, call in calls))
        assert [type(answer) for answer in answers] == [expected for expected, _ in calls]
        positions = [p for answer in answers if isinstance(answer, Appended) for p in answer.positions]
        stored = [event.position for event in await db.events.query().list()][2:]
        assert sorted(positions) == stored
        assert len(await db.events.aggregates("own").list()) == 8

    async def test_events_of_another_program_are_stored(self, place: Place) -> None:
        """ES-APPEND-027: An event is stored whichever registry made it, even if its name is unknown to this program.

        Several programs share a log, and one of them may pass on events that only another can read.
        """
        theirs = Registry()
        theirs.register("theirs.noted", Noted)
        event = Event(Noted("x"), aggregate=A, version=1, id=uuid4(), registry=theirs)
        async with place.open(unknown="raw") as db:
            await db.events.append([note("ours"), event])
            found = (await db.events.query().list())[1]
            assert (found.name, found.id, found.encoded) == ("theirs.noted", event.id, event.encoded)
