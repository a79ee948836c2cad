"""goes_lite against its limit: the same rows by the bare driver, at equal durability, alternating, on fresh files."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import goes_lite as goes
from bench import raw
from bench.domain import Account, events
from bench.place import ROOT, Bench, seconds
from bench.table import Row


def append(bench: Bench, batch: int, count: int, durability: str, budget: float) -> list[Row]:
    """Append to one aggregate in batches, on both faces; the timed loop includes making the events."""
    name = f"append, {f'batches of {batch}' if batch > 1 else 'one by one'}, {durability.upper()}"
    blocking = Row(f"{name}, blocking", "/s", [], [], budget)
    faced = Row(f"{name}, async", "/s", [], [], budget if batch > 1 else None)

    async def appended() -> float:
        async with bench.connect(durability=durability) as db:
            await db.events.append(events("warm", 1))
            started = time.perf_counter()
            for first in range(1, count + 1, batch):
                await db.events.append(events("a", batch, first=first))
            return count / (time.perf_counter() - started)

    for _ in range(bench.repeat):
        if not bench.url:
            connection = raw.connect(bench.path(), bench.driver, durability)
            limit = count / raw.append(connection, count, batch)
            connection.close()
            blocking.limit.append(limit)
            faced.limit.append(limit)
        with bench.blocking(durability=durability) as db:
            db.events.append(events("warm", 1))

            def work(db: Any = db) -> None:
                for first in range(1, count + 1, batch):
                    db.events.append(events("a", batch, first=first))

            blocking.ours.append(count / seconds(work))
        faced.ours.append(asyncio.run(appended()))
    return [blocking, faced]


def concurrent(bench: Bench, tasks: int, each: int, budget: float) -> list[Row]:
    """Compare many async appenders at FULL with one that waits for each append."""
    row = Row(f"append, {tasks} concurrent async appenders, FULL (limit: one that waits)", "/s", [], [], budget)

    async def appender(db: goes.Database, name: str, count: int) -> None:
        for version in range(1, count + 1):
            await db.events.append(events(name, 1, first=version))

    async def measure(number: int, count: int) -> float:
        async with bench.connect() as db:
            await db.events.append(events("warm", 1))
            started = time.perf_counter()
            await asyncio.gather(*(appender(db, f"a{n}", count) for n in range(number)))
            return number * count / (time.perf_counter() - started)

    for _ in range(bench.repeat):
        row.limit.append(asyncio.run(measure(1, each * 8)))
        row.ours.append(asyncio.run(measure(tasks, each)))
    return [row]


def scan(bench: Bench, count: int, budget: float) -> list[Row]:
    """Read the whole log as events, with their data, on both faces."""
    at = bench.fill(bench.fresh(), count // 10, 10)
    rows = [Row(f"query of the whole log, {face}", "/s", [], [], budget) for face in ("blocking", "async")]

    async def read() -> None:
        async with bench.connect(at) as db:
            async for event in db.events.query():
                event.data  # noqa: B018

    def read_blocking() -> None:
        with bench.blocking(at) as db:
            for event in db.events.query():
                event.data  # noqa: B018

    for _ in range(bench.repeat):
        if not bench.url:
            connection = raw.connect(at, bench.driver, "full")
            limit = count / raw.scan(connection)
            connection.close()
            for row in rows:
                row.limit.append(limit)
        rows[0].ours.append(count / seconds(read_blocking))
        rows[1].ours.append(count / seconds(lambda: asyncio.run(read())))
    return rows


def fetch(bench: Bench, count: int, budget: float) -> list[Row]:
    """Fetch aggregates of ten events from a repository: one after another on both faces, and many concurrently."""
    at = bench.fill(bench.fresh(), count, 10)
    ids = [f"a{n}" for n in range(count)]
    name = "repository fetch of a 10-event aggregate"
    rows = [Row(f"{name}, {face}", "/s", [], [], budget) for face in ("blocking", "async", "async, 16 at a time")]

    async def one_by_one() -> float:
        async with bench.connect(at) as db:
            accounts = db.repository(Account)
            await accounts.fetch(ids[0])
            started = time.perf_counter()
            for id in ids:
                await accounts.fetch(id)
            return count / (time.perf_counter() - started)

    async def together() -> float:
        async with bench.connect(at) as db:
            accounts = db.repository(Account)
            left = iter(ids)

            async def work() -> None:
                for id in left:
                    await accounts.fetch(id)

            started = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(16)))
            return count / (time.perf_counter() - started)

    for _ in range(bench.repeat):
        if not bench.url:
            connection = raw.connect(at, bench.driver, "full")
            limit = count / raw.load(connection, ids)
            connection.close()
            for row in rows:
                row.limit.append(limit)
        with bench.blocking(at) as db:
            accounts = db.repository(Account)
            accounts.fetch(ids[0])

            def work(fetch: Callable[[str], Account] = accounts.fetch) -> None:
                for id in ids:
                    fetch(id)

            rows[0].ours.append(count / seconds(work))
        rows[1].ours.append(asyncio.run(one_by_one()))
        rows[2].ours.append(asyncio.run(together()))
    return rows


_FOLLOWER = """
import sys, time; sys.path.insert(0, {root!r})
import goes_lite as goes, bench.domain
with goes.blocking.connect({at!r}, **{options!r}) as db:
    print("ready", flush=True)
    for event in db.events.follow(after=db.events.head()):
        print(time.perf_counter(), flush=True)
