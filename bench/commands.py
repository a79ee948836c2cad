"""How fast commands are: `python bench/commands.py [--commands N] [--dispatchers 64] [--repeat 5] [--driver apsw]`.

At full durability: commands round robin over ten aggregates, one after another; many dispatchers that all want one
aggregate, as threads and as tasks; and commands that count once, and that are accepted and done by a worker. With
`--peer`, the same work by another library, alternately.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import goes_lite as goes
from bench.domain import Account


@goes.command("account.change")
@dataclass(frozen=True, slots=True)
class Change:
    """Change the balance of an account."""

    account: str
    amount: int


class Asked(Account, name="asked-account"):
    """An account that is asked with commands."""

    @goes.handles(Change, id="account", create=True)
    def changed(self, command: Change) -> None:
        """Record the change."""
        self.change(command.amount)


def one_after_another(path: Path, count: int, driver: str, *, once: bool = False) -> float:
    """Commands per second: load, one event, save; round robin over ten aggregates."""
    with goes.blocking.connect(path, driver=driver) as db:
        db.commands.serve(Asked)
        for number in range(10):
            db.commands.dispatch(Change(str(number), 1))
        gc.collect()
        begin = time.perf_counter()
        for number in range(count):
            db.commands.dispatch(Change(str(number % 10), 1), id=goes.new_id() if once else None)
        return count / (time.perf_counter() - begin)


def by_threads(path: Path, dispatchers: int, each: int, driver: str) -> float:
    """Commands per second, all for one aggregate."""
    with goes.blocking.connect(path, driver=driver) as db:
        db.commands.serve(Asked)
        db.commands.dispatch(Change("one", 0))
        barrier = threading.Barrier(dispatchers + 1)

        def work() -> None:
            barrier.wait()
            for _ in range(each):
                db.commands.dispatch(Change("one", 1))

        threads = [threading.Thread(target=work) for _ in range(dispatchers)]
        for thread in threads:
            thread.start()
        gc.collect()
        barrier.wait()
        begin = time.perf_counter()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begin
        check(db.repository(Asked).fetch("one"), dispatchers * each)
    return dispatchers * each / seconds


def by_tasks(path: Path, dispatchers: int, each: int, driver: str) -> float:
    """The same on an event loop."""

    async def run() -> float:
        async with goes.connect(path, driver=driver) as db:
            db.commands.serve(Asked)
            await db.commands.dispatch(Change("one", 0))

            async def work() -> None:
                for _ in range(each):
                    await db.commands.dispatch(Change("one", 1))

            gc.collect()
            begin = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(dispatchers)))
            seconds = time.perf_counter() - begin
            check(await db.repository(Asked).fetch("one"), dispatchers * each)
        return dispatchers * each / seconds

    return asyncio.run(run())


def accepted(path: Path, count: int, driver: str) -> float:
    """Accepted commands that a worker does, per second."""
    with goes.blocking.connect(path, driver=driver) as db:
        db.commands.serve(Asked)
        ids = [db.commands.dispatch_async(Change(str(number % 10), 1)) for number in range(count)]
        begin = time.perf_counter()
        with db.commands.worker():
            db.commands.outcome(ids[-1])
        return count / (time.perf_counter() - begin)


def check(account: Asked, total: int) -> None:
    """Every command counted, in versions without a gap."""
    assert (account.total, account.version) == (total, total + 1), account


def peer(script: Path, python: str, scenario: str, count: int, *options: str) -> float:
    """Events per second of one of the peer's scenarios."""
    command = [python, str(script), "--scenario", scenario, "--backend", "sqlite", "--n", str(count), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return float(found["events_per_s"])


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=2_000)
    parser.add_argument("--dispatchers", type=int, default=64)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--driver", default="apsw", choices=["apsw", "sqlite3"])
    parser.add_argument("--peer", type=Path, help="the scenarios of the peer, to be run alternately")
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has the peer installed")
    parser.add_argument("--peer-contended", type=int, default=640, help="how many contended commands the peer does")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    print(f"{arguments.driver}, FULL, {time.strftime('%Y-%m-%d')}; commands/s")
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory() as name:
            folder, driver = Path(name), arguments.driver
            one = one_after_another(folder / "1.db", arguments.commands, driver)
            figures = {
                "one after another": one,
                "one after another, once": one_after_another(folder / "2.db", arguments.commands, driver, once=True),
                "contended, threads": by_threads(folder / "3.db", arguments.dispatchers, arguments.each, driver),
                "contended, tasks": by_tasks(folder / "4.db", arguments.dispatchers, arguments.each, driver),
                "accepted, by a worker": accepted(folder / "5.db", arguments.commands // 4, driver),
            }
            if arguments.peer is not None:
                theirs = peer(arguments.peer, arguments.peer_python, "command", arguments.commands)
                writers = "--writers", str(arguments.dispatchers)
                worst = peer(
                    arguments.peer, arguments.peer_python, "writers_contended", arguments.peer_contended, *writers
                )
                figures |= {
                    "peer, one after another": theirs,
                    "peer, contended": worst,
                    "ratio, one after another": one / theirs,
                    "ratio, contended, threads": figures["contended, threads"] / worst,
                    "ratio, contended, tasks": figures["contended, tasks"] / worst,
                }
        for what, value in figures.items():
            found.setdefault(what, []).append(value)
            print(f"  {what}: {value:,.1f}", flush=True)
    print("medians")
    for what, values in found.items():
        print(f"  {what}: {statistics.median(values):,.1f} ({min(values):,.1f}–{max(values):,.1f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
