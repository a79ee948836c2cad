"""Counts of the events of a log by name and by day, made bit by bit: a request counts a bounded part, the next ones go on.

A log only grows, so what was counted stays true (but for aggregates that are deleted for good): the newest events first,
then what was committed since, then older ones, until everything is counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goes_lite.events.event import time_micros

if TYPE_CHECKING:
    from goes_lite.events.event import Event

EACH = 2_000
"""How many events a request counts: the page stays fast."""
DAY = 86_400_000_000

Read = Callable[[int, int, bool], Sequence["Event[Any]"]]
"""Returns up to EACH events after a position and up to another, from the newest on if the flag is set."""


@dataclass
class Tally:
    """What was counted so far. Any thread may use it."""

    names: Counter[str] = field(default_factory=Counter[str])
    days: Counter[int] = field(default_factory=Counter[int])
    """By the number of the day since 1970 (UTC)."""
    low: int = 0
    """The events after this position were counted …"""
    high: int = 0
    """… and up to this one."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def complete(self) -> bool:
        """Whether all events were counted, up to `high`."""
        return self.low == 0

    @property
    def events(self) -> int:
        """How many events were counted."""
        return self.names.total()

    def grow(self, head: int, read: Read) -> Tally:
        """Count up to EACH events more, and return a copy of what is known then."""
        with self._lock:
            if not self.high:
                self.low = self.high = head
            left = EACH
            if self.high < head:
                left -= self._newer(head, read)
            if left > 0 and self.low:
                self._older(read)
            return Tally(Counter(self.names), Counter(self.days), self.low, self.high)

    def _newer(self, head: int, read: Read) -> int:
        if head - self.high > EACH * 20:
            # Too many since: counting them would take many requests, in which the page would show old numbers. Begin again.
            self.names.clear()
            self.days.clear()
            self.low = self.high = head
            return 0
        events = read(self.high, head, False)
        self._add(events)
        self.high = events[-1].position if len(events) == EACH else head
        return len(events)

    def _older(self, read: Read) -> None:
        events = read(0, self.low, True)
        self._add(events)
        self.low = events[-1].position - 1 if len(events) == EACH else 0

    def _add(self, events: Sequence[Event[Any]]) -> None:
        self.names.update(event.name for event in events)
        self.days.update(time_micros(event) // DAY for event in events)
