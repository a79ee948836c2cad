"""Where a processor begins the first time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from goes_lite.database import Database
from goes_lite.errors import ProcessorBehind
from goes_lite.events.query import EventQuery
from goes_lite.processor import Retry
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import PATIENCE, Place, until
from goes_lite_conformance.harness.samples import NOON, count, note
from goes_lite_conformance.processor._given import NAME, Ear, bad, never, reached


class StartRules(Contract):
    """Rules PR-START."""

    async def test_after_a_position(self, place: Place, db: Database) -> None:
        """PR-START-001: A processor begins at the first event, or after the given position, even a future one."""
        everything, some, later = Ear(), Ear(), Ear()
        positions = (await db.events.append([note(text) for text in "1234"])).positions
        async with db.processor(NAME, everything), db.processor("some", some, start=positions[1]):
            await reached(place, db, positions[3])
            await reached(place, db, positions[3], "some")
        assert everything.done == ["1", "2", "3", "4"]
        assert some.done == ["3", "4"]
        start = positions[3] + 1
        for text in "567":
            async with db.processor("later", later, start=start):
                await reached(place, db, start, "later")
            await db.events.append([note(text)])
        async with db.processor("later", later, start=start):
            await reached(place, db, await db.events.head(), "later")
        stored = await db.events.query(after=start).list()
        assert later.done == [event.data.text for event in stored]

    async def test_now(self, place: Place, db: Database) -> None:
        """PR-START-002: 'now' is when it first becomes active: later events are handled, even if it was stopped meanwhile."""
        ear = Ear()
        await db.events.append([note("old")])
        processor = db.processor(NAME, ear, start="now")
        head = (await db.events.append([note("still old")])).position
        async with processor:
            await reached(place, db, head)
        await db.events.append([note("new")])
        async with db.processor(NAME, ear, start="now"):
            await until(place, lambda: ear.done == ["new"])

    async def test_at_a_time(self, place: Place, db: Database) -> None:
        """PR-START-003: A time means the first event that is not older, matching or not; from there on, positions count.

        Whatever the clocks said, no event after it is left out for being older, or as old as another.
        """
        seconds = (0, 2, 1, 2, -5, 3)
        await db.events.append([note(str(n), time=NOON + timedelta(seconds=s)) for n, s in enumerate(seconds)])
        for second, expected in ((0, "012345"), (1, "12345"), (2, "12345"), (2.5, "5"), (-9, "012345")):
            ear, name = Ear(), f"from {second}"
            async with db.processor(name, ear, start=NOON + timedelta(seconds=second)):
                await reached(place, db, await db.events.head(), name)
            assert "".join(ear.done) == expected, second
        await db.events.append([count(1, time=NOON + timedelta(seconds=9)), note("6", time=NOON)])
        ear, start = Ear(), NOON + timedelta(seconds=8)
        async with db.processor(NAME, ear, start=start, query=EventQuery(["sample.noted"])):
            await until(place, lambda: ear.done == ["6"])

    async def test_at_a_time_that_no_event_has(self, place: Place, db: Database) -> None:
        """PR-START-004: If all stored events are older than the time, it begins after the head, whatever comes next."""
        ear = Ear()
        last = (await db.events.append([note("old", time=NOON)])).position
        async with db.processor(NAME, ear, start=NOON + timedelta(microseconds=1)):
            await reached(place, db, last)
            await db.events.append([note("older", time=NOON - timedelta(days=1))])
            await until(place, lambda: ear.done == ["older"])

    async def test_only_the_first_time(self, place: Place, db: Database) -> None:
        """PR-START-005: From the second time on it resumes after its checkpoint, whatever `start` says."""
        ear = Ear()
        first = (await db.events.append([note("1")])).position
        async with db.processor(NAME, ear):
            await reached(place, db, first)
        last = (await db.events.append([note("2"), note("3")])).position
        async with db.processor(NAME, ear, start="now"):
            await reached(place, db, last)
        async with db.processor(NAME, ear, start="beginning"):
            await reached(place, db, (await db.events.append([note("4")])).position)
        assert ear.done == ["1", "2", "3", "4"]

    async def test_reset(self, place: Place, db: Database) -> None:
        """PR-START-006: After `reset`, the active instance, or else the next one, begins where a new processor would.

        Until then its position is 0, and its dead letters are forgotten.
        """
        ear = Ear(bad)
        positions = (await db.events.append([note("1"), note("2"), note("bad")])).positions
        options: dict[str, Any] = {"start": positions[0], "retry": Retry(1, then="park")}
        processor = db.processor(NAME, ear, **options)
        async with processor:
            await processor.wait_for(positions[2], PATIENCE)
            assert len(await processor.parked()) == 1
            ear.fails = never
            await db.processor(NAME, print).reset()
            await processor.wait_for(positions[2], PATIENCE)
            assert (ear.done, await processor.parked()) == (["2", "2", "bad"], [])
        await processor.reset()
        with refused(ProcessorBehind, processor=NAME, position=1, reached=0):
            await processor.wait_for(1, 0)
        async with db.processor(NAME, ear, **options):
            await processor.wait_for(positions[2], PATIENCE)
        assert ear.calls == ["2", "bad", "2", "bad", "2", "bad"]

    async def test_with_the_last(self, place: Place, db: Database) -> None:
        """PR-START-007: 'last' is the last matching event when it first becomes active; if there is none, it is 'now'."""
        matching, nothing = Ear(), Ear()
        last = (await db.events.append([note("1"), note("2"), count(0)])).position
        notes, others = EventQuery(["sample.noted"]), EventQuery(tags=["late:1"])
        async with (
            db.processor("notes", matching, start="last", query=notes),
            db.processor("others", nothing, start="last", query=others),
        ):
            await until(place, lambda: matching.done == ["2"])
            for name in ("notes", "others"):
                await reached(place, db, last, name)
            await db.events.append([note("3", tags=["late:1"])])
            await until(place, lambda: (matching.done, nothing.done) == (["2", "3"], ["3"]))
