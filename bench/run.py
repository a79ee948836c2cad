"""The speed budgets, measured: `python bench/run.py [NAME …] [--driver apsw] [--repeat 5] [--json FILE]`.

Each row is a ratio of two rates from one run: what goes_lite does, and what its limit does with the bare driver, at
equal durability, interleaved, on fresh files. The median over the repeats is printed, with minimum and maximum.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import goes_lite as goes
from bench import raw
from bench.domain import Account, events

HEADER = "| what | goes_lite /s | limit /s | ratio, median (min–max) | budget | |\n|---|---|---|---|---|---|"


class Row(NamedTuple):
    """One row of the table: both rates of each repeat, per second, and the ratio that is asked for."""

    name: str
    ours: list[float]
    limit: list[float]
    budget: float

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.limit, strict=True)]


class Bench:
    """Where files lie and how often to measure."""

    def __init__(self, folder: Path, driver: str, repeat: int, scale: float) -> None:
        self.folder = folder
        self.driver = driver
        self.repeat = repeat
        self.scale = scale
        self._files = 0

    def path(self) -> Path:
        self._files += 1
        return self.folder / f"bench-{self._files}.db"

    def times(self, count: int) -> int:
        return max(1, int(count * self.scale))


def append(bench: Bench, batch: int, count: int, durability: str, budget: float) -> Row:
    """Appends of one aggregate in batches, on the blocking face; events are made inside the timed loop."""
    row = Row(f"append, batches of {batch}, {durability.upper()}, blocking", [], [], budget)
    for _ in range(bench.repeat):
        connection = raw.connect(bench.path(), bench.driver, durability)
        row.limit.append(count / raw.append(connection, count, batch))
        connection.close()
        with goes.blocking.connect(bench.path(), driver=bench.driver, durability=durability) as db:
            db.events.append(events("warm", 1))
            gc.collect()
            started = time.perf_counter()
            for first in range(1, count + 1, batch):
                db.events.append(events("a", batch, first=first))
            row.ours.append(count / (time.perf_counter() - started))
    return row


def concurrent(bench: Bench, tasks: int, each: int, budget: float) -> Row:
    """Many async appenders at FULL against one that waits for each append."""
    row = Row(f"append, {tasks} concurrent async appenders, FULL (against one)", [], [], budget)

    async def appender(db: goes.Backend, name: str, count: int) -> None:
        for version in range(1, count + 1):
            await db.events.append(events(name, 1, first=version))

    async def measure(number: int, count: int) -> float:
        async with goes.connect(bench.path(), driver=bench.driver) as db:
            await db.events.append(events("warm", 1))
            started = time.perf_counter()
            await asyncio.gather(*(appender(db, f"a{n}", count) for n in range(number)))
            return number * count / (time.perf_counter() - started)

    for _ in range(bench.repeat):
        row.limit.append(asyncio.run(measure(1, each * 8)))
        row.ours.append(asyncio.run(measure(tasks, each)))
    return row


def fill(bench: Bench, aggregates: int, size: int) -> Path:
    """A file with so many aggregates of so many events each."""
    path = bench.path()
    with goes.blocking.connect(path, driver=bench.driver, durability="normal") as db:
        for start in range(0, aggregates, 100):
            db.events.append([e for n in range(start, min(start + 100, aggregates)) for e in events(f"a{n}", size)])
    return path


def scan(bench: Bench, count: int, budget: float) -> list[Row]:
    """The whole log as events, on both faces."""
    path = fill(bench, count // 10, 10)
    rows = [Row(f"query of the whole log, {face}", [], [], budget) for face in ("blocking", "async")]

    async def read() -> int:
        seen = 0
        async with goes.connect(path, driver=bench.driver) as db:
            async for event in db.events.query():
                seen += event.data is not None
        return seen

    for _ in range(bench.repeat):
        connection = raw.connect(path, bench.driver, "full")
        limit = count / raw.scan(connection)
        connection.close()
        gc.collect()
        started = time.perf_counter()
        with goes.blocking.connect(path, driver=bench.driver) as db:
            for event in db.events.query():
                event.data  # noqa: B018
        rows[0].ours.append(count / (time.perf_counter() - started))
        started = time.perf_counter()
        asyncio.run(read())
        rows[1].ours.append(count / (time.perf_counter() - started))
        for row in rows:
            row.limit.append(limit)
    return rows


def fetch(bench: Bench, count: int, budget: float) -> list[Row]:
    """A repository's fetch of aggregates of ten events, on both faces."""
    path = fill(bench, count, 10)
    ids = [f"a{n}" for n in range(count)]
    rows = [Row(f"repository fetch of a 10-event aggregate, {face}", [], [], budget) for face in ("blocking", "async")]

    async def fetch_all() -> float:
        async with goes.connect(path, driver=bench.driver) as db:
            accounts = db.repository(Account)
            await accounts.fetch(ids[0])
            started = time.perf_counter()
            for name in ids:
                await accounts.fetch(name)
            return count / (time.perf_counter() - started)

    for _ in range(bench.repeat):
        connection = raw.connect(path, bench.driver, "full")
        limit = count / raw.load(connection, ids)
        connection.close()
        gc.collect()
        with goes.blocking.connect(path, driver=bench.driver) as db:
            accounts = db.repository(Account)
            accounts.fetch(ids[0])
            started = time.perf_counter()
            for name in ids:
                accounts.fetch(name)
            rows[0].ours.append(count / (time.perf_counter() - started))
        rows[1].ours.append(asyncio.run(fetch_all()))
        for row in rows:
            row.limit.append(limit)
    return rows


