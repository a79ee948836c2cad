"""The speed of the NATS bus: `python bench/nats.py [ROW …] [--events N] [--repeat 5] [--sync always] [--json FILE]`.

Each row compares goes_lite with nats-py alone, alternating, on one server that is started for it: the same payloads with
an id for de-duplication, equally many in flight, acknowledged equally often; nats-py reads JSON into dicts, goes_lite into
events. A command's receipt is a row in SQLite on both sides, looked up before the command is handled and committed before
the reply, in a thread, so that the event loop keeps running.
Figures are per second, or milliseconds; the ratio is the share of the raw speed (above 1: goes_lite is faster).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

# this file has the name of the driver that it imports, and Python searches its folder first
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import nats  # noqa: E402
from goes_lite_conformance.servers import nats as servers  # noqa: E402
from goes_lite_nats._envelope import encode  # noqa: E402

import goes_lite as goes  # noqa: E402

raw_connect: Any = vars(nats)["connect"]  # its types are incomplete
registry = goes.Registry()


@registry.event("account.changed")
@dataclass(frozen=True, slots=True)
class Changed:
    amount: int
    note: str


@registry.commands.event("account.change")
@dataclass(frozen=True, slots=True)
class Change:
    account: str
    amount: int


def events(number: int) -> list[goes.Event[Changed]]:
    return [
        goes.Event(
            Changed(n, "x" * 100), aggregate=("account", str(n % 1000)), version=n // 1000 + 1, registry=registry
        )
        for n in range(number)
    ]


class Side(NamedTuple):
    """The server, prefix and folder of one measurement."""

    url: str
    prefix: str
    folder: Path

    @property
    def bus(self) -> str:
        return f"{self.url}?prefix={self.prefix}"


async def raw_stream(side: Side, stack: AsyncExitStack) -> Any:
    client: Any = await raw_connect(side.url)
    stack.push_async_callback(client.close)
    js: Any = client.jetstream()
    await js.add_stream(name=side.prefix.upper(), subjects=[f"{side.prefix}.events.>"])
    return js


def payloads(side: Side, number: int) -> list[tuple[str, bytes, dict[str, str]]]:
    return [
        (f"{side.prefix}.events.0.account.changed", encode(event), {"Nats-Msg-Id": str(event.id)})
        for event in events(number)
    ]


# --- rows -------------------------------------------------------------------------------------------------------------


async def publish_raw(side: Side, number: int, batch: int) -> float:
    async with AsyncExitStack() as stack:
        js = await raw_stream(side, stack)
        messages = payloads(side, number)
        begun = time.perf_counter()
        for start in range(0, number, batch):
            acks: list[Any] = []
            for subject, body, headers in messages[start : start + batch]:
                acks.append(await js.publish_async(subject, body, headers=headers))
            await asyncio.gather(*acks)
        return number / (time.perf_counter() - begun)


async def publish_ours(side: Side, number: int, batch: int) -> float:
    async with goes.connect(":memory:", bus=side.bus, registry=registry) as db:
        made = events(number)
        await db.bus.publish([])
        begun = time.perf_counter()
        for start in range(0, number, batch):
            await db.bus.publish(made[start : start + batch])
        return number / (time.perf_counter() - begun)


async def consume_raw(side: Side, number: int) -> float:
    async with AsyncExitStack() as stack:
        js = await raw_stream(side, stack)
        for task in [await js.publish_async(s, b, headers=h) for s, b, h in payloads(side, number)]:
            await task
        consumer = await js.pull_subscribe(f"{side.prefix}.events.>", durable="g")
        begun, done = time.perf_counter(), 0
        while done < number:
            for message in await consumer.fetch(64):
                json.loads(message.data)
                await message.ack()
                done += 1
        return number / (time.perf_counter() - begun)


async def consume_ours(side: Side, number: int) -> float:
    async with goes.connect(":memory:", bus=side.bus, registry=registry) as db:
        made = events(number)
        for start in range(0, number, 500):
            await db.bus.publish(made[start : start + 500])
        subscription = db.bus.subscribe(group="g", start="beginning", max_pending=64)
        begun = time.perf_counter()
        for _ in range(number):
            delivery = await anext(subscription)
            await delivery.ack()
        return number / (time.perf_counter() - begun)


async def latency_raw(side: Side, number: int) -> float:
    """Return the milliseconds from publishing to a waiting consumer."""
    async with AsyncExitStack() as stack:
        js = await raw_stream(side, stack)
        consumer = await js.pull_subscribe(f"{side.prefix}.events.>", durable="g")
        took: list[float] = []
        for subject, body, headers in payloads(side, number):
            waiting = asyncio.create_task(consumer.fetch(1, 10))
            await asyncio.sleep(0.001)
            begun = time.perf_counter()
            await js.publish(subject, body, headers=headers)
            [message] = await waiting
            took.append(time.perf_counter() - begun)
            await message.ack()
        return statistics.median(took) * 1000


async def latency_ours(side: Side, number: int) -> float:
    async with goes.connect(":memory:", bus=side.bus, registry=registry) as db:
        subscription = db.bus.subscribe(group="g")
        took: list[float] = []
        for event in events(number):
            waiting = asyncio.ensure_future(anext(subscription))
            await asyncio.sleep(0.001)
            begun = time.perf_counter()
            await db.bus.publish([event])
            delivery = await waiting
            took.append(time.perf_counter() - begun)
            await delivery.ack()
        return statistics.median(took) * 1000


async def commands_raw(side: Side, number: int, dispatchers: int) -> float:
    async with AsyncExitStack() as stack:
        service: Any = await raw_connect(side.url)
        client: Any = await raw_connect(side.url)
        stack.push_async_callback(service.close)
        stack.push_async_callback(client.close)
        file = side.folder / f"{side.prefix}.db"
        receipts = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        stack.callback(receipts.close)
        receipts.execute("PRAGMA journal_mode = WAL")
        receipts.execute("PRAGMA synchronous = NORMAL")
        receipts.execute("CREATE TABLE receipts (id TEXT PRIMARY KEY, result TEXT) STRICT")

        lock, tasks = threading.Lock(), set[asyncio.Task[None]]()

        def find(id: str) -> Any:
            with lock:
                return receipts.execute("SELECT result FROM receipts WHERE id = ?", (id,)).fetchone()

        def keep(id: str, result: str) -> None:
            with lock:
                receipts.execute("INSERT INTO receipts VALUES (?, ?)", (id, result))

        async def handle(message: Any) -> None:
            body = json.loads(message.data)
            if await asyncio.to_thread(find, body["id"]) is None:
                await asyncio.to_thread(keep, body["id"], str(body["data"]["amount"]))
            await message.respond(json.dumps({"result": body["data"]["amount"]}).encode())

        async def begin(message: Any) -> None:
            task = asyncio.create_task(handle(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        await service.subscribe("change", "handlers", begin)
        for _ in range(2):  # the first ping of nats-py may overtake pending writes
            await service.flush()

        async def dispatch(times: int) -> None:
            for n in range(times):
                body = {"id": str(uuid4()), "command": "account.change", "data": {"account": "1", "amount": n}}
                answer = await client.request("change", json.dumps(body).encode(), timeout=10)
                assert json.loads(answer.data)["result"] == n

        begun = time.perf_counter()
        await asyncio.gather(*(dispatch(number // dispatchers) for _ in range(dispatchers)))
        return number / (time.perf_counter() - begun)


async def commands_ours(side: Side, number: int, dispatchers: int) -> float:
    path = str(side.folder / f"{side.prefix}.db")
    async with (
        goes.connect(path, bus=side.bus, registry=registry, durability="normal") as service,
        goes.connect(":memory:", bus=side.bus, registry=registry) as client,
    ):

        async def change(command: Change) -> int:
            return command.amount

        service.commands.handle(Change, change)

        async def dispatch(times: int) -> None:
            for n in range(times):
                assert await client.commands.dispatch(Change("1", n), timeout=10) == n

        async with service.commands.service(concurrency=64):
            begun = time.perf_counter()
            await asyncio.gather(*(dispatch(number // dispatchers) for _ in range(dispatchers)))
            return number / (time.perf_counter() - begun)


Measure = Callable[[Side, int], Awaitable[float]]


class Row(NamedTuple):
    what: str
    unit: str
    share: float
    """The number of events as a share of `--events`."""
    raw: Measure
    ours: Measure


def _with(measure: Callable[[Side, int, int], Awaitable[float]], at_once: int) -> Measure:
    return lambda side, number: measure(side, number, at_once)


ROWS = {
    "batches": Row("publish, batches of 100", "/s", 1, _with(publish_raw, 100), _with(publish_ours, 100)),
    "single": Row("publish, one after another", "/s", 0.1, _with(publish_raw, 1), _with(publish_ours, 1)),
    "consume": Row("a group takes and acknowledges", "/s", 1, consume_raw, consume_ours),
    "latency": Row("from publishing to a waiting member", "ms", 0.02, latency_raw, latency_ours),
    "command": Row("command, one after another", "/s", 0.05, _with(commands_raw, 1), _with(commands_ours, 1)),
    "commands": Row("command, 64 dispatchers", "/s", 0.3, _with(commands_raw, 64), _with(commands_ours, 64)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {', '.join(ROWS)}; all by default")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--sync", choices=["default", "always"], default="default", help="sync_interval of the server")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if wrong := [row for row in arguments.rows if row not in ROWS]:
        parser.error(f"no such row: {wrong[0]!r}; there are {', '.join(ROWS)}")
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store: dict[str, Any] = {"store_dir": str(folder / "store")}
        if arguments.sync == "always":
            store["sync_interval"] = "always"
        with servers.server(jetstream=store) as server:
            for key in arguments.rows or ROWS:
                row = ROWS[key]
                number = max(64, round(arguments.events * row.share) // 64 * 64)
                found: dict[str, list[float]] = {"raw": [], "ours": []}
                for _ in range(arguments.repeat):
                    for which, measure in (("raw", row.raw), ("ours", row.ours)):
                        side = Side(server.url, f"b{uuid4().hex[:12]}", folder)
                        found[which].append(asyncio.run(_awaited(measure(side, number))))
                raw, ours = (statistics.median(found[which]) for which in ("raw", "ours"))
                ratio = raw / ours if row.unit == "ms" else ours / raw
                kept[key] = {**found, "ratio": ratio}
                form = ".2f" if row.unit == "ms" else ",.0f"
                shown = f"raw {raw:>9{form}} {row.unit}   ours {ours:>9{form}} {row.unit}   {ratio:5.2f} ×"
                print(f"{row.what:<38} {shown}", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(kept, indent=1), encoding="utf-8")


async def _awaited(measure: Awaitable[float]) -> float:
    return await measure


if __name__ == "__main__":
    main()
