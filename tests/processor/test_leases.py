"""Who is active when time passes: take-over, renewal, and what becomes of the work of one that was paused for too long."""

from __future__ import annotations

import os
import re
import socket
from typing import Any

import pytest

from goes_lite.database import Database
from goes_lite.errors import LeaseLost
from goes_lite.processor import Retry
from goes_lite.testing import FakeClock
from tests.processor.processor_kit import DAY, NAME, ONLY_NOTED, Calls, Gate, World, note, notes, other, stands

LOOK = 0.2
"""Seconds after which one that stands by looks again."""


async def state(processor: Any) -> str:
    return str((await processor.stats()).state)


async def becomes(world: World, processor: Any, wanted: str) -> None:
    async def so() -> bool:
        return await state(processor) == wanted

    await world.until(so)


async def token(db: Database) -> int:
    lease = await db.leases.get(NAME)
    assert lease is not None
    return lease.token


async def marked(db: Database) -> str | None:
    record = await db.models.get("seen", "1")
    return record.data if record else None


# --- who is active ----------------------------------------------------------------------------------------------------


def test_one_that_stands_by_takes_over_when_the_other_stops(world: World) -> None:
    """When it looks the next time, be the lease as long as it may."""

    async def rule() -> None:
        first, second = Calls(world.clock), Calls(world.clock)
        async with world.open() as db:
            active, standby = (db.processor(NAME, calls, lease=DAY) for calls in (first, second))
            async with active:
                await active.wait_for((await db.events.append([note(1)])).position)
                standby.start()
                await world.until(lambda: world.clock.waiters[:1] == (LOOK,))
                assert await state(standby) == "standby"
            world.clock.advance(LOOK)
            await standby.wait_for((await db.events.append([note(2)])).position)
            assert (await state(active), await state(standby)) == ("stopped", "active")
            assert world.clock.monotonic() == pytest.approx(LOOK)
            await standby.stop()
        assert (first.numbers, second.numbers) == ([1], [2])

    world.run(rule())


def test_one_that_stands_by_takes_over_when_the_lease_has_run_out(world: World) -> None:
    """Of a holder that was killed, which nobody renews: no sooner, and no later than it looks the next time."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            dead = await db.leases.acquire(NAME, "dead", 10)
            await db.events.append([note(1)])
            async with db.processor(NAME, calls, lease=10):
                await world.waiting(1)
                await world.passing(9.75, 0.25, 1)
                assert calls.numbers == []
                world.clock.advance(0.25)
                await world.until(lambda: calls.numbers == [1])
                assert await token(db) > dead.token
        assert calls.times == [pytest.approx(10)]

    world.run(rule())


def test_the_lease_of_a_long_handler_is_renewed(world: World) -> None:
    """Every third of its time, so the one that stands by has to wait for as long as it takes."""

    async def rule() -> None:
        gate, calls = Gate(world), Calls(world.clock)
        async with world.open() as db:
            last = (await db.events.append(notes(1, 2))).position
            async with db.processor(NAME, gate, lease=9) as active:
                await world.until(lambda: gate.entered == [1])
                held = await token(db)
                async with db.processor(NAME, calls, lease=9) as standby:
                    await world.waiting(2)  # the renewal, and the one that stands by
                    for _ in range(20):
                        await world.passing(3, 0.5)
                        lease = await db.leases.get(NAME)
                        assert lease is not None
                        assert (lease.expires - world.clock.now()).total_seconds() >= 8.5
                    assert (await token(db), await state(standby), calls.numbers) == (held, "standby", [])
                    gate.open()
                    await active.wait_for(last)
                    await world.waiting(3)
        assert (gate.left, calls.numbers, world.clock.monotonic()) == ([1, 2], [], 60)

    world.run(rule())


def test_one_that_was_started_again_has_the_lease_at_once(world: World) -> None:
    """No time passes, for it was given back."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            processor = db.processor(NAME, calls, lease=DAY)
            for number in range(1, 6):
                async with processor:
                    await processor.wait_for((await db.events.append([note(number)])).position)
        assert (calls.numbers, world.clock.monotonic()) == ([1, 2, 3, 4, 5], 0)

    world.run(rule())