def imports(bench: Bench) -> Row:
    """`import goes_lite` over an empty interpreter: milliseconds, not a ratio of rates."""
    row = Row("import goes_lite, 40 ms over an empty interpreter (ratio: 40 ms / measured)", [], [], 1.0)
    root = str(Path(__file__).resolve().parent.parent)

    def start(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"], check=True)
        return time.perf_counter() - started

    start("import goes_lite")
    for _ in range(max(bench.repeat, 9)):
        empty, full = start("pass"), start("import goes_lite")
        row.ours.append(1000.0)
        row.limit.append(1000.0 * (full - empty) / 0.040)
    return row


def measurements(bench: Bench) -> dict[str, Callable[[], Row | list[Row]]]:
    times = bench.times
    return {
        "append-batch": lambda: append(bench, 100, times(40_000), "full", 0.5),
        "append-single-full": lambda: append(bench, 1, times(4_000), "full", 0.8),
        "append-single-normal": lambda: append(bench, 1, times(20_000), "normal", 0.4),
        "append-concurrent": lambda: concurrent(bench, 64, times(200), 8.0),
        "query": lambda: scan(bench, times(200_000), 0.25),
        "fetch": lambda: fetch(bench, times(10_000), 0.35),
        "import": lambda: imports(bench),
    }


def shown(row: Row) -> str:
    ratios = row.ratios
    middle = statistics.median(ratios)
    verdict = "met" if middle >= row.budget else "MISSED"
    return (
        f"| {row.name} | {statistics.median(row.ours):,.0f} | {statistics.median(row.limit):,.0f} | "
        f"{middle:.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {row.budget:g} | {verdict} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--driver", action="append", choices=["apsw", "sqlite3"], help="default: both, as installed")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies how much is done")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every repeat")
    arguments = parser.parse_args()
    installed = ["apsw", "sqlite3"] if importlib.util.find_spec("apsw") else ["sqlite3"]
    codec = "msgspec" if importlib.util.find_spec("msgspec") else "stdlib json"
    kept: list[dict[str, object]] = []
    machine = f"{platform.system()} {platform.machine()}"
    print(f"Python {platform.python_version()}, {machine}, codec {codec}, {time.strftime('%Y-%m-%d')}")
    for driver in arguments.driver or installed:
        print(f"\n{driver}\n{HEADER}")
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), driver, arguments.repeat, arguments.scale)
            for name, measure in measurements(bench).items():
                if arguments.names and name not in arguments.names:
                    continue
                result = measure()
                for row in result if isinstance(result, list) else [result]:
                    print(shown(row), flush=True)
                    kept.append({"driver": driver, "codec": codec, **row._asdict()})
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
