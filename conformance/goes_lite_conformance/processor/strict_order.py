"""Dead letters in strict order: while an event of an aggregate is parked, its later events wait."""

from __future__ import annotations

from typing import Any

from goes_lite.database import Database
from goes_lite.processor import Retry
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import A, B, note, story
from goes_lite_conformance.processor._given import NAME, Ear, never, parked, reached

STRICT = Retry(1, then="park", order="strict")


def first_of_a(event: Any) -> bool:
    """Return whether this is the first event of the aggregate A."""
    return bool(event.data.text == "a-1")


def second_of_a(event: Any) -> bool:
    """Return whether this is its second event."""
    return bool(event.data.text == "a-2")


async def _tried(processor: Any, number: int) -> bool:
    """Return whether the first dead letter has had this many attempts."""
    return bool((await processor.parked())[0].attempts == number)


class OrderRules(Contract):
    """Rules PR-ORDER."""

    async def test_later_events_of_the_aggregate_wait(self, place: Place, db: Database) -> None:
        """PR-ORDER-001: With order='strict', later events of a parked event's aggregate are parked after it, without an attempt.

        Events of other aggregates, and of none, are handled.
        """
        ear = Ear(first_of_a)
        positions = (await db.events.append([*story(A, 2), note("x"), *story(B, 2), *story(A, 1, after=2)])).positions
        async with db.processor(NAME, ear, retry=STRICT) as processor:
            await reached(place, db, positions[-1])
            letters = await processor.parked()
        assert ear.calls == ["a-1", "x", "b-1", "b-2"]
        assert [(letter.position, letter.behind, letter.attempts, letter.error) for letter in letters] == [
            (positions[0], 0, 1, "ValueError: no a-1"), (positions[1], positions[0], 0, ""),
            (positions[5], positions[0], 0, ""),
        ]  # fmt: skip
        assert {letter.aggregate for letter in letters} == {A}

    async def test_they_follow_in_order(self, place: Place, db: Database) -> None:
        """PR-ORDER-002: When the first is redriven and succeeds, those that waited follow in order, and then nothing waits."""
        ear = Ear(first_of_a)
        await db.events.append([*story(A, 3), *story(B, 1)])
        async with db.processor(NAME, ear, retry=STRICT) as processor:
            first, *_ = await parked(place, processor, 3)
            ear.fails = never
            await processor.redrive(first)
            await parked(place, processor, 0)
            await reached(place, db, (await db.events.append(story(A, 1, after=3))).position)
            assert await processor.parked() == []
        assert ear.done == ["b-1", "a-1", "a-2", "a-3", "a-4"]

    async def test_they_keep_waiting(self, place: Place, db: Database) -> None:
        """PR-ORDER-003: If the first fails again, or is not redriven, the others keep waiting, redriven or not."""
        ear = Ear(lambda event: event.data.text in ("a-1", "a-2"))
        await db.events.append(story(A, 3))
        async with db.processor(NAME, ear, retry=STRICT) as processor:
            first, second, third = await parked(place, processor, 3)
            await processor.redrive(third)
            await reached(place, db, (await db.events.append([note("marker")])).position)
            await processor.redrive(first)
            await until(place, lambda: _tried(processor, 2))
            ear.fails = second_of_a
            await processor.redrive(first)
            left = await parked(place, processor, 2)
            await until(place, lambda: ear.calls.count("a-2") == 1)
        assert ear.done == ["marker", "a-1"]
        assert [letter.position for letter in left] == [second.position, third.position]

    async def test_a_restart_forgets_nothing(self, place: Place, db: Database) -> None:
        """PR-ORDER-004: An instance that starts holds back what its predecessor would have held back."""
        ear = Ear(first_of_a)
        last = (await db.events.append(story(A, 1))).position
        async with db.processor(NAME, ear, retry=STRICT):
            await reached(place, db, last)
        await db.events.append([*story(A, 1, after=1), *story(B, 1)])
        async with db.processor(NAME, ear, retry=STRICT) as processor:
            await until(place, lambda: ear.done == ["b-1"])
            await parked(place, processor, 2)
            ear.fails = never
            await processor.redrive()
            await parked(place, processor, 0)
        assert ear.done == ["b-1", "a-1", "a-2"]

    async def test_the_first_one_is_dropped(self, place: Place, db: Database) -> None:
        """PR-ORDER-005: When the first is dropped, those that waited for it are redriven without being asked for."""
        ear = Ear(first_of_a)
        await db.events.append(story(A, 3))
        async with db.processor(NAME, ear, retry=STRICT) as processor:
            first, *_ = await parked(place, processor, 3)
            await processor.drop(first)
            await parked(place, processor, 0)
            await reached(place, db, (await db.events.append(story(A, 1, after=3))).position)
            assert await processor.parked() == []
        assert ear.done == ["a-2", "a-3", "a-4"]

    async def test_in_batches(self, place: Place, db: Database) -> None:
        """PR-ORDER-006: Strict order holds however many events share a batch, and whichever of them fail."""
        texts = ["a-1", "a-2", "b-1", "x", "a-3", "b-2", "y"]
        events = [*story(A, 2), *story(B, 1), note("x"), *story(A, 1, after=2), *story(B, 1, after=1), note("y")]
        positions = (await db.events.append(events)).positions
        for batched in (False, True):
            for batch in (2, 3, 100):
                ear, name = Ear(lambda event: event.data.text in ("a-1", "b-1")), f"{batched} {batch}"

                def each(events: list[Any], ear: Ear = ear) -> None:
                    for event in events:
                        ear(event)

                options: dict[str, Any] = {"batch": batch, "batched": batched, "retry": STRICT}
                async with db.processor(name, each if batched else ear, **options) as processor:
                    await reached(place, db, positions[-1], name)
                    letters = await processor.parked()
                    assert [letter.position for letter in letters] == [positions[n] for n in (0, 1, 2, 4, 5)], name
                    assert sorted(set(ear.done)) == ["x", "y"]
                    ear.done.clear()
                    ear.fails = never
                    await processor.redrive()
                    await parked(place, processor, 0)
                assert ear.done == [text for text in texts if text not in "xy"], name
