"""The same work by another library, alternating, each time on a fresh store: `python bench/peers.py --script FILE`.

`--script` is the file with the peer's scenarios, such as those in bench/peer/, and `--python` a Python that has the peer
installed. A scenario prints one JSON object with `events_per_s`, or the latency `p50_ms`, or the reason why the peer cannot do
it as `unsupported`. A peer that fails has its error in its row, and the others go on. Our side does the same work on the
level of an application: events are made, encoded and stored; aggregates are loaded and decide; everything that is read is
decoded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import commands, flows, project
from bench.domain import NOTE, Account, Totals
from bench.place import Bench, seconds
from bench.table import HEADER, Row, save

Measure = Callable[[Bench, int], float]

PATIENCE = 600
"""Seconds after which a peer's scenario is given up."""


class Scenario(NamedTuple):
    """One row: the peer's scenario, the number of events, our measurement of the same, and the budget."""

    title: str
    theirs: str
    events: int
    ours: Measure
    budget: float | None
    backend: str = "sqlite"
    ours_events: int = 0
    """The number of events on our side, if the peer's number is too small to be timed."""
    options: tuple[str, ...] = ()


def save_new(accounts: Any, events: int = 1) -> None:
    """Save a new aggregate with this number of events."""
    account = Account()
    for _ in range(events):
        account.change(1)
    accounts.save(account)


def append_single(bench: Bench, count: int, durability: str = "full") -> float:
    """Save new aggregates of one event each, one by one."""
    with bench.blocking(durability=durability) as db:
        accounts = db.repository(Account)

        def work() -> None:
            for _ in range(count):
                save_new(accounts)

        save_new(accounts)
        return count / seconds(work)


