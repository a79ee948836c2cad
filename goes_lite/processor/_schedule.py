"""Schedules: when a processor runs. Continuously, periodically, or on demand.

Rule of this file: a schedule decides by numbers alone. Times are seconds of a monotonic clock; a *run* handles everything up
to the head. `Processor.trigger` starts a run whatever the schedule, and a late run misses nothing: the position defines what
is left, not the time.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from goes_lite.errors import ConfigError
from goes_lite.errors.options import check_flag


class Pending(NamedTuple):
    """The input of a schedule."""

    first: float | None
    """When the oldest waiting event was seen; None if none waits."""
    last: float | None
    """When the newest waiting event was seen."""
    ran: float | None
    """When the last run began; None before the first one of this instance."""


class ProcessorSchedule(Protocol):
    """Decides when to run."""

    @property
    def minds_when(self) -> bool:
        """Whether it depends on `first` and `last`, which are tracked only then."""
        ...

    def due(self, pending: Pending, now: float) -> float | None:
        """Return the time of the next run: `now` or earlier to run immediately, None to wait for a change."""
        ...


class Continuously:
    """Run as soon as there is something to handle.

    With `debounce`, wait until no event has arrived for so many seconds, so that a burst causes one run. Since a steady
    stream would postpone that forever, no event waits longer than `max_wait` seconds (by default 10 × `debounce`).
    """

    __slots__ = ("debounce", "max_wait")

    def __init__(self, debounce: float = 0.0, max_wait: float | None = None) -> None:
        self.debounce = _seconds("debounce", debounce, least=0.0)
        self.max_wait = 10 * self.debounce if max_wait is None else _seconds("max_wait", max_wait, least=self.debounce)

    @property
    def minds_when(self) -> bool:
        return self.debounce > 0

    def due(self, pending: Pending, now: float) -> float | None:
        if pending.first is None or pending.last is None:
            return None
        return min(pending.last + self.debounce, pending.first + self.max_wait)

    def __repr__(self) -> str:
        return f"Continuously(debounce={self.debounce!r}, max_wait={self.max_wait!r})"


class Periodically:
    """Run every so many seconds, counted from the start of the previous run; the first run starts immediately.

    Missed runs, because one took too long or the machine was asleep, are not repeated: one run handles everything.
    """

    __slots__ = ("every",)
    minds_when = False

    def __init__(self, every: float) -> None:
        self.every = _seconds("every", every, least=0.001)

    def due(self, pending: Pending, now: float) -> float | None:
        return now if pending.ran is None else pending.ran + self.every

    def __repr__(self) -> str:
        return f"Periodically({self.every!r})"


class OnDemand:
    """Run when `Processor.trigger` is called, in any process; with `at_start`, also once at the start."""

    __slots__ = ("at_start",)
    minds_when = False

    def __init__(self, *, at_start: bool = False) -> None:
        check_flag("at_start", at_start)
        self.at_start = at_start

    def due(self, pending: Pending, now: float) -> float | None:
        return now if self.at_start and pending.ran is None else None

    def __repr__(self) -> str:
        return f"OnDemand(at_start={self.at_start!r})"


def _seconds(what: str, value: float, *, least: float) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value >= least):
        raise ConfigError(f"{what} must be a number of seconds ≥ {least:g}, not {value!r:.80}")
    return float(value)
