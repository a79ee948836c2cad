"""The speed of the MongoDB backend: `python bench/mongo.py [--seconds 2] [--repeat 5] [--url URL]`.

Each row compares goes_lite with pymongo alone, alternating, on one server that is started for it: the same documents with
the same indexes, at equal durability (`w: majority`, `j: true`), but without transactions and checks; pymongo reads dicts,
goes_lite events. Figures are per second, or milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

# this file has the name of a module that it imports, and Python searches its folder first
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from goes_lite_conformance.servers import mongo  # noqa: E402
from goes_lite_mongo._rows import document  # noqa: E402
from goes_lite_mongo._schema import _INDEXES, DURABLE  # noqa: E402
from pymongo import AsyncMongoClient, IndexModel  # noqa: E402

import goes_lite as goes  # noqa: E402

SIZE = 100
"""Number of events in a batch, and in an aggregate that is loaded."""
READ = 20_000
"""Number of events read by one query."""
TOGETHER = 64


@goes.event("account.changed")
@dataclass(frozen=True, slots=True)
class Changed:
    amount: int
    note: str


class Bench:
    def __init__(self, db: goes.Backend, other: goes.Backend, client: Any) -> None:
        self.db = db
        self.other = other
        self.raw = client.raw.get_collection("events", write_concern=DURABLE)
        self.position = 0
        self.account = 0

    def events(self, number: int) -> list[goes.Event[Changed]]:
        """Return the events of a new aggregate."""
        self.account += 1
        ref = ("account", str(self.account))
        return [goes.Event(Changed(n, "x" * 50), aggregate=ref, version=n + 1) for n in range(number)]

    async def append(self, number: int) -> int:
        await self.db.events.append(self.events(number))
        return number

    async def insert(self, number: int) -> int:
        rows: list[dict[str, Any]] = []
        for event in self.events(number):
            self.position += 1
            rows.append(document(event.at(self.position)))
        await self.raw.insert_many(rows)
        return number

    async def append_together(self) -> int:
        return sum(await asyncio.gather(*(self.append(1) for _ in range(TOGETHER))))

    async def load(self) -> int:
        return len(await self.db.events.load(goes.AggregateRef("account", "0")))

    async def find(self) -> int:
        cursor = self.raw.find({"aggregate.name": "account", "aggregate.id": "0"}, sort=[("version", 1)])
        return len(await cursor.to_list())

    async def query(self) -> int:
        return len(await self.db.events.query(limit=READ).list())

    async def find_all(self) -> int:
        return len(await self.raw.find({}, sort=[("_id", 1)], limit=READ).to_list())

    async def follow(self, times: int) -> list[float]:
        """Return the milliseconds from the start of an append until a follower on another handle has the event."""
        took: list[float] = []
        following = self.other.events.follow(after=await self.db.events.head())
        for _ in range(times):
            coming = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0.02)  # until the follower has found nothing and waits
            started = time.perf_counter()
            await self.db.events.append(self.events(1))
            await coming
            took.append((time.perf_counter() - started) * 1000)
        return took

    async def prepare(self) -> None:
        indexes = [
            IndexModel([*known["key"].items()], name=name, **{key: known[key] for key in known if key != "key"})
            for name, known in _INDEXES.items()
        ]
        await self.raw.create_indexes(indexes)
        self.account = -1
        first = self.events(SIZE)
        await self.db.events.append(first)
        await self.raw.insert_many([document(event.at(number)) for number, event in enumerate(first, 1)])
        self.position = SIZE
        for _ in range(READ // 1000):
            await self.append(1000)
            await self.insert(1000)


async def rate(step: Callable[[], Awaitable[int]], seconds: float) -> float:
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        done += await step()
    return done / (time.perf_counter() - started)


async def measure(url: str, seconds: float, repeat: int) -> None:
    async with goes.connect(url) as db, goes.connect(url) as other, AsyncMongoClient[dict[str, Any]](url) as client:
        bench = Bench(db, other, client)
        await bench.prepare()
        rows: dict[str, tuple[Callable[[], Awaitable[int]], Callable[[], Awaitable[int]]]] = {
            "append, one after another": (partial(bench.append, 1), partial(bench.insert, 1)),
            f"append, batches of {SIZE}": (partial(bench.append, SIZE), partial(bench.insert, SIZE)),
            f"append, {TOGETHER} tasks (raw: one)": (bench.append_together, partial(bench.insert, 1)),
            f"load an aggregate of {SIZE}": (bench.load, bench.find),
            f"query {READ:,} in a row": (bench.query, bench.find_all),
        }
        print("| what | pymongo | goes_lite | ratio |\n|---|---|---|---|")
        for what, (ours, theirs) in rows.items():
            pairs = [(await rate(theirs, seconds), await rate(ours, seconds)) for _ in range(repeat)]
            raw, own = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
            ratios = sorted(pair[1] / pair[0] for pair in pairs)
            spread = f"{median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
            print(f"| {what} | {raw:,.0f} /s | {own:,.0f} /s | {spread} |", flush=True)
        took = await bench.follow(50 * repeat)
        print(f"| from an append to a follower of another handle | – | {median(took):.1f} ms | – |")
        print(f"\nload {os.getloadavg()[0]:.1f}; {db!r}", file=sys.stderr)


def main() -> None:
    known = argparse.ArgumentParser(description="The speed of the MongoDB backend, compared with pymongo alone.")
    known.add_argument("--seconds", type=float, default=2, help="seconds per figure (default: %(default)s)")
    known.add_argument(
        "--repeat", type=int, default=5, help="repeats, of which the median is shown (default: %(default)s)"
    )
    known.add_argument("--url", help="the URL of a server; without it one is started")
    arguments = known.parse_args()
    with ExitStack() as stack:
        url = arguments.url or stack.enter_context(mongo.server("--journalCommitInterval", "2")).url
        asyncio.run(measure(url, arguments.seconds, arguments.repeat))


if __name__ == "__main__":
    main()
