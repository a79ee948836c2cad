"""Events that a processor gave up on: what is kept of them, and what can be done about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.processor import ParkedEvent, Retry
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import A, note, story
from goes_lite_conformance.processor._given import (
    NAME,
    Ear,
    Tally,
    at_once,
    bad,
    never,
    parked,
    reached,
    stands,
    tallied,
)
from goes_lite_conformance.rule import needs

PARKING = Retry(2, backoff=at_once, then="park")


class DeadLetterRules(Contract):
    """Rules PR-DEAD."""

    async def test_a_letter_says_what_happened(self, place: Place, db: Database) -> None:
        """PR-DEAD-001: With then='park', an event becomes a dead letter after its last attempt, and the others are handled.

        By default this includes later events of its aggregate. The letter has the processor, the event's position, name and
        aggregate, the number of attempts, the error and the time. Any instance of the name sees it, running or not.
        """
        ear = Ear(bad)
        bads = [note("bad", A, 1), note("bad too")]
        positions = (await db.events.append([note("1"), *bads, *story(A, 1, after=1)])).positions
        begun = datetime.now(timezone.utc)
        async with db.processor(NAME, ear, retry=PARKING) as processor:
            await reached(place, db, positions[3])
            letters = await processor.parked()
            assert (await processor.stats()).parked == 2
        assert await db.processor(NAME, print).parked() == letters
        assert await db.processor("other", print).parked() == []
        assert ear.calls == ["1", "bad", "bad", "bad too", "bad too", "a-2"]
        for letter, (position, ref, error) in zip(
            letters, [(positions[1], A, "no bad"), (positions[2], None, "no bad too")], strict=True
        ):
            assert letter == ParkedEvent(
                NAME, position, "sample.noted", ref, 2, f"ValueError: {error}", letter.time, behind=0, due=0
            )
            assert ref is None or type(letter.aggregate) is AggregateRef
            assert abs(letter.time - begun) < timedelta(minutes=10)
            assert letter.time.utcoffset() == timedelta(0)

    async def test_a_redrive_succeeds(self, place: Place, db: Database) -> None:
        """PR-DEAD-002: Redriven events are handled again in the order of the log, and their letters are removed."""
        ear = Ear(bad)
        last = (await db.events.append([note("bad 1"), note("2"), note("bad 3")])).position
        async with db.processor(NAME, ear, retry=PARKING) as processor:
            await reached(place, db, last)
            ear.fails = never
            await processor.redrive()
            await parked(place, processor, 0)
        assert ear.done == ["2", "bad 1", "bad 3"]
        assert await stands(db) == last

    async def test_a_redrive_fails(self, place: Place, db: Database) -> None:
        """PR-DEAD-003: An event that fails again is parked again after one attempt, with the new error."""
        ear = Ear(bad)
        last = (await db.events.append([note("bad")])).position
        async with db.processor(NAME, ear, retry=PARKING) as processor:
            (first,) = await parked(place, processor, 1)
            await processor.redrive()
            await until(place, lambda: _attempts(processor, 3))
            (second,) = await processor.parked()
        assert second == replace(first, attempts=3, time=second.time)
        assert second.time >= first.time
        assert (ear.calls, await stands(db)) == (["bad"] * 3, last)

    async def test_some_are_redriven(self, place: Place, db: Database) -> None:
        """PR-DEAD-004: Only the given events are redriven; letters that no longer exist are ignored."""
        ear = Ear(bad)
        await db.events.append([note("bad 1"), note("bad 2"), note("bad 3")])
        async with db.processor(NAME, ear, retry=PARKING) as processor:
            first, second, third = await parked(place, processor, 3)
            assert await processor.drop(third)
            ear.fails = never
            await processor.redrive(second, third)
            assert await parked(place, processor, 1) == [first]
        assert ear.done == ["bad 2"]

    async def test_a_letter_is_dropped(self, place: Place, db: Database) -> None:
        """PR-DEAD-005: A dropped letter stays gone, even if its event fails at that moment; dropping it again returns False."""
        calls, letters = list[str](), list[ParkedEvent]()

        async def handle(event: Event[Any]) -> None:
            calls.append(event.data.text)
            if letters:
                assert await processor.drop(letters.pop()) is True
            if bad(event):
                raise ValueError

        await db.events.append([note("bad 1"), note("bad 2")])
        async with db.processor(NAME, handle, retry=Retry(1, then="park")) as processor:
            first, second = await parked(place, processor, 2)
            assert await processor.drop(first) is True
            assert await processor.drop(first) is False
            letters.append(second)
            await processor.redrive()
            await until(place, lambda: calls == ["bad 1", "bad 2", "bad 2"])
            await processor.redrive()
            await reached(place, db, (await db.events.append([note("next")])).position)
            assert await processor.parked() == []
        assert calls == ["bad 1", "bad 2", "bad 2", "next"]

    async def test_redriven_while_it_fails(self, place: Place, db: Database) -> None:
        """PR-DEAD-010: A redrive that is requested while an attempt at the same letter fails takes place after it."""
        calls = list[str]()

        async def handle(event: Event[Any]) -> None:
            calls.append(event.data.text)
            if len(calls) == 2:
                await processor.redrive()
            if len(calls) < 3:
                raise ValueError

        await db.events.append([note("bad")])
        async with db.processor(NAME, handle, retry=Retry(1, then="park")) as processor:
            await parked(place, processor, 1)
            await processor.redrive()
            await parked(place, processor, 0)
        assert calls == ["bad", "bad", "bad"]

    async def test_redriven_while_none_runs(self, place: Place, db: Database) -> None:
        """PR-DEAD-006: A redrive that is requested while no instance is active is carried out by the next one."""
        ear = Ear(bad)
        await db.events.append([note("bad")])
        async with db.processor(NAME, ear, retry=PARKING) as processor:
            await parked(place, processor, 1)
        await db.processor(NAME, print).redrive()
        ear.fails = never
        async with db.processor(NAME, ear, retry=PARKING) as processor:
            await parked(place, processor, 0)
        assert ear.done == ["bad"]

    async def test_what_was_deleted_since(self, place: Place, db: Database) -> None:
        """PR-DEAD-007: If its event was deleted, redriving a letter removes it without calling the handler."""
        ear = Ear(bad)
        await db.events.append([note("bad", A, 1)])
        async with db.processor(NAME, ear, retry=Retry(1, then="park")) as processor:
            await parked(place, processor, 1)
            await db.events.delete(A)
            await processor.redrive()
            await parked(place, processor, 0)
        assert ear.calls == ["bad"]

    @needs(TRANSACTIONS)
    async def test_a_letter_is_no_part_of_what_failed(self, place: Place, db: Database) -> None:
        """PR-DEAD-008: A letter survives the failed transaction, of which nothing else is stored."""
        tally = Tally(bad)
        last = (await db.events.append([note("1"), note("bad"), note("2")])).position
        async with db.processor(NAME, tally, transactional=True, retry=PARKING) as processor:
            await reached(place, db, last)
            assert [letter.attempts for letter in await processor.parked()] == [2]
        assert await tallied(db) == ["1", "2"]
        assert tally.calls.count("bad") == 2

    @needs(TRANSACTIONS)
    async def test_a_redrive_commits_with_its_letter(self, place: Place, db: Database) -> None:
        """PR-DEAD-009: What a redriven event writes commits with the removal of its letter; if it fails, nothing is stored."""
        tally = Tally(bad)
        await db.events.append([note("bad")])
        async with db.processor(NAME, tally, transactional=True, retry=Retry(1, then="park")) as processor:
            await parked(place, processor, 1)
            await processor.redrive()
            await until(place, lambda: _attempts(processor, 2))
            assert await tallied(db) == []
            tally.fails = never
            await processor.redrive()
            await parked(place, processor, 0)
            assert await tallied(db) == ["bad"]


async def _attempts(processor: Any, number: int) -> bool:
    return [letter.attempts for letter in await processor.parked()] == [number]