def test_two_names_stand_side_by_side(world: World) -> None:
    """Each has a lease, a checkpoint and letters of its own; what holds one up, or ends it, is nothing to the other."""

    async def rule() -> None:
        gate, calls = Gate(world), Calls(world.clock, lambda number: number == 2)
        async with world.open() as db:
            last = (await db.events.append(notes(1, 3))).position
            async with (
                db.processor("held", gate) as held,
                db.processor("free", calls, retry=Retry(1, then="park")) as free,
            ):
                await free.wait_for(last)
                await world.until(lambda: gate.entered == [1])
                owners = [(await processor.stats()).owner for processor in (held, free)]
                assert len(set(owners)) == 2
                assert [await stands(db, name) for name in ("held", "free")] == [0, last]
                assert [len(await processor.parked()) for processor in (held, free)] == [0, 1]
                await free.stop()
                assert (await db.leases.get("free"), await state(held)) == (None, "active")
                gate.open()
                await held.wait_for(last)
        assert (gate.left, calls.numbers) == ([1, 2, 3], [1, 2, 3])

    world.run(rule())


def test_an_owner_is_named_after_its_host_and_process(world: World) -> None:
    """So that people find it; two instances never have the same name."""

    async def rule() -> None:
        async with world.open() as db:
            owners: set[str] = set()
            for processor in [db.processor(NAME, print) for _ in range(2)]:
                async with processor:
                    await becomes(world, processor, "active")
                    lease = await db.leases.get(NAME)
                    assert lease is not None
                    assert re.fullmatch(rf"{re.escape(socket.gethostname())}:{os.getpid()}:[0-9a-f]{{8}}", lease.owner)
                    assert (await processor.stats()).owner == lease.owner
                    owners.add(lease.owner)
            assert len(owners) == 2

    world.run(rule())


def test_it_shows_how_it_is_getting_on(world: World) -> None:
    async def rule() -> None:
        async with world.open() as db:
            first, second = (db.processor(NAME, Calls(world.clock)) for _ in range(2))
            shown = [repr(first)]
            async with first:
                await first.wait_for((await db.events.append(notes(1, 3))).position)
                await world.waiting()
                async with second:
                    await becomes(world, second, "standby")
                    shown += [repr(first), repr(second)]
            shown += [repr(first)]
        assert shown == [
            "<Processor 'p': idle, at position 0, 0 events handled>",
            "<Processor 'p': active, at position 3, 3 events handled>",
            "<Processor 'p': standby, at position 0, 0 events handled>",
            "<Processor 'p': stopped, at position 3, 3 events handled>",
        ]

    world.run(rule())


# --- paused for longer than the lease ---------------------------------------------------------------------------------


class Marking:
    """A transactional handler that marks events as handled by somebody, and fails the first time."""

    def __init__(self, who: str, attempts: list[str]) -> None:
        self._mark = f'"{who}"'
        self._who = who
        self._attempts = attempts

    async def __call__(self, event: Any, tx: Any) -> None:
        self._attempts.append(self._who)
        await tx.models.put("seen", str(event.data.number), self._mark)
        if self._attempts.count(self._who) == 1:
            raise ValueError("once more")


