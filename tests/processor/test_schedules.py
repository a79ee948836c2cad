"""Schedules: what they decide by numbers alone, and when processors run by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import ConfigError
from goes_lite.processor import Continuously, OnDemand, Pending, Periodically, ProcessorSchedule
from tests.processor.processor_kit import DAY, NAME, ONLY_NOTED, Calls, World, note, notes, other, stands

seconds = st.integers(0, 1000).map(lambda n: n / 8)
"""Eighths: exact as floats, and so are their sums."""


# --- by numbers alone ---------------------------------------------------------------------------------------------------


def runs_of(schedule: Continuously, came: list[float]) -> list[tuple[float, list[float]]]:
    """When a processor that takes no time runs, and the times at which what it handles then came."""
    runs: list[tuple[float, list[float]]] = []
    waiting: list[float] = []
    for now in [*came, float("inf")]:
        while waiting:
            due = schedule.due(Pending(waiting[0], waiting[-1], runs[-1][0] if runs else None), now)
            assert due is not None
            if due > now:
                break
            runs.append((due, waiting))
            waiting = []
        waiting = [*waiting, now] if now != float("inf") else []
    return runs


@given(seconds, seconds, st.lists(seconds, min_size=1, max_size=30).map(sorted))
def test_no_event_waits_past_the_maximum(debounce: float, more: float, came: list[float]) -> None:
    """A run comes when nothing more came for so long, or when the oldest has waited the maximum, whichever is first."""
    schedule = Continuously(debounce, debounce + more)
    runs = runs_of(schedule, came)
    assert sorted(time for _, handled in runs for time in handled) == came
    for at, (first, *others) in runs:
        last = others[-1] if others else first
        assert at in (last + debounce, first + schedule.max_wait)
        assert last <= at <= min(last + debounce, first + schedule.max_wait)


@given(seconds, seconds, seconds, seconds, seconds)
def test_it_is_due_no_later_than_the_oldest_may_wait(
    d: float, more: float, first: float, then: float, now: float
) -> None:
    due = Continuously(d, d + more).due(Pending(first, first + then, None), now)
    assert due is not None
    assert min(first + then, first + d + more) <= due <= first + d + more


@given(seconds.filter(bool), st.lists(st.tuples(seconds, seconds), max_size=20))
def test_a_period_is_counted_from_the_run_before(every: float, runs: list[tuple[float, float]]) -> None:
    """Late as it may be, by the time that a run takes or by that of a machine asleep: what was missed is not made up for."""
    schedule = Periodically(every)
    assert schedule.due(Pending(None, None, None), 5.0) == 5.0
    now = ran = 5.0
    for takes, asleep in runs:
        due = schedule.due(Pending(None, None, ran), now + takes)
        assert due == ran + every
        now = ran = max(ran + every, now + takes) + asleep


def test_on_demand_is_due_at_the_start_or_never() -> None:
    for pending in (Pending(None, None, None), Pending(1.0, 2.0, None), Pending(1.0, 2.0, 0.0)):
        assert OnDemand().due(pending, 3.0) is None
        assert OnDemand(at_start=True).due(pending, 3.0) == (3.0 if pending.ran is None else None)


@pytest.mark.parametrize("schedule", [Continuously(), Continuously(1, 10), Continuously(0, 3)])
def test_nothing_is_due_while_nothing_waits(schedule: Continuously) -> None:
    assert schedule.due(Pending(None, None, 5.0), 100.0) is None


def test_they_show_what_they_are() -> None:
    shown = [repr(s) for s in (Continuously(), Continuously(2), Continuously(1, 3), Periodically(60), OnDemand())]
    assert shown == [
        "Continuously(debounce=0.0, max_wait=0.0)",
        "Continuously(debounce=2.0, max_wait=20.0)",
        "Continuously(debounce=1.0, max_wait=3.0)",
        "Periodically(60.0)",
        "OnDemand(at_start=False)",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Continuously(-1), "debounce must be a number of seconds ≥ 0, not -1"),
        (lambda: Continuously(True), "debounce must be a number of seconds ≥ 0, not True"),
        (lambda: Continuously(2, 1.5), "max_wait must be a number of seconds ≥ 2, not 1.5"),
        (lambda: Continuously(2, float("inf")), "max_wait must be a number of seconds ≥ 2, not inf"),
        (lambda: Periodically(0), "every must be a number of seconds ≥ 0.001, not 0"),
        (lambda: Periodically("x" * 1000), "every must be a number of seconds ≥ 0.001, not 'xxx"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_time_is_refused(make: Callable[[], ProcessorSchedule], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("odd", ["hourly", 5, Periodically])
def test_what_is_no_schedule_is_refused(world: World, odd: Any) -> None:
    async def rule() -> None:
        async with world.open() as db:
            with pytest.raises(ConfigError, match="schedule must be .*, not"):
                db.processor(NAME, print, schedule=odd)

    world.run(rule())


# --- in time ------------------------------------------------------------------------------------------------------------


def listening(db: Database, calls: Calls, schedule: ProcessorSchedule, **options: Any) -> Any:
    """A processor that gets all that a run is about in one list."""
    return db.processor(NAME, calls, batched=True, schedule=schedule, lease=DAY, query=ONLY_NOTED, **options)


@pytest.mark.parametrize("transactional", [False, True])
def test_a_steady_stream_is_handled_at_every_maximum_wait(world: World, transactional: bool) -> None:
    """Never later, and never before: a new event every half second keeps a debounce of one second from ever ending."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with (
            world.open() as db,
            listening(db, calls, Continuously(debounce=1, max_wait=10), transactional=transactional),
        ):
            await world.waiting()
            for number in range(70):
                await db.events.append([note(number)])
                await world.waiting()
                await world.passing(0.5, 0.5)
            await world.passing(1, 0.25)
        assert calls.seen == [
            (10, list(range(20))),  # the one at 10 s comes a moment behind the run
            (20, list(range(20, 40))),
            (30, list(range(40, 60))),
            (35.5, list(range(60, 70))),
        ]

    world.run(rule())


