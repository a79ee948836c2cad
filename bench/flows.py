"""A workflow that is a function of three steps, as a program runs it: begun by an event, its results are in the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase


@goes.event("delivery.ordered")
@dataclass(frozen=True)
class Placed:
    """Begins a delivery."""


def charge(order: str) -> str:
    """Pretend to call another service."""
    return f"charged {order}"


def pack(order: str) -> str:
    """Pretend to call another service."""
    return f"parcel for {order}"


def ship(parcel: str) -> str:
    """Pretend to call another service."""
    return f"shipped {parcel}"


@goes.flow("delivery", starts_with=Placed)
def deliver(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
    """Charge, pack, ship."""
    flow.step("charge", lambda: charge(flow.key))
    parcel = flow.step("pack", lambda: pack(flow.key))
    flow.step("ship", lambda: ship(parcel))


def one_by_one(path: Path, count: int, driver: str) -> float:
    """Return how many per second are completed, if each begins when the one before is completed."""
    return _run(path, count, driver, window=1)


def many(path: Path, count: int, driver: str) -> float:
    """Return how many per second are completed, if all begin at once."""
    return _run(path, count, driver, window=count)


def _run(path: Path, count: int, driver: str, window: int) -> float:
    with goes.blocking.connect(path, driver=driver) as db:
        ended = threading.Semaphore(0)
        with _watched(db, ended), db.workflow(deliver), db.commands.worker():
            _begin(db, ["warm"])
            ended.acquire()
            began = time.perf_counter()
            for first in range(0, count, window):
                _begin(db, [str(number) for number in range(first, min(first + window, count))])
                for _ in range(min(window, count - first)):
                    ended.acquire()
            return count / (time.perf_counter() - began)


def _begin(db: BlockingDatabase, orders: list[str]) -> None:
    db.events.append([goes.Event(Placed(), aggregate=goes.AggregateRef("order", order), version=1) for order in orders])


@contextmanager
def _watched(db: BlockingDatabase, ended: threading.Semaphore) -> Generator[None]:
    """Release the semaphore for each instance that ends, as another part of the program would notice it."""
    events = db.events.follow(goes.EventQuery(names=["goes.workflow.ended"]), after=0)

    def watch() -> None:
        for _ in events:
            ended.release()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        events.close()
        thread.join()
