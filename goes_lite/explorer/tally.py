"""Counts of the events of a log by name and by day, made bit by bit: a request counts a bounded part, the next ones go on.

A log only grows, so what was counted stays true (but for aggregates that are deleted for good): the newest events first,
then what was committed since, then older ones, until everything is counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goes_lite.events.event import time_micros

if TYPE_CHECKING:
    from goes_lite.events.event import Event

EACH = 2_000
"""How many events a request counts …"""
BYTES = 32_000_000
"""… unless their payloads are large: the page stays fast."""
DAY = 86_400_000_000

Read = Callable[[int, int, bool], Iterator["Event[Any]"]]
"""Yields up to EACH events after a position and up to another, from the newest on if the flag is set."""


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
        count, last = self._count(read(self.high, head, False))
        self.high = last or head
        return count if not last else EACH

    def _older(self, read: Read) -> None:
        _, last = self._count(read(0, self.low, True))
        self.low = last - 1 if last else 0

    def _count(self, events: Iterator[Event[Any]]) -> tuple[int, int]:
        """Count events, and return how many there were and the position of the last one; 0 instead of that if it was all."""
        count = size = 0
        for event in events:
            count, size = count + 1, size + len(event.encoded.payload)
            self.names[event.name] += 1
            self.days[time_micros(event) // DAY] += 1
            if count == EACH or size > BYTES:
                return count, event.position
        return count, 0
