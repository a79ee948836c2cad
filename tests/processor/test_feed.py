"""What a processor is fed with: every event of its query once, in order, however the log is cut into pages and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import ProcessorStopped
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.processor import Continuously, OnDemand, Retry
from goes_lite.processor.feed import Feed, Unreadable
from goes_lite.runtime import drive
from goes_lite.testing import FakeClock
from tests.processor.processor_kit import NAME, ONLY_NOTED, Calls, World, note, notes, nothing, other, stands

EVENTS = 400
"""More than the first two pages of a query have."""

damaged: set[int] = set()
"""The numbers of events that cannot be read just now."""

registry = goes.Registry()


@registry.event("test.fragile")
@dataclass(frozen=True)
class Fragile:
    number: int

    def __post_init__(self) -> None:
        if self.number in damaged:
            raise ValueError("damaged")


@registry.event("test.sound")
@dataclass(frozen=True)
class Sound:
    number: int


def event_at(position: int) -> Event[Any]:
    """Every third is of the other type."""
    data: Any = Sound(position) if position % 3 == 0 else Fragile(position)
    return Event(data, registry=registry, tags=[f"rest:{position % 7}"])


@pytest.fixture(scope="module")
def log() -> Iterator[BlockingDatabase]:
    """A store with `EVENTS` events, the number of each of which is its position, but for a hole that is left of some."""
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        lost = AggregateRef("account", "lost")
        events = [event_at(position) for position in range(1, EVENTS + 1)]
        for version, position in enumerate((1, 64, 65, 66, 67, 200, EVENTS), 1):
            events[position - 1] = Event(Sound(position), aggregate=lost, version=version, registry=registry)
        db.events.append(events)
        db.events.delete(lost)
        yield db


queries = st.sampled_from(
    [
        EVERYTHING,
        EventQuery(["test.sound"]),
        EventQuery(["test.fragile"]),
        EventQuery(tags=["rest:3"]),
        EventQuery(["none"]),
    ]
)
positions = st.integers(0, EVENTS + 5)
sizes = st.integers(1, 7) | st.integers(60, 70) | st.integers(300, 500)


async def fed(db: BlockingDatabase, query: EventQuery, size: int, after: int, upto: int) -> Iterator[Any]:
    """The batches, and the positions of events that cannot be read, until the end is reached."""
    feed = Feed(db.backend.events, query, size)
    got: list[Any] = []
    while after < upto:
        try:
            batch = await feed.next(after, upto)
        except Unreadable as unreadable:
            got.append(unreadable)
            assert unreadable.position > after
            after = unreadable.position
            continue
        assert len(batch.events) <= size
        assert batch.position > after
        got.append(batch)
        after = batch.position
    return iter(got)


@given(queries, sizes, positions, positions)
def test_batches_are_the_plain_query(
    log: BlockingDatabase, query: EventQuery, size: int, after: int, upto: int
) -> None:
    """All of them full but the last one, which leads to the end."""
    damaged.clear()
    batches = list(drive(fed(log, query, size, after, upto)))
    events = [event for batch in batches for event in batch.events]
    assert events == log.events.query(query, after=after, upto=upto).list()
    assert [len(batch.events) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert batches == [] or batches[-1].position == upto
    for batch in batches[:-1]:
        assert batch.position == batch.events[-1].position


@given(queries, sizes, positions, st.sets(st.integers(1, EVENTS), max_size=12), st.integers(0, 80))
def test_unreadable_events_come_in_their_turn(
    log: BlockingDatabase, query: EventQuery, size: int, after: int, bad: set[int], row: int
) -> None:
    """Each behind what lies before it, wherever in a page it is, alone or many in a row."""
    damaged.clear()
    plain = [event.position for event in log.events.query(query, after=after, upto=EVENTS).list()]
    damaged.update(bad | set(range(60, 60 + row)))
    fragile = EventQuery(["test.fragile"])
    unreadable = {position for position in damaged if position % 3 and position in plain}
    try:
        got: list[tuple[int, bool]] = []
        for part in drive(fed(log, query, size, after, EVENTS)):
            if isinstance(part, Unreadable):
                assert (part.name, type(part.error).__name__) == ("test.fragile", "DecodeError")
                got.append((part.position, False))
            else:
                got += [(event.position, True) for event in part.events]
    finally:
        damaged.clear()
    assert fragile.matches(event_at(1))
    assert got == [(position, position not in unreadable) for position in plain]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=12), sizes)
def test_a_head_that_moves_on_repeats_and_leaves_out_nothing(
    log: BlockingDatabase, steps: list[tuple[int, bool]], size: int
) -> None:
    """Nor does a batch that is asked for again, because it could not be handled."""
    damaged.clear()

    async def feed() -> tuple[list[int], int]:
        feeding, got, after, upto = Feed(log.backend.events, EVERYTHING, size), list[int](), 0, 0
        for further, again in steps:
            upto += further
            while after < upto:
                batch = await feeding.next(after, upto)
                if again:
                    batch = await feeding.next(after, upto)
                got += [event.position for event in batch.events]
                after = batch.position
        return got, upto

    got, upto = drive(feed())
    assert got == [event.position for event in log.events.query(upto=upto).list()]


# --- through a processor ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 64, 65, 1000])
@pytest.mark.parametrize("transactional", [False, True])
def test_unreadable_events_are_parked_and_the_others_handled(world: World, batch: int, transactional: bool) -> None:
    async def rule() -> None:
        damaged.clear()
        numbers: list[int] = []

        def handle(event: Event[Any], *tx: Any) -> None:
            numbers.append(event.data.number)

        async with world.open(registry=registry) as db:
            last = (await db.events.append([Event(Fragile(n), registry=registry) for n in range(1, 201)])).position
            damaged.update((1, 2, 64, 65, 66, 128, 200))
            options: dict[str, Any] = {"batch": batch, "transactional": transactional, "retry": Retry(1, then="park")}
            async with db.processor(NAME, handle, **options) as processor:
                await processor.wait_for(last)
                await world.waiting()
                assert [letter.position for letter in await processor.parked()] == sorted(damaged)
                assert (await processor.stats()).handled == 200 - len(damaged)
        assert numbers == [n for n in range(1, 201) if n not in damaged]
        damaged.clear()

    world.run(rule())


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": Continuously(debounce=1)},
        {"schedule": OnDemand(at_start=True)},
        {"start": FakeClock().now()},
    ],
    ids=["debounced", "on demand", "from a time on"],
)
def test_an_unreadable_event_stops_it_whatever_it_was_looking_for(world: World, options: dict[str, Any]) -> None:
    """With ProcessorStopped, which says where: not with what a look at the log has met in passing."""

    async def rule() -> None:
        damaged.clear()
        async with world.open(registry=registry) as db:
            time = world.clock.now()
            await db.events.append([Event(Sound(1), registry=registry, time=time - timedelta(1))])
            await db.events.append([Event(Fragile(2), registry=registry, time=time)])
            damaged.add(2)
            processor = db.processor(NAME, nothing, **options)
            running = world.alongside(processor.run())
            while not running.ended:
                world.clock.advance(1)
                await world.until(lambda: running.ended or len(world.clock.waiters) == 2)
            error = await running.outcome()
            assert isinstance(error, ProcessorStopped)
            assert (error.position, error.name, error.attempts) == (2, "test.fragile", 1)
        damaged.clear()

    world.run(rule())


@pytest.mark.parametrize(
    ("start", "first"), [("beginning", 1), ("now", 11), (0, 1), (4, 5), (10, 11), (12, 13)], ids=str
)
def test_where_it_begins(world: World, start: Any, first: int) -> None:
    """That is saved before anything comes, so the next instance begins there, too."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            await db.events.append(notes(1, 10))
            async with db.processor(NAME, Calls(world.clock), start=start, schedule=OnDemand()):
                await world.waiting()
            assert await stands(db) == first - 1
            last = (await db.events.append(notes(11, 15))).position
            async with db.processor(NAME, calls, start="beginning") as processor:
                await processor.wait_for(last)
        assert calls.numbers == list(range(first, 16))

    world.run(rule())


