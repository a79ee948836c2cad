"""MongoDB: appends through goes_lite beside a raw loop of pymongo's that inserts the same documents, as durably.

python bench/mongo.py [SECONDS]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from goes_lite_conformance.servers import mongo
from goes_lite_mongo._rows import document
from goes_lite_mongo._schema import DURABLE
from pymongo import AsyncMongoClient

import goes_lite as goes

REPEATS = 3


@goes.event("bench.placed")
@dataclass(frozen=True)
class Placed:
    items: list[str]
    total: int


def events(number: int) -> list[goes.Event[Placed]]:
    return [goes.Event(Placed(["tea", "cake"], one), tags=["customer:7"]) for one in range(number)]


async def rate(step: Callable[[], Awaitable[int]], seconds: float) -> float:
    """Events in a second: the median of some repeats."""
    rates: list[float] = []
    for _ in range(REPEATS):
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            done += await step()
        rates.append(done / (time.perf_counter() - started))
    return median(rates)


async def measure(url: str, seconds: float) -> None:
    async with goes.connect(url) as db, AsyncMongoClient[dict[str, object]](url) as client:
        raw = client.raw.get_collection("events", write_concern=DURABLE)
        position = 0

        async def insert(number: int) -> int:
            nonlocal position
            rows: list[dict[str, object]] = []
            for event in events(number):
                position += 1
                rows.append(document(event.at(position)))
            await raw.insert_many(rows)
            return number

        async def append(number: int) -> int:
            await db.events.append(events(number))
            return number

        async def together() -> int:
            return sum(await asyncio.gather(*(append(1) for _ in range(64))))

        for number in (1, 100):
            ours, theirs = await rate(partial(append, number), seconds), await rate(partial(insert, number), seconds)
            print(f"append {number:>3}: {ours:8.0f} /s, raw {theirs:8.0f} /s, {ours / theirs:.2f} x")
        print(f"64 appenders: {await rate(together, seconds):8.0f} /s")
        started = time.perf_counter()
        read = len(await db.events.query(limit=20_000).list())
        print(f"query: {read / (time.perf_counter() - started):8.0f} /s")


if __name__ == "__main__":
    with mongo.server() as _server:
        asyncio.run(measure(_server.url, float(sys.argv[1]) if sys.argv[1:] else 3))
