"""The speed of projections: catching up with an existing log, and the time until an append is visible in a read model.

Catching up takes the continuous path, as in a program: start a processor on a log at full durability, and wait for it.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import goes_lite as goes
from bench.domain import Changed, Totals, events
from bench.place import ROOT, Bench
from bench.table import Row

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known about an aggregate."""

    events: int = 0
    last: int = 0


class Summaries(goes.ModelProjection[Summary], name="summaries"):
    """A read model for each aggregate."""

    @goes.projects(Changed)
    def changed(self, summary: Summary, event: goes.Event[Changed]) -> Summary:
        """Count an event."""
        return replace(summary, events=summary.events + 1, last=event.version)


def catch_up(path: Path, projection: goes.Projection, driver: str) -> float:
    """Return the events per second on the blocking face."""
    with goes.blocking.connect(path, driver=driver) as db:
        head = db.events.head()
        processor = db.projection(projection, batch=BATCH)
        processor.reset()
        gc.collect()
        begun = time.perf_counter()
        with processor:
            processor.wait_for(head)
            return head / (time.perf_counter() - begun)


def catch_up_async(path: Path, projection: goes.Projection, driver: str) -> float:
    """Return the events per second on the async face."""

    async def main() -> float:
        async with goes.connect(path, driver=driver) as db:
            head = await db.events.head()
            processor = db.projection(projection, batch=BATCH)
            await processor.reset()
            gc.collect()
            begun = time.perf_counter()
            async with processor:
                await processor.wait_for(head)
                return head / (time.perf_counter() - begun)

    return asyncio.run(main())


async def visible(path: Path, driver: str, times: int) -> list[float]:
    """Return the seconds from the return of an append until the read model shows it, with the projection in this process."""
    waits: list[float] = []
    async with goes.connect(path, driver=driver) as db, db.projection(Summaries()) as processor:
        for version in range(1, times + 1):
            appended = await db.events.append(events("latency", 1, first=version))
            begun = time.perf_counter()
            await processor.wait_for(appended.position)
            waits.append(time.perf_counter() - begun)
            await asyncio.sleep(0.002)
    return waits


FOLLOWER = """
import sys; sys.path.insert(0, {root!r})
import goes_lite as goes
from bench.project import Summaries
with goes.blocking.connect({path!r}, driver={driver!r}) as db, db.projection(Summaries()):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def visible_from_another(path: Path, driver: str, times: int) -> list[float]:
    """Return the same with the projection in another process."""
    code = FOLLOWER.format(root=str(ROOT), path=str(path), driver=driver)
    waits: list[float] = []
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        with goes.blocking.connect(path, driver=driver) as db:
            models = db.models_of("summaries", Summary)
            first = (models.find("latency") or Summary()).last + 1
            for version in range(first, first + times):
                db.events.append(events("latency", 1, first=version))
                begun = time.perf_counter()
                while (found := models.find("latency")) is None or found.last < version:
                    time.sleep(0.0002)
                waits.append(time.perf_counter() - begun)
                time.sleep(0.002)
        other.stdin.close()
    return waits


def measure(bench: Bench) -> list[Row]:
    """Measure catching up on both faces, and the time from the return of an append until the read model shows it."""
    count = bench.times(200_000)
    path = bench.fill(bench.path(), count // 20, 20)
    rows: list[Row] = []
    for name, projection in (("a model per aggregate", Summaries()), ("one model", Totals())):
        blocking = Row(f"projection, {name}, blocking", "/s", [], [])
        faced = Row(f"projection, {name}, async", "/s", [], [])
        for _ in range(bench.repeat):
            blocking.ours.append(catch_up(path, projection, bench.driver))
            faced.ours.append(catch_up_async(path, projection, bench.driver))
        rows += [blocking, faced]
    here = Row("append → visible in a read model, same process", "ms", [], [])
    there = Row("append → visible in a read model, another process", "ms", [], [])
    for _ in range(bench.repeat):
        here.ours.append(1000 * statistics.median(asyncio.run(visible(bench.path(), bench.driver, 100))))
        there.ours.append(1000 * statistics.median(visible_from_another(bench.path(), bench.driver, 100)))
    return [*rows, here, there]
