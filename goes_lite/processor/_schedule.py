"""When a processor handles what has been appended: as soon as it is there, from time to time, or when it is told to.

Rule of this file: it decides by numbers alone. Times are seconds of a monotonic clock; a *run* handles everything up to
the head. Whatever the schedule says, `Processor.trigger` makes a run, and a late run misses nothing: it is the position
that says what is left, never the time.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from goes_lite.errors import ConfigError


class Pending(NamedTuple):
    """What a schedule decides by."""

    first: float | None
    """When the oldest event that waits to be handled was seen; None if none waits."""
    last: float | None
    """When the newest was seen."""
    ran: float | None
    """When the last run began; None before the first of this life."""


class ProcessorSchedule(Protocol):
    """When to run."""

    @property
    def minds_when(self) -> bool:
        """Whether it depends on `first` and `last`, so that it has to be known when what is to be handled came."""
        ...

    def due(self, pending: Pending, now: float) -> float | None:
        """The time of the next run: `now` or earlier for at once, None for not before something changes."""
        ...


class Continuously:
    """Run as soon as there is something to handle.

    With `debounce`, wait until nothing more came for so many seconds, so that a burst makes one run. A steady stream
    would put that off for ever, so no event ever waits for longer than `max_wait` seconds (by default 10 × `debounce`),
    counted from the oldest one that waits.
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
    """Run every so many seconds, counted from the beginning of the run before; the first one begins at once.

    Runs that were missed, because one took too long or the machine was asleep, are not made up for: one run does it all.
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
    """Run when `Processor.trigger` is called, by this process or by another; with `at_start`, once at the start, too."""

    __slots__ = ("at_start",)
    minds_when = False

    def __init__(self, *, at_start: bool = False) -> None:
        self.at_start = at_start

    def due(self, pending: Pending, now: float) -> float | None:
        return now if self.at_start and pending.ran is None else None

    def __repr__(self) -> str:
        return f"OnDemand(at_start={self.at_start!r})"


def _seconds(what: str, value: float, *, least: float) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value >= least):
        raise ConfigError(f"{what} is a number of seconds ≥ {least:g}, not {value!r:.80}")
    return float(value)
