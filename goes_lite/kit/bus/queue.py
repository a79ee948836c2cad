"""The state behind one subscription or group of an in-process bus: queued, given out, waiting, lagging.

Rules of this file: it waits for nothing and does no I/O; it is plain state that its bus guards with one lock. Every
method is called with that lock held, except `later`. Whoever makes something possible notifies those who may wait for
it: `changed` wakes consumers, `room` wakes publishers.

Events carry a sequence number (`seq`) from the moment they are queued, and what comes back returns to its old place by
it. An event whose aggregate has an earlier event waiting for its retry is held, so a consumer that takes one event at
a time sees each aggregate in order, while other aggregates pass. In an ordered queue, it is held as well while an earlier
one is out.

Beside the queue there may be a log. `seen` is the position up to which the log was queued or passed over, `target` the
position that it is known to have reached; while `seen < target` the queue lags, takes nothing that is offered, and is
refilled from the log by whichever consumer finds it empty. So an event is queued by an offer only directly behind
everything before it, and nothing is queued twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

from goes_lite.contract.event_bus import NamePatterns, Ordered
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, to_micros
from goes_lite.runtime import Clock, Signal

PAGE = 256
"""How many events one refill fetches at most."""


class Item:
    """An event in a queue, and who has it."""

    __slots__ = ("attempt", "deadline", "event", "owner", "redriven", "seq", "source")

    def __init__(self, event: Event[Any], seq: int, redriven: bool = False) -> None:
        self.event = event
        self.seq = seq
        self.attempt = 0
        self.redriven = redriven
        self.owner: Member | None = None
        self.deadline: float | None = None
        self.source = ""
        """Where to say what became of it, on a bus that brings events from elsewhere."""


class Wish(NamedTuple):
    """What the first member of a queue asked for."""

    patterns: NamePatterns
    group: str | None
    label: str
    """What it is called in dead letters."""
    capacity: int
    position: int | None
    """Behind which it begins, None for now."""
    min_time: int | None
    """The time (in microseconds) of the first event that it wants."""
    ordered_by: Ordered = None
    last: bool = False
    """Whether it begins with the last event there is of those that it asks for; `position` is None then."""


class Member:
    """One consumer of a queue."""

    __slots__ = ("ack_wait", "in_flight", "left", "max_pending")

    def __init__(self, max_pending: int, ack_wait: float | None) -> None:
        self.max_pending = max_pending
        self.ack_wait = ack_wait
        self.in_flight: dict[int, Item] = {}  # by seq, in the order of giving out, which is that of the deadlines
        self.left = False


class Refill(NamedTuple):
    """What one consumer has undertaken to fetch from the log."""

    after: int
    limit: int
    target: int


Parcel = deque[Event[Any]]
"""What a waiting publisher still has to hand in."""


class Queue:
    """The queue of a subscription of its own (`group` is None), or that which the members of a group share."""

    def __init__(
        self,
        patterns: NamePatterns,
        group: str | None,
        label: str,
        capacity: int,
        clock: Clock,
        bury: Callable[[Queue, Event[Any], int, str], None],
        *,
        seen: int = 0,
        target: int = 0,
        min_time: int | None = None,
        ordered: bool = False,
        last_of: int = 0,
    ) -> None:
        self.ordered = ordered
        self.patterns = patterns
        self.group = group
        self.label = label
        self.capacity = capacity
        self.min_time = min_time
        self.seen = seen
        self.target = target
        self.last_of = last_of
        """If not 0, of what lies up to this position it wants the last event alone; 0 once it knows where that is."""
        self.members: list[Member] = []
        self.closed = False
        self.failure: str | None = None
        """Why nothing will come, on a bus that has to ask for it elsewhere."""
        self.changed = Signal()
        self.room = Signal()
        self._clock = clock
        self._bury = bury
        self._seq = 0
        self._fresh: deque[Item] = deque()  # never given out; ordered by seq
        self._back: list[tuple[int, Item]] = []  # a heap by seq: goes before all of _fresh
        self._delayed: list[tuple[float, int, Item]] = []  # a heap by the time at which it may be tried again
        self._held: dict[AggregateRef, list[Item]] = {}
        self._retrying: dict[AggregateRef, set[int]] = {}  # the seqs in _delayed, per aggregate
        self._out: set[AggregateRef] = set()  # in an ordered queue: of which an event is out
        self._held_count = 0
        self._waiting: deque[Parcel] = deque()
        self._refill: Refill | None = None
        self._taken = 0  # since the last refill
        self._errands: deque[Callable[[], None]] = deque()

    # --- members and cleaning up ------------------------------------------------------------------------------------

    def later(self, errand: Callable[[], None]) -> None:
        """Have this done, under the lock, before anything else is. Needs no lock: for finalizers and cleanup.

        Those may run inside a garbage collection that a thread triggers while it holds the lock.
        """
        self._errands.append(errand)
        self.changed.notify()
        self.room.notify()

    def catch_up(self) -> None:
        """Do the errands; the first step of every operation."""
        while self._errands:
            self._errands.popleft()()

    def join(self, member: Member) -> None:
        self.members.append(member)

    def leave(self, member: Member) -> None:
        """Take the member out; what it has not settled goes back. A queue without a group ends with its member."""
        if member.left:
            return
        member.left = True
        self.members.remove(member)
        for item in list(member.in_flight.values()):
            self._return(item)
        if not self.members:
            if self.group is None:
                self._clear_waiting()
                self.close()
            else:
                self._overflow()
        self.changed.notify()

    def close(self) -> None:
        self.closed = True
        for member in self.members:
            member.left = True
            member.in_flight.clear()
        self.members.clear()
        self._fresh.clear()
        self._back.clear()
        self._delayed.clear()
        self._held.clear()
        self._retrying.clear()
        self._out.clear()
        self._held_count = 0
        self.changed.notify()
        self.room.notify()

    def _clear_waiting(self) -> None:
        for parcel in self._waiting:
            parcel.clear()
        self._waiting.clear()

    # --- coming in --------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many events are queued: those that may be taken, and those that have to wait."""
        return len(self._fresh) + len(self._back) + len(self._delayed) + self._held_count

    @property
    def in_flight(self) -> int:
        return sum(len(member.in_flight) for member in self.members)

    @property
    def lagging(self) -> bool:
        return self.seen < self.target

    def covers(self, event: Event[Any]) -> bool:
        return self.patterns.matches(event.name) and (self.min_time is None or to_micros(event.time) >= self.min_time)

    def publish(self, events: Iterable[Event[Any]]) -> Parcel | None:
        """Queue what is covered; what finds no room is the parcel that `_admit` will empty. None: all is in."""
        self.catch_up()
        parcel = Parcel(event for event in events if self.covers(event))
        if self.closed or not parcel:
            return None
        self._waiting.append(parcel)  # at the end: publishers who wait were here first
        before = self._seq
        self._admit()
        if parcel and not self.members:
            self._overflow()
        if self._seq != before:
            self.changed.notify()
        return parcel or None

    def withdraw(self, parcel: Parcel) -> None:
        """The publisher gave up."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting is not parcel)
        self._admit()

    def offer(self, events: Sequence[Event[Any]], after: int, last: int) -> None:
        """The log went from `after` to `last` by these events; queue those that are covered, or lag."""
        self.catch_up()
        if self.closed or last <= self.seen:
            return
        if self.seen < max(after, self.target):
            self.target = max(self.target, last)
            self.changed.notify()
            return
        before = self._seq
        for event in events:
            if event.position <= self.seen:
                continue
            if self.covers(event):
                if self._room() <= 0:
                    break
                self._add(event)
            self.seen = event.position
        self.target = last
        if self._seq != before or self.lagging:
            self.changed.notify()

    def offer_without_log(self, events: Sequence[Event[Any]]) -> None:
        """Queue what is covered; what finds no room is a dead letter, for nobody could fetch it later."""
        self.catch_up()
        if self.closed:
            return
        before = self._seq
        for event in events:
            if self.covers(event):
                if self._room() > 0:
                    self._add(event)
                else:
                    self._bury(self, event, 0, f"no room: {self.capacity} events were queued already")
        if self._seq != before:
            self.changed.notify()

    def redrive(self, event: Event[Any]) -> None:
        self._add(event, redriven=True)
        self.changed.notify()

    def _room(self) -> int:
        return self.capacity - self.size - (self._refill.limit if self._refill else 0)

    def _add(self, event: Event[Any], redriven: bool = False) -> None:
        self._seq += 1
        self._fresh.append(Item(event, self._seq, redriven))

    def _admit(self) -> None:
        room = self._room()
        while self._waiting and room > 0:
            parcel = self._waiting[0]
            while parcel and room > 0:
                self._add(parcel.popleft())
                room -= 1
            if not parcel:
                self._waiting.popleft()
                self.room.notify()

    def _overflow(self) -> None:
        """Nobody is there to make room, so waiting for it could last for ever."""
        for parcel in self._waiting:
            for event in parcel:
                self._bury(self, event, 0, f"no room: {self.capacity} events were queued, and the group had no member")
        self._clear_waiting()
        self.room.notify()

    # --- going out --------------------------------------------------------------------------------------------------

    def take(self, member: Member) -> Item | None:
        """Give the next event to the member; None if there is none, or it has too many already."""
        if len(member.in_flight) >= member.max_pending:
            return None
        while self._back or self._fresh:
            item = heappop(self._back)[1] if self._back else self._fresh.popleft()
            ref = item.event.aggregate
            if ref is not None and (
                ref in self._out or (ref in self._retrying and min(self._retrying[ref]) < item.seq)
            ):
                self._held.setdefault(ref, []).append(item)
                self._held_count += 1
                continue
            item.attempt += 1
            item.owner = member
            if self.ordered and ref is not None:
                self._out.add(ref)
            member.in_flight[item.seq] = item
            self._taken += 1
            self._admit()
            if member.ack_wait is not None:
                item.deadline = self._clock.monotonic() + member.ack_wait
            return item
        return None

    def wake_up(self) -> float | None:
        """Bring back what is due or was not settled in time; in how many seconds the next will be, None if none."""
        if not self._delayed and all(member.ack_wait is None for member in self.members):
            return None  # the usual case
        now = self._clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._retry(heappop(self._delayed)[2])
        nearest = [self._delayed[0][0]] if self._delayed else []
        for member in self.members:
            for item in list(member.in_flight.values()):
                if item.deadline is None:
                    break
                if item.deadline > now:
                    nearest.append(item.deadline)
                    break
                self._return(item)
        return min(nearest) - now if nearest else None

    def settle(self, item: Item, delay: float | None = None, *, done: bool) -> None:
        """The owner is done with it, or gives it back, to be tried again after a delay."""
        member = item.owner
        if member is None:
            return
        if done or delay:
            full = len(member.in_flight) >= member.max_pending
            self._disown(item)
            if done:
                if full:
                    self.changed.notify()
                return
            due = self._clock.monotonic() + (delay or 0)
            heappush(self._delayed, (due, item.seq, item))
            if item.event.aggregate is not None:
                self._retrying.setdefault(item.event.aggregate, set()).add(item.seq)
        else:
            self._return(item)
        self.changed.notify()

    def _disown(self, item: Item) -> None:
        if item.owner is not None:
            del item.owner.in_flight[item.seq]
        item.owner = item.deadline = None
        ref = item.event.aggregate
        if ref is not None and ref in self._out:
            self._out.discard(ref)
            if ref in self._held:
                self._release(ref)
                self.changed.notify()

    def _return(self, item: Item) -> None:
        self._disown(item)
        heappush(self._back, (item.seq, item))

    def _retry(self, item: Item) -> None:
        heappush(self._back, (item.seq, item))
        ref = item.event.aggregate
        if ref is None:
            return
        self._retrying[ref].discard(item.seq)
        if not self._retrying[ref]:
            del self._retrying[ref]
        self._release(ref)

    def _release(self, ref: AggregateRef) -> None:
        for held in self._held.pop(ref, ()):  # `take` holds them again if yet another one goes before them
            heappush(self._back, (held.seq, held))
            self._held_count -= 1

    # --- catching up with the log -----------------------------------------------------------------------------------

    def begin_refill(self, *, idle: bool) -> Refill | None:
        """What the caller is to fetch from the log now, None if nothing; `idle` says that there was nothing to take.

        A queue that publishers keep full would otherwise never come to its log, so it is due after a whole queue, too.
        """
        if not self.lagging or self._refill is not None or not (idle or self._taken >= self.capacity):
            return None
        limit = min(PAGE, max(self._room(), 0 if idle else self.capacity // 4 or 1))
        if limit <= 0:
            return None
        self._refill = Refill(self.seen, limit, self.target)
        return self._refill

    def end_refill(
        self, refill: Refill, events: Sequence[Event[Any]] = (), seen: int | None = None, *, ended: bool = False
    ) -> None:
        """What came of it: the log was read up to `seen`, to its end if `ended`. Without `seen`, nothing came of it."""
        self._refill = None
        if seen is not None and not self.closed:
            self._taken = self.last_of = 0
            for event in events:
                self._add(event)
            self.seen = max(self.seen, seen)
            if ended and self.target == refill.target:
                # The log ends before what was announced: believe the log, or this would go round for ever.
                self.target = self.seen
        self._admit()
        self.changed.notify()