"""


def follow(bench: Bench, times: int, budget: float) -> list[Row]:
    """Time from the return of an append until `follow` yields the event in another process: the median of each repeat."""
    row = Row("commit in one process → seen by follow in another (limit: 5 ms)", "ms", [], [], budget)
    for _ in range(bench.repeat):
        at = bench.fresh()
        at = at if bench.url else str(at)
        with bench.blocking(at) as db:
            code = _FOLLOWER.format(root=str(ROOT), at=at, options=bench.options())
            waits: list[float] = []
            with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
                assert other.stdout is not None
                other.stdout.readline()
                for version in range(1, times + 1):
                    time.sleep(0.003)  # until the other process waits again
                    db.events.append(events("seen", 1, first=version))
                    committed = time.perf_counter()  # one clock for all processes of the machine, on Linux
                    waits.append(float(other.stdout.readline()) - committed)
                other.kill()
        row.ours.append(max(1000 * statistics.median(waits), 0.001))
        row.limit.append(5.0)
    return [row]


def imports(bench: Bench) -> list[Row]:
    """Time the import of what every program uses, over an empty interpreter: `import goes_lite` alone loads nothing."""
    row = Row("import goes_lite, over an empty interpreter (limit: 40 ms)", "ms", [], [], 1.0)

    def start(code: str) -> float:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"], check=True
        )
        return time.perf_counter() - started

    start("import goes_lite")
    for _ in range(max(bench.repeat, 9)):
        empty, full = start("pass"), start("from goes_lite import Aggregate, Event, connect, event")
        row.ours.append(1000 * (full - empty))
        row.limit.append(40.0)
    return [row]


def measurements(bench: Bench) -> dict[str, Callable[[], list[Row]]]:
    """Return the measurements by name."""
    times = bench.times
    found: dict[str, Callable[[], list[Row]]] = {
        "append-batch": lambda: append(bench, 100, times(40_000), "full", 0.5),
        "append-single-full": lambda: append(bench, 1, times(4_000), "full", 0.8),
    }
    if not bench.url:
        found["append-single-normal"] = lambda: append(bench, 1, times(20_000), "normal", 0.4)
    found |= {
        "append-concurrent": lambda: concurrent(bench, 64, times(200), 8.0),
        "query": lambda: scan(bench, times(200_000), 0.25),
        "fetch": lambda: fetch(bench, times(10_000), 0.35),
        "follow": lambda: follow(bench, times(200), 1.0),
    }
    if not bench.url:
        found["import"] = lambda: imports(bench)
    return found
