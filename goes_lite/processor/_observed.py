"""What a processor tells of itself: how far it has come, and in what state it is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from goes_lite.contract.commits import check_wait
from goes_lite.contract.event_store import check_position
from goes_lite.errors import ProcessorBehind
from goes_lite.events.query import EventQuery
from goes_lite.processor._requests import Requestable
from goes_lite.processor._stats import State, Stats, stats_of
from goes_lite.processor.held_lease import HeldLease
from goes_lite.processor.records import requests
from goes_lite.runtime import Signal


class Observed(Requestable):
    """A processor, as those see it who wait for it."""

    query: EventQuery
    error: Exception | None
    _state: State
    _held: HeldLease | None
    _position: int
    _handled: int
    _handled_before: int
    _since: float
    _waiters: set[Signal]

    async def wait_for(self, position: int, timeout: float | None = None) -> None:
        """Wait until everything up to the position is handled, by any instance in any process.

        For read-your-writes: `await processor.wait_for((await db.events.append(…)).position)`. ProcessorBehind after
        `timeout` seconds; if this instance failed, its error is raised. InvalidQueryError for an invalid argument.
        """
        check_position("position", position)
        timeout = check_wait(0, timeout)
        clock = self.backend.runtime.clock
        deadline = None if timeout is None else clock.monotonic() + timeout
        changed = Signal()
        with self.backend.commits.watch(changed), self._waiting(changed):
            while True:
                seen = changed.count
                reached = await self._reached()
                if reached >= position:
                    return
                if self._state == "failed" and self.error is not None:
                    raise self.error
                left = None if deadline is None else deadline - clock.monotonic()
                if left is not None and left <= 0:
                    raise ProcessorBehind(self.name, position, reached)
                await self.backend.runtime.wait(changed, seen, left)

    @contextmanager
    def _waiting(self, signal: Signal) -> Generator[None]:
        self._waiters.add(signal)
        try:
            yield
        finally:
            self._waiters.discard(signal)

    def _tell(self) -> None:
        """Wake those who wait for a position."""
        for waiter in tuple(self._waiters):
            waiter.notify()

    async def _reached(self) -> int:
        """Return the position that the active instance has reached; 0 while a requested reset is still to be done."""
        asked = await requests(self.backend.models, self.backend.runtime).find(self.name)
        if asked is not None and asked.resets > asked.reset:
            return 0
        checkpoint = await self.backend.checkpoints.get(self.name)
        return max(checkpoint.position if checkpoint else 0, self._position if self._held else 0)

    async def stats(self) -> Stats:
        """Return its state and progress, as known to this instance."""
        stats = await stats_of(self.backend, self.name, self.query)
        position = max(stats.position, self._position) if self._held else stats.position
        elapsed = self.backend.runtime.clock.monotonic() - self._since
        rate = (self._handled - self._handled_before) / elapsed if self._held and elapsed > 0 else 0.0
        return stats._replace(
            state=self._state, position=position, lag=max(0, stats.head - position),
            lag_seconds=stats.lag_seconds if position < stats.head else 0.0, rate=rate, handled=self._handled,
            error=self.error,
        )  # fmt: skip
