"""Streams that vanish while programs run: what is left of the old one must not be mistaken for the new one.

See test_operator_faults_nats.py for what a program sees of it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from goes_lite import Event
from tests.bus import nats_kit
from tests.bus.nats_kit import World, note, until

pytestmark = nats_kit.needs_nats


async def delete_streams(db: Any) -> None:
    connection = db.backend.bus.connection
    for ending in ("", "-DEAD"):
        await connection.api(f"STREAM.DELETE.{connection.options.stream_name}{ending}")


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