@pytest.mark.parametrize(("hours", "first"), [(-1, 1), (0, 1), (3, 4), (5, 4), (6, 7), (100, 9)])
def test_it_begins_at_a_time(world: World, hours: int, first: int) -> None:
    """At the first event in the log that is not older; one behind it is handled, however old it says that it is."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            noon = world.clock.now()
            for number, hour in enumerate((0, 1, 2, 5, 4, 3, 6, 7), 1):
                await db.events.append([note(number, time=noon + timedelta(hours=hour))])
            start = noon + timedelta(hours=hours)
            async with db.processor(NAME, calls, start=start, query=ONLY_NOTED) as processor:
                await processor.wait_for(8)
                await processor.wait_for((await db.events.append([note(9, time=noon)])).position)
        assert calls.numbers == list(range(first, 10))

    world.run(rule())


@pytest.mark.parametrize("batch", [1, 10, 1000])
def test_aggregates_that_are_deleted_beside_it(world: World, batch: int) -> None:
    """What is left of the log is handled once and in order, whichever pages are read already."""

    async def rule() -> None:
        handled: list[int] = []

        async with world.open() as db:

            async def handle(events: Sequence[Event[Any]]) -> None:
                handled.extend(event.position for event in events)
                for event in events:
                    if event.name == "test.noted" and event.data.number % 50 == 0:
                        await db.events.delete(AggregateRef("account", str(event.data.number // 50)))

            # Each of ten aggregates has events all over the log; at every fiftieth event one of them is deleted.
            events: list[Event[Any]] = []
            for n in range(1, 601):
                events.append(note(n, str(n % 10), 1 + n // 10 - (n % 10 == 0)))
                events.append(other(n))
            last = (await db.events.append(events)).position
            async with db.processor(NAME, handle, batched=True, batch=batch) as processor:
                await processor.wait_for(last)
            left = {event.position for event in await db.events.query().list()}
        assert handled == sorted(set(handled))
        assert left <= set(handled)
        assert len(left) == 660  # of the ten, nine are gone

    world.run(rule())
