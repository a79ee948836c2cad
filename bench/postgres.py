"""The speed of the PostgreSQL backend: `python bench/postgres.py [--url URL] [--jit] [--repeat 5] [--scale 1] [--script FILE …]`.

Each row compares goes_lite, on the blocking face, with a raw asyncpg loop that does the same inserts (BEGIN, the lock, an
INSERT of prepared arrays, COMMIT) or the same SELECT; and, with the script of a peer's scenarios and the Python that has
it, with that peer. All alternate in one run, on one server, at equal durability, each on fresh tables. Without a URL a
server is started, with fsync: of the newest version, or with `--jit` of the newest that compiles queries.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "conformance"), str(ROOT / "adapters")]

import asyncpg  # noqa: E402
from goes_lite_conformance.servers import postgres  # noqa: E402
from goes_lite_postgres import PostgresBackend  # noqa: E402

import goes_lite as goes  # noqa: E402
from bench.domain import (  # noqa: E402
    NOTE,
    Account,
    Totals,
    events,
)

BATCH, LENGTH, LOADS, THREADS = 100, 1000, 20, 4


class Row(NamedTuple):
    """One measurement: events per second of each repeat."""

    name: str
    scenario: str
    """Its name in the peer's script."""
    number: int
    ours: Callable[[str, int], float]
    raw: Callable[[str, int], float] | None
    budget: float
    """The ratio to the peer that is required."""


@contextlib.contextmanager
def store(url: str) -> Generator[str]:
    """Yield the URL of a new store, and remove the store afterwards."""
    fresh = PostgresBackend.scratch(url, f"bench{uuid4().hex[:12]}")
    try:
        yield fresh
    finally:
        asyncio.run(PostgresBackend.erase(fresh))


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# --- goes_lite ----------------------------------------------------------------------------------------------------------