def test_the_batch_of_one_that_was_paused_is_rolled_back(world: World) -> None:
    """Its process stood still, and with it its clock, while another took over: the other's work stands."""

    async def rule() -> None:
        stopped, attempts = FakeClock(), list[str]()
        options: dict[str, Any] = {"transactional": True, "retry": Retry(backoff=lambda _: 1.0)}
        async with world.open(world.path, clock=stopped) as db, world.open(world.path) as elsewhere:
            await db.events.append([note(1)])
            first = db.processor(NAME, Marking("first", attempts), **options)
            second = elsewhere.processor(NAME, Marking("second", attempts), **options)
            async with first:
                await world.until(lambda: stopped.waiters[:1] == (1,))
                world.clock.advance(11)
                async with second:
                    await world.until(lambda: world.clock.waiters[:1] == (1,))
                    stopped.advance(1)
                    await becomes(world, first, "standby")
                    assert type((await first.stats()).error) is LeaseLost
                    assert (attempts, await marked(elsewhere)) == (["first", "second", "first"], None)
                    world.clock.advance(1)
                    await world.until(lambda: len(attempts) == 4)
                    await world.waiting(2)
                    assert await marked(elsewhere) == '"second"'
            assert await stands(elsewhere) == 1
        assert attempts == ["first", "second", "first", "second"]

    world.run(rule())


@pytest.mark.parametrize("lease", ["held", "given back"])
def test_one_that_was_paused_handles_nothing_that_the_other_has_handled(world: World, lease: str) -> None:
    """Whether or not the other is still there: the event that it was about to try again is behind the checkpoint."""

    async def rule() -> None:
        stopped, attempts = FakeClock(), list[str]()
        options: dict[str, Any] = {"transactional": True, "retry": Retry(backoff=lambda _: 1.0)}
        async with world.open(world.path, clock=stopped) as db, world.open(world.path) as elsewhere:
            last = (await db.events.append([note(1)])).position
            first = db.processor(NAME, Marking("first", attempts), **options)
            second = elsewhere.processor(NAME, Marking("second", attempts), **options)
            async with first:
                await world.until(lambda: stopped.waiters[:1] == (1,))
                world.clock.advance(11)
                second.start()
                await world.until(lambda: world.clock.waiters[:1] == (1,))
                world.clock.advance(1)
                await second.wait_for(last)
                if lease == "given back":
                    await second.stop()
                stopped.advance(1)
                await world.until(lambda: len(stopped.waiters) == 2)
                stopped.advance(10 / 3)  # when it renews its lease, it learns whose that is
                await becomes(world, first, "standby" if lease == "held" else "active")
                await second.stop()
            assert await marked(elsewhere) == '"second"'
        assert attempts == ["first", "second", "second"]

    world.run(rule())


def test_one_that_was_paused_in_its_handler_repeats_nothing_of_the_other(world: World) -> None:
    """Outside of transactions its own event was handled twice; its checkpoint is refused, and it stands by."""

    async def rule() -> None:
        stopped = FakeClock()
        gate, calls = Gate(world), Calls(world.clock)
        async with world.open(world.path, clock=stopped) as db, world.open(world.path) as elsewhere:
            last = (await db.events.append(notes(1, 3))).position
            first, second = db.processor(NAME, gate), elsewhere.processor(NAME, calls)
            async with first:
                await world.until(lambda: gate.entered == [1])
                world.clock.advance(11)
                async with second:
                    await second.wait_for(last)
                    gate.open()
                    await becomes(world, first, "standby")
                    assert type((await first.stats()).error) is LeaseLost
                    assert (await stands(db), await state(second)) == (last, "active")
        assert (gate.left, calls.numbers) == ([1], [1, 2, 3])

    world.run(rule())


def test_one_that_has_passed_over_events_meanwhile_is_fenced_too(world: World) -> None:
    """It had nothing to handle, and only its checkpoint to save."""

    async def rule() -> None:
        stopped = FakeClock()
        async with world.open(world.path, clock=stopped) as db, world.open(world.path) as elsewhere:
            first = db.processor(NAME, Calls(stopped), query=ONLY_NOTED)
            async with first:
                await becomes(world, first, "active")
                await world.waiting_on(stopped, 2)
                world.clock.advance(11)
                second = elsewhere.processor(NAME, Calls(world.clock), query=ONLY_NOTED)
                async with second:
                    await becomes(world, second, "active")
                    await db.events.append([other()])
                    await world.until(lambda: len(stopped.waiters) == 2)
                    stopped.advance(0.05)
                    await becomes(world, first, "standby")
                    assert await state(second) == "active"

    world.run(rule())
