"""MongoDB: handles and processes that compete for the log write in turns, and few of their tries are in vain."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from bson import ObjectId
from goes_lite_conformance.servers import mongo
from pymongo import MongoClient

import goes_lite as goes
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

registry = goes.Registry()
registry.register("line.noted", int)

WRITERS, EACH = 5, 40


def noted(number: int) -> goes.Event[int]:
    return goes.Event(number, name="line.noted", registry=registry)


def refused(server: mongo.MongoServer) -> int:
    """How often a transaction has asked for the counter in vain."""
    return int(server.command("serverStatus")["metrics"]["commands"]["findAndModify"]["failed"])


def waiting(url: str) -> list[Any] | None:
    client: MongoClient[dict[str, Any]] = MongoClient(url.partition("&prefix")[0])
    with client:
        row = client.goes_lite[f"{url.rpartition('=')[2]}store"].find_one({"_id": "line"})
        return None if row is None else list(row["waiting"])


def test_nobody_starves_and_few_tries_are_in_vain() -> None:
    """When the first of those that write without a pause is done, each of the others has had a turn."""

    async def run(server: mongo.MongoServer, url: str) -> None:
        written = [0] * WRITERS
        behind: list[int] = []

        async def write(number: int, db: goes.Backend) -> None:
            for one in range(EACH):
                if number % 3:
                    await db.events.append([noted(one)])
                else:
                    async with db.transaction() as tx:
                        await tx.events.append([noted(one)])
                written[number] += 1
            behind.append(min(written))

        async with AsyncExitStack() as stack:
            handles = [await stack.enter_async_context(goes.connect(url, registry=registry)) for _ in range(WRITERS)]
            before = refused(server)
            await asyncio.gather(*(write(number, db) for number, db in enumerate(handles)))
            assert refused(server) - before < WRITERS * EACH
            assert behind[0] > 0
            assert await handles[0].events.head() == WRITERS * EACH
        assert await asyncio.to_thread(waiting, url) == []

    with mongo.server(fsync=False) as server:
        asyncio.run(run(server, store_url(server.url)))


def test_one_that_writes_alone_knows_no_line() -> None:
    url = store_url()

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:
            for number in range(3):
                await db.events.append([noted(number)])
                await other.events.append([noted(number)])

    asyncio.run(run())
    assert waiting(url) is None


def test_the_dead_are_taken_out_of_the_line() -> None:
    """Programs that were killed while they waited, or had their turn, keep the others for a moment only."""
    url = store_url()
    client: MongoClient[dict[str, Any]] = MongoClient(url.partition("&prefix")[0])

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:
            dead = [ObjectId() for _ in range(2)]
            store = client.goes_lite[f"{url.rpartition('=')[2]}store"]
            await asyncio.to_thread(store.insert_one, {"_id": "line", "waiting": dead})
            async with db.transaction() as tx:
                competing = asyncio.ensure_future(other.events.append([noted(1)]))
                async with asyncio.timeout(60):
                    while await asyncio.to_thread(store.count_documents, {"waiting": {"$size": 3}}) == 0:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await tx.events.append([noted(0)])
            assert (await competing).position == 2

    with client:
        asyncio.run(run())
    assert waiting(url) == []