def append_batch(bench: Bench, count: int) -> float:
    """Record and save new aggregates of a hundred events each."""
    with bench.blocking() as db:
        accounts = db.repository(Account)

        def work() -> None:
            for _ in range(count // 100):
                save_new(accounts, 100)

        return count / seconds(work)


def command(bench: Bench, count: int) -> float:
    """Load, record one event, save; round robin over ten cached aggregates."""
    with bench.blocking() as db:
        accounts = db.repository(Account, cache=10)
        for number in range(10):
            accounts.use(str(number), lambda account: account.change(1), create=True)

        def work() -> None:
            for number in range(count):
                accounts.use(str(number % 10), lambda account: account.change(1))

        return count / seconds(work)


def dispatched(bench: Bench, count: int) -> float:
    """Do the same with typed commands on the bus, with their context in the metadata."""
    return commands.one_after_another(bench.path(), count, bench.driver)


def load(bench: Bench, count: int) -> float:
    """Load one aggregate from all of its events, twenty times."""
    with bench.blocking() as db:
        accounts = db.repository(Account)
        account = Account("one")
        for _ in range(count):
            account.change(1)
        accounts.save(account)
        accounts.fetch("one")

        def work() -> None:
            for _ in range(20):
                accounts.fetch("one")

        return 20 * count / seconds(work)


def log_read(bench: Bench, count: int) -> float:
    """Read the whole log as events with their data."""
    at = bench.fill(bench.path(), count // 10, 10)
    with bench.blocking(at) as db:

        def work() -> None:
            for event in db.events.query():
                event.data  # noqa: B018

        next(iter(db.events.query()))
        return count / seconds(work)


def writers(bench: Bench, count: int) -> float:
    """Save new aggregates of one event in four threads on one handle."""
    with bench.blocking() as db:
        accounts = db.repository(Account)
        barrier = threading.Barrier(5)

        def save_all() -> None:
            barrier.wait()
            for _ in range(count // 4):
                save_new(accounts)

        threads = [threading.Thread(target=save_all) for _ in range(4)]
        for thread in threads:
            thread.start()

        def work() -> None:
            barrier.wait()
            for thread in threads:
                thread.join()

        return count / seconds(work)


def contended(bench: Bench, count: int) -> float:
    """Change one aggregate in sixty-four threads."""
    return commands.by_threads(bench.path(), 64, count // 64, bench.driver)


def projection(bench: Bench, count: int) -> float:
    """Project a counter per event name, with its checkpoint, from the beginning of an existing log."""
    return project.catch_up(bench.fill(bench.path(), count // 10, 10), Totals(), bench.driver)


def follow(bench: Bench, count: int) -> float:
    """Return the median milliseconds from the call of save until a follower in another thread has the event."""
    with bench.blocking() as db:
        accounts = db.repository(Account)
        save_new(accounts)
        seen: list[float] = []
        arrived = threading.Semaphore(0)

        def consume() -> None:
            for _ in zip(range(count), db.events.follow(after=1), strict=False):
                seen.append(time.perf_counter())
                arrived.release()

        thread = threading.Thread(target=consume)
        thread.start()
        begun: list[float] = []
        for _ in range(count):
            begun.append(time.perf_counter())
            save_new(accounts)
            arrived.acquire()
        thread.join()
    return 1000 * statistics.median(there - here for here, there in zip(begun, seen, strict=True))


def workflow_one_by_one(bench: Bench, count: int) -> float:
    """Complete workflows of three steps, each begun when the one before has ended."""
    return flows.one_by_one(bench.path(), count, bench.driver)


def workflow_many(bench: Bench, count: int) -> float:
    """Complete workflows of three steps, all begun at once."""
    return flows.many(bench.path(), count, bench.driver)


def append_single_normal(bench: Bench, count: int) -> float:
    """Do the same without an fsync for each event."""
    return append_single(bench, count, "normal")


SCENARIOS: dict[str, Scenario] = {
    "append_single": Scenario("append one by one, FULL", "append_single", 2_000, append_single, 1.2),
    "append_single_normal": Scenario(
        "append one by one, NORMAL", "append_single", 2_000, append_single_normal, 2.0, "sqlite-syncnormal", 10_000
    ),
    "append_batch": Scenario("append in batches of 100", "append_batch", 10_000, append_batch, 1.5, ours_events=40_000),
    "command": Scenario("command: load, one event, save (2,000 over 10 aggregates)", "command", 2_000, command, 8.0),
    "command_5000": Scenario(
        "the same, 5,000 over 10 aggregates: longer histories", "command", 5_000, command, 8.0
    ),
    "dispatch": Scenario("command, through the command bus (2,000)", "command", 2_000, dispatched, None),
    "load": Scenario("load one aggregate of 1,000 events", "load", 1_000, load, 8.0),
    "log_read_domain": Scenario("read the log as domain events", "log_read_domain", 10_000, log_read, 3.0, ours_events=50_000),
    "writers_threads": Scenario("4 threads append one by one", "writers_threads", 2_000, writers, 3.0),
    "writers_contended": Scenario(
        "64 threads want one aggregate", "writers_contended", 640, contended, 50.0, ours_events=6_400,
        options=("--writers", "64"),
    ),
    "projection_pull": Scenario("projection, from the beginning", "projection_pull", 2_000, projection, 20.0, ours_events=50_000),
    "follow": Scenario("save → seen by a follower in another thread", "poll_latency", 300, follow, 2.0),
    "workflow": Scenario(
        "workflows of three steps, one after another", "workflow_one_by_one", 100, workflow_one_by_one, None
    ),
    "workflows": Scenario("workflows of three steps, all at once", "workflow_many", 200, workflow_many, None),
}  # fmt: skip


class Failed(Exception):
    """The peer has no figure, for this reason."""


def theirs(script: Path, python: str, scenario: Scenario, folder: Path) -> float:
    """Run the peer's scenario and return its events per second, or its median latency in milliseconds; Failed."""
    command = [
        python, str(script), "--scenario", scenario.theirs, "--backend", scenario.backend, "--n", str(scenario.events),
        "--payload", str(len(NOTE)), "--dir", str(folder), *scenario.options,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {PATIENCE} s") from None
    said = done.stdout.splitlines()
    try:
        found: dict[str, Any] = json.loads(said[-1])
        return float(found["p50_ms" if "latency" in scenario.theirs else "events_per_s"])
    except (IndexError, ValueError, KeyError, TypeError):
        pass
    try:
        why = json.loads(said[-1])
        raise Failed(str(why.get("unsupported") or why["error"]))
    except (IndexError, ValueError, KeyError, TypeError, AttributeError):
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise Failed(f"failed with exit code {done.returncode}: {last:.120}") from None


def main() -> int:
    """Print both sides and their ratio, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(SCENARIOS)}")
    parser.add_argument("--script", type=Path, required=True, help="the file with the peer's scenarios")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peer installed")
    parser.add_argument("--title", default="the peer", help="what the peer is called in the stored figures")
    parser.add_argument("--driver", default="apsw", choices=["apsw", "sqlite3"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every repeat")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    print(HEADER)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.driver, arguments.repeat)
        for key in arguments.names or SCENARIOS:
            scenario = SCENARIOS[key]
            unit: Any = "ms" if "latency" in scenario.theirs else "/s"
            row = Row(scenario.title, unit, [], [], scenario.budget)
            for _ in range(arguments.repeat):
                row.ours.append(scenario.ours(bench, scenario.ours_events or scenario.events))
                if row.note:
                    continue
                try:
                    row.limit.append(theirs(arguments.script, arguments.python, scenario, bench.folder))
                except Failed as why:
                    row = row._replace(limit=[], note=str(why).replace("|", "/"))
            print(row, flush=True)
            rows.append(row)
    if arguments.json:
        save(arguments.json, f"Against {arguments.title}, {arguments.driver}", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
