"""The speed of commands: one after another, contending for one aggregate, counted once, and accepted for later."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import goes_lite as goes
from bench.domain import Account
from bench.place import Bench
from bench.table import Row


@goes.command("account.change")
@dataclass(frozen=True, slots=True)
class Change:
    """Change the balance of an account."""

    account: str
    amount: int


class Asked(Account, name="asked-account"):
    """An account that handles commands."""

    @goes.handles(Change, id="account", create=True)
    def changed(self, command: Change) -> None:
        """Record the change."""
        self.change(command.amount)


def one_after_another(path: Path, count: int, driver: str, *, once: bool = False) -> float:
    """Return the commands per second: load, one event, save; round robin over ten aggregates."""
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
    """Return the commands per second of threads that all change one aggregate."""
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
    """Return the same for tasks on an event loop."""

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
    """Return how many accepted commands a worker handles per second."""
    with goes.blocking.connect(path, driver=driver) as db:
        db.commands.serve(Asked)
        ids = [db.commands.dispatch_async(Change(str(number % 10), 1)) for number in range(count)]
        begin = time.perf_counter()
        with db.commands.worker():
            db.commands.outcome(ids[-1])
        return count / (time.perf_counter() - begin)


def check(account: Asked, total: int) -> None:
    """Assert that every command counted, in versions without a gap."""
    assert (account.total, account.version) == (total, total + 1), account


def measure(bench: Bench) -> list[Row]:
    """Measure commands on the bus at full durability. They have no limit to compare with, only a peer (`peers.py`)."""
    count = bench.times(2_000)
    rows = {
        name: Row(f"commands: {name}", "/s", [], [])
        for name in (
            "one after another",
            "one after another, each counts once",
            "64 threads want one aggregate",
            "64 tasks want one aggregate",
            "accepted, done by a worker",
        )
    }
    for _ in range(bench.repeat):
        found = (
            one_after_another(bench.path(), count, bench.driver),
            one_after_another(bench.path(), count, bench.driver, once=True),
            by_threads(bench.path(), 64, count // 20, bench.driver),
            by_tasks(bench.path(), 64, count // 20, bench.driver),
            accepted(bench.path(), count // 4, bench.driver),
        )
        for row, value in zip(rows.values(), found, strict=True):
            row.ours.append(value)
    return [*rows.values()]
