"""A bus that fails, is full or is gone, and events that cannot be published: nothing is lost, and no save fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from goes_lite_conformance.harness import until

import goes_lite as goes
from goes_lite.database.connect import register_backend
from goes_lite.errors import BusError, InvalidEventError, LeaseError, ProcessorStopped, StoreUnavailable
from goes_lite.processor import relay as relaying
from goes_lite.testing import FakeClock
from tests.conftest_kit import SQLitePlace
from tests.relay.relay_kit import PATIENCE, Carrier, FakeBus, Noted, Other, note, notes, passing, registry, stands


@pytest.mark.parametrize(
    "error",
    [
        BusError("down"), ConnectionRefusedError("down"), TimeoutError("slow"), OSError("down"),
        StoreUnavailable("bus", "gone"), goes.errors.StoreClosed("bus"), ValueError("a bug"), LeaseError("a", None, "odd"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_bus_that_fails_is_tried_again_for_ever(world: SQLitePlace, bus: FakeBus, error: Exception) -> None:
    """Whatever it raises, and however often: saves go on, nothing is passed over or parked, and it tells what is wrong."""
    failures: list[int] = []

    def trouble(event: goes.Event[Any]) -> Exception | None:
        if len(failures) >= 40 or event.data.number != 3:
            return None
        failures.append(event.data.number)
        return error

    bus.trouble = trouble
    clock = FakeClock()

    async def test() -> None:
        async with world.open(clock=clock) as db:
            await db.events.append(notes(1, 4))
            async with db.relay(bus) as relay:
                await passing(world, clock, lambda: len(failures) > 1)
                stats = await relay.stats()
                assert (stats.state, stats.position, stats.lag, stats.error) == ("active", 0, 4, error)
                last = await db.events.append(notes(5, 6))
                await passing(world, clock, lambda: bus.numbers[-1] == 6)
                await relay.wait_for(last.position)
                assert await relay.parked() == []
            assert bus.once == [1, 2, 3, 4, 5, 6]
            assert bus.numbers == [*[1, 2] * 40, 1, 2, 3, 4, 5, 6]

    world.run(test())


@pytest.mark.parametrize("retry", [None, goes.Retry(2, then="park")], ids=["stop", "park"])
def test_an_event_that_the_bus_can_never_take_is_not_tried_for_ever(
    world: SQLitePlace, bus: FakeBus, retry: goes.Retry | None
) -> None:
    """It is too large for the broker, say: the relay stops there, or parks it; those before it are published."""
    too_large = InvalidEventError("larger than the broker accepts")
    bus.trouble = lambda event: too_large if event.data.number == 3 else None
    clock = FakeClock()

    async def test() -> None:
        async with world.open(clock=clock) as db:
            last = (await db.events.append(notes(1, 4))).position
            async with db.relay(bus, retry=retry) as relay:
                await passing(world, clock, lambda: bus.calls > 2 and (retry is None or 4 in bus.numbers))
                if retry is not None:
                    await relay.wait_for(last)
                    assert [letter.position for letter in await relay.parked()] == [3]
                else:
                    while (await relay.stats()).state != "failed":
                        clock.advance(5)
                    error = (await relay.stats()).error
                    assert isinstance(error, ProcessorStopped)
                    assert (error.position, error.__cause__) == (3, too_large)
            assert bus.once == ([1, 2] if retry is None else [1, 2, 4])

    world.run(test())


@pytest.mark.parametrize("world", ["async", "loop"], indirect=True)
def test_a_bus_that_ends_a_call_by_cancellation_has_not_taken_the_events(world: SQLitePlace, bus: FakeBus) -> None:
    """A client may cancel what it waits for itself: that is a failure like any other."""
    cancelled: list[int] = []

    class Cancelling(FakeBus):
        async def publish(self, events: Sequence[goes.Event[Any]]) -> None:
            if not cancelled:
                cancelled.append(1)
                raise asyncio.CancelledError
            await bus.publish(events)

    async def test() -> None:
        async with world.open() as db, db.relay(Cancelling()) as relay:
            last = await db.events.append(notes(1, 4))
            await relay.wait_for(last.position, PATIENCE)
            assert type((await relay.stats()).error) is BusError
            assert bus.numbers == [1, 2, 3, 4]

    world.run(test())


def test_a_save_never_fails_because_of_the_bus(world: SQLitePlace, bus: FakeBus) -> None:
    """On a composed handle: not while the bus is away, and not when it is gone for good."""
    down = True
    bus.trouble = lambda event: BusError("down") if down else None
    register_backend("carrier", Carrier(bus))

    async def test() -> None:
        nonlocal down
        async with world.open(bus="carrier://") as db, db.relay() as relay:
            for number in range(20):
                await db.events.append([note(number)])
            async with db.transaction() as tx:
                last = await tx.events.append([note(20)])
            await until(world, lambda: bus.calls > 0)
            down = False
            await relay.wait_for(last.position, PATIENCE)
            assert bus.once == list(range(21))

    world.run(test())


def test_a_bus_that_waits_keeps_the_relay_waiting(world: SQLitePlace, bus: FakeBus) -> None:
    """And nobody else; when it goes on, so does the relay."""

    async def test() -> None:
        async with world.open() as db:
            bus.runtime = db.runtime
            await db.events.append(notes(1, 4))
            async with db.relay(bus, batch=2) as relay:
                await until(world, lambda: bus.inside == 1)
                last = await db.events.append(notes(5, 6))
                stats = await relay.stats()
                assert (stats.state, stats.lag, bus.calls, bus.heard) == ("active", 6, 1, [])
                bus.let.notify()
                await relay.wait_for(last.position, PATIENCE)
            assert bus.numbers == [1, 2, 3, 4, 5, 6]

    world.run(test())


def test_a_bus_that_waits_for_ever_does_not_keep_the_relay_from_stopping(
    world: SQLitePlace, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way is published again by the next one."""
    monkeypatch.setattr(relaying, "GRACE", 0.05)

    async def test() -> None:
        async with world.open() as db:
            bus.runtime = db.runtime
            last = await db.events.append(notes(1, 4))
            async with db.relay(bus) as relay:
                await until(world, lambda: bus.inside == 1)
            assert (await relay.stats()).state == "stopped"
            assert await stands(db) == 0
            assert await db.leases.get("relay") is None
            if world.face != "blocking":
                assert bus.inside == 0
            bus.let.notify()
            await until(world, lambda: bus.inside == 0)
            async with db.relay(bus) as relay:
                await relay.wait_for(last.position, PATIENCE)
            assert bus.once == [1, 2, 3, 4]

    world.run(test())


