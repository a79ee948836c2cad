"""SQLite on each face and driver, for what only SQLite promises: coroutine tests that are run like the rules of the suites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from goes_lite_conformance.harness.faces import awaited
from goes_lite_conformance.harness.samples import registry

from goes_lite import blocking, connect
from goes_lite.database import Database
from goes_lite.runtime import drive


class Place(NamedTuple):
    """A storage, and the face through which a test works on it."""

    face: str
    """async, blocking (inline) or loop (blocking, over a loop thread)."""
    driver: str
    path: str
    """':memory:' is in memory."""

    @property
    def memory(self) -> bool:
        return self.path == ":memory:"

    def open(self, **options: Any) -> AbstractAsyncContextManager[Database]:
        """A handle on it, through the face."""
        settings: dict[str, Any] = {"driver": self.driver, "registry": registry, **options}
        if not self.memory:
            settings.setdefault("durability", "normal")
        if self.face == "async":
            return connect(self.path, **settings)
        return _opened(self.path, inline=self.face == "blocking", **settings)

    def run(self, test: Coroutine[Any, Any, Any]) -> None:
        """Run a test to its end."""
        if self.face == "async":
            asyncio.run(test)
        else:
            drive(test)


@asynccontextmanager
async def _opened(path: str, **settings: Any) -> AsyncGenerator[Database]:
    with blocking.connect(path, **settings) as db:
        yield awaited(db)
