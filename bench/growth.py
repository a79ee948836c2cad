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
from typing import Any

import goes_lite as goes
from bench.domain import NOTE, Account, Changed, Closed, Totals, events
from bench.place import ROOT, Bench, seconds
from bench.project import catch_up
from bench.table import Series, Unit
from goes_lite.blocking import operations

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
USUAL = 1_000_000
"""The longest log at the scale 1."""
LENGTH = 10
"""Events of an aggregate, which have all the tag of its customer; one aggregate in RARE ends with a rare event."""
CUSTOMER = 5
"""Aggregates of a customer."""
RARE = 1_000

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
        print(f"{size:>12,} events: {name}: {value:,.4g} {unit}", file=sys.stderr, flush=True)

    for size in sizes:
        filled = _fill(bench, bench.fresh(), size)
        chance = random.Random(size)
        if not bench.url:
            note("file, per event", "bytes", size, os.path.getsize(filled) / size)
        for _ in range(bench.repeat):
            # the appends below lengthen a short log; a store on a server is not copied
            at = filled if bench.url else Path(shutil.copy(filled, bench.path()))
            for name, unit, budget, measure in COSTS:
                note(name, unit, size, measure(bench, at, size, chance), budget)
            for name, measure in PASSES:
                note(name, "/s", size, measure(bench, at, size, chance), RATE)
            for what in ("scan", "project") if sys.platform == "linux" and not bench.url else ():
                note(f"memory above start: {what} the whole log", "MiB", size, _memory(bench, at, what))
            if not bench.url:
                at.unlink()
        if not bench.url:
            filled.unlink()
    return [*made.values()]


def _fill(bench: Bench, at: Any, size: int) -> Any:
    """Fill a store with accounts whose events have tags."""
    with bench.blocking(at, "normal") as db:
        accounts = size // LENGTH
        for start in range(0, accounts, 100):
            db.events.append([e for n in range(start, min(start + 100, accounts)) for e in _account(n)])
    return at


def _account(number: int) -> list[goes.Event[Any]]:
    ref, tags = goes.AggregateRef("account", f"a{number}"), [_tag(number)]
    data: list[Changed | Closed] = [Changed(n, NOTE) for n in range(LENGTH)]
    if number % RARE == 0:
        data[-1] = Closed()
    return [goes.Event(one, aggregate=ref, version=n, tags=tags) for n, one in enumerate(data, start=1)]


def _tag(account: int) -> str:
    return f"customer:{account // CUSTOMER}"


def _memory(bench: Bench, at: Path, what: str) -> float:
    code = _READER.format(root=str(ROOT), at=str(at), driver=bench.driver, what=what)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return max(float(done.stdout), 0.01)


def _open(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    def work() -> None:
        with bench.blocking(at) as db:
            assert db.events.head() >= size

    work()
    return 1000 * min(seconds(work) for _ in range(5))


def _append_new(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at, "normal") as db:
        return _each(lambda: db.events.append(events(str(goes.new_id()), 1)))


def _append_any(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
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


def _fetch(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        accounts = db.repository(Account)
        return _each(lambda: accounts.fetch(f"a{chance.randrange(size // 10)}"))


def _query_last(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(lambda: list(db.events.query(after=db.events.head() - 100)))


def _query_one(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(
            lambda: list(db.events.query(goes.EventQuery(aggregates=[("account", f"a{chance.randrange(size // 10)}")])))
        )


def _follow(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(lambda: list(islice(db.events.follow(after=db.events.head() - 100), 100))) / 1000


def _query_tag(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(lambda: list(db.events.query(goes.EventQuery(tags=[_any_tag(size, chance)]))))


def _query_rare(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    query = goes.EventQuery(["account.closed"])
    with bench.blocking(at) as db:
        return _each(lambda: list(db.events.query(query, limit=1)))


def _decide(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    """Append on the condition that nothing new has the customer's tag."""
    with bench.blocking(at, "normal") as db:

        def work() -> None:
            tag = _any_tag(size, chance)
            event = goes.Event(Changed(1, NOTE), tags=[tag])
            condition = goes.AppendCondition(goes.EventQuery(tags=[tag]), after=db.events.head())
            db.events.append([event], condition=condition)

        return _each(work)


def _count_tag(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(lambda: db.events.count(goes.EventQuery(tags=[_any_tag(size, chance)])))


def _count(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return _each(db.events.count, 5) / 1000


def _page_of_aggregates(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:

        def work() -> None:
            after = goes.AggregateRef("account", f"a{chance.randrange(size // LENGTH)}")
            list(db.events.aggregates("account", after=after, limit=100))

        return _each(work)


def _any_tag(size: int, chance: random.Random) -> str:
    return _tag(chance.randrange(size // LENGTH))


def _projection(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    if not bench.url:
        return catch_up(at, Totals(), bench.driver)
    with bench.blocking(at) as db:
        processor = db.projection(Totals())
        processor.reset()
        return size / seconds(processor.catch_up)


def _backup(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    target = bench.path()
    with bench.blocking(at) as db:
        took = seconds(lambda: operations.backup(db, target))
    target.unlink()
    return size / took


def _verify(bench: Bench, at: Any, size: int, chance: random.Random) -> float:
    with bench.blocking(at) as db:
        return size / seconds(lambda: operations.verify(db))


_TIMES = 200


def _each(work: Callable[[], object], times: int = _TIMES) -> float:
    """Return the microseconds of one call: the median of many, as the few that wait for a disk dominate the mean."""
    work()
    found: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return 1e6 * sorted(found)[times // 2]


Cost = Callable[[Bench, Any, int, random.Random], float]
COSTS: tuple[tuple[str, Unit, float | None, Cost], ...] = (
    ("open, read the head, close", "ms", 1.2, _open),
    ("append one event to a new aggregate, NORMAL", "µs", 1.2, _append_new),
    ("append one event to any aggregate, NORMAL", "µs", None, _append_any),
    ("fetch any 10-event aggregate", "µs", 1.2, _fetch),
    ("query: the last 100 events", "µs", 1.2, _query_last),
    ("query: the events of one aggregate", "µs", 1.2, _query_one),
    ("query: the events of one tag", "µs", 1.3, _query_tag),
    ("query: the first event of a rare name", "µs", 1.3, _query_rare),
    ("append on a condition on a tag, NORMAL", "µs", 1.3, _decide),
    ("count the events of one tag", "µs", 1.3, _count_tag),
    ("count all events", "ms", 1.3, _count),
    ("a page of 100 aggregates", "µs", 1.3, _page_of_aggregates),
    ("follow: catch up with 100 events", "ms", 1.2, _follow),
)
"""What must not grow with the log, and the allowed factor from 10,000 events to the longest log."""

RATE = 1.3
PASSES: tuple[tuple[str, Cost], ...] = (
    ("projection, from the beginning", _projection),
    ("backup", _backup),
    ("verify", _verify),
)
"""What reads the whole log: its rate must not fall."""


def sizes(scale: float) -> tuple[int, ...]:
    """Return the lengths at this scale, always including 10,000, with which the others are compared."""
    return tuple(size for size in SIZES if size <= max(10_000, USUAL * scale))
