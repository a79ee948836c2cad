"""How many events there are, of what, and when: counted by reading the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from goes_lite.contract.backend import Backend
from goes_lite.events.event import time_micros
from goes_lite.events.fields import from_micros
from goes_lite.events.query import EVERYTHING, EventQuery

_DAY = 86_400_000_000


@dataclass
class Count:
    """A number of events, and the size of their payloads."""

    events: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.events += 1
        self.bytes += size


@dataclass
class Statistics:
    """What is in a log, or in a part of it."""

    head: int
    """The position of the last event of the log when it was counted."""
    total: Count = field(default_factory=Count)
    names: dict[str, Count] = field(default_factory=dict[str, Count])
    """By the name of the event."""
    aggregates: dict[str, Count] = field(default_factory=dict[str, Count])
    """By the name of the aggregate; "" for events of none."""
    days: dict[date, int] = field(default_factory=dict[date, int])
    """By day (UTC) of the event's time, in order; without days that have none."""
    first: datetime | None = None
    """The earliest time of an event."""
    last: datetime | None = None
    """The latest one."""


async def statistics(
    backend: Backend,
    query: EventQuery = EVERYTHING,
    *,
    after: int = 0,
    upto: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Statistics:
    """Count the events that match, after a position and up to another (or the head), in constant memory.

    Sizes are those of the payloads, in bytes of UTF-8. `progress` is called with the position and the head after each page.
    """
    head = await backend.events.head()
    found = Statistics(head)
    days: dict[int, int] = {}
    earliest: int | None = None
    latest = 0
    pages = backend.events.query(query, after=after, upto=head if upto is None else min(head, upto))
    while page := await pages.next_page():
        for event in page:
            payload = event.encoded.payload
            size = len(payload) if isinstance(payload, bytes) or payload.isascii() else len(payload.encode())
            found.total.add(size)
            _of(found.names, event.name).add(size)
            _of(found.aggregates, event.aggregate.name if event.aggregate else "").add(size)
            micros = time_micros(event)
            days[micros // _DAY] = days.get(micros // _DAY, 0) + 1
            earliest, latest = (micros, micros) if earliest is None else (min(earliest, micros), max(latest, micros))
        if progress is not None:
            progress(page[-1].position, head)
    if earliest is not None:
        found.first, found.last = from_micros(earliest), from_micros(latest)
    begin = date(1970, 1, 1)
    found.days = {begin + timedelta(days=day): count for day, count in sorted(days.items())}
    return found


def _of(counts: dict[str, Count], key: str) -> Count:
    count = counts.get(key)
    if count is None:
        count = counts[key] = Count()
    return count