def test_a_call_under_way_is_waited_for_when_the_relay_stops(world: SQLitePlace, bus: FakeBus) -> None:
    """So a bus that is only slow gets nothing twice."""

    async def test() -> None:
        async with world.open() as db:
            bus.runtime = db.runtime
            last = await db.events.append(notes(1, 4))
            relay = db.relay(bus)
            async with relay:
                await until(world, lambda: bus.inside == 1)
                threading.Timer(0.05, bus.let.notify).start()
            assert bus.numbers == [1, 2, 3, 4]
            assert await stands(db) == last.position

    world.run(test())


def test_a_full_subscriber_of_another_bus_in_the_process(world: SQLitePlace) -> None:
    """An in-process bus waits for it, and so does the relay; the subscriber gets everything in order."""

    async def test() -> None:
        async with world.open(bus="sqlite:///:memory:") as db:
            subscription = db.bus.subscribe(["relay.*"], capacity=5)
            last = await db.events.append(notes(1, 50))
            async with db.relay(batch=10) as relay:
                numbers = list[int]()
                for _ in range(50):
                    delivery = await anext(aiter(subscription))
                    numbers.append(delivery.event.data.number)
                    assert (await relay.stats()).position <= len(numbers) + 5
                    await delivery.ack()
                await relay.wait_for(last.position, PATIENCE)
            assert numbers == list(range(1, 51))
            await subscription.close()

    world.run(test())


def test_closing_everything_while_the_bus_is_down_ends_the_relay(world: SQLitePlace, bus: FakeBus) -> None:
    """As stopped: that is no failure."""
    bus.trouble = lambda event: BusError("down")

    async def test() -> None:
        clock = FakeClock()
        async with world.open(clock=clock) as db:
            await db.events.append(notes(1, 4))
            relay = db.relay(bus)
            relay.start()
            await until(world, lambda: bus.calls > 0)
        state = relay.target.processor if world.face != "async" else relay
        await passing(world, clock, lambda: state._state == "stopped")

    world.run(test())


# --- events in trouble -----------------------------------------------------------------------------------------------


def test_a_retry_gives_up_an_event_that_the_bus_refuses(world: SQLitePlace, bus: FakeBus) -> None:
    """After its attempts, alone; but never for what is wrong with the bus."""
    down = 20

    def trouble(event: goes.Event[Any]) -> Exception | None:
        nonlocal down
        if event.data.number == 2:
            return goes.errors.InvalidEventError("too large")
        if event.data.number == 4 and down:
            down -= 1
            return ConnectionResetError()
        return None

    bus.trouble = trouble
    retry = goes.Retry(3, backoff=lambda attempt: 0.0, then="park")

    async def test() -> None:
        async with world.open() as db:
            last = await db.events.append(notes(1, 5))
            async with db.relay(bus, retry=retry) as relay:
                await relay.wait_for(last.position, PATIENCE)
                [letter] = await relay.parked()
                assert (letter.position, letter.attempts, letter.error) == (2, 3, "InvalidEventError: too large")
                assert bus.once == [1, 3, 4, 5]
                assert down == 0
                bus.trouble = lambda event: None
                await relay.redrive()
                await until(world, lambda: 2 in bus.numbers)

    world.run(test())


def test_an_event_that_cannot_be_read_stops_it(world: SQLitePlace, bus: FakeBus) -> None:
    """In front of that event; on a handle that reads what it does not know as raw data, it is published."""
    knows_less = goes.Registry()
    knows_less.register("relay.noted", Noted)

    async def test() -> None:
        async with world.open() as db:
            last = await db.events.append([note(1), goes.Event(Other(2), registry=registry), note(3)])
        async with world.open(registry=knows_less) as db:
            with pytest.raises(ProcessorStopped) as stopped:
                await db.relay(bus).run()
            assert stopped.value.position == 2
            assert bus.numbers == [1]
        async with world.open(registry=knows_less, unknown="raw") as db, db.relay(bus) as relay:
            await relay.wait_for(last.position, PATIENCE)
            assert [event.name for event in bus.heard] == ["relay.noted", "relay.other", "relay.noted"]
            assert bus.heard[1].encoded.payload == '{"number":2}'

    world.run(test())
