"""The event bus inside one process, with or without a log.

Events arrive in two ways. `publish` is for everyone: it waits for subscribers that are full. `offer` is for a store that
has just committed: it never waits; a subscriber that is full lags, and reads what it missed from the log once it has
room. So a slow subscriber blocks neither commits nor other subscribers, and loses nothing.

Without a log, an event that is offered to a full queue becomes a dead letter, and so does an event that is published to
the full queue of a group without members (nobody can make room). `overflowed` counts both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from goes_lite.contract.event_bus import (
    CAPACITY,
    MAX_PENDING,
    REPLAY,
    DeadLetter,
    Handler,
    Ordered,
    Start,
    check_published,
)
from goes_lite.contract.event_store import EventStore
from goes_lite.errors import AbilityMissing, BusError, ConfigError
from goes_lite.errors.functions import check_function, error_text
from goes_lite.events.event import Event
from goes_lite.events.fields import from_micros
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.bus.backlog import Member
from goes_lite.kit.bus.dead_letters import DeadLetters
from goes_lite.kit.bus.handling import SubscriptionHandling
from goes_lite.kit.bus.queue import PendingEvents, Queue, Refill
from goes_lite.kit.bus.subscription import InProcessDelivery, InProcessSubscription
from goes_lite.kit.bus.subscription_request import (
    SubscriptionRequest,
    check_ack_wait,
    check_count,
    check_group,
    parse_request,
)
from goes_lite.runtime import Runtime
from goes_lite.runtime.backoff import check_backoff


class InProcessBus:
    """An event bus inside one process. It keeps the promises of `goes_lite.contract.event_bus.EventBus`, and more.

    - While an event waits for a retry, later events of its aggregate wait too: a handler, or a subscription with
      `max_pending=1`, sees each aggregate in order unless an event is dead-lettered.
    - Published and offered events are two streams, each in its own order. A stored event that is also published by hand
      arrives twice on a bus that is offered it.
    - An event is offered once to a subscription, in position order, whatever the order of the offers.
    - `start` as a datetime filters on the event's own time. `"now"` means after the last position that the bus was told.

    Arguments
      runtime           how to wait.
      log               the store whose events are offered; needed for any start but "now", and to lag without loss.
      head              the position that the log has reached; required with a log, which the bus does not ask by itself.
      max_dead_letters  beyond it the oldest letter is lost, counted in `letters_lost` and logged as an error.
    """

    def __init__(
        self,
        runtime: Runtime,
        log: EventStore | None = None,
        *,
        head: int | None = None,
        max_dead_letters: int = 10_000,
    ) -> None:
        if (log is None) != (head is None):
            raise ConfigError(
                "log and head belong together: use InProcessBus(runtime, log, head=…), or neither of them"
            )
        check_count("max_dead_letters", max_dead_letters)
        self.runtime = runtime
        self.log = log
        self.lock = threading.Lock()
        self._head = head or 0
        self._queues: list[Queue] = []
        self._groups: dict[str, Queue] = {}
        self._letters = DeadLetters(runtime.clock, max_dead_letters)
        self._handlings: set[SubscriptionHandling] = set()
        self._subscribed = 0
        self._closed = False

    @property
    def overflowed(self) -> int:
        """How many events became dead letters because a queue was full."""
        return self._letters.overflowed

    @property
    def letters_lost(self) -> int:
        """How many dead letters were dropped to make room for newer ones."""
        return self._letters.lost

    # --- incoming events ----------------------------------------------------------------------------------------------

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """See `EventBus.publish`. It waits for a full subscription that nobody reads until that is closed."""
        events = check_published(events)
        waiting: list[tuple[Queue, PendingEvents]] = []
        with self.lock:
            self._check_open()
            for queue in self._queues:
                pending = queue.publish(events)
                if pending is not None:
                    waiting.append((queue, pending))
            self._drop_closed()
        try:
            for queue, pending in waiting:
                while True:
                    count = queue.room.count
                    with self.lock:
                        queue.run_deferred()
                        if not pending:
                            break
                        if self._closed:
                            raise BusError("the bus was closed while events waited for room: some were not delivered")
                    await self.runtime.wait(queue.room, count)
        except BaseException:
            for queue, pending in waiting:
                queue.defer(partial(queue.withdraw, pending))
            raise

    def offer(self, events: Sequence[Event[Any]], after: int) -> None:
        """Announce a commit that took the log from position `after` to that of its last event, in position order.

        - Never waits for a subscriber, never raises because of one, does nothing on a closed bus.
        - Safe to call from any thread, in any order of the commits.
        - No events and `after=head` announces that the log has reached a position in some other way.
        """
        last = events[-1].position if events else after
        with self.lock:
            self._head = max(self._head, after, last)
            if not self._queues:
                return
            for queue in self._queues:
                if self.log is None:
                    queue.offer_without_log(events)
                else:
                    queue.offer(events, after, last)
            self._drop_closed()

    def committed(self, events: Sequence[Event[Any]], before: int) -> None:
        """Offer the events of a commit, which have no position yet: theirs are the ones directly after `before`."""
        with self.lock:
            if not self._queues:
                self._head = max(self._head, before + len(events))
                return
        self.offer([event.at(position) for position, event in enumerate(events, before + 1)], before)

    # --- subscribing --------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        names: Iterable[str] = ("*",),
        *,
        group: str | None = None,
        start: Start = "now",
        ordered_by: Ordered = None,
        max_pending: int = MAX_PENDING,
        capacity: int = CAPACITY,
        ack_wait: float | None = None,
    ) -> InProcessSubscription:
        """See `EventBus.subscribe`."""
        request = parse_request(names, group, start, ordered_by, capacity)
        check_count("max_pending", max_pending)
        check_ack_wait(ack_wait)
        if start != "now" and not self._replays:
            raise AbilityMissing(REPLAY, self._description)
        member = Member(max_pending, ack_wait)
        with self.lock:
            self._check_open()
            self._drop_closed()
            queue = self._groups.get(group) if group is not None else None
            if queue is None:
                self._subscribed += 1
                if group is None:
                    request = request._replace(label=f"{request.label} #{self._subscribed}")
                queue = self._new_queue(request)
                self._queues.append(queue)
                if group is not None:
                    self._groups[group] = queue
            elif queue.patterns != request.patterns:
                raise BusError(
                    f"the group {group!r} subscribes to {str(queue.patterns)!r}, not to {str(request.patterns)!r}: all "
                    "members have the same names; use another group for other names"
                )
            elif queue.ordered != request.ordered:
                raise BusError(
                    f"the group {group!r} {'keeps' if queue.ordered else 'does not keep'} each aggregate in order: all "
                    "members have the same `ordered_by`; use another group for another one"
                )
            queue.run_deferred()
            queue.join(member)
            return InProcessSubscription(self, queue, member)

    def handle(
        self,
        names: Iterable[str],
        handler: Handler,
        *,
        group: str | None = None,
        start: Start = "now",
        ordered_by: Ordered = None,
        max_attempts: int = 5,
        backoff: Callable[[int], float] | None = None,
        max_pending: int = MAX_PENDING,
        capacity: int = CAPACITY,
        ack_wait: float | None = None,
    ) -> SubscriptionHandling:
        """See `EventBus.handle`. On an event loop a plain function runs on the loop, so it must not block."""
        if not callable(handler):
            raise ConfigError(f"{handler!r:.80} is not a handler: use a function of one event")
        check_function("a handler", handler, awaited=True)
        check_backoff(backoff)
        check_count("max_attempts", max_attempts)
        subscription = self.subscribe(
            names, group=group, start=start, ordered_by=ordered_by, max_pending=max_pending, capacity=capacity,
            ack_wait=ack_wait,
        )  # fmt: skip
        handling = SubscriptionHandling(
            self.runtime, subscription, handler,
            max_attempts=max_attempts, backoff=backoff, bury=self._bury_delivery, ended=self._handlings.discard,
        )  # fmt: skip
        self._handlings.add(handling)
        try:
            handling.start()
        except BaseException:
            self._handlings.discard(handling)
            raise
        return handling

    # --- what other kinds of buses override ---------------------------------------------------------------------------

    @property
    def _replays(self) -> bool:
        """Whether a subscription can start in the past."""
        return self.log is not None

    _description = "an in-process bus without a log"
    """Names the bus in the error that says that it cannot replay."""

    def _new_queue(self, request: SubscriptionRequest) -> Queue:
        """Return the queue of a new subscription or group (the lock is held)."""
        head = self._head
        seen = 0 if request.last else head if request.position is None else request.position
        return Queue(
            request, self.runtime.clock, self._letters.bury,
            seen=seen, target=head, last_upto=head if request.last else 0,
        )  # fmt: skip

    async def _bury_delivery(self, delivery: InProcessDelivery, error: Exception) -> None:
        """Settle a delivery that a handler failed on, as a dead letter."""
        delivery.settle_dead(error_text(error))

    async def refill(self, queue: Queue, refill: Refill) -> None:
        """Fetch events from the log into the queue."""
        log = self.log
        if log is None:
            raise AssertionError("a queue without a log never lags")
        try:
            head = await log.head()
            query = _log_query(queue)
            after = await _before_last(log, query, queue) if queue.last_upto else refill.after
            events = await log.query(query, after=after, upto=head, limit=refill.limit).list()
        except BaseException:
            queue.defer(partial(queue.end_refill, refill))
            raise
        ended = len(events) < refill.limit
        seen = head if ended else events[-1].position
        with self.lock:
            queue.end_refill(refill, [event for event in events if queue.covers(event)], seen, ended=ended)

    async def reset(self, group: str) -> None:
        """See `EventBus.reset`."""
        check_group(group)
        with self.lock:
            self._check_open()
            queue = self._groups.get(group)
            if queue is None:
                return
            queue.run_deferred()
            if queue.members:
                raise BusError(
                    f"the group {group!r} has {len(queue.members)} members: close their subscriptions before you reset it"
                )
            del self._groups[group]
            queue.close()
            self._drop_closed()

    # --- dead letters -------------------------------------------------------------------------------------------------

    async def dead_letters(self) -> list[DeadLetter]:
        """The dead letters, oldest first."""
        with self.lock:
            return self._letters.all()

    async def redrive(self, letter: DeadLetter) -> None:
        """See `EventBus.redrive`."""
        with self.lock:
            self._check_open()
            queue = self._letters.queue(letter)
            queue.run_deferred()
            if queue.closed:
                raise BusError(
                    f"{letter.subscriber!r} has ended, so nobody can take the event: drop the letter, or publish the event"
                )
            self._letters.drop(letter)
            queue.redrive(letter.event)

    async def drop(self, letter: DeadLetter) -> None:
        """Forget the letter; BusError if it is gone already."""
        with self.lock:
            self._letters.drop(letter)

    # --- closing ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Refuse to publish, let handlers finish their current event, end every subscription. Closing twice is fine."""
        with self.lock:
            self._closed = True
            for queue in self._queues:
                queue.room.notify()
        for handling in list(self._handlings):
            await handling.stop()
        with self.lock:
            for queue in self._queues:
                queue.close()
            self._queues.clear()
            self._groups.clear()

    def _drop_closed(self) -> None:
        """Forget queues whose subscription has ended (the lock is held)."""
        if any(queue.closed for queue in self._queues):
            self._queues = [queue for queue in self._queues if not queue.closed]

    def _check_open(self) -> None:
        if self._closed:
            raise BusError("the bus is closed: connect again")

    def __repr__(self) -> str:
        state = "closed, " if self._closed else ""
        members = sum(len(queue.members) for queue in self._queues)
        return (
            f"<InProcessBus {state}{members} subscriptions, {len(self._groups)} groups, "
            f"{sum(len(queue.backlog) for queue in self._queues)} queued, {len(self._letters)} dead letters>"
        )


def _log_query(queue: Queue) -> EventQuery:
    """The query for the log: by name if there are only names, everything if there are patterns."""
    names = () if queue.patterns.prefixes else queue.patterns.exact
    if queue.min_time is None and not names:
        return EVERYTHING
    return EventQuery(names, min_time=None if queue.min_time is None else from_micros(queue.min_time))


async def _before_last(log: EventStore, query: EventQuery, queue: Queue) -> int:
    """The position before the last event that the queue covers, up to `last_upto`; `last_upto` if there is none."""
    async for event in log.query(query, upto=queue.last_upto, reverse=True):
        if queue.covers(event):
            return event.position - 1
    return queue.last_upto
