"""Subscriptions of an in-process bus: how a consumer takes deliveries and settles them.

Rule of this file: the bus holds no reference to what is defined here, so a subscription that nobody references any more
is garbage collected, and gives back what it had.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from goes_lite.errors import BusError, ConfigError, DeliveryError
from goes_lite.kit.bus.backlog import Item, Member
from goes_lite.kit.bus.queue import Queue, Refill
from goes_lite.kit.bus.subscription_request import is_seconds
from goes_lite.runtime import Runtime


class QueueHost(Protocol):
    """What a subscription needs of its bus."""

    @property
    def lock(self) -> threading.Lock:
        """Guards the queue."""
        ...

    @property
    def runtime(self) -> Runtime: ...

    async def refill(self, queue: Queue, refill: Refill) -> None:
        """Fetch events from the log into the queue."""
        ...


class InProcessDelivery:
    """See `goes_lite.contract.event_bus.Delivery`."""

    __slots__ = ("_item", "_settled", "_subscription", "attempt", "event", "redelivered")

    def __init__(self, subscription: InProcessSubscription, item: Item) -> None:
        # It keeps its subscription alive: a subscription is not abandoned while a delivery of it can be settled.
        self._subscription = subscription
        self._item = item
        self._settled: str | None = None
        self.event = item.event
        self.attempt = item.attempt
        self.redelivered = item.attempt > 1 or item.redriven

    async def ack(self) -> None:
        """See `Delivery.ack`."""
        self._subscription.settle(self, "acked")

    async def nak(self, delay: float | None = None) -> None:
        """See `Delivery.nak`. ConfigError for a wrong delay."""
        if delay is not None and not is_seconds(delay):
            raise ConfigError(f"delay={delay!r} is not valid: use a number of seconds ≥ 0, or None for at once")
        self._subscription.settle(self, "nakked", delay)

    @property
    def queue(self) -> Queue:
        """The queue that the event came from."""
        return self._subscription.queue

    def settle_dead(self, error: str | None = None) -> None:
        """Settle it as a dead letter, which its queue keeps if there is an error. Raises as `ack` does."""
        self._subscription.settle(self, "dead-lettered", error=error)

    def __repr__(self) -> str:
        return f"<Delivery attempt {self.attempt}{', ' + self._settled if self._settled else ''}: {self.event!r}>"


class InProcessSubscription:
    """See `goes_lite.contract.event_bus.Subscription`. Safe to share between tasks or threads."""

    def __init__(self, bus: QueueHost, queue: Queue, member: Member) -> None:
        self._bus = bus
        self.queue = queue
        self._member = member
        self._finalizer = weakref.finalize(self, queue.defer, partial(queue.leave, member))
        self._finalizer.atexit = False

    @property
    def queued(self) -> int:
        """How many events wait in the queue (of the group)."""
        return len(self.queue.backlog)

    @property
    def in_flight(self) -> int:
        """How many deliveries of this member are unsettled."""
        return len(self._member.in_flight)

    @property
    def lagging(self) -> bool:
        """Whether the log is known to hold events that are not queued yet."""
        return self.queue.lagging

    @property
    def closed(self) -> bool:
        return self._member.left

    def __aiter__(self) -> InProcessSubscription:
        return self

    async def __anext__(self) -> InProcessDelivery:
        """Wait for the next delivery; the iteration ends when the subscription or its bus is closed."""
        queue, member = self.queue, self._member
        while True:
            count = queue.changed.count
            with self._bus.lock:
                queue.run_deferred()
                if member.left:
                    raise StopAsyncIteration
                if queue.failure is not None:
                    raise BusError(queue.failure)
                timeout = queue.wake_up()
                refill = queue.begin_refill(idle=False)
                if refill is None:
                    item = queue.take(member)
                    if item is not None:
                        # Nothing is awaited from here on, so a cancellation cannot lose the event.
                        return InProcessDelivery(self, item)
                    if len(member.in_flight) < member.max_pending:
                        refill = queue.begin_refill(idle=True)
            if refill is not None:
                await self._bus.refill(queue, refill)
            else:
                await self._bus.runtime.wait(queue.changed, count, timeout)

    def settle(
        self, delivery: InProcessDelivery, how: str, delay: float | None = None, error: str | None = None
    ) -> None:
        """Settle one of its deliveries; with an error, keep a dead letter."""
        item = delivery._item
        with self._bus.lock:
            self.queue.run_deferred()
            settled = delivery._settled
            if settled is not None:
                raise DeliveryError(f"{delivery.event!r} was {settled} already: settle each delivery once")
            if self._member.left:
                raise DeliveryError(
                    f"the subscription of {delivery.event!r} has ended: the event is delivered to another member, if any"
                )
            if item.owner is not self._member or item.attempt != delivery.attempt:
                raise DeliveryError(
                    f"{delivery.event!r} was taken back, because it was unsettled after {self._member.ack_wait} s: use a longer "
                    "ack_wait if handling takes that long"
                )
            delivery._settled = how
            if error is not None:
                self.queue.bury(item.event, item.attempt, error)
            self.queue.settle(item, delay, done=how != "nakked")

    async def close(self) -> None:
        """See `Subscription.close`."""
        self._finalizer.detach()
        with self._bus.lock:
            self.queue.run_deferred()
            self.queue.leave(self._member)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        queue = self.queue
        group = f" group={queue.group!r}" if queue.group is not None else ""
        more = ", closed" if self.closed else ", lagging" if queue.lagging else ""
        return f"<Subscription {queue.patterns}{group} {len(queue.backlog)} queued, {self.in_flight} in flight{more}>"
