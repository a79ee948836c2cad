"""Where a bench has its stores: fresh files of one driver, or fresh stores next to the one that a URL names."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import goes_lite as goes
from bench.domain import events
from goes_lite.blocking import BlockingDatabase

ROOT = Path(__file__).resolve().parent.parent
"""The folder that other processes add to their path, to find goes_lite and the benches."""


class Bench:
    """Where the stores are, the driver, and how often and how much (`scale` times the default) to measure."""

    def __init__(self, folder: Path, driver: str, repeat: int, scale: float = 1.0, url: str = "") -> None:
        self.folder = folder
        self.driver = driver
        self.repeat = repeat
        self.scale = scale
        self.url = url
        self._made = 0

    def path(self) -> Path:
        """Return the path of a file that does not exist yet."""
        self._made += 1
        return self.folder / f"bench-{self._made}.db"

    def times(self, count: int) -> int:
        """Return the count at this scale."""
        return max(10, int(count * self.scale))

    def fresh(self) -> Any:
        """Return the path or URL of a new store."""
        if not self.url:
            return self.path()
        from goes_lite_conformance import by_url  # needs pytest, and only a URL needs it

        self._made += 1
        return by_url.next_to(self.url, f"bench{self._made}")

    def options(self, durability: str = "full") -> dict[str, Any]:
        """Return the options to connect with."""
        return {} if self.url else {"driver": self.driver, "durability": durability}

    @contextmanager
    def blocking(self, at: Any = None, durability: str = "full") -> Generator[BlockingDatabase]:
        """Open a store, by default a new one."""
        with goes.blocking.connect(at or self.fresh(), **self.options(durability)) as db:
            yield db

    def connect(self, at: Any = None, durability: str = "full") -> AbstractAsyncContextManager[goes.Database]:
        """Open a store on the async face."""
        return goes.connect(at or self.fresh(), **self.options(durability))

    def fill(self, at: Any, aggregates: int, size: int) -> Any:
        """Fill a store with this number of aggregates, each with `size` events, and return where it is."""
        with self.blocking(at, "normal") as db:
            for start in range(0, aggregates, 100):
                db.events.append([e for n in range(start, min(start + 100, aggregates)) for e in events(f"a{n}", size)])
        return at


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes, after a garbage collection."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
