"""Several relays, several handles, several buses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import until
from goes_lite_conformance.rule import Face

import goes_lite as goes
from goes_lite.database.connect import register_backend
from goes_lite.errors import BusError, ConfigError
from goes_lite.kit.bus import InProcessBus
from goes_lite.processor import relay as relaying
from tests.conftest_kit import SQLitePlace
from tests.relay.relay_kit import PATIENCE, Carrier, FakeBus, notes, registry, stands


def test_of_several_relays_of_one_name_one_publishes(world: SQLitePlace, bus: FakeBus) -> None:
    """The others stand by, on whatever handle; when it stops, one goes on behind what it has published."""

    async def test() -> None:
        async with world.open() as db, world.open() as other:
            buses = [bus, FakeBus()]
            relays = [db.relay(buses[0], lease=1000.0), other.relay(buses[1], lease=1000.0)]
            for relay in relays:
                relay.start()

            async def states() -> list[str]:
                return [(await relay.stats()).state for relay in relays]

            async def settled() -> bool:
                return sorted(await states()) == ["active", "standby"]

            await until(world, settled)
            active = (await states()).index("active")
            last = await db.events.append(notes(1, 10))
            await relays[0].wait_for(last.position, PATIENCE)
            await relays[1].wait_for(last.position, PATIENCE)
            await relays[active].stop()
            last = await db.events.append(notes(11, 20))
            await relays[1 - active].wait_for(last.position, PATIENCE)
            await relays[1 - active].stop()
            assert buses[active].numbers == list(range(1, 11))
            assert buses[1 - active].numbers == list(range(11, 21))

    world.run(test())


@pytest.mark.parametrize("bus_is", ["full", "down"])
def test_one_that_has_lost_its_lease_waits_for_the_bus_no_longer(
    world: SQLitePlace, bus: FakeBus, monkeypatch: pytest.MonkeyPatch, bus_is: str
) -> None:
    """It stands by, and its successor publishes."""
    monkeypatch.setattr(relaying, "GRACE", 0.05)

    async def test() -> None:
        async with world.open() as db:
            if bus_is == "full":
                bus.runtime = db.runtime
            else:
                bus.trouble = lambda event: BusError("down")
            last = await db.events.append(notes(1, 4))
            async with db.relay(bus, lease=0.3) as relay:
                await until(world, lambda: bus.calls > 0)
                held = await db.leases.get("relay")
                assert held is not None
                await db.leases.release(held)
                thief = await db.leases.acquire("relay", "thief", 1000.0)

                async def standby() -> bool:
                    return bool((await relay.stats()).state == "standby")

                await until(world, standby)
                assert await stands(db) == 0
                bus.let.notify()
                bus.trouble = lambda event: None
                await db.leases.release(thief)
                await relay.wait_for(last.position, PATIENCE)
            assert bus.once == [1, 2, 3, 4]

    world.run(test())


def test_a_composed_handle_publishes_to_its_other_bus(world: SQLitePlace, bus: FakeBus) -> None:
    """By default; the same through a handle with inline projections."""
    register_backend("carrier", Carrier(bus))

    async def test() -> None:
        async with world.open(bus="carrier://") as db:
            last = await db.events.append(notes(1, 4))
            async with db.relay() as relay:
                await relay.wait_for(last.position, PATIENCE)
            assert bus.numbers == [1, 2, 3, 4]

    world.run(test())


def test_subscribers_of_the_other_bus_hear_everything_once(world: SQLitePlace) -> None:
    """Handlers, too, on a composed handle with a bus in the process."""

    async def test() -> None:
        numbers = list[int]()

        def heard(event: Any) -> None:
            numbers.append(event.data.number)

        async with world.open(bus="sqlite:///:memory:") as db:
            handling = db.bus.handle(["relay.noted"], heard, group="all")
            async with db.relay() as relay:
                last = await db.events.append(notes(1, 30))
                await relay.wait_for(last.position, PATIENCE)
                await until(world, lambda: len(numbers) == 30)
            await handling.stop()
        assert numbers == list(range(1, 31))

    world.run(test())


@pytest.mark.parametrize("face", ["blocking", "loop"])
@pytest.mark.parametrize("inline", [True, False])
def test_the_bus_of_another_blocking_handle(tmp_path: Path, face: Face, inline: bool) -> None:
    """It may be of a handle that works in another way."""
    world = SQLitePlace(face, tmp_path, registry)

    async def test() -> None:
        async with world.open() as db:
            with goes.blocking.connect(":memory:", registry=registry, inline=inline) as other:
                subscription = other.bus.subscribe()
                last = await db.events.append(notes(1, 10))
                async with db.relay(other.bus) as relay:
                    await relay.wait_for(last.position, PATIENCE)
                numbers = [next(subscription).event.data.number for _ in range(10)]
                assert numbers == list(range(1, 11))
                subscription.close()

    world.run(test())


def test_the_own_bus_is_refused(world: SQLitePlace) -> None:
    """It is offered what is committed anyway: by default, given by name, and behind inline projections."""

    async def test() -> None:
        async with world.open() as db:
            own: Any = db.bus if world.face == "async" else db.bus.target
            refused: list[tuple[Any, Any]] = [(db, None), (db, own)]
            if world.face == "async":
                refused += [(db.inline(), None), (db, db.inline().bus), (db.inline(), own)]
            for handle, bus in refused:
                with pytest.raises(ConfigError, match=r"app\.db to its own bus .* every event twice"):
                    handle.relay(bus)
            with pytest.raises(ConfigError, match="not to 'nats://host'"):
                db.relay("nats://host")
            with pytest.raises(ConfigError, match="batch"):
                db.relay(FakeBus(), batch=0)
            standalone: Any = InProcessBus(db.runtime)  # without a log, so nobody offers it anything
            db.relay(standalone)

    world.run(test())
