"""What another program has changed on a server: errors of goes_lite that name the row, and no part that looks whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from importlib.util import find_spec
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import DecodeError, StoreDamaged
from tests.backends.sqlite_kit import note, registry

ORDER = goes.AggregateRef("order", "1")
FAR = 2**62


async def fill(db: Any) -> None:
    events = [note(number, aggregate=ORDER, version=number) for number in range(1, 6)]
    await db.events.append(events)
    await db.events.append([goes.Event(note(9).data, metadata={"a": "b"}, tags=["k:v"], registry=registry)])
    await db.snapshots.save(Snapshot(ORDER, 1, datetime(2026, 1, 1, tzinfo=timezone.utc), 1, "json", "{}"))
    await db.checkpoints.save("reader", 1)
    await db.leases.acquire("reader", "me", 60)
    await db.models.put("sums", "a", '{"total":1}')


async def last(db: Any) -> goes.Event[Any]:
    events: list[goes.Event[Any]] = await db.events.query(after=5).list()
    return events[0]


@pytest.mark.skipif(find_spec("asyncpg") is None, reason="asyncpg is not installed")
def test_changed_rows_of_postgres() -> None:
    """Missing events, and values that the types of the columns allow."""
    from tests.backends.postgres_kit import needs_postgres, store_url

    needs_postgres()

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            await fill(db)

            async def change(*statements: str) -> None:
                async with db.transaction() as tx:
                    for statement in statements:
                        await tx.execute(statement)

            await change("UPDATE events SET version = 7 WHERE version = 5")
            with pytest.raises(StoreDamaged, match="without its event of version 5"):
                await db.events.load(ORDER)
            await change("DELETE FROM events WHERE version IN (3, 7)")
            with pytest.raises(StoreDamaged, match="'order', id '1'.*at version 5.*without its event of version 3"):
                await db.events.load(ORDER)
            assert [event.version for event in await db.events.load(ORDER, upto=2)] == [1, 2]
            assert await db.events.load(ORDER, after=5) == []
            with pytest.raises(StoreDamaged, match="without its event of version 5"):
                await db.events.load(ORDER, after=4)
            await change(
                "UPDATE events SET metadata = '{', tags = '5' WHERE position = 6",
                f"UPDATE events SET time = {FAR} WHERE position = 6",
                f"UPDATE aggregates SET last_time = {FAR}",
                f"UPDATE checkpoints SET time = {FAR}",
                f"UPDATE leases SET expires = {FAR}",
                f"UPDATE snapshots SET time = {FAR}",
            )
            event = await last(db)
            for field in ("metadata", "tags", "time"):
                with pytest.raises(DecodeError, match=f"^{field}: .*at position 6"):
                    getattr(event, field)
            reads: dict[str, Callable[[], Awaitable[object]]] = {
                "aggregates.last_time": lambda: db.events.aggregates().list(),
                "checkpoints.time": db.checkpoints.all,
                "leases.expires": lambda: db.leases.get("reader"),
                "snapshots.time": lambda: db.snapshots.latest(ORDER),
            }
            for place, read in reads.items():
                with pytest.raises(DecodeError, match=place):
                    await read()
            await change("DELETE FROM aggregates")
            with pytest.raises(StoreDamaged, match="its aggregate is gone"):
                await db.events.query().list()

    asyncio.run(run())


@pytest.mark.skipif(find_spec("pymongo") is None, reason="pymongo is not installed")
def test_changed_documents_of_mongo() -> None:
    """Missing events, and fields that are missing or of another type."""
    from tests.backends.mongo_kit import needs_mongo, store_url

    needs_mongo()
    from goes_lite_mongo._options import address_of
    from pymongo import MongoClient

    url = store_url()
    address = address_of(url, {})

    async def run(client: MongoClient[dict[str, Any]]) -> None:
        async with goes.connect(url, registry=registry) as db:
            await fill(db)

            def collection(name: str) -> Any:
                return client[address.database][address.prefix + name]

            collection("events").delete_one({"version": 3})
            with pytest.raises(StoreDamaged, match="'order', id '1'.*without its event of version 3"):
                await db.events.load(ORDER)
            assert [event.version for event in await db.events.load(ORDER, after=3)] == [4, 5]
            reads: dict[str, Callable[[], Awaitable[object]]] = {
                "aggregates": lambda: db.events.aggregates().list(),
                "checkpoints": db.checkpoints.all,
                "leases": lambda: db.leases.get("reader"),
                "snapshots": lambda: db.snapshots.latest(ORDER),
                "models": lambda: db.models.get("sums", "a"),
                "events": lambda: last(db),
            }
            fields = {"aggregates": "last_time", "checkpoints": "time", "leases": "expires", "snapshots": "time"}
            for value in ("x", None):
                for name, read in reads.items():
                    field = fields.get(name, "version")
                    wanted = {"_id": 6} if name == "events" else {}
                    collection(name).update_one(wanted, {"$set": {field: value}})
                    with pytest.raises(DecodeError, match=f"^{name}"):
                        await read()
            for name, read in reads.items():
                collection(name).update_one(
                    {"_id": 6} if name == "events" else {}, {"$unset": {fields.get(name, "version"): ""}}
                )
                with pytest.raises(DecodeError, match=f"^{name}: the document .* was changed"):
                    await read()
            collection("events").update_one({"_id": 6}, {"$set": {"version": 0, "time": FAR, "metadata": [["a", 5]]}})
            event = await last(db)
            with pytest.raises(DecodeError, match="^time: .*at position 6"):
                event.time

    client: MongoClient[dict[str, Any]] = MongoClient(address.url)
    with client:
        asyncio.run(run(client))
