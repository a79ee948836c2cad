"""What the bus over NATS promises when members, relays and brokers are killed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.servers import nats as servers

import goes_lite as goes
from goes_lite.errors import BusError
from tests.bus import nats_kit
from tests.bus.nats_kit import World, note, registry

pytestmark = nats_kit.needs_nats


def test_a_member_of_a_group_is_killed(world: World) -> None:
    """Two processes share a group: each event goes to one of them, and those of the killed one to the other (G9)."""
    events = 120

    async def main() -> None:
        members = [world.spawn("member", f"member{number}", hold=0.01, lease=1, max_pending=8) for number in range(2)]
        for member in members:
            await asyncio.to_thread(member.expect, "ready")
        async with world.open("publisher") as db:
            await db.bus.publish([note(number) for number in range(events)])
        heard: list[list[int]] = [[], []]
        while len(heard[0]) < 20:
            heard[0].append(await asyncio.to_thread(members[0].hear))
        members[0].kill()
        heard[0] += await asyncio.to_thread(members[0].rest)
        while len({*heard[0], *heard[1]}) < events:
            heard[1].append(await asyncio.to_thread(members[1].hear))
        members[1].kill()
        heard[1] += await asyncio.to_thread(members[1].rest)
        assert heard[1]
        twice = [number for number, count in Counter(heard[0] + heard[1]).items() if count > 1]
        assert len(twice) <= 1  # at most the one that the killed member had handled and not yet settled
        assert {*heard[0], *heard[1]} == set(range(events))

    asyncio.run(main())


@pytest.mark.slow
def test_a_broker_is_killed_under_a_relay(tmp_path: Path, rounds: int) -> None:
    """Events stored meanwhile arrive, all of them, each aggregate in order. Storing never waits for the broker."""
    kills = 6 * rounds

    async def main(server: servers.NatsServer) -> None:
        bus = f"{server.url}?prefix=shop&lease=2&timeout=5"
        heard: list[tuple[str, int]] = []
        seen: set[Any] = set()
        stored: list[goes.Event[Any]] = []
        slowest, over = 0.0, False

        async def handle(event: goes.Event[Any]) -> None:
            if event.id not in seen:  # at least once: recognized by the id
                seen.add(event.id)
                assert event.aggregate is not None
                heard.append((event.aggregate.id, event.version))

        async with AsyncExitStack() as stack:
            db = await stack.enter_async_context(goes.connect(str(tmp_path / "a.db"), bus=bus, registry=registry))
            other = await stack.enter_async_context(goes.connect(str(tmp_path / "b.db"), bus=bus, registry=registry))
            other.bus.handle(["thing.*"], handle, group="g", max_pending=1)
            relay = await stack.enter_async_context(db.relay())

            async def store() -> None:
                nonlocal slowest
                versions = dict.fromkeys("abcdefgh", 0)
                while not over:
                    batch: list[goes.Event[Any]] = []
                    for name in versions:
                        versions[name] += 1
                        batch.append(note(len(stored) + len(batch), name, versions[name]))
                    begun = time.monotonic()
                    await db.events.append(batch)
                    slowest = max(slowest, time.monotonic() - begun)
                    stored.extend(batch)
                    await asyncio.sleep(0.01)

            storing = asyncio.create_task(store())
            for _ in range(kills):
                before = len(heard)
                await nats_kit.until(lambda before=before: len(heard) > before + 8)  # type: ignore[misc]
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            over = True
            await storing
            await nats_kit.until(lambda: len(heard) >= len(stored), 60)
            assert relay.stats is not None
        assert {event.id for event in stored} == seen
        for name in "abcdefgh":
            versions = [version for aggregate, version in heard if aggregate == name]
            assert versions == list(range(1, len(versions) + 1))
        assert slowest < 5

    with servers.server() as server:
        asyncio.run(main(server))


def test_storing_works_without_a_broker(tmp_path: Path) -> None:
    """Opening and storing work without it, publishing raises; once it is there, the relay catches up."""

    async def main(server: servers.NatsServer) -> None:
        await asyncio.to_thread(server.stop)
        bus = f"{server.url}?prefix=shop&timeout=0.5&patience=0.1"
        async with goes.connect(str(tmp_path / "a.db"), bus=bus, registry=registry) as db:
            await db.events.append([note(1), note(2)])
            with pytest.raises(BusError, match="cannot be reached"):
                await db.bus.publish([note(3)])
            async with db.relay():
                await db.events.append([note(4)])
                await asyncio.to_thread(server.start)
                heard: list[int] = []
                subscription = db.bus.subscribe(start="beginning")
                async with asyncio.timeout(20):
                    while len(heard) < 3:
                        delivery = await anext(subscription)
                        heard.append(delivery.event.data.number)
                        await delivery.ack()
                assert heard == [1, 2, 4]

    with servers.server() as server:
        asyncio.run(main(server))


def test_subscriptions_resume_after_a_restart_of_the_broker(tmp_path: Path) -> None:
    """With and without a group: nothing is missed."""

    async def main(server: servers.NatsServer) -> None:
        bus = f"{server.url}?prefix=shop&lease=2"
        async with goes.connect(str(tmp_path / "a.db"), bus=bus, registry=registry) as db:
            subscriptions = [db.bus.subscribe(), db.bus.subscribe(group="g")]
            for number in range(5):
                await db.bus.publish([note(number)])
                for subscription in subscriptions:
                    got = -1
                    while got < number:  # an acknowledgement may have been lost with the broker, an event never is
                        async with asyncio.timeout(20):
                            delivery = await anext(subscription)
                        got = delivery.event.data.number
                        await delivery.ack()
                    assert got == number
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)

    with servers.server() as server:
        asyncio.run(main(server))
