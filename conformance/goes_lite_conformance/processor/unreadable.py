"""Events that cannot be passed to the handler: their name is not registered, or their data does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from goes_lite.contract.backend import PERSISTENT
from goes_lite.errors import DecodeError, ProcessorStopped, UnknownEventError
from goes_lite.events.event import Event
from goes_lite.events.registry import Raw, Registry
from goes_lite.processor import Continuously, Retry
from goes_lite_conformance.backend.unknown_events import poorer
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import NOON, A, B, Noted, count, note, story
from goes_lite_conformance.processor._given import NAME, Ear, parked, reached, stands
from goes_lite_conformance.rule import needs


@dataclass(frozen=True)
class Priced:
    """The form of `sample.noted` in a later program, which cannot read today's."""

    price: int


changed = Registry()
"""Knows the samples, one of them wrongly."""
changed.register("sample.noted", Noted)
changed.register("sample.counted", Priced)


async def written(place: Place) -> tuple[int, ...]:
    """Store five events, a second apart, the third of which is a count; return their positions."""
    times = [NOON + timedelta(seconds=number) for number in range(1, 6)]
    events = [
        count(number, time=time) if number == 3 else note(str(number), time=time)
        for number, time in enumerate(times, 1)
    ]
    async with place.open() as db:
        return (await db.events.append(events)).positions


class UnreadableRules(Contract):
    """Rules PR-UNREAD."""

    @needs(PERSISTENT)
    async def test_it_stops_the_processor(self, place: Place) -> None:
        """PR-UNREAD-001: An event of an unknown name or shape stops the processor at once, after the events before it.

        This holds however many events share a batch. The error is the cause of ProcessorStopped.
        """
        positions = await written(place)
        for registry, error in ((poorer, UnknownEventError), (changed, DecodeError)):
            async with place.open(registry=registry) as db:
                for batch in (1, 3, 100):
                    ear, name = Ear(), f"{error.__name__} {batch}"
                    with refused(
                        ProcessorStopped, processor=name, position=positions[2], name="sample.counted", attempts=1
                    ) as caught:
                        await db.processor(name, ear, batch=batch).run()
                    assert type(caught.value.__cause__) is error
                    assert (ear.done, await stands(db, name)) == (["1", "2"], positions[1])

    @needs(PERSISTENT)
    async def test_it_is_parked(self, place: Place) -> None:
        """PR-UNREAD-002: With then='park', it becomes a dead letter instead, which can be redriven once it can be read."""
        positions, got = await written(place), list[Any]()
        options: dict[str, Any] = {"batch": 2, "retry": Retry(then="park")}

        def handle(event: Event[Any]) -> None:
            got.append(event.data)

        for registry, error in ((poorer, "UnknownEventError"), (changed, "DecodeError")):
            async with place.open(registry=registry) as db, db.processor(NAME, handle, **options) as processor:
                await reached(place, db, positions[4])
                await processor.redrive()
                await until(place, partial(_failed, processor, error))
                (letter,) = await parked(place, processor, 1)
                assert (letter.position, letter.name) == (positions[2], "sample.counted")
        async with place.open() as db, db.processor(NAME, handle, **options) as processor:
            await processor.redrive()
            assert await parked(place, processor, 0) == []
        assert got == [Noted("1"), Noted("2"), Noted("4"), Noted("5"), count(3).data]

    @needs(PERSISTENT)
    async def test_policies(self, place: Place) -> None:
        """PR-UNREAD-003: If readers skip unknown events, the processor does, too; if they return them raw, it handles them."""
        positions = await written(place)
        for policy in ("skip", "raw"):
            got: list[Any] = []
            async with place.open(registry=poorer, unknown=policy) as db, db.processor(policy, got.append):
                await reached(place, db, positions[4], policy)
            assert [event.position for event in got] == [
                *positions[:2],
                *positions[2:3] * (policy == "raw"),
                *positions[3:],
            ]
            assert sum(isinstance(event.data, Raw) for event in got) == (policy == "raw")

    @needs(PERSISTENT)
    async def test_nothing_else_minds_it(self, place: Place) -> None:
        """PR-UNREAD-004: Starting at its time, schedules that wait for more events, and stats are not affected by it."""
        positions = await written(place)
        for registry in (poorer, changed):
            ear, begin = Ear(), NOON + timedelta(seconds=3)
            async with place.open(registry=registry) as db:
                patient = Continuously(0.001)
                stopped = db.processor(NAME, ear, start=begin, schedule=patient)
                await stopped.reset()
                with refused(ProcessorStopped, position=positions[2]) as caught:
                    await stopped.run()
                stats = await stopped.stats()
                assert (stats.state, stats.error, stats.head) == ("failed", caught.value, positions[4])
                assert stats.position == positions[2] - 1
                async with db.processor(NAME, ear, schedule=patient, retry=Retry(then="park")) as processor:
                    await reached(place, db, positions[4])
                    assert [letter.position for letter in await processor.parked()] == [positions[2]]
            assert ear.done == ["4", "5"]

    @needs(PERSISTENT)
    async def test_later_ones_of_its_aggregate_wait(self, place: Place) -> None:
        """PR-UNREAD-005: With order='strict', later events of its aggregate wait, and follow once it is read and redriven."""
        async with place.open() as db:
            first, second = [
                (await db.events.append([*story(A, 1, after=number), count(number, A, number + 2)])).positions
                for number in (0, 2)
            ]
            last = (await db.events.append(story(B, 1))).position
        for registry, name in ((poorer, "unknown"), (changed, "misfit")):
            ear, retry = Ear(), Retry(1, then="park", order="strict")
            async with (
                place.open(registry=registry) as db,
                db.processor(name, ear, retry=retry) as processor,
            ):
                await reached(place, db, last, name)
                letters = await parked(place, processor, 3)
                assert [(letter.position, letter.aggregate) for letter in letters] == [
                    (first[1], A), (second[0], A), (second[1], A),
                ]  # fmt: skip
            assert ear.done == ["a-1", "b-1"]
            got: list[Any] = []
            async with place.open() as db, db.processor(name, got.append, retry=retry) as processor:
                await processor.redrive()
                await parked(place, processor, 0)
            assert [event.position for event in got] == [first[1], *second]


async def _failed(processor: Any, error: str) -> bool:
    return any(letter.error.startswith(error) and not letter.due for letter in await processor.parked())
