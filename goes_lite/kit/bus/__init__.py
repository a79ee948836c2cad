"""An event bus inside one process, with or without a log behind it.

Events come in by two entrances. `publish` is for everybody: it waits for subscribers that are full. `offer` is for a
store that has just committed: it never waits; a subscriber that is full lags, and reads what it missed from the log
once it has room. So a slow subscriber blocks neither commits nor other subscribers, and loses nothing.

Without a log, what is offered to a full queue becomes a dead letter, and so does what is published to the full queue
of a group that has no member (there is nobody who could make room). `overflowed` counts both.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
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
    parse_patterns,
)
from goes_lite.contract.event_store import EventStore
from goes_lite.errors import AbilityMissing, BusError, ConfigError, InvalidEventError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.bus.handling import SubscriptionHandling
from goes_lite.kit.bus.queue import Member, Parcel, Queue, Refill, Wish
from goes_lite.kit.bus.subscription import InProcessDelivery, InProcessSubscription
from goes_lite.runtime import Runtime


class InProcessBus:
    """An event bus inside one process. It keeps what `goes_lite.contract.event_bus.EventBus` promises, and more.

    - While an event waits for its retry, later ones of its aggregate wait behind it: a handler, or a subscription with
      `max_pending=1`, sees each aggregate in order unless an event is dead-lettered.
    - What is published and what is offered are two streams, each in its own order. A stored event that is published
      by hand on a bus that is also offered it arrives twice.
    - An event is offered once to a subscription, in position order, however late, early or crossed the offers come.
    - `start` as a datetime is a filter on the event's own time. `"now"` means behind the last position that the bus
      was told of.

    Arguments
      runtime           how to wait.
      log               the store whose events are offered; needed for any start but "now", and to lag without loss.
      head              the position that the log has reached; required with a log, for a bus does not ask by itself.
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
                "a bus with a log needs the log's head, and one without has none: InProcessBus(runtime, log, head=…)"
            )
        _check_count("max_dead_letters", max_dead_letters)
        self.runtime = runtime
        self.log = log
        self.lock = threading.Lock()
        self.overflowed = 0
        """How many events became dead letters because a queue was full."""
        self.letters_lost = 0
        """How many dead letters were pushed out by newer ones."""
        self._head = head or 0
        self._max_dead_letters = max_dead_letters
        self._queues: list[Queue] = []
        self._groups: dict[str, Queue] = {}
        self._letters: dict[str, tuple[DeadLetter, Queue]] = {}
        self._handlings: set[SubscriptionHandling] = set()
        self._numbers = 0
        self._closed = False

    # --- the two entrances ------------------------------------------------------------------------------------------

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """See `EventBus.publish`. It waits for a subscriber that nobody reads for as long as that exists."""
        events = check_published(events)
        parcels: list[tuple[Queue, Parcel]] = []
        with self.lock:
            self._check_open()
            for queue in self._queues:
                parcel = queue.publish(events)
                if parcel is not None:
                    parcels.append((queue, parcel))
            self.forget_closed()
        try:
            for queue, parcel in parcels:
                while True:
                    count = queue.room.count
                    with self.lock:
                        queue.catch_up()
                        if not parcel:
                            break
                        if self._closed:
                            raise BusError("the bus was closed while events waited for room: not all were delivered")
                    await self.runtime.wait(queue.room, count)
        except BaseException:
            for queue, parcel in parcels:
                queue.later(partial(queue.withdraw, parcel))
            raise

    def offer(self, events: Sequence[Event[Any]], after: int) -> None:
        """Tell of a commit that took the log from the position `after` to that of the last event, in position order.

        - Never waits for a subscriber, never raises because of one, does nothing on a closed bus.
        - Any thread may call it, also in another order than that of the commits.
        - No events and `after=head` tells that the log has reached a position in some other way.
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
            self.forget_closed()

    def committed(self, events: Sequence[Event[Any]], before: int) -> None:
        """Offer the events of a commit, which have the positions right behind `before` but do not know them yet."""
        with self.lock:
            if not self._queues:
                self._head = max(self._head, before + len(events))
                return
        self.offer([event.at(position) for position, event in enumerate(events, before + 1)], before)

    # --- subscribing ------------------------------------------------------------------------------------------------

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
        patterns = parse_patterns(names)
        if group is not None and (not isinstance(group, str) or not group):
            raise ConfigError(f"a group is named by a non-empty str, not {group!r:.80}")
        _check_count("max_pending", max_pending)
        _check_count("capacity", capacity)
        if ack_wait is not None and not (math.isfinite(ack_wait) and ack_wait > 0):
            raise ConfigError(f"ack_wait is a number of seconds > 0, or None for no limit, not {ack_wait!r}")
        if ordered_by not in (None, "aggregate") or (ordered_by is not None and group is None):
            raise ConfigError(
                f"ordered_by is 'aggregate', of a group, or None, not {ordered_by!r:.80} of {group!r:.80}"
            )
        position, min_time = _check_start(start)
        if start != "now" and not self._replays:
            raise AbilityMissing(REPLAY, self._what)
        member = Member(max_pending, ack_wait)
        with self.lock:
            self._check_open()
            self.forget_closed()
            queue = self._groups.get(group) if group is not None else None
            if queue is None:
                self._numbers += 1
                label = group if group is not None else f"{patterns} #{self._numbers}"
                queue = self._new_queue(
                    Wish(patterns, group, label, capacity, position, min_time, ordered_by, start == "last")
                )
                self._queues.append(queue)
                if group is not None:
                    self._groups[group] = queue
            elif queue.patterns != patterns:
                raise BusError(
                    f"the group {group!r} listens to {str(queue.patterns)!r}, not to {str(patterns)!r}: its members "
                    "share one set of names; use another group for other names"
                )
            elif queue.ordered != (ordered_by is not None):
                raise BusError(
                    f"the members of the group {group!r} {'keep' if queue.ordered else 'do not keep'} each aggregate in order: "
                    "all of them have one `ordered_by`; use another group for another one"
                )
            queue.catch_up()
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
        """See `EventBus.handle`. On an event loop a plain function is called on the loop, so it must not block."""
        if not callable(handler):
            raise ConfigError(f"a handler is a function of one event, not {handler!r:.80}")
        _check_count("max_attempts", max_attempts)
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

    # --- what a bus of another kind does in its own way -------------------------------------------------------------

    @property
    def _replays(self) -> bool:
        """Whether a subscription can begin in the past."""
        return self.log is not None

    _what = "an in-process bus without a log"
    """What it is, for the message that says that it cannot."""

    def _new_queue(self, wish: Wish) -> Queue:
        """The queue of a subscription or group that is new (the lock is held)."""
        head = self._head
        seen = 0 if wish.last else head if wish.position is None else wish.position
        return Queue(
            wish.patterns, wish.group, wish.label, wish.capacity, self.runtime.clock, self.bury,
            seen=seen, target=head, min_time=wish.min_time, ordered=wish.ordered_by is not None,
            last_of=head if wish.last else 0,
        )  # fmt: skip

    async def _bury_delivery(self, delivery: InProcessDelivery, error: Exception) -> None:
        """Make a dead letter of what a handler failed on, and settle it by that."""
        delivery._subscription.settle(delivery, "dead-lettered", error=told(error))

    async def refill(self, queue: Queue, refill: Refill) -> None:
        """Fetch from the log what the queue's consumer undertook to."""
        log = self.log
        if log is None:
            raise BusError("a queue without a log never lags")
        try:
            head = await log.head()
            query = _query(queue)
            after = await _before_last(log, query, queue) if queue.last_of else refill.after
            events = await log.query(query, after=after, upto=head, limit=refill.limit).list()
        except BaseException:
            queue.later(partial(queue.end_refill, refill))
            raise
        ended = len(events) < refill.limit
        seen = head if ended else events[-1].position
        with self.lock:
            queue.end_refill(refill, [event for event in events if queue.covers(event)], seen, ended=ended)

    async def reset(self, group: str) -> None:
        """See `EventBus.reset`."""
        with self.lock:
            self._check_open()
            queue = self._groups.get(group)
            if queue is None:
                return
            queue.catch_up()
            if queue.members:
                raise BusError(f"the group {group!r} has {len(queue.members)} members: close their subscriptions first")
            del self._groups[group]
            queue.close()
            self.forget_closed()

    # --- dead letters -----------------------------------------------------------------------------------------------

    async def dead_letters(self) -> list[DeadLetter]:
        """The dead letters, oldest first."""
        with self.lock:
            return [letter for letter, _ in self._letters.values()]

    async def redrive(self, letter: DeadLetter) -> None:
        """See `EventBus.redrive`."""
        with self.lock:
            self._check_open()
            queue = self._letter(letter)
            queue.catch_up()
            if queue.closed:
                raise BusError(
                    f"{letter.subscriber!r} has ended, nobody is left to take the event: drop the letter, or publish it"
                )
            del self._letters[letter.id]
            queue.redrive(letter.event)

    async def drop(self, letter: DeadLetter) -> None:
        """Forget the letter; BusError if it is gone already."""
        with self.lock:
            self._letter(letter)
            del self._letters[letter.id]

    def _letter(self, letter: DeadLetter) -> Queue:
        try:
            return self._letters[letter.id][1]
        except KeyError:
            raise BusError(f"the dead letter {letter.id!r} is gone: it was redriven or dropped before") from None

    def bury(self, queue: Queue, event: Event[Any], attempts: int, error: str) -> None:
        """Keep a dead letter (the lock is held)."""
        self._numbers += 1
        letter = DeadLetter(str(self._numbers), event, queue.label, attempts, error, self.runtime.clock.now())
        self._letters[letter.id] = letter, queue
        self.overflowed += attempts == 0
        if len(self._letters) > self._max_dead_letters:
            oldest, _ = self._letters.pop(next(iter(self._letters)))
            self.letters_lost += 1
            import logging

            logging.getLogger("goes_lite.bus").error("too many dead letters, so this one is lost: %r", oldest)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Refuse what is published, let handlers finish the event at hand, end every subscription. Twice is fine."""
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

    def forget_closed(self) -> None:
        """Let go of queues whose subscription has ended (the lock is held)."""
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
            f"{sum(queue.size for queue in self._queues)} queued, {len(self._letters)} dead letters>"
        )


def told(error: Exception) -> str:
    """An error as the text that a dead letter keeps."""
    return f"{type(error).__name__}: {error}"[:2000]


def _query(queue: Queue) -> EventQuery:
    """What to ask the log for: exact where names are, everything where there are patterns."""
    names = () if queue.patterns.prefixes else queue.patterns.exact
    if queue.min_time is None and not names:
        return EVERYTHING
    return EventQuery(names, min_time=None if queue.min_time is None else from_micros(queue.min_time))


async def _before_last(log: EventStore, query: EventQuery, queue: Queue) -> int:
    """The position before the last event that the queue begins with, or of what it passes over if there is none."""
    async for event in log.query(query, upto=queue.last_of, reverse=True):
        if queue.covers(event):
            return event.position - 1
    return queue.last_of


def _check_start(start: Start) -> tuple[int | None, int | None]:
    """The position and the time (in microseconds) that a subscription or a processor begins at; InvalidQueryError."""
    if isinstance(start, datetime):
        with suppress(InvalidEventError):
            return 0, to_micros(start)
    elif start in ("now", "last"):
        return None, None
    elif start == "beginning":
        return 0, None
    elif type(start) is int and start >= 0:
        return start, None
    raise InvalidQueryError(
        f"start is 'now', 'beginning', 'last', a position (an int ≥ 0) or an aware datetime, not {start!r:.80}"
    )


def _check_count(option: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise ConfigError(f"{option} is an int ≥ 1, not {value!r}")
