"""Dead letters: events that a handler failed on too often, and what can be done with them."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.errors import BusError
from goes_lite.events.event import Event
from goes_lite_conformance.event_bus._given import RecordingHandler, take
from goes_lite_conformance.event_bus.handlers import soon
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import note


def bad(event: Event[Any]) -> bool:
    """Whether the text of the event says that it is bad."""
    return bool(event.data.text.startswith("bad"))


class DeadLetterRules(Contract):
    """Rules EB-DEAD."""

    async def test_too_many_failures_are_a_dead_letter(self, place: Place, db: Backend) -> None:
        """EB-DEAD-001: After `max_attempts` failures an event becomes a dead letter, and the other events are handled."""
        recorder = RecordingHandler(place, bad)
        handling = db.bus.handle(["*"], recorder, max_attempts=3, backoff=soon)
        await db.bus.publish([note("1"), note("bad"), note("2")])
        await until(place, lambda: _letters(db, 1))
        await handling.stop()
        assert recorder.calls.count("bad") == 3
        assert recorder.done == ["1", "2"]

    async def test_without_failures_there_is_none(self, place: Place, db: Backend) -> None:
        """EB-DEAD-002: An event that is handled, even at the last attempt, does not become a dead letter."""
        recorder = RecordingHandler(place, lambda event: len(recorder.calls) < 3)
        handling = db.bus.handle(["*"], recorder, max_attempts=3, backoff=soon)
        await db.bus.publish([note("1")])
        await recorder.after_done(1)
        await handling.stop()
        assert await db.bus.dead_letters() == []

    async def test_a_letter_says_what_happened(self, place: Place, db: Backend) -> None:
        """EB-DEAD-003: A dead letter has the event, the group, the number of attempts, the last error, a time and an id."""
        event = note("bad", metadata={"actor": "ann"}, tags=["k:v"])
        handling = db.bus.handle(["*"], RecordingHandler(place, bad), group="mail", max_attempts=2, backoff=soon)
        await db.bus.publish([event])
        await until(place, lambda: _letters(db, 1))
        await handling.stop()
        (letter,) = await db.bus.dead_letters()
        assert letter.event == event
        assert (letter.subscriber, letter.attempts) == ("mail", 2)
        assert "no bad" in letter.error
        assert letter.time.utcoffset() is not None
        assert letter.id

    async def test_letters_are_listed_oldest_first(self, place: Place, db: Backend) -> None:
        """EB-DEAD-004: Dead letters are listed oldest first, and each has its own id."""
        handling = db.bus.handle(["*"], RecordingHandler(place, bad), max_attempts=1)
        await db.bus.publish([note("bad 1"), note("bad 2"), note("bad 3")])
        await until(place, lambda: _letters(db, 3))
        await handling.stop()
        letters = await db.bus.dead_letters()
        assert [letter.event.data.text for letter in letters] == ["bad 1", "bad 2", "bad 3"]
        assert len({letter.id for letter in letters}) == 3
        assert [letter.time for letter in letters] == sorted(letter.time for letter in letters)

    async def test_a_letter_can_be_redriven(self, place: Place, db: Backend) -> None:
        """EB-DEAD-005: Redriving delivers the event to the same group again, from attempt 1, and removes the letter."""
        broken = True
        recorder, other = RecordingHandler(place, lambda event: bad(event) and broken), RecordingHandler(place)
        handling = db.bus.handle(["*"], recorder, group="g", max_attempts=2, backoff=soon)
        elsewhere = db.bus.handle(["*"], other, group="h")
        await db.bus.publish([note("bad")])
        await until(place, lambda: _letters(db, 1))
        (letter,) = await db.bus.dead_letters()
        await db.bus.redrive(letter)
        await until(place, lambda: len(recorder.calls) >= 4)  # it failed again, as often as before
        await until(place, lambda: _letters(db, 1))
        broken = False
        (second,) = await db.bus.dead_letters()
        assert second.id != letter.id
        await db.bus.redrive(second)
        assert await recorder.after_done(1) == ["bad"]
        assert await db.bus.dead_letters() == []
        await handling.stop()
        await elsewhere.stop()
        assert recorder.calls == ["bad"] * 5
        assert other.calls == ["bad"]

    async def test_a_letter_can_be_dropped(self, place: Place, db: Backend) -> None:
        """EB-DEAD-006: Dropping removes one letter, and its event is not delivered again."""
        recorder = RecordingHandler(place, bad)
        handling = db.bus.handle(["*"], recorder, max_attempts=1)
        await db.bus.publish([note("bad 1"), note("bad 2")])
        await until(place, lambda: _letters(db, 2))
        first, second = await db.bus.dead_letters()
        await db.bus.drop(first)
        assert [letter.id for letter in await db.bus.dead_letters()] == [second.id]
        await db.bus.publish([note("1")])
        await recorder.after_done(1)
        await handling.stop()
        assert recorder.calls == ["bad 1", "bad 2", "1"]

    async def test_a_letter_that_is_gone_is_refused(self, place: Place, db: Backend) -> None:
        """EB-DEAD-007: Redriving or dropping a letter that was redriven or dropped before raises BusError."""
        handling = db.bus.handle(["*"], RecordingHandler(place, lambda event: bad(event) and not gone), max_attempts=1)
        gone: list[str] = []
        await db.bus.publish([note("bad 1"), note("bad 2")])
        await until(place, lambda: _letters(db, 2))
        first, second = await db.bus.dead_letters()
        gone.append("from now on nothing fails")
        await db.bus.redrive(first)
        await db.bus.drop(second)
        for letter in (first, second):
            with refused(BusError):
                await db.bus.redrive(letter)
            with refused(BusError):
                await db.bus.drop(letter)
        await handling.stop()

    async def test_a_letter_belongs_to_its_subscriber(self, place: Place, db: Backend) -> None:
        """EB-DEAD-008: A dead letter of one group does not affect another group that handled the event."""
        recorder = RecordingHandler(place)
        failing = db.bus.handle(["*"], RecordingHandler(place, bad), group="g", max_attempts=1)
        good = db.bus.handle(["*"], recorder, group="h")
        await db.bus.publish([note("bad")])
        await recorder.after_done(1)
        await until(place, lambda: _letters(db, 1))
        assert [letter.subscriber for letter in await db.bus.dead_letters()] == ["g"]
        await failing.stop()
        await good.stop()

    async def test_a_letter_whose_subscriber_is_gone(self, place: Place, db: Backend) -> None:
        """EB-DEAD-009: Redriving to a subscription that has ended raises BusError and keeps the letter; it can be dropped."""
        handling = db.bus.handle(["*"], RecordingHandler(place, bad), max_attempts=1)
        await db.bus.publish([note("bad")])
        await until(place, lambda: _letters(db, 1))
        await handling.stop()
        (letter,) = await db.bus.dead_letters()
        assert letter.subscriber  # a description, because it has no group
        with refused(BusError):
            await db.bus.redrive(letter)
        assert [one.id for one in await db.bus.dead_letters()] == [letter.id]
        await db.bus.drop(letter)
        assert await db.bus.dead_letters() == []

    async def test_what_is_redriven_waits_for_a_member(self, place: Place, db: Backend) -> None:
        """EB-DEAD-010: An event redriven to a group without members goes to the next member, as attempt 1, marked redelivered."""
        handling = db.bus.handle(["*"], RecordingHandler(place, bad), group="g", max_attempts=1)
        await db.bus.publish([note("bad")])
        await until(place, lambda: _letters(db, 1))
        await handling.stop()
        (letter,) = await db.bus.dead_letters()
        await db.bus.redrive(letter)
        (again,) = await take(db.bus.subscribe(group="g"), 1)
        assert (again.event.id, again.attempt, again.redelivered) == (letter.event.id, 1, True)


async def _letters(db: Backend, number: int) -> bool:
    """Whether there are so many dead letters."""
    return len(await db.bus.dead_letters()) >= number
