"""What processors, workers and services have in common on the blocking face: they run, start and stop."""

from __future__ import annotations

from collections.abc import Awaitable
from types import TracebackType
from typing import Protocol, Self

from goes_lite.errors import StoreClosed
from goes_lite.errors.faces import BlockingBlock
from goes_lite.runtime.portal import Portal


class Runs(Protocol):
    """The async object that does the work."""

    async def run(self) -> None: ...
    def start(self) -> Awaitable[None] | None: ...
    async def stop(self, timeout: float | None = None) -> None: ...


class Running(BlockingBlock):
    """Work that runs in the calling thread or in its own. Use it in a `with` block, or with `start` and `stop`."""

    def __init__(self, work: Runs, portal: Portal) -> None:
        self._work = work
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._work)

    def run(self) -> None:
        """Work in the calling thread until `stop` is called from another one, or the handle is closed."""
        closed = self._portal.closed
        try:
            self._portal.run(self._work.run())
        except StoreClosed:
            if closed or not self._portal.closed:
                raise  # otherwise the handle was closed in the meantime, which ends the work

    def start(self) -> None:
        """Start working in a thread of its own."""

        async def start() -> None:  # in the loop's thread, if there is one
            started = self._work.start()
            if started is not None:
                await started

        self._portal.run(start())

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is in progress, then stop; after `timeout` seconds, abandon it. Stopping twice is allowed."""
        if not self._portal.closed:
            self._portal.run(self._work.stop(timeout))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
