"""What is published, in which order, in which portions."""

from __future__ import annotations

from goes_lite_conformance.harness import until

import goes_lite as goes
from goes_lite.contract.backend import Backend
from tests.conftest_kit import SQLitePlace
from tests.relay.relay_kit import PATIENCE, FakeBus, Other, note, notes, registry, stands


def test_everything_is_published_in_the_order_of_the_log(world: SQLitePlace, bus: FakeBus) -> None:
    """What was stored before and what is stored while it runs: the very events, with ids and positions."""

    async def test() -> None:
        async with world.open() as db:
            await db.events.append([note(number, str(number % 3), number // 3 + 1) for number in range(250)])
            async with db.relay(bus) as relay:
                for number in range(250, 300):
                    await db.events.append([note(number, str(number % 3), number // 3 + 1)])
                await relay.wait_for(300, PATIENCE)
                assert (await relay.stats()).lag == 0
            stored = await db.events.query().list()
            assert bus.heard == stored
            assert [(event.id, event.position) for event in bus.heard] == [
                (event.id, event.position) for event in stored
            ]
            assert await stands(db) == 300

    world.run(test())


def test_a_call_of_publish_takes_a_batch(world: SQLitePlace, bus: FakeBus) -> None:
    """Of 100 by default, else as many as `batch` says; a relay goes on behind what was published before."""

    async def test() -> None:
        async with world.open() as db:
            last = await db.events.append(notes(1, 201))
            async with db.relay(bus) as relay:
                await relay.wait_for(last.position, PATIENCE)
            assert bus.calls == 3
            last = await db.events.append(notes(202, 221))
            async with db.relay(bus, batch=10) as relay:
                await relay.wait_for(last.position, PATIENCE)
            assert bus.calls == 5
            assert bus.numbers == list(range(1, 222))

    world.run(test())


def test_filters(world: SQLitePlace, bus: FakeBus) -> None:
    """`query` and `start` say what is published; relays of other names have places of their own."""

    async def test() -> None:
        async with world.open() as db:
            await db.events.append(notes(1, 3))
            query = goes.EventQuery(["relay.other"])
            others = FakeBus()
            async with (
                db.relay(bus, name="news", start="now") as news,
                db.relay(others, name="others", query=query, start=1) as some,
            ):
                await until(world, lambda: there(db, "news", 3))
                mixed = [note(4), goes.Event(Other(5), registry=registry), note(6)]
                last = await db.events.append(mixed)
                await news.wait_for(last.position, PATIENCE)
                await some.wait_for(last.position, PATIENCE)
            assert bus.numbers == [4, 5, 6]
            assert others.numbers == [5]

    async def there(db: Backend, name: str, position: int) -> bool:
        return await stands(db, name) == position

    world.run(test())
