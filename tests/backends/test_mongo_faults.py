"""MongoDB where things go wrong: servers that are killed, step down, are none of a replica set, or hold something else."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from typing import Any

import pytest

if importlib.util.find_spec("pymongo") is None:
    pytest.skip("pymongo is not installed", allow_module_level=True)

from goes_lite_conformance.servers import ServerMissing, mongo
from pymongo import MongoClient

import goes_lite as goes
from goes_lite.errors import ConfigError, StoreDamaged, StoreUnavailable

try:
    mongo.program()
except ServerMissing as _missing:
    if os.environ.get("CI"):
        raise
    pytest.skip(str(_missing), allow_module_level=True)

registry = goes.Registry()
registry.register("fault.noted", str)


def noted(text: str) -> goes.Event[str]:
    return goes.Event(text, name="fault.noted", registry=registry)


def test_a_standalone_server_is_refused_with_the_way_out() -> None:
    async def connect(url: str) -> None:
        with pytest.raises(StoreUnavailable, match="standalone server.*--replSet rs0.*rs.initiate"):
            await goes.connect(url, connect_timeout=5)

    with mongo.server(fsync=False, replica_set=None) as server:
        asyncio.run(connect(server.url))


def test_an_index_of_another_definition_is_refused() -> None:
    """It has the name that it should have, and would let in an event twice."""
    with mongo.server("--journalCommitInterval", "2", fsync=False) as server:
        client: MongoClient[dict[str, Any]] = MongoClient(server.url)
        with client:
            client.goes_lite.events.create_index([("id", 1)], name="events_by_id")

        async def connect() -> None:
            with pytest.raises(StoreDamaged, match="'events_by_id'"):
                await goes.connect(server.url)

        asyncio.run(connect())


def test_no_error_shows_the_password() -> None:
    async def connect() -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await goes.connect("mongodb://me:secret@127.0.0.1:1/", connect_timeout=0.2)
        assert "secret" not in f"{caught.value} {caught.value!r} {caught.value.location}"
        with pytest.raises(ConfigError) as wrong:
            await goes.connect("mongodb://me:secret@127.0.0.1:1/?no_such=1&w=x#")
        assert "secret" not in str(wrong.value)

    asyncio.run(connect())


@pytest.mark.parametrize("fault", ["kill", "step down"])
def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(fault: str, rounds: int) -> None:
    """Writers and a follower go on over a server that is killed, or steps down, again and again."""

    async def go_on(server: mongo.MongoServer) -> None:
        acknowledged: dict[str, int] = {}
        followed: list[goes.Event[Any]] = []
        over = asyncio.Event()

        async def write(db: goes.Backend, writer: int) -> None:
            number = 0
            while not over.is_set():
                text = f"{writer}-{number}"
                acknowledged[text] = (await db.events.append([noted(text)])).position
                number += 1

        async def follow(db: goes.Backend) -> None:
            async for event in db.events.follow(after=0):
                followed.append(event)
                if event.data == "end":
                    return

        async with (
            goes.connect(server.url, registry=registry, retry_timeout=60) as db,
            goes.connect(server.url, registry=registry, retry_timeout=60) as other,
        ):
            follower = asyncio.create_task(follow(other))
            writers = [asyncio.create_task(write(db, writer)) for writer in range(8)]
            for _ in range(3 * rounds):
                before = len(acknowledged)
                while len(acknowledged) < before + 40:  # noqa: ASYNC110 - appends of others are what counts
                    await asyncio.sleep(0.01)
                if fault == "kill":
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                else:
                    await asyncio.to_thread(server.step_down)
            over.set()
            await asyncio.gather(*writers)
            await db.events.append([noted("end")])
            async with asyncio.timeout(60):
                await follower
            stored = await db.events.query().list()
        texts = [event.data for event in stored]
        assert len(texts) == len(set(texts))
        at = {event.data: event.position for event in stored}
        assert {text: at.get(text) for text in acknowledged} == acknowledged
        assert [event.position for event in followed] == [event.position for event in stored]

    with mongo.server() as server:
        asyncio.run(go_on(server))
