"""Time that passes only when a test says so.

Rule of this file: a waiter counts as waiting until it is woken, not until it runs. So a test that published or advanced,
and then waits for a waiter, sees the code under test at its *next* wait.
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

from goes_lite.errors import ConfigError, DecodeError, InvalidEventError
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.runtime import InlineRuntime, LoopRuntime, Runtime, Signal, drive

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PATIENCE = 10.0

TICKS = 2**26
"""Ticks of `monotonic` per second: a power of two, so that times in ticks, and their sums, are exact as floats. Each
advance is rounded up to whole ticks. So rounding never leaves a wait until `monotonic() + 0.2` just short of its end."""


class _Waiter(NamedTuple):
    """A waiter and its deadline by `monotonic`; `inf` means no limit."""

    number: int
    deadline: float
    wake: Callable[[], None]


class FakeClock:
    """A clock that stands still until it is advanced, which wakes the waiters whose time has come.

        clock = FakeClock()
        async with goes.connect("sqlite:///:memory:", clock=clock) as db:
            ...
            await clock.until_waiting()
            clock.advance(30)

    Every handle that is opened with it uses it for all pauses, time limits and leases. It may be used from any thread and
    event loop, and by any number of handles. `start` is the initial time of day, an aware datetime, by default the
    beginning of 2026; `monotonic` begins at 0. Raises ConfigError unless `start` is an aware datetime.
    """

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.RLock()  # garbage collection may end or wake a waiter at any point
        self._micros = _micros("start", start)
        self._ticks = 0
        self._numbers = count()
        self._waiting: dict[int, _Waiter] = {}
        self.changed = Signal()
        """A signal that is notified whenever a waiter begins or stops waiting."""

    def now(self) -> datetime:
        """Return the time of day: aware, UTC, to the microsecond."""
        return from_micros(self._micros)

    def monotonic(self) -> float:
        """Return the number of seconds advanced so far."""
        return self._ticks / TICKS

    def advance(self, seconds: float) -> None:
        """Advance the time, and wake the waiters whose deadline has passed, in the order of the deadlines.

        It is a single step: all woken waiters see its end, and new waits start from there. It does not wait for the woken
        waiters to run. Raises ConfigError unless `seconds` is a number ≥ 0 that stays within the year 9999.
        """
        if not (isinstance(seconds, (int, float)) and seconds >= 0):
            raise ConfigError(
                f"advance({seconds!r:.80}): must be a number of seconds ≥ 0; set() can turn the time back"
            )
        with self._lock:
            try:
                micros = self._micros + round(seconds * 1_000_000)
                from_micros(micros)
            except (OverflowError, DecodeError):
                raise ConfigError(f"advance({seconds!r}) goes from {self.now()} beyond the year 9999") from None
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
        """Set the time of day forward or back, as people and time servers do, without effect on `monotonic` or waiters.

        Raises ConfigError unless it is an aware datetime.
        """
        micros = _micros("time", time)
        with self._lock:
            self._micros = micros

    @property
    def waiters(self) -> tuple[float | None, ...]:
        """The seconds that each current waiter still has to wait, shortest first; None without a limit.

        To the microsecond. A waiter that has been woken is not included, even if it has not run yet.
        """
        with self._lock:
            now = self.monotonic()
            deadlines = sorted([waiter.deadline for waiter in list(self._waiting.values())])
        return tuple(None if deadline == math.inf else round(deadline - now, 6) for deadline in deadlines)

    async def until_waiting(self, n: int = 1, *, patience: float = PATIENCE) -> None:
        """Wait on an event loop until there are at least `n` waiters. AssertionError after `patience` real seconds."""
        await self._until_waiting(LoopRuntime(), n, patience)

    def block_until_waiting(self, n: int = 1, *, patience: float = PATIENCE) -> None:
        """Do the same in a blocking program, where the waiters are other threads."""
        drive(self._until_waiting(InlineRuntime(), n, patience))

    async def _until_waiting(self, runtime: Runtime, n: int, patience: float) -> None:
        end = time.monotonic() + patience
        while True:
            seen = self.changed.count
            if len(self._waiting) >= n:
                return
            if not await runtime.wait(self.changed, seen, end - time.monotonic()):
                raise AssertionError(f"after {patience:g} s, {self!r} has fewer than {n} waiters: {self.waiters}")

    @contextmanager
    def waking(self, signal: Signal, seen: int, timeout: float | None, wake: Callable[[], None]) -> Generator[None]:
        """Wake a runtime's waiter; see `goes_lite.runtime.DrivenClock`."""
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
