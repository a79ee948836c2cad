"""Accepted commands outlive the queue that they were handed over to: the store keeps them until their outcome is known."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.servers import nats as servers

import goes_lite as goes
from goes_lite.errors import CommandFailed, CommandRejected
from tests.bus import nats_kit
from tests.bus.nats_kit import PATIENCE, Add, Greet, World, until

pytestmark = nats_kit.needs_nats


async def lose(db: Any, *endings: str) -> None:
    """Delete streams of commands, as an operator would."""
    connection = db.backend.bus.connection
    for ending in endings:
        await connection.find(f"STREAM.DELETE.{connection.options.stream_name}-{ending}")


def hello(command: Greet) -> str:
    return f"hello {command.whom}"


def test_who_waits_for_the_outcome_sends_what_is_lost_once_more(world: World) -> None:
    """No worker runs, only `outcome` waits. The service makes the queue again that it listens to."""

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, hello)
            id = await one.commands.dispatch_async(Greet("bob"))
            await lose(one, "COMMANDS", "OUTCOMES")
            async with two.commands.service():
                await lose(one, "COMMANDS", "OUTCOMES")
                assert await one.commands.outcome(id, timeout=PATIENCE) == "hello bob"

    asyncio.run(main())


def test_what_is_accepted_again_is_sent_again_if_it_is_lost(world: World) -> None:
    """The id of a command is never accepted for nothing, on the blocking face as well."""

    async def queued(*, lost: bool) -> int:
        async with world.open("operator") as db:
            if lost:
                await lose(db, "COMMANDS")
            found = await db.backend.bus.connection.find(f"STREAM.INFO.{world.prefix.upper()}-COMMANDS")
            return int(found["state"]["messages"]) if found else 0

    with world.blocking("one") as one, world.blocking("two") as two:
        id = one.commands.dispatch_async(Greet("bob"))
        assert asyncio.run(queued(lost=False)) == 1
        assert asyncio.run(queued(lost=True)) == 0
        for _ in range(2):
            assert one.commands.dispatch_async(Greet("bob"), id=id) == id
            assert asyncio.run(queued(lost=False)) == 1
        two.commands.handle(Greet, hello)
        with two.commands.service():
            assert one.commands.outcome(id, timeout=PATIENCE) == "hello bob"
        assert one.commands.dispatch_async(Greet("bob"), id=id) == id
        assert one.commands.accepted() == []


def test_a_worker_records_outcomes_and_sends_what_is_lost(world: World) -> None:
    """One is found lost, so all others are looked at as well; the store has nothing left of them but receipts."""
    heard: list[str] = []

    async def greet(command: Greet) -> str:
        heard.append(command.whom)
        if command.whom == "0":
            raise CommandRejected("not_him", "no")
        return hello(command)

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            ids = [await one.commands.dispatch_async(Greet(str(number))) for number in range(20)]
            await lose(one, "COMMANDS")
            async with one.commands.worker(), two.commands.service():
                end = asyncio.get_running_loop().time() + PATIENCE
                while await one.commands.accepted():
                    assert asyncio.get_running_loop().time() < end
            assert sorted(heard, key=int) == [str(number) for number in range(20)]
            assert [failed.id for failed in await one.commands.accepted(failed=True)] == [ids[0]]
            for number, id in enumerate(ids[1:], 1):
                assert await one.commands.outcome(id) == f"hello {number}"

    asyncio.run(main())


def test_a_command_that_failed_elsewhere_is_redriven_there(world: World) -> None:
    """Neither the broker, which knows its id, nor the outcome of the first time stands in its way."""
    calls: list[str] = []

    async def greet(command: Greet) -> str:
        calls.append(command.whom)
        if len(calls) == 1:
            raise CommandRejected("not_yet", "not yet")
        return hello(command)

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service(), one.commands.worker():
                id = await one.commands.dispatch_async(Greet("bob"))
                with pytest.raises(CommandRejected):
                    await one.commands.outcome(id, timeout=PATIENCE)
                assert await one.commands.redrive(id)
                assert await one.commands.outcome(id, timeout=PATIENCE) == "hello bob"

    asyncio.run(main())


def test_an_outcome_that_is_too_large_for_a_message_says_so(world: World) -> None:
    """The command was handled, once; nobody tries again, whether a caller waits for it or it comes from the queue."""
    calls: list[str] = []

    async def greet(command: Greet) -> str:
        calls.append(command.whom)
        return "x" * 2_000_000

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service():
                with pytest.raises(CommandFailed, match="handled, but its outcome is too large"):
                    await one.commands.dispatch(Greet("bob"), timeout=PATIENCE)
                id = await one.commands.dispatch_async(Greet("eve"))
                for _ in range(2):
                    with pytest.raises(CommandFailed, match="handled, but its outcome is too large"):
                        await one.commands.outcome(id, timeout=PATIENCE)
                assert calls == ["bob", "eve"]
            assert not (await one.bus.connection.api(f"STREAM.INFO.{world.prefix.upper()}-COMMANDS"))["state"][
                "messages"
            ]

    asyncio.run(main())


def test_a_command_that_is_too_large_for_the_queue_is_accepted_and_has_failed(world: World) -> None:
    async def main() -> None:
        async with world.open("one") as one:
            id = await one.commands.dispatch_async(Greet("x" * 2_000_000))
            with pytest.raises(CommandFailed, match="larger than the 1048576 bytes") as caught:
                await one.commands.outcome(id, timeout=PATIENCE)
            assert len(str(caught.value)) < 2_100
            assert [failed.id for failed in await one.commands.accepted(failed=True)] == [id]

    asyncio.run(main())


@pytest.mark.slow
def test_every_accepted_command_is_done_once_whatever_is_lost_or_killed(tmp_path: Path, rounds: int) -> None:
    """200 of them: the broker loses its streams at random moments, and three services are killed, each of them."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    print(f"seed {seed}")
    commands = 200 * rounds

    async def main(server: servers.NatsServer) -> None:
        world = World(server.url, tmp_path)
        options = {"storage": "memory", "lease": 1}
        services = [world.spawn("service", "shared", hold=0.02, **options) for _ in range(3)]
        ids: list[Any] = []
        try:
            async with world.open("mine", **options) as db, db.commands.worker():

                async def accept() -> None:
                    for number in range(commands):
                        ids.append(await db.commands.dispatch_async(Add(f"c{number}", 1)))
                        await asyncio.sleep(chance.random() * 0.1)

                async def harm() -> None:
                    whom = [0, 1, 2] * rounds
                    chance.shuffle(whom)
                    for number in whom:
                        before = len(ids)
                        await until(lambda before=before: len(ids) > before + 15 or len(ids) == commands)  # type: ignore[misc]
                        services[number].kill()
                        if chance.random() < 0.5:
                            await asyncio.to_thread(server.kill)
                            await asyncio.sleep(chance.random())
                            await asyncio.to_thread(server.start)
                        else:
                            await lose(db, *chance.choice([["COMMANDS"], ["OUTCOMES"], ["COMMANDS", "OUTCOMES"]]))
                        services[number] = world.spawn("service", "shared", hold=0.02, **options)

                await asyncio.gather(accept(), harm())
                async with asyncio.timeout(120):
                    assert [await db.commands.outcome(id) for id in ids] == [1] * commands
        finally:
            world.end()
        async with goes.connect(world.store("shared"), registry=nats_kit.registry) as shared:
            for number in range(commands):
                record = await shared.models.get("counters", f"c{number}")
                assert record is not None
                assert json.loads(record.data) == {"count": 1}

    with servers.server() as server:
        asyncio.run(main(server))