def test_a_burst_makes_one_run(world: World) -> None:
    """A second after its last event."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db, listening(db, calls, Continuously(debounce=1)):
            for burst in range(3):
                for number in range(8):
                    await db.events.append([note(10 * burst + number)])
                    await world.waiting()
                    await world.passing(0.125, 0.125)
                await world.passing(5, 0.125)
        assert calls.seen == [(6.0 * n + 1.875, [10 * n + m for m in range(8)]) for n in range(3)]

    world.run(rule())


def test_what_does_not_match_neither_delays_nor_triggers_a_run(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db, listening(db, calls, Continuously(debounce=1, max_wait=1.5)):
            await db.events.append([other()])
            await world.waiting()
            await world.passing(0.75, 0.25)
            await db.events.append([note(1)])  # the first that waits: the time of the other one does not count
            for _ in range(12):
                await world.waiting()
                await world.passing(0.25, 0.25)
                await db.events.append([other()])
            await world.waiting()
            await world.passing(0.25, 0.25)
            assert await stands(db) == await db.events.head()
        assert calls.seen == [(1.75, [1])]

    world.run(rule())


def test_periods_that_were_missed_are_not_made_up_for(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db, listening(db, calls, Periodically(10)) as processor:
            await world.waiting()
            for seconds in (3, 7, 9.5, 0.5, 35, 9.5, 0.5, 4):  # 3, 10, 19.5, 20, 55, 64.5, 65, 69
                await db.events.append([note(int(world.clock.monotonic()))])
                await world.waiting()
                await world.passing(seconds, seconds)
            await processor.trigger()
            await world.until(lambda: calls.times[-1] == 69)
            await world.waiting()
            await db.events.append([note(69)])
            await world.passing(9.5, 9.5)
            await world.passing(0.5, 0.5)
        assert calls.seen == [
            (10, [0, 3]),
            (20, [10, 19]),
            (55, [20]),  # late, and once
            (65, [55, 64]),
            (69, [65]),  # by hand
            (79, [69]),
        ]

    world.run(rule())


def test_a_period_longer_than_any_timer(world: World) -> None:
    """It is as if it never came, also by real time."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open(clock=None) as db, listening(db, calls, Periodically(1e300)) as processor:
            await db.events.append([note(1)])
            await processor.trigger()
            await world.until(lambda: calls.numbers == [[1]])
            assert (await processor.stats()).state == "active"

    world.run(rule())


def test_triggers_that_come_together_make_one_run(world: World) -> None:
    """One that comes during a run makes another one."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            processor = listening(db, calls, OnDemand())
            await db.events.append(notes(1, 3))
            for _ in range(5):
                await processor.trigger()
            async with processor:
                await world.until(lambda: calls.numbers == [[1, 2, 3]])
                await world.waiting()
                await db.events.append(notes(4, 4))
                await world.waiting()
                assert len(calls.numbers) == 1
                await db.processor(NAME, print).trigger()
                await world.until(lambda: len(calls.numbers) == 2)
                await world.waiting()
        assert calls.numbers == [[1, 2, 3], [4]]

    world.run(rule())


def test_one_is_triggered_by_another_handle_on_the_same_file(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with (
            world.open(world.path) as db,
            world.open(world.path) as elsewhere,
            listening(db, calls, OnDemand()) as processor,
        ):
            last = (await elsewhere.events.append(notes(1, 3))).position
            await elsewhere.processor(NAME, print).trigger()
            await processor.wait_for(last)
            assert calls.numbers == [[1, 2, 3]]

    world.run(rule())


def test_a_schedule_of_ones_own(world: World) -> None:
    """Whatever answers when it is due; here: on every full minute."""

    class OnTheMinute:
        minds_when = False

        def due(self, pending: Pending, now: float) -> float | None:
            return 60.0 * (1 + (pending.ran or 0) // 60)

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db, listening(db, calls, OnTheMinute()):
            for number in range(1, 4):
                await db.events.append([note(number)])
                await world.waiting()
                await world.passing(45, 45)
            await world.passing(60, 15)
        assert calls.seen == [(90, [1, 2]), (135, [3])]

    world.run(rule())


def test_what_a_program_imports() -> None:
    assert (goes.Continuously, goes.Periodically, goes.OnDemand) == (Continuously, Periodically, OnDemand)
