"""The progress of a processor: what its checkpoint contains, when it is saved, and how a successor resumes."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import PERSISTENT, PROCESSES
from goes_lite.database import Database
from goes_lite.errors import CheckpointMismatch
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import PATIENCE, Place
from goes_lite_conformance.harness.samples import count, note
from goes_lite_conformance.processor._given import NAME, Ear, reached, stands
from goes_lite_conformance.processor._jobs import process
from goes_lite_conformance.rule import needs

NOTED = EventQuery(["sample.noted"])


class CheckpointRules(Contract):
    """Rules PR-CHECK."""

    async def test_it_resumes_where_it_stopped(self, place: Place, db: Database) -> None:
        """PR-CHECK-001: After a stop, the next instance with the name resumes after the last handled event."""
        first, second = Ear(), Ear()
        last = (await db.events.append([note("1"), note("2")])).position
        async with db.processor(NAME, first):
            await reached(place, db, last)
        assert await stands(db) == last
        last = (await db.events.append([note("3"), note("4")])).position
        async with db.processor(NAME, second):
            await reached(place, db, last)
        assert (first.done, second.done) == (["1", "2"], ["3", "4"])

    @needs(PERSISTENT)
    async def test_with_another_handle(self, place: Place) -> None:
        """PR-CHECK-002: An instance on another handle resumes there, too, after closing and reopening."""
        ears = [Ear(), Ear()]
        for number, ear in enumerate(ears):
            async with place.open() as db:
                last = (await db.events.append([note(f"{number}-{n}") for n in range(3)])).position
                async with db.processor(NAME, ear):
                    await reached(place, db, last)
        assert [ear.done for ear in ears] == [["0-0", "0-1", "0-2"], ["1-0", "1-1", "1-2"]]

    @needs(PERSISTENT, PROCESSES)
    async def test_in_another_process(self, place: Place, db: Database) -> None:
        """PR-CHECK-003: An instance in another process resumes there, too, and then one in this process again."""
        ear = Ear()
        last = (await db.events.append([note("1")])).position
        async with db.processor(NAME, ear):
            await reached(place, db, last)
        last = (await db.events.append([note("2"), note("3")])).position
        other = place.spawn(process, name=NAME)
        other.expect("started")
        other.expect("2")
        other.expect("3")
        await db.processor(NAME, print).wait_for(last, PATIENCE)
        other.tell("stop")
        other.expect("stopped")
        other.finish()
        last = (await db.events.append([note("4")])).position
        async with db.processor(NAME, ear):
            await reached(place, db, last)
        assert ear.done == ["1", "4"]

    async def test_what_does_not_match_is_passed_over(self, place: Place, db: Database) -> None:
        """PR-CHECK-004: Events that do not match are not handled, but the checkpoint advances over them."""
        ear = Ear()
        async with db.processor(NAME, ear, query=NOTED):
            await reached(place, db, (await db.events.append([count(1), count(2)])).position)
            await reached(place, db, (await db.events.append([count(3), note("a"), count(4)])).position)
            last = (await db.events.append([count(5)])).position
            await reached(place, db, last)
        assert (ear.calls, await stands(db)) == (["a"], last)

    async def test_it_is_saved_after_the_handler(self, place: Place, db: Database) -> None:
        """PR-CHECK-005: The checkpoint is saved after the handler has returned, never before: by default after each event.

        With `batch`, it is saved after that many events.
        """
        for batch, name in ((None, "each"), (3, "thrice")):
            seen: list[tuple[int, int]] = []

            async def handle(event: Event[Any], name: str = name, seen: Any = seen) -> None:
                seen.append((event.position, await stands(db, name)))

            positions = (0, *(await db.events.append([note(str(n)) for n in range(7)])).positions)
            before = 0 if batch is None else positions[1] - 1
            async with db.processor(name, handle, batch=batch, start=before):
                await reached(place, db, positions[-1], name)
            saved = [before, *positions[1:]]
            size = batch or 1
            assert seen == [(positions[n + 1], saved[n // size * size]) for n in range(7)], name

    async def test_a_checkpoint_of_another_log(self, place: Place, db: Database) -> None:
        """PR-CHECK-006: A checkpoint beyond the head belongs to another log: CheckpointMismatch is raised, nothing is handled.

        After `reset` the processor can begin again.
        """
        ear = Ear()
        head = (await db.events.append([note("1")])).position
        await db.checkpoints.save(NAME, head + 1)
        processor = db.processor(NAME, ear)
        with refused(CheckpointMismatch, processor=NAME, store=db.identity, head=head) as caught:
            await processor.run()
        assert caught.value.checkpoint == await db.checkpoints.get(NAME)
        assert ((await processor.stats()).state, ear.calls) == ("failed", [])
        await processor.reset()
        async with processor:
            await processor.wait_for(head, PATIENCE)
        assert ear.done == ["1"]
