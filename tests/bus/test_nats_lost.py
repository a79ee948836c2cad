"""Connections that break at any moment while the broker lives: nothing is lost, and order is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from goes_lite_conformance.servers import free_port

import goes_lite as goes
from tests.bus import nats_kit
from tests.bus.nats_kit import World, note, registry

pytestmark = nats_kit.needs_nats
NAMES = "abcdefgh"


class Wire:
    """A proxy between a client and the broker that can be cut."""

    def __init__(self, server: str) -> None:
        self._to = urlsplit(server)
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cuts = 0
        self.loses = False
        """Whether what the broker sends is lost on its way."""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._writers.add(writer)
        try:
            other_reader, other_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
            ends.add(other_writer)
            self._writers.add(other_writer)
            with suppress(ConnectionError):
                await asyncio.gather(_pump(reader, other_writer), self._return(other_reader, writer))
        finally:
            for end in ends:
                end.close()
                self._writers.discard(end)

    async def _return(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            if not self.loses:
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Break the connection at once, with whatever is on its way."""
        self.cuts += bool(self._writers)
        for writer in self._writers:
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def wired(world: World) -> AsyncGenerator[Wire]:
    wire = Wire(world.server)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        await server.wait_closed()
        await nats_kit.until(lambda: not wire._writers)


def through(world: World, wire: Wire, name: str, **options: object) -> Any:
    said = "&".join(f"{key}={value}" for key, value in {"prefix": world.prefix, **options}.items())
    return goes.connect(world.store(name), bus=f"nats://127.0.0.1:{wire.port}?{said}", registry=registry)


def story(rounds: int) -> list[list[goes.Event[Any]]]:
    """Return batches with the next event of each aggregate, numbered consecutively."""
    return [
        [note(turn * len(NAMES) + index, name, turn + 1) for index, name in enumerate(NAMES)]
        for turn in range(150 * rounds)
    ]


def in_order(heard: list[goes.Event[Any]]) -> None:
    """Assert that each aggregate is in order, apart from redeliveries."""
    for name in NAMES:
        versions = [event.version for event in heard if event.aggregate is not None and event.aggregate.id == name]
        once = list(dict.fromkeys(versions))
        assert once == sorted(once), f"{name}: {once}"


def test_a_subscription_without_a_group_misses_nothing(world: World, rounds: int) -> None:
    """And receives nothing twice, however often its connection breaks."""

    async def main() -> None:
        batches = story(rounds)
        async with wired(world) as wire, world.open("publisher") as publisher, through(world, wire, "app") as db:
            subscription = db.bus.subscribe(capacity=64)
            await db.bus.publish([note(-1)])
            heard: list[int] = []

            async def listen() -> None:
                while len(heard) < 1 + sum(map(len, batches)):
                    delivery = await anext(subscription)
                    heard.append(delivery.event.data.number)
                    await delivery.ack()

            listening = asyncio.create_task(listen())
            for number, batch in enumerate(batches):
                await publisher.bus.publish(batch)
                if number % 10 == 5:
                    await nats_kit.until(
                        lambda: db.bus.connection.connected
                    )  # the driver does not survive a cut while it reconnects
                    wire.cut()
            await asyncio.wait_for(listening, 60)
            assert heard == [-1, *(event.data.number for batch in batches for event in batch)]
            assert wire.cuts > 5

    asyncio.run(main())


@pytest.mark.parametrize("ordered_by", [None, "aggregate"])
def test_a_group_misses_nothing(world: World, rounds: int, ordered_by: Any) -> None:
    """At least once; and in order, if the group is ordered."""

    async def main() -> None:
        batches = story(rounds)
        async with (
            wired(world) as wire,
            world.open("publisher") as publisher,
            through(world, wire, "app", lease=1) as db,
        ):
            heard: list[goes.Event[Any]] = []
            cut = 0

            async def handle(event: goes.Event[Any]) -> None:
                nonlocal cut
                heard.append(event)
                if len(heard) % 100 == 50 and cut < 12:
                    cut += 1
                    wire.cut()

            db.bus.handle(["thing.*"], handle, group="g", start="beginning", ordered_by=ordered_by)
            for batch in batches:
                await publisher.bus.publish(batch)
            expected = {event.id for batch in batches for event in batch}
            await nats_kit.until(lambda: {event.id for event in heard} == expected, 60)
            if ordered_by:
                in_order(heard)
            assert wire.cuts > 5

    asyncio.run(main())


