"""Where a bench has its stores: fresh files of one driver, or fresh storages beside the one that a URL names."""

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
"""What other processes put on their path, to find goes_lite and the benches."""


class Bench:
    """Where the stores are, with which driver, how often to measure, and how much (`scale` times what is usual)."""

    def __init__(self, folder: Path, driver: str, repeat: int, scale: float = 1.0, url: str = "") -> None:
        self.folder = folder
        self.driver = driver
        self.repeat = repeat
        self.scale = scale
        self.url = url
        self._made = 0

    def path(self) -> Path:
        """Of a file that is not there yet."""
        self._made += 1
        return self.folder / f"bench-{self._made}.db"

    def times(self, count: int) -> int:
        """So many, at this scale."""
        return max(10, int(count * self.scale))

    def fresh(self) -> Any:
        """What to connect to for a store of its own: a path, or a URL."""
        if not self.url:
            return self.path()
        from goes_lite_conformance import by_url  # needs pytest, and only a URL needs it

        self._made += 1
        return by_url.beside(self.url, f"bench{self._made}")

    def options(self, durability: str = "full") -> dict[str, Any]:
        """The options to connect with."""
        return {} if self.url else {"driver": self.driver, "durability": durability}

    @contextmanager
    def blocking(self, at: Any = None, durability: str = "full") -> Generator[BlockingDatabase]:
        """A handle on the store, a fresh one unless it is named."""
        with goes.blocking.connect(at or self.fresh(), **self.options(durability)) as db:
            yield db

    def connect(self, at: Any = None, durability: str = "full") -> AbstractAsyncContextManager[goes.Database]:
        """The same, on the async face."""
        return goes.connect(at or self.fresh(), **self.options(durability))

    def fill(self, at: Any, aggregates: int, size: int) -> Any:
        """Put so many aggregates of so many events there."""
        with self.blocking(at, "normal") as db:
            for start in range(0, aggregates, 100):
                db.events.append([e for n in range(start, min(start + 100, aggregates)) for e in events(f"a{n}", size)])
        return at


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, with nothing left over to be collected meanwhile."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
