"""Streams that vanish while programs run: an operator deletes them, or the broker kept them in memory and was restarted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goes_lite import Event
from goes_lite.errors import ConfigError
from tests.bus import nats_kit
from tests.bus.nats_kit import PATIENCE, World, note, until

pytestmark = nats_kit.needs_nats


async def delete_streams(db: Any) -> None:
    connection = db.backend.bus.connection
    for ending in ("", "-DEAD"):
        await connection.api(f"STREAM.DELETE.{connection.options.stream_name}{ending}")


def test_streams_that_are_gone_are_made_again(world: World) -> None:
    """By those who publish and listen; a group and a subscription hear all that the new stream has, wherever they began."""

    async def run() -> None:
        async with world.open("a") as a, world.open("b") as b:
            group, alone = list[int](), list[int]()

            def in_group(event: Event[Any]) -> None:
                group.append(event.data.number)

            def on_its_own(event: Event[Any]) -> None:
                alone.append(event.data.number)

            handlings = [
                b.bus.handle(["*"], in_group, group="g"),
                b.bus.handle(["*"], on_its_own),
            ]
            await b.bus.publish([note(0)])  # waits until both listen
            await until(lambda: group == alone == [0])
            async with a.relay() as relay:
                await relay.wait_for((await a.events.append([note(1), note(2)])).position, PATIENCE)
                await until(lambda: group == alone == [0, 1, 2])
                await delete_streams(a)
                await relay.wait_for((await a.events.append([note(3), note(4)])).position, PATIENCE)
                await until(lambda: group == alone == [0, 1, 2, 3, 4])
            for handling in handlings:
                await handling.stop()

    asyncio.run(run())


def test_an_event_of_the_stream_that_is_gone_does_not_stand_for_one_of_the_new_stream(world: World) -> None:
    """Although both have the same sequence, and the first one is still being handled."""

    async def run() -> None:
        heard, go_on = list[int](), asyncio.Event()

        async def handle(event: Event[Any]) -> None:
            heard.append(event.data.number)
            await go_on.wait()

        async with world.open("a") as a, world.open("b", lease=1) as b:
            handling = b.bus.handle(["*"], handle, group="g", max_pending=2)
            await b.bus.publish([note(1)])
            await until(lambda: heard == [1])
            await delete_streams(a)
            await a.bus.publish([note(2), note(3)])
            connection, consumer = a.bus.connection, f"CONSUMER.INFO.{world.prefix.upper()}.g"

            async def given() -> int:
                found = await connection.find(consumer)
                return found["delivered"]["stream_seq"] if found else 0

            while not await given():
                pass
            go_on.set()
            await until(lambda: heard == [1, 2, 3])
            while (await connection.api(consumer))["num_ack_pending"]:
                pass
            await handling.stop()

    asyncio.run(run())


def test_where_they_must_not_be_made_the_error_says_so(world: World) -> None:
    async def run() -> None:
        async with world.open("a") as a, world.open("b", create="false") as b:
            await b.bus.publish([note(1)])
            await delete_streams(a)
            with pytest.raises(ConfigError, match="has no stream"):
                await b.bus.publish([note(2)])

    asyncio.run(run())
