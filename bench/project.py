"""How fast projections are: `python bench/project.py [--file STORE.db] [--events N] [--repeat 5] [--driver apsw]`.

Catch-up goes through the continuous path, as a program does it: a processor is started on a log that is there already, at
full durability, and is waited for. Then the time from an append's return until the read model shows it, in the same
process and in another one. `--file` is a store of yours, of any events: it is copied, and each aggregate gets a read model.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import goes_lite as goes
from bench.domain import Changed, events

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of an aggregate."""

    events: int = 0
    last: int = 0


class Summaries(goes.ModelProjection[Summary], name="summaries"):
    """A read model for each aggregate."""

    @goes.projects(Changed)
    def changed(self, summary: Summary, event: goes.Event[Changed]) -> Summary:
        """One event more."""
        return replace(summary, events=summary.events + 1, last=event.version)


class AllSummaries(Summaries, name="summaries"):
    """The same of whatever events there are."""

    def methods(self, registry: goes.Registry) -> dict[str, object]:  # type: ignore[override]
        """Every name is counted."""
        return dict.fromkeys(registry.names(), self.changed)


@dataclass(frozen=True, slots=True)
class Total:
    """How many there were."""

    events: int = 0


class Totals(goes.ModelProjection[Total], name="totals"):
    """One read model for all events of a name: what the peer's scenario does."""

    def key(self, event: goes.Event[object]) -> str:
        """The name of the event."""
        return event.name

    @goes.projects(Changed)
    def changed(self, total: Total, event: goes.Event[Changed]) -> Total:
        """One event more."""
        return Total(total.events + 1)


def peak() -> int:
    """Memory of this process, in MiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) // 1024


def fill(path: Path, count: int, driver: str) -> None:
    """So many events, 20 for each aggregate."""
    with goes.blocking.connect(path, driver=driver, durability="normal") as db:
        for start in range(0, count // 20, 50):
            db.events.append([e for n in range(start, min(start + 50, count // 20)) for e in events(f"a{n}", 20)])


def catch_up(path: Path, projection: goes.Projection, driver: str) -> float:
    """Events per second, on the blocking face."""
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
    """The same on the async face."""

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
    """Seconds from an append's return until the read model is there, with the projection in this process."""
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
    """The same, with the projection in another process."""
    code = FOLLOWER.format(root=str(Path(__file__).resolve().parent.parent), path=str(path), driver=driver)
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


def peers(script: Path, python: str, count: int) -> float:
    """Events per second of the peer's `projection_pull`, from the file with its scenarios."""
    command = [python, str(script), "--scenario", "projection_pull", "--backend", "sqlite", "--n", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["events_per_s"])


def middle(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="a store whose events are projected, beside those made here")
    parser.add_argument("--types", help="a Python module that registers its events")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--driver", default="apsw", choices=["apsw", "sqlite3"])
    parser.add_argument("--peer", type=Path, help="the scenarios of the peer, to be run alternately")
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has the peer installed")
    arguments = parser.parse_args()
    driver, repeat = arguments.driver, arguments.repeat
    print(f"{driver}, FULL, batches of {BATCH}, {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        fill(path, arguments.events, driver)
        start = peak()
        for name, projection in (("a model per aggregate", Summaries()), ("one model", Totals())):
            print(f"{arguments.events:,} events, {name}, events/s")
            print("  blocking", middle([catch_up(path, projection, driver) for _ in range(repeat)]), flush=True)
            print("  async   ", middle([catch_up_async(path, projection, driver) for _ in range(repeat)]), flush=True)
        print(f"memory: at most {peak() - start} MiB more than before")
        if arguments.file is not None:
            sys.path.insert(0, os.path.dirname(os.path.abspath(arguments.types or "")))
            __import__(Path(arguments.types or "json").stem)
            copy = Path(folder) / "copy.db"
            with goes.blocking.connect(arguments.file, read_only=True, driver=driver) as db:
                db.backup(copy)
            start = peak()
            print(f"{arguments.file}, a model per aggregate, events/s")
            print("  blocking", middle([catch_up(copy, AllSummaries(), driver) for _ in range(repeat)]), flush=True)
            print(
                "  async   ", middle([catch_up_async(copy, AllSummaries(), driver) for _ in range(repeat)]), flush=True
            )
            print(f"memory: at most {peak() - start} MiB more than before")
        waits = asyncio.run(visible(Path(folder) / "latency.db", driver, 300))
        other = visible_from_another(Path(folder) / "other.db", driver, 300)
        for where, found in (("the same process", waits), ("another process", other)):
            found.sort()
            print(f"visible in {where}: {1000 * statistics.median(found):.2f} ms, p99 {1000 * found[-3]:.2f} ms")
        if arguments.peer is not None:
            ratios: list[float] = []
            small = Path(folder) / "small.db"
            fill(small, 20_000, driver)
            for _ in range(repeat):
                ours, theirs = catch_up(small, Totals(), driver), peers(arguments.peer, arguments.peer_python, 2_000)
                ratios.append(ours / theirs)
                print(f"  {ours:,.0f} /s against {theirs:,.0f} /s of the peer: {ours / theirs:.1f} ×", flush=True)
            print(f"median {statistics.median(ratios):.1f} ×")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
