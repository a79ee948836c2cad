"""The queue of one subscription or group: its members, the publishers that wait for room, and how far it read the log.

Rules of this file: it waits for nothing and does no I/O; it is plain state that its bus guards with one lock. Every
method is called with that lock held, except `defer`. A method that makes something possible notifies those who may wait
for it: `changed` wakes consumers, `room` wakes publishers.

A queue may have a log. `seen` is the position up to which the log was queued or skipped, `target` the position that the
log is known to have reached. While `seen < target` the queue lags: it takes nothing that is offered, and the first
consumer that finds it empty refills it from the log. So an event is queued by an offer only directly after everything
before it, and nothing is queued twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from goes_lite.events.event import Event
from goes_lite.events.fields import to_micros
from goes_lite.kit.bus.backlog import Backlog, Item, Member
from goes_lite.kit.bus.subscription_request import SubscriptionRequest
from goes_lite.runtime import Clock, Signal

PAGE = 256
"""How many events one refill fetches at most."""

PendingEvents = deque[Event[Any]]
"""The events of one call of `publish` that wait for room."""


class Refill(NamedTuple):
    """What a consumer fetches from the log."""

    after: int
    limit: int
    target: int


class Queue:
    """The queue of one subscription (`group` is None), or the one that the members of a group share."""

    def __init__(
        self,
        request: SubscriptionRequest,
        clock: Clock,
        bury: Callable[[Queue, Event[Any], int, str], None],
        *,
        seen: int = 0,
        target: int = 0,
        last_upto: int = 0,
    ) -> None:
        self.patterns = request.patterns
        self.group = request.group
        self.label = request.label
        self.capacity = request.capacity
        self.min_time = request.min_time
        self.ordered = request.ordered
        self.seen = seen
        self.target = target
        self.last_upto = last_upto
        """If not 0, only the last event up to this position is wanted; 0 once its position is known."""
        self.members: list[Member] = []
        self.closed = False
        self.failure: str | None = None
        """Why no event will arrive, on a bus that fetches events from elsewhere."""
        self.changed = Signal()
        self.room = Signal()
        self.backlog = Backlog(ordered=request.ordered)
        self._clock = clock
        self._bury = bury
        self._waiting: deque[PendingEvents] = deque()
        self._refill: Refill | None = None
        self._taken = 0  # since the last refill
        self._deferred: deque[Callable[[], None]] = deque()

    # --- members and cleanup ------------------------------------------------------------------------------------------

    def defer(self, action: Callable[[], None]) -> None:
        """Run the action under the lock, before the next operation. Needs no lock: for finalizers and cleanup.

        Those may run inside a garbage collection that a thread triggers while it holds the lock.
        """
        self._deferred.append(action)
        self.changed.notify()
        self.room.notify()

    def run_deferred(self) -> None:
        """Run what was deferred; the first step of every operation."""
        while self._deferred:
            self._deferred.popleft()()

    def join(self, member: Member) -> None:
        """Add a member."""
        self.members.append(member)

    def leave(self, member: Member) -> None:
        """Remove the member and take back what it has not settled. A queue without a group ends with its member."""
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
        """End the queue and all its members."""
        self.closed = True
        for member in self.members:
            member.left = True
            member.in_flight.clear()
        self.members.clear()
        self.backlog.clear()
        self.changed.notify()
        self.room.notify()

    def _clear_waiting(self) -> None:
        for pending in self._waiting:
            pending.clear()
        self._waiting.clear()

    # --- incoming events ----------------------------------------------------------------------------------------------

    @property
    def lagging(self) -> bool:
        return self.seen < self.target

    def covers(self, event: Event[Any]) -> bool:
        """Whether the event is for this queue."""
        return self.patterns.matches(event.name) and (self.min_time is None or to_micros(event.time) >= self.min_time)

    def publish(self, events: Iterable[Event[Any]]) -> PendingEvents | None:
        """Queue the events that are covered; the rest is returned, and queued when there is room. None if there is none."""
        self.run_deferred()
        pending = deque(event for event in events if self.covers(event))
        if self.closed or not pending:
            return None
        self._waiting.append(pending)  # last: publishers that wait were here first
        before = self.backlog.seq
        self._admit()
        if pending and not self.members:
            self._overflow()
        if self.backlog.seq != before:
            self.changed.notify()
        return pending or None

    def withdraw(self, pending: PendingEvents) -> None:
        """Forget the rest of a call that was given up."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting is not pending)
        self._admit()

    def offer(self, events: Sequence[Event[Any]], after: int, last: int) -> None:
        """Note that these events took the log from `after` to `last`; queue those that are covered, or lag."""
        self.run_deferred()
        if self.closed or last <= self.seen:
            return
        if self.seen < max(after, self.target):
            self.target = max(self.target, last)
            self.changed.notify()
            return
        before = self.backlog.seq
        for event in events:
            if event.position <= self.seen:
                continue
            if self.covers(event):
                if self._room() <= 0:
                    break
                self.backlog.add(event)
            self.seen = event.position
        self.target = last
        if self.backlog.seq != before or self.lagging:
            self.changed.notify()

    def offer_without_log(self, events: Sequence[Event[Any]]) -> None:
        """Queue the events that are covered; without room, an event is a dead letter, for nobody can fetch it later."""
        self.run_deferred()
        if self.closed:
            return
        before = self.backlog.seq
        for event in events:
            if self.covers(event):
                if self._room() > 0:
                    self.backlog.add(event)
                else:
                    self.bury(event, 0, f"no room: {self.capacity} events were queued already")
        if self.backlog.seq != before:
            self.changed.notify()

    def redrive(self, event: Event[Any]) -> None:
        """Queue the event of a dead letter again."""
        self.backlog.add(event, redriven=True)
        self.changed.notify()

    def bury(self, event: Event[Any], attempts: int, error: str) -> None:
        """Make the event a dead letter of this queue."""
        self._bury(self, event, attempts, error)

    def _room(self) -> int:
        return self.capacity - len(self.backlog) - (self._refill.limit if self._refill else 0)

    def _admit(self) -> None:
        """Queue what publishers wait with, as far as there is room."""
        room = self._room()
        while self._waiting and room > 0:
            pending = self._waiting[0]
            while pending and room > 0:
                self.backlog.add(pending.popleft())
                room -= 1
            if not pending:
                self._waiting.popleft()
                self.room.notify()

    def _overflow(self) -> None:
        """Make dead letters of what waits for room: without a member nobody makes any."""
        for pending in self._waiting:
            for event in pending:
                self.bury(event, 0, f"no room: {self.capacity} events were queued, and the group had no member")
        self._clear_waiting()
        self.room.notify()

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def take(self, member: Member) -> Item | None:
        """Give the next event to the member; None if there is none, or the member has `max_pending` in flight."""
        if len(member.in_flight) >= member.max_pending:
            return None
        item = self.backlog.next()
        if item is None:
            return None
        item.attempt += 1
        item.owner = member
        member.in_flight[item.seq] = item
        self._taken += 1
        if self._waiting:
            self._admit()
        if member.ack_wait is not None:
            item.deadline = self._clock.monotonic() + member.ack_wait
        return item

    def wake_up(self) -> float | None:
        """Take back what is due or was not settled in time; seconds until the next event is, None if none will be."""
        if not self.backlog.delayed and all(member.ack_wait is None for member in self.members):
            return None  # the usual case
        now = self._clock.monotonic()
        due = self.backlog.release_due(now)
        nearest = [] if due is None else [due]
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
        """Remove the event, or take it back to deliver it again, after a delay or at once."""
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
            self.backlog.retry_at(self._clock.monotonic() + (delay or 0), item)
        else:
            self._return(item)
        self.changed.notify()

    def _disown(self, item: Item) -> None:
        if item.owner is not None:
            del item.owner.in_flight[item.seq]
        item.owner = item.deadline = None
        if self.ordered and self.backlog.settled(item):
            self.changed.notify()

    def _return(self, item: Item) -> None:
        self._disown(item)
        self.backlog.put_back(item)

    # --- reading the log ----------------------------------------------------------------------------------------------

    def begin_refill(self, *, idle: bool) -> Refill | None:
        """What the caller has to fetch from the log now, None if nothing; `idle` says that there is nothing to take.

        A queue that publishers keep full would never be idle, so a refill is also due after a whole queue was taken.
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
        """Queue what was fetched: the log was read up to `seen`, to its end if `ended`. Without `seen`, the fetch failed."""
        self._refill = None
        if seen is not None and not self.closed:
            self._taken = self.last_upto = 0
            for event in events:
                self.backlog.add(event)
            self.seen = max(self.seen, seen)
            if ended and self.target == refill.target:
                # The log ends before what was announced: believe the log, or this would repeat for ever.
                self.target = self.seen
        self._admit()
        self.changed.notify()