def test_a_group_of_one_keeps_order_when_an_event_is_lost_on_its_way(world: World) -> None:
    """The broker has sent it, and gives it to nobody for a while; those after it must wait for that (G9)."""

    async def main() -> None:
        async with (
            wired(world) as wire,
            world.open("publisher") as publisher,
            through(world, wire, "app", lease=1) as db,
        ):
            heard: list[int] = []
            consumer = f"CONSUMER.INFO.{world.prefix.upper()}.g"

            async def handle(event: goes.Event[Any]) -> None:
                heard.append(event.version)
                wire.loses = event.version in (3, 4)

            async def lose() -> None:
                await nats_kit.until(lambda: wire.loses)
                sent = 0
                while sent <= heard[-1]:  # until the broker has sent the next one, too
                    sent = (await publisher.bus.connection.api(consumer))["delivered"]["stream_seq"]
                wire.cut()
                wire.loses = False

            db.bus.handle(["thing.*"], handle, group="g", start="beginning", max_pending=1)
            await publisher.bus.publish([note(number, "a", number) for number in range(1, 11)])
            for _ in range(2):
                await lose()
            await nats_kit.until(lambda: set(heard) == set(range(1, 11)))
            assert list(dict.fromkeys(heard)) == list(range(1, 11)), heard

    asyncio.run(main())


def test_a_publisher_keeps_each_aggregate_in_order(world: World, rounds: int) -> None:
    """All of it is in the stream, once, whatever was lost on the way there or back."""

    async def main() -> None:
        batches = story(rounds)
        async with wired(world) as wire, world.open("reader") as reader, through(world, wire, "app") as db:

            async def cut() -> None:
                for _ in range(8):
                    await asyncio.sleep(0.1)
                    await nats_kit.until(lambda: db.bus.connection.connected)
                    wire.cut()

            cutting = asyncio.create_task(cut())
            for batch in batches:
                await db.bus.publish(batch)
            cutting.cancel()
            subscription = reader.bus.subscribe(start="beginning")
            heard: list[goes.Event[Any]] = []
            async with asyncio.timeout(30):
                while len(heard) < sum(map(len, batches)):
                    delivery = await anext(subscription)
                    heard.append(delivery.event)
                    await delivery.ack()
            assert {event.id for event in heard} == {event.id for batch in batches for event in batch}
            in_order(heard)
            assert wire.cuts > 3

    asyncio.run(main())


def test_commands_get_replies_over_a_connection_that_breaks(world: World) -> None:
    """Each once: a repeated request has been handled already, or has not."""

    async def main() -> None:
        async with wired(world) as wire, world.open("service") as service, through(world, wire, "app") as db:
            done: list[str] = []

            async def greet(command: nats_kit.Greet) -> str:
                await asyncio.sleep(0.002)
                done.append(command.whom)
                return f"hello {command.whom}"

            service.commands.handle(nats_kit.Greet, greet)
            async with service.commands.service():
                for number in range(12):
                    asking = asyncio.create_task(db.commands.dispatch(nats_kit.Greet(str(number)), timeout=30))
                    await asyncio.sleep(0.001 * (number % 4))
                    if number % 3 == 0:
                        wire.cut()
                    assert await asking == f"hello {number}"
            assert done == [str(number) for number in range(12)]

    asyncio.run(main())


def test_closing_needs_no_broker(tmp_path: Path) -> None:
    """Closing does not wait for calls that wait for the broker."""

    async def main() -> None:
        bus = f"nats://127.0.0.1:{free_port()}?patience=0"
        async with goes.connect(str(tmp_path / "a.db"), bus=bus, registry=registry) as db:
            subscription = db.bus.subscribe(group="g")
            waiting = asyncio.ensure_future(anext(subscription, None))
            publishing = asyncio.create_task(db.bus.publish([note(1)]))
            await asyncio.sleep(0.1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 30
        assert await waiting is None
        with pytest.raises(goes.errors.BusError):
            await publishing

    asyncio.run(main())
