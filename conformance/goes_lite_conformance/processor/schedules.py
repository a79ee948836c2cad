"""When a processor works: continuously, periodically, or on demand."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import PERSISTENT, PROCESSES
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite.processor import Continuously, OnDemand, Periodically
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import PATIENCE, Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.processor._given import LONG, NAME, Ear, becomes, others_turn, reached, stands
from goes_lite_conformance.processor._jobs import process
from goes_lite_conformance.rule import needs


class ScheduleRules(Contract):
    """Rules PR-SCHED."""

    async def test_on_demand(self, place: Place, db: Database) -> None:
        """PR-SCHED-001: OnDemand works only when triggered, each time up to the head."""
        ear = Ear()
        async with db.processor(NAME, ear, schedule=OnDemand()) as processor:
            await becomes(place, processor, "active")
            last = (await db.events.append([note("1"), note("2")])).position
            await others_turn(place, db)
            assert ear.calls == []
            await processor.trigger()
            await reached(place, db, last)
            last = (await db.events.append([note("3")])).position
            await others_turn(place, db)
            assert ear.calls == ["1", "2"]
            await processor.trigger()
            await reached(place, db, last)
        assert ear.done == ["1", "2", "3"]

    async def test_at_the_start(self, place: Place, db: Database) -> None:
        """PR-SCHED-002: With `at_start`, OnDemand also works once when it starts."""
        ear = Ear()
        last = (await db.events.append([note("1")])).position
        async with db.processor(NAME, ear, schedule=OnDemand(at_start=True)):
            await reached(place, db, last)
            await db.events.append([note("2")])
            await others_turn(place, db)
        assert ear.done == ["1"]

    @needs(PROCESSES, PERSISTENT)
    async def test_triggered_from_elsewhere(self, place: Place, db: Database) -> None:
        """PR-SCHED-003: `trigger` reaches whichever instance is active, even on another handle or in another process."""
        ear = Ear()
        async with place.open() as second, second.processor(NAME, ear, schedule=OnDemand()):
            last = (await db.events.append([note("1")])).position
            await db.processor(NAME, print).trigger()
            await reached(place, db, last)
        assert ear.done == ["1"]
        other = place.spawn(process, name=NAME, on_demand=True)
        other.expect("started")
        await db.events.append([note("2")])
        await db.processor(NAME, print).trigger()
        other.expect("2")
        other.tell("stop")
        other.expect("stopped")
        other.finish()

    async def test_triggered_while_none_runs(self, place: Place, db: Database) -> None:
        """PR-SCHED-004: If none is active, the next one works at once; so does one that starts after a run was cut short."""
        done: list[str] = []

        async def handle(event: Event[Any]) -> None:
            done.append(event.data.text)
            if event.data.text == "1":
                await processor.stop()

        last = (await db.events.append([note("1"), note("2"), note("3")])).position
        processor = db.processor(NAME, handle, schedule=OnDemand())
        await processor.trigger()
        await processor.run()
        assert done == ["1"]
        async with processor:
            await reached(place, db, last)
            await db.events.append([note("4")])
            await others_turn(place, db)
        assert done == ["1", "2", "3"]

    async def test_periodically(self, place: Place, db: Database) -> None:
        """PR-SCHED-005: Periodically works once when it starts, then each time that many seconds have passed."""
        rare, often = Ear(), Ear()
        first = (await db.events.append([note("1")])).position
        async with db.processor(NAME, rare, schedule=Periodically(LONG)) as processor:
            await reached(place, db, first)
            async with db.processor("often", often, schedule=Periodically(0.02)):
                last = (await db.events.append([note("2")])).position
                await reached(place, db, last, "often")
                last = (await db.events.append([note("3")])).position
                await reached(place, db, last, "often")
            assert rare.done == ["1"]
            await processor.trigger()
            await reached(place, db, last)
        assert rare.done == often.done == ["1", "2", "3"]

    async def test_debounced(self, place: Place, db: Database) -> None:
        """PR-SCHED-006: `debounce` waits until no event arrives for that long, but no event waits longer than `max_wait`."""
        patient, impatient = Ear(), Ear()
        async with (
            db.processor(NAME, patient, schedule=Continuously(LONG, LONG)) as processor,
            db.processor("impatient", impatient, schedule=Continuously(0.02, 0.05)),
        ):
            last = 0
            for number in range(3):
                last = (await db.events.append([note(str(number))])).position
                await reached(place, db, last, "impatient")
            assert (patient.calls, await stands(db)) == ([], 0)
            await processor.trigger()
            await processor.wait_for(last, PATIENCE)
        assert patient.done == impatient.done == ["0", "1", "2"]
