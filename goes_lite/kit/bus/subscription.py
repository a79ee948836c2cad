"""One consumer's end of an in-process bus: taking deliveries and settling them.

Rule of this file: the bus holds no reference to what is defined here, so that a subscription that nobody holds any
more is collected, and gives back what it had.
"""

from __future__ import annotations

import math
import weakref
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from goes_lite.errors import BusError, ConfigError, DeliveryError
from goes_lite.kit.bus.queue import Item, Member, Queue

if TYPE_CHECKING:
    from goes_lite.kit.bus import InProcessBus


class InProcessDelivery:
    """One event on its way to one subscriber. See `goes_lite.contract.event_bus.Delivery`."""

    __slots__ = ("_item", "_settled", "_subscription", "attempt", "event", "redelivered")

    def __init__(self, subscription: InProcessSubscription, item: Item) -> None:
        # It keeps its subscription alive: whoever can still settle it has not abandoned it.
        self._subscription = subscription
        self._item = item
        self._settled: str | None = None
        self.event = item.event
        self.attempt = item.attempt
        self.redelivered = item.attempt > 1 or item.redriven

    async def ack(self) -> None:
        """Done: it is not delivered again. DeliveryError if it is settled, taken back, or the subscription ended."""
        self._subscription.settle(self, "acked")

    async def nak(self, delay: float | None = None) -> None:
        """Not done: deliver it again, after `delay` seconds or at once. Errors as for `ack`; ConfigError: the delay."""
        if delay is not None and not (math.isfinite(delay) and delay >= 0):
            raise ConfigError(f"nak(delay={delay!r}): a delay is a number of seconds ≥ 0, or None for at once")
        self._subscription.settle(self, "nakked", delay)

    def __repr__(self) -> str:
        return f"<Delivery attempt {self.attempt}{', ' + self._settled if self._settled else ''}: {self.event!r}>"


class InProcessSubscription:
    """See `goes_lite.contract.event_bus.Subscription`. Several tasks or threads may share one."""

    def __init__(self, bus: InProcessBus, queue: Queue, member: Member) -> None:
        self._bus = bus
        self._queue = queue
        self._member = member
        self._finalizer = weakref.finalize(self, queue.later, partial(queue.leave, member))
        self._finalizer.atexit = False

    @property
    def queued(self) -> int:
        """How many events wait in the queue (of the group)."""
        return self._queue.size

    @property
    def in_flight(self) -> int:
        """How many deliveries are out unsettled (of this member)."""
        return len(self._member.in_flight)

    @property
    def lagging(self) -> bool:
        """Whether the log is known to hold more than was queued so far."""
        return self._queue.lagging

    @property
    def closed(self) -> bool:
        return self._member.left

    def __aiter__(self) -> InProcessSubscription:
        return self

    async def __anext__(self) -> InProcessDelivery:
        """The next delivery, when there is one; the iteration ends when the subscription or its bus is closed."""
        queue, member = self._queue, self._member
        while True:
            count = queue.changed.count
            with self._bus.lock:
                queue.catch_up()
                if member.left:
                    raise StopAsyncIteration
                if queue.failure is not None:
                    raise BusError(queue.failure)
                timeout = queue.wake_up()
                refill = queue.begin_refill(idle=False)
                if refill is None:
                    item = queue.take(member)
                    if item is not None:
                        # Nothing is awaited from here on, so no cancellation can come between.
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
        """Settle one of its deliveries; with an error, as a dead letter."""
        item = delivery._item
        with self._bus.lock:
            self._queue.catch_up()
            settled = delivery._settled
            if settled is not None:
                raise DeliveryError(f"{delivery.event!r} was {settled} already: settle a delivery once")
            if self._member.left:
                raise DeliveryError(
                    f"the subscription of {delivery.event!r} has ended, the event was given back: it comes again"
                )
            if item.owner is not self._member or item.attempt != delivery.attempt:
                raise DeliveryError(
                    f"{delivery.event!r} was taken back after {self._member.ack_wait} s unsettled, and comes again: "
                    "if it takes so long, subscribe with a longer ack_wait"
                )
            delivery._settled = how
            if error is not None:
                self._bus.bury(self._queue, item.event, item.attempt, error)
            self._queue.settle(item, delay, done=how != "nakked")

    async def close(self) -> None:
        """End the iteration, also one that is waiting, and give back what is unsettled. Closing twice is fine."""
        self._finalizer.detach()
        with self._bus.lock:
            self._queue.catch_up()
            self._queue.leave(self._member)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        queue = self._queue
        group = f" group={queue.group!r}" if queue.group is not None else ""
        more = ", closed" if self.closed else ", lagging" if queue.lagging else ""
        return f"<Subscription {queue.patterns}{group} {queue.size} queued, {self.in_flight} in flight{more}>"
