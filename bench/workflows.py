"""How many inputs per second workflows are told on one file at full durability, and what timers and long lives cost.

    python bench/workflows.py [--inputs 20000] [--timers 100000] [--instances 10000] [--long 100000] [--url sqlite:///…]

Prints a line for each measurement. Runs in a temporary folder; nothing else should be running on the machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.events.registry import Registry

registry = Registry()


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int


@registry.event("order.paid")
@dataclass(frozen=True)
class Paid:
    total: int


@registry.event("order.shipped")
@dataclass(frozen=True)
class Shipped:
    parcel: str


@registry.event("order.noted")
@dataclass(frozen=True)
class Noted:
    number: int


@registry.commands.event("charge")
@dataclass(frozen=True)
class Charge:
    order: str
    total: int


@registry.commands.event("ship")
@dataclass(frozen=True)
class Ship:
    order: str


@dataclass(frozen=True)
class Progress:
    order: str = ""
    total: int = 0
    notes: int = 0


class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
    """Three steps: placed, paid, shipped; two commands and a timer that is cancelled."""

    def initial(self, key: str) -> Progress:
        return Progress(key)

    @goes.evolves(Placed)
    def total(self, state: Progress, event: goes.Event[Placed]) -> Progress:
        return replace(state, total=event.data.total)

    @goes.evolves(Noted)
    def note(self, state: Progress, event: goes.Event[Noted]) -> Progress:
        return replace(state, notes=state.notes + 1)

    @goes.starts(Placed)
    def placed(self, state: Progress, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
        yield goes.Dispatch(Charge(state.order, state.total))
        yield goes.SetTimer("payment", after=timedelta(days=900))

    @goes.reacts(Paid)
    def paid(self, state: Progress, event: goes.Event[Paid]) -> Iterable[goes.Effect]:
        yield goes.CancelTimer("payment")
        yield goes.Dispatch(Ship(state.order))

    @goes.reacts(Shipped)
    def shipped(self, state: Progress, event: goes.Event[Shipped]) -> Iterable[goes.Effect]:
        yield goes.Complete()

    @goes.reacts(Noted)
    def noted(self, state: Progress, event: goes.Event[Noted]) -> None: ...

    @goes.on_timer("payment")
    def late(self, state: Progress, timer: goes.TimerFired) -> Iterable[goes.Effect]:
        yield goes.Fail("late")


@contextmanager
def store(url: str) -> Generator[BlockingDatabase]:
    with (
        tempfile.TemporaryDirectory(prefix="goes-bench-") as folder,
        connect(url or str(Path(folder) / "app.db"), registry=registry) as db,
    ):
        yield db


def append(db: BlockingDatabase, events: list[goes.Event[Any]]) -> None:
    for begin in range(0, len(events), 2000):
        db.events.append(events[begin : begin + 2000])


def event(data: Any, order: int, version: int) -> goes.Event[Any]:
    return goes.Event(data, aggregate=("order", str(order)), version=version, registry=registry)


def throughput(url: str, inputs: int) -> None:
    """Orders of three steps, placed, paid and shipped in turns, as many at a time as a batch holds."""
    orders = max(1, inputs // 3)
    with store(url) as db:
        events: list[goes.Event[Any]] = []
        for begin in range(0, orders, 200):
            some = range(begin, min(orders, begin + 200))
            for version, data in enumerate((Placed(5), Paid(5), Shipped("p")), start=1):
                events += [event(data, order, version) for order in some]
        append(db, events)
        flow = db.workflow(Fulfilment())
        began, busy = time.perf_counter(), time.process_time()
        flow.catch_up()
        took, busy = time.perf_counter() - began, time.process_time() - busy
        completed = len(db.workflows.list(Fulfilment, status="completed"))
        assert completed == orders, f"{completed} of {orders} orders are completed"
        print(f"{len(events) / took:9,.0f} inputs/s  {orders:,} instances of three steps, durability {db.durability}")
        print(f"{len(events) / busy:9,.0f} inputs/s  of CPU time, were the machine its own")


def many_timers(url: str, timers: int) -> None:
    """How long it takes to find what is due among many timers that are not."""
    with store(url) as db:
        append(db, [event(Placed(5), order, 1) for order in range(timers)])
        db.workflow(Fulfilment()).catch_up()
        chores: Any = db.database.workflow(Fulfilment()).chores
        found: list[float] = []
        for _ in range(20):
            began = time.perf_counter()
            db._portal.run(chores.do(None))
            found.append(time.perf_counter() - began)
        print(f"{sorted(found)[10] * 1000:9.3f} ms        to see that none of {timers:,} timers is due (median of 20)")


def one_that_fails(url: str, instances: int) -> None:
    """How long an input of every instance takes, before and after one of them began to fail at every attempt."""

    class Broken(Fulfilment, name="fulfilment"):
        broken = False

        def noted(self, state: Progress, event: goes.Event[Noted]) -> None:
            if self.broken and state.order == "5":
                raise RuntimeError("out of order")

    with store(url) as db:
        append(db, [event(Placed(5), order, 1) for order in range(instances)])
        broken = Broken()
        flow = db.workflow(broken)
        flow.catch_up()
        took: list[float] = []
        for version in range(2, 6):
            broken.broken = version > 3
            append(db, [event(Noted(version), order, version) for order in range(instances)])
            began = time.process_time()
            flow.catch_up()
            took.append(time.process_time() - began)
        (stuck,) = db.workflows.stuck()
        assert stuck.key == "5"
        print(
            f"{min(took[2:]) / min(took[:2]):9.2f} times     the CPU time for an input of each of {instances:,} instances, "
            "if one always fails"
        )


def one_instance(url: str, inputs: int) -> None:
    """How the cost of an input grows with the life of an instance."""
    with store(url) as db:
        append(db, [event(Placed(5), 1, 1)])
        flow = db.workflow(Fulfilment())
        flow.catch_up()
        rates: list[float] = []
        parts = 10
        for part in range(parts):
            first = 2 + part * (inputs // parts)
            append(db, [event(Noted(n), 1, n) for n in range(first, first + inputs // parts)])
            began = time.perf_counter()
            flow.catch_up()
            rates.append(inputs // parts / (time.perf_counter() - began))
        began = time.perf_counter()
        found = db.workflows.find(Fulfilment, "1")
        loading = time.perf_counter() - began
        assert found is not None
        assert found.inputs == inputs + 1, found.inputs
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{rates[0]:9,.0f} inputs/s  for the first tenth of {inputs:,} of one instance, {rates[-1]:,.0f} for the last; "
            f"loading it takes {loading * 1000:.2f} ms, memory at most {memory:,.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--timers", type=int, default=100_000)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--long", type=int, default=100_000)
    parser.add_argument("--url", default="")
    arguments = parser.parse_args()
    throughput(arguments.url, arguments.inputs)
    many_timers(arguments.url, arguments.timers)
    one_that_fails(arguments.url, arguments.instances)
    one_instance(arguments.url, arguments.long)


if __name__ == "__main__":
    main()
