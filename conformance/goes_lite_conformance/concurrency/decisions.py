"""Concurrent decisions under conditions: nothing that was not allowed is stored, and unrelated writers are not affected."""

from __future__ import annotations

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed
from goes_lite.events.query import EventQuery
from goes_lite_conformance.concurrency._given import CONTENDERS, succeeded
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.rule import needs

SEATS = 10


async def book(db: Backend, course: str, student: str) -> str:
    """Book a seat in a course if one is free: read, decide, append under the condition of what was read; retry if refused."""
    query = EventQuery(tags=[f"course:{course}"])
    while True:
        booked = await db.events.query(query).list()
        if len(booked) >= SEATS:
            return "full"
        seen = booked[-1].position if booked else 0
        try:
            await db.events.append([note(student, tags=[f"course:{course}"])], condition=AppendCondition(query, seen))
        except AppendConditionFailed as error:
            assert error.position > seen, f"{error!r} is about an event that was seen"
        else:
            return "booked"


class DecisionRules(Contract):
    """Rules CC-DECIDE."""

    async def test_no_seat_is_booked_twice(self, place: Place, db: Backend) -> None:
        """CC-DECIDE-001: Of 64 students who book one of ten seats, exactly ten get one, in each of two courses.

        No aggregate is involved: the condition alone is the boundary. Only those who missed the latest booking are refused.
        """
        students = [f"student-{number}" for number in range(CONTENDERS // 2 * place.rounds)]
        wishes = [(course, student) for student in students for course in ("a", "b")]
        answers = succeeded(await place.together(*(book(db, *wish) for wish in wishes)))
        for first in (0, 1):
            assert answers[first::2].count("booked") == SEATS
        for course in ("a", "b"):
            booked = [event.data.text for event in await db.events.query(EventQuery(tags=[f"course:{course}"])).list()]
            assert len(set(booked)) == len(booked) == SEATS

    async def test_one_of_many_passes_each_round(self, place: Place, db: Backend) -> None:
        """CC-DECIDE-002: Of 64 writers that saw the same, one append is stored per round, and the other errors name its event.

        The winner's event is what the next round has seen.
        """
        query, seen = EventQuery(["sample.noted"]), 0
        for number in range(2 * place.rounds):
            condition = AppendCondition(query, seen)
            batches = [[note(f"{number}-{contender}"), note("second")] for contender in range(CONTENDERS)]
            answers = await place.together(*(db.events.append(batch, condition=condition) for batch in batches))
            (won,) = (answer for answer in answers if isinstance(answer, Appended))
            for answer in answers:
                if answer is not won:
                    with refused(AppendConditionFailed, condition=condition) as caught:
                        raise answer
                    assert caught.value.position in won.positions
            seen = won.position
            assert await db.events.count() == 2 * (number + 1)

    async def test_an_unrelated_decision_is_not_refused(self, place: Place, db: Backend) -> None:
        """CC-DECIDE-003: However many append at once, no writer is refused unless another's event matches its condition.

        A condition that locks too much would still be correct, but no two writers could work concurrently.
        """

        async def work(number: int) -> None:
            tag, seen = f"own:{number}", 0
            for _ in range(3):
                condition = AppendCondition(EventQuery(["sample.noted"], tags=[tag, "all:all"]), seen)
                seen = (await db.events.append([note("x", tags=[tag, "all:all"])], condition=condition)).position

        succeeded(await place.together(*(work(number) for number in range(CONTENDERS // 2 * place.rounds))))
        assert await db.events.count() == 3 * (CONTENDERS // 2) * place.rounds

    @needs(PROCESSES)
    async def test_decisions_through_several_handles(self, place: Place, db: Backend) -> None:
        """CC-DECIDE-004: Of decisions through several handles, too, no seat is booked twice, and none stays free."""
        async with place.open() as second, place.open() as third:
            handles = [db, second, third] * 8 * place.rounds
            answers = succeeded(await place.together(*(book(handle, "a", str(n)) for n, handle in enumerate(handles))))
            assert answers.count("booked") == SEATS
            assert await db.events.count() == SEATS
