"""Cost by the length of the log: it must not grow, except for reading all of it. And the size of a log."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import goes_lite as goes
from bench.domain import Account, Totals, events
from bench.place import ROOT, Bench, seconds
from bench.project import catch_up
from bench.table import Series, Unit

SIZES = (1_000, 10_000, 100_000, 1_000_000)

_READER = """
import sys; sys.path.insert(0, {root!r})
import goes_lite as goes, bench.domain
from bench.domain import Totals
def peak():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
with goes.blocking.connect({at!r}, driver={driver!r}) as db:
    list(db.events.query(limit=1000))
    db.projection(Totals()).reset()
    start = peak()
    if {what!r} == "scan":
        for event in db.events.query():
            event.data
    else:
        with db.projection(Totals()) as processor:
            processor.wait_for(db.events.head())
    print(peak() - start)
"""


def grow(bench: Bench, sizes: tuple[int, ...] = SIZES) -> list[Series]:
    """Measure every cost at every length. There is one aggregate for every ten events."""
    made: dict[str, Series] = {}

    def note(name: str, unit: Unit, size: int, value: float, budget: float | None = None) -> None:
        series = made.setdefault(name, Series(name, unit, {}, budget))
        series.values.setdefault(size, []).append(value)

    for size in sizes:
        filled = bench.fill(bench.path(), size // 10, 10)
        chance = random.Random(size)
        note("file, per event", "bytes", size, os.path.getsize(filled) / size)
        for _ in range(bench.repeat):
            at = Path(shutil.copy(filled, bench.path()))  # the appends below lengthen a short log
            for name, unit, budget, measure in COSTS:
                note(name, unit, size, measure(bench, at, size, chance), budget)
            note("projection, from the beginning", "/s", size, catch_up(at, Totals(), bench.driver))
            for what in ("scan", "project") if sys.platform == "linux" else ():
                note(f"memory above start: {what} the whole log", "MiB", size, _memory(bench, at, what))
            at.unlink()
        filled.unlink()
    return [*made.values()]


def _memory(bench: Bench, at: Path, what: str) -> float:
    code = _READER.format(root=str(ROOT), at=str(at), driver=bench.driver, what=what)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return max(float(done.stdout), 0.01)


def _open(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    def work() -> None:
        with bench.blocking(at) as db:
            assert db.events.head() >= size

    work()
    return 1000 * min(seconds(work) for _ in range(5))


def _append_new(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    with bench.blocking(at, "normal") as db:
        return _each(lambda: db.events.append(events(str(goes.new_id()), 1)))


def _append_any(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    with bench.blocking(at, "normal") as db:
        accounts = db.repository(Account)
        ids = [f"a{number % (size // 10)}" for number in chance.sample(range(max(size // 10, 1000)), _TIMES + 1)]
        versions = {id: accounts.fetch(id).version for id in ids}
        left = iter(ids)

        def work() -> None:
            id = next(left)
            versions[id] += 1
            db.events.append(events(id, 1, first=versions[id]))

        return _each(work)


def _fetch(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        accounts = db.repository(Account)
        return _each(lambda: accounts.fetch(f"a{chance.randrange(size // 10)}"))


def _query_last(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(lambda: list(db.events.query(after=db.events.head() - 100)))


def _query_one(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(
            lambda: list(db.events.query(goes.EventQuery(aggregates=[("account", f"a{chance.randrange(size // 10)}")])))
        )


def _follow(bench: Bench, at: Path, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(lambda: list(islice(db.events.follow(after=db.events.head() - 100), 100))) / 1000


_TIMES = 200


def _each(work: Callable[[], object]) -> float:
    """Return the microseconds of one call: the median of many, as the few that wait for a disk dominate the mean."""
    work()
    found: list[float] = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return 1e6 * sorted(found)[_TIMES // 2]


Cost = Callable[[Bench, Path, int, random.Random], float]
COSTS: tuple[tuple[str, Unit, float | None, Cost], ...] = (
    ("open, read the head, close", "ms", 1.2, _open),
    ("append one event to a new aggregate, NORMAL", "µs", 1.2, _append_new),
    ("append one event to any aggregate, NORMAL", "µs", None, _append_any),
    ("fetch any 10-event aggregate", "µs", 1.2, _fetch),
    ("query: the last 100 events", "µs", 1.2, _query_last),
    ("query: the events of one aggregate", "µs", 1.2, _query_one),
    ("follow: catch up with 100 events", "ms", 1.2, _follow),
)
"""What must not grow with the log, and the allowed factor from 10,000 events to the longest log."""


def sizes(scale: float) -> tuple[int, ...]:
    """Return the lengths at this scale, always including 10,000, with which the others are compared."""
    return tuple(size for size in SIZES if size <= max(10_000, SIZES[-1] * scale))