def append(url: str, count: int, batch: int) -> float:
    with store(url) as fresh, goes.blocking.connect(fresh) as db:
        db.events.append(events("warm", 1))

        def work() -> None:
            for number in range(count // batch):
                db.events.append(events(f"a{number}", batch))

        return count / timed(work)


def append_threads(url: str, count: int) -> float:
    with store(url) as fresh, goes.blocking.connect(fresh) as db:
        db.events.append(events("warm", 1))

        def one(name: int) -> None:
            for number in range(count // THREADS):
                db.events.append(events(f"a{name}-{number}", 1))

        def work() -> None:
            threads = [threading.Thread(target=one, args=(number,)) for number in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return count / timed(work)


def append_tasks(url: str, count: int) -> float:
    """Append in 64 tasks on the async face."""

    async def run(fresh: str) -> float:
        async with goes.connect(fresh) as db:
            await db.events.append(events("warm", 1))

            async def one(name: int) -> None:
                for number in range(count // 64):
                    await db.events.append(events(f"a{name}-{number}", 1))

            begun = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(64)))
            return count / (time.perf_counter() - begun)

    with store(url) as fresh:
        return asyncio.run(run(fresh))


def load(url: str, count: int) -> float:
    """Fetch an aggregate of `LENGTH` events from a repository."""
    with store(url) as fresh, goes.blocking.connect(fresh) as db:
        db.events.append(events("a", LENGTH))
        accounts = db.repository(Account)
        accounts.fetch("a")
        return LENGTH * LOADS / timed(lambda: [accounts.fetch("a") for _ in range(LOADS)])


def project(url: str, count: int) -> float:
    """Run a projection that counts events, from the first event on, exactly once."""
    with store(url) as fresh, goes.blocking.connect(fresh) as db:
        for first in range(count // 500):
            db.events.append([event for number in range(50) for event in events(f"a{first}-{number}", 10)])
        head = db.events.head()
        processor = db.projection(Totals())

        def work() -> None:
            with processor:
                processor.wait_for(head)

        return head / timed(work)


# --- the bare driver ----------------------------------------------------------------------------------------------------

TABLE = (
    "CREATE TABLE {0}.raw (position bigint PRIMARY KEY, id uuid NOT NULL UNIQUE, name text NOT NULL, aggregate text NOT NULL, "
    "version bigint NOT NULL, time bigint NOT NULL, data text NOT NULL, UNIQUE (aggregate, version))"
)
INSERT = (
    "INSERT INTO {0}.raw SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], "
    "$7::text[])"
)
DATA = json.dumps({"amount": 1, "note": NOTE})


def raw_append(url: str, count: int, batch: int) -> float:
    async def run() -> float:
        schema = f"raw{uuid4().hex[:12]}"
        connection: Any = await asyncpg.connect(url)
        await connection.execute(f"CREATE SCHEMA {schema}; {TABLE.format(schema)}")
        insert = INSERT.format(schema)
        gc.collect()
        begun = time.perf_counter()
        for number in range(count // batch):
            first = number * batch + 1
            await connection.execute("BEGIN; SELECT pg_advisory_xact_lock(4711)")
            await connection.execute(
                insert, [*range(first, first + batch)], [uuid4() for _ in range(batch)], ["account.changed"] * batch,
                [f"a{number}"] * batch, [*range(1, batch + 1)], [time.time_ns() // 1000] * batch, [DATA] * batch,
            )  # fmt: skip
            await connection.execute("COMMIT")
        seconds = time.perf_counter() - begun
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
        await connection.close()
        return count / seconds

    return asyncio.run(run())


def raw_load(url: str, count: int) -> float:
    async def run(fresh: str) -> float:
        async with goes.connect(fresh) as db:
            await db.events.append(events("a", LENGTH))
        schema = dict(pair.split("=") for pair in urlsplit(fresh).query.split("&"))["schema"]
        connection: Any = await asyncpg.connect(url)
        sql = (
            f"SELECT e.* FROM {schema}.events e WHERE e.aggregate_key = (SELECT key FROM {schema}.aggregates WHERE name = $1 "
            "AND id = $2) ORDER BY e.version"
        )
        assert len(await connection.fetch(sql, "account", "a")) == LENGTH
        gc.collect()
        begun = time.perf_counter()
        for _ in range(LOADS):
            await connection.fetch(sql, "account", "a")
        seconds = time.perf_counter() - begun
        await connection.close()
        return LENGTH * LOADS / seconds

    with store(url) as fresh:
        return asyncio.run(run(fresh))


# --- the peer -------------------------------------------------------------------------------------------------------------


def peer(url: str, row: Row, script: str, python: str) -> float:
    """Return the events per second of one scenario of the script, with its gap-safe defaults."""
    parts = urlsplit(url)
    environment = {
        **os.environ,
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": parts.password or "none",
    }
    count = LENGTH if row.scenario == "load" else row.number
    command = [python, script, "--scenario", row.scenario, "--backend", "postgres", "--n", str(count), "--payload"]
    command += [str(len(NOTE)), "--loads", str(LOADS), "--writers", str(THREADS), "--batch", str(BATCH)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "events_per_s" not in found:
        raise RuntimeError(f"the peer printed {found}")
    return float(found["events_per_s"])


def rows(scale: float) -> list[Row]:
    def times(count: int) -> int:
        return max(500, int(count * scale) // 500 * 500)

    single = partial(raw_append, batch=1)
    return [
        Row("append, single events", "append_single", times(1500), partial(append, batch=1),
            single, 1.2),
        Row(f"append, batches of {BATCH}", "append_batch", times(20_000), partial(append, batch=BATCH),
            partial(raw_append, batch=BATCH), 2),
        Row(f"append, {THREADS} threads", "writers_threads", times(2000), append_threads,
            single, 4),
        Row("append, 64 tasks", "", times(6400), append_tasks, single, 0),
        Row(f"fetch of an aggregate of {LENGTH}", "load", LENGTH, load, raw_load, 5),
        Row("projection, catching up", "projection_pull", times(5000), project, None, 10),
    ]  # fmt: skip


def ratio(ours: list[float], theirs: list[float]) -> str:
    if not theirs:
        return "–"
    found = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


def version(*, jit: bool) -> int | None:
    """Return the version of the server to start; None for the newest."""
    if not jit:
        return None
    found = postgres.with_jit()
    if not found:
        raise SystemExit("no PostgreSQL with JIT is installed: apt-get install postgresql")
    return found[0]


def main() -> int:
    """Print a table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="WORD", help="only rows whose name contains one of these words")
    parser.add_argument("--url", help="the URL of a server; only new schemas and databases are touched")
    parser.add_argument("--jit", action="store_true", help="start a server with JIT, as distributions package it")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the amount of work")
    parser.add_argument("--script", help="the file with a peer's scenarios, such as peer_eventsourcing.py")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peer installed")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url: str = arguments.url or stack.enter_context(postgres.server(version(jit=arguments.jit))).url
        print(
            "| what | goes_lite /s | raw asyncpg /s | ratio | peer /s | ratio | budget |\n|---|---|---|---|---|---|---|"
        )
        for row in rows(arguments.scale):
            if arguments.names and not any(word in row.name for word in arguments.names):
                continue
            ours: list[float] = []
            raw: list[float] = []
            other: list[float] = []
            for _ in range(arguments.repeat):
                ours.append(row.ours(url, row.number))
                if row.raw is not None:
                    raw.append(row.raw(url, row.number))
                if arguments.script and row.scenario:
                    other.append(peer(url, row, arguments.script, arguments.python))
            figures = [f"{statistics.median(found):,.0f}" if found else "–" for found in (ours, raw, other)]
            budget = f"{row.budget:g}" if row.budget else "–"
            print(
                f"| {row.name} | {figures[0]} | {figures[1]} | {ratio(ours, raw)} | {figures[2]} | {ratio(ours, other)} "
                f"| {budget} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
