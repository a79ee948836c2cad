"""The events of a queue that wait to be taken, and which one is next.

Events carry a sequence number (`seq`) from the moment they are queued, and an event that comes back returns to its old
place by it. An event is held while an earlier event of its aggregate waits for a retry, so a consumer that takes one
event at a time sees each aggregate in order, while other aggregates pass. In an ordered queue, an event is also held
while an earlier one of its aggregate is in flight.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Any

from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef


class Member:
    """One consumer of a queue."""

    __slots__ = ("ack_wait", "in_flight", "left", "max_pending")

    def __init__(self, max_pending: int, ack_wait: float | None) -> None:
        self.max_pending = max_pending
        self.ack_wait = ack_wait
        self.in_flight: dict[int, Item] = {}  # by seq, in delivery order, which is the order of the deadlines
        self.left = False


class Item:
    """An event in a queue, and the member that has it."""

    __slots__ = ("ack_to", "attempt", "deadline", "event", "owner", "redriven", "seq")

    def __init__(self, event: Event[Any], seq: int, redriven: bool) -> None:
        self.event = event
        self.seq = seq
        self.attempt = 0
        self.redriven = redriven
        self.owner: Member | None = None
        self.deadline: float | None = None
        self.ack_to = ""
        """Where to acknowledge the event, on a bus that receives events from elsewhere."""


class Backlog:
    """The events of one queue that wait to be taken."""

    def __init__(self, *, ordered: bool) -> None:
        self.ordered = ordered
        self.seq = 0
        """Of the event that was added last."""
        self.delayed: list[tuple[float, int, Item]] = []
        """Events that wait for a retry: a heap by the time at which each is due."""
        self._new: deque[Item] = deque()  # never delivered; ordered by seq
        self._returned: list[tuple[int, Item]] = []  # a heap by seq; goes before all of _new
        self._held: dict[AggregateRef, list[Item]] = {}
        self._held_count = 0
        self._retrying: dict[AggregateRef, set[int]] = {}  # the seqs in `delayed`, per aggregate
        self._in_flight: set[AggregateRef] = set()  # used by an ordered queue only

    def __len__(self) -> int:
        return len(self._new) + len(self._returned) + len(self.delayed) + self._held_count

    @property
    def ready(self) -> int:
        """How many events do not wait for a retry or for another event."""
        return len(self._new) + len(self._returned)

    def add(self, event: Event[Any], redriven: bool = False) -> Item:
        """Add an event after all others."""
        self.seq += 1
        item = Item(event, self.seq, redriven)
        self._new.append(item)
        return item

    def next(self) -> Item | None:
        """Remove and return the next event, None if there is none."""
        while self._returned or self._new:
            item = heappop(self._returned)[1] if self._returned else self._new.popleft()
            ref = item.event.aggregate
            if ref is not None and (
                ref in self._in_flight or (ref in self._retrying and min(self._retrying[ref]) < item.seq)
            ):
                self._held.setdefault(ref, []).append(item)
                self._held_count += 1
                continue
            if self.ordered and ref is not None:
                self._in_flight.add(ref)
            return item
        return None

    def settled(self, item: Item) -> bool:
        """Note that an event is no longer in flight; whether that releases other events of its aggregate."""
        ref = item.event.aggregate
        if ref is None or ref not in self._in_flight:
            return False
        self._in_flight.discard(ref)
        return self._release(ref)

    def put_back(self, item: Item) -> None:
        """Return an event to its old place."""
        heappush(self._returned, (item.seq, item))

    def retry_at(self, due: float, item: Item) -> None:
        """Return an event to its old place when it is due."""
        heappush(self.delayed, (due, item.seq, item))
        if item.event.aggregate is not None:
            self._retrying.setdefault(item.event.aggregate, set()).add(item.seq)

    def release_due(self, now: float) -> float | None:
        """Return the events that are due to their places; when the next one is due, None if there is none."""
        while self.delayed and self.delayed[0][0] <= now:
            item = heappop(self.delayed)[2]
            self.put_back(item)
            ref = item.event.aggregate
            if ref is not None:
                self._retrying[ref].discard(item.seq)
                if not self._retrying[ref]:
                    del self._retrying[ref]
                self._release(ref)
        return self.delayed[0][0] if self.delayed else None

    def _release(self, ref: AggregateRef) -> bool:
        held = self._held.pop(ref, ())
        for item in held:  # `next` holds them again if yet another event goes before them
            self.put_back(item)
        self._held_count -= len(held)
        return bool(held)

    def clear(self) -> None:
        """Drop everything."""
        for waiting in (self._new, self._returned, self.delayed, self._held, self._retrying, self._in_flight):
            waiting.clear()
        self._held_count = 0
