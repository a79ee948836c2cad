"""Time that passes when a test says so.

Rule of this file: whoever waits counts as waiting until the moment in which they are woken, not until they run. So a
test that published or advanced, and then waits for somebody to wait, sees the code under test at its *next* wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import count
from typing import NamedTuple

from goes_lite.errors import ConfigError, InvalidEventError
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.runtime import InlineRuntime, LoopRuntime, Runtime, Signal, drive

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PATIENCE = 10.0

TICKS = 2**26
"""Of `monotonic`, per second. Times that are a power of two apart are exact as floats, and so are sums of them; every
advance is rounded up to them. So who waits until `monotonic() + 0.2` is never left short by the rounding of a float."""


class _Waiter(NamedTuple):
    """Somebody who waits, by `monotonic`; `inf` is without limit."""

    number: int
    deadline: float
    wake: Callable[[], None]


class FakeClock:
    """A clock that stands still until it is told to go on; whoever waits for a moment that it reaches is woken.

        clock = FakeClock()
        async with goes.connect("sqlite:///:memory:", clock=clock) as db:
            ...
            await clock.until_waiting()
            clock.advance(30)

    Every handle that is opened with it waits by it and by nothing else: pauses, time limits, leases. It may be used from
    any thread and event loop, and by any number of handles. `start` is the time of day at the beginning, an aware
    datetime, by default the beginning of 2026; `monotonic` begins at 0. ConfigError if `start` is no time.
    """

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.RLock()  # a garbage collection, at any point, may end or wake somebody who waits
        self._micros = _micros("start", start)
        self._ticks = 0
        self._numbers = count()
        self._waiting: dict[int, _Waiter] = {}
        self.changed = Signal()
        """Notified whenever somebody begins to wait, or does so no more."""

    def now(self) -> datetime:
        """The time of day: aware, UTC, to the microsecond."""
        return from_micros(self._micros)

    def monotonic(self) -> float:
        """The seconds that have passed by `advance`."""
        return self._ticks / TICKS

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, at once, and wake whoever waited for a moment in them, by order of the moments.

        It is one step: whoever is woken sees the time at its end, and what begins to wait then waits from there. It does
        not wait for those who are woken. ConfigError unless `seconds` is a number ≥ 0 that leads to no year past 9999.
        """
        if not (isinstance(seconds, (int, float)) and seconds >= 0):
            raise ConfigError(f"advance({seconds!r:.80}): a number of seconds ≥ 0; set() turns the time of day back")
        with self._lock:
            try:
                micros = self._micros + round(seconds * 1_000_000)
                from_micros(micros)
            except OverflowError:
                raise ConfigError(f"advance({seconds!r}) leads from {self.now()} past the year 9999") from None
            self._micros = micros
            self._ticks += math.ceil(seconds * TICKS)
            now = self.monotonic()
            due = [waiter for waiter in list(self._waiting.values()) if waiter.deadline <= now]
            due.sort(key=lambda waiter: waiter.deadline)
            for waiter in due:
                self._waiting.pop(waiter.number, None)
        for waiter in due:
            waiter.wake()
        self.changed.notify()

    def set(self, time: datetime) -> None:
        """Put the time of day forward or back, as people and time servers do; `monotonic` and who waits do not notice.

        ConfigError if it is no aware datetime.
        """
        micros = _micros("time", time)
        with self._lock:
            self._micros = micros

    @property
    def waiters(self) -> tuple[float | None, ...]:
        """For how many seconds more each of those waits who wait just now, the shortest first; None without limit.

        To the microsecond. Whoever has been woken is not in it any more, even if they have not run yet.
        """
        with self._lock:
            now = self.monotonic()
            deadlines = sorted([waiter.deadline for waiter in list(self._waiting.values())])
        return tuple(None if deadline == math.inf else round(deadline - now, 6) for deadline in deadlines)

    async def until_waiting(self, n: int = 1, *, patience: float = PATIENCE) -> None:
        """On an event loop: until at least `n` wait. AssertionError after `patience` seconds of real time."""
        await self._until_waiting(LoopRuntime(), n, patience)

    def block_until_waiting(self, n: int = 1, *, patience: float = PATIENCE) -> None:
        """The same in a blocking program, where it is other threads that wait."""
        drive(self._until_waiting(InlineRuntime(), n, patience))

    async def _until_waiting(self, runtime: Runtime, n: int, patience: float) -> None:
        end = time.monotonic() + patience
        while True:
            seen = self.changed.count
            if len(self._waiting) >= n:
                return
            if not await runtime.wait(self.changed, seen, end - time.monotonic()):
                raise AssertionError(f"after {patience:g} s there are not {n} that wait on {self!r}: {self.waiters}")

    @contextmanager
    def waking(self, signal: Signal, seen: int, timeout: float | None, wake: Callable[[], None]) -> Generator[None]:
        """For runtimes; see `goes_lite.runtime.DrivenClock`."""
        number = next(self._numbers)

        def signalled() -> None:
            self._leave(number)
            wake()

        if (timeout is not None and timeout <= 0) or not signal.call_once(seen, signalled):
            wake()
            yield
            return
        try:
            with self._lock:
                if signal.count == seen:  # else `signalled` is on its way
                    deadline = math.inf if timeout is None else self.monotonic() + timeout
                    self._waiting[number] = _Waiter(number, deadline, wake)
            self.changed.notify()
            yield
        finally:
            signal.forget(signalled)
            self._leave(number)

    def _leave(self, number: int) -> None:
        with self._lock:
            waiter = self._waiting.pop(number, None)
        if waiter is not None:
            self.changed.notify()

    def __repr__(self) -> str:
        return f"<FakeClock {self.now().isoformat()}, {self.monotonic():g} s passed, {len(self._waiting)} waiting>"


def _micros(what: str, time: datetime) -> int:
    try:
        return to_micros(time)
    except InvalidEventError as exc:
        raise ConfigError(f"{what}: {exc}") from None
