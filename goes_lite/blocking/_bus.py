"""The blocking face of the event bus. Handlers run on threads of their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from goes_lite.blocking._stores import BlockingEventStore
from goes_lite.contract.event_bus import (
    CAPACITY,
    MAX_PENDING,
    DeadLetter,
    Delivery,
    EventBus,
    Failure,
    Handler,
    Handling,
    Ordered,
    Start,
    Subscription,
)
from goes_lite.errors import BusError
from goes_lite.events.event import Event
from goes_lite.runtime.portal import Portal

T = TypeVar("T")


class BlockingDelivery:
    """The blocking face of `goes_lite.contract.event_bus.Delivery`."""

    def __init__(self, delivery: Delivery, portal: Portal) -> None:
        self._delivery = delivery
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._delivery)

    @property
    def event(self) -> Event[Any]:
        """The event that is delivered."""
        return self._delivery.event

    @property
    def attempt(self) -> int:
        """The number of this attempt: 1 the first time, one more after each earlier delivery."""
        return self._delivery.attempt

    @property
    def redelivered(self) -> bool:
        """Whether a subscriber may have seen it before."""
        return self._delivery.redelivered

    def ack(self) -> None:
        """Mark it as done: it is not delivered again. DeliveryError if settled, taken back, or the subscription ended."""
        self._portal.run(self._delivery.ack())

    def nak(self, delay: float | None = None) -> None:
        """Mark it as not done: it is delivered again, after `delay` seconds or at once. Errors as for `ack`."""
        self._portal.run(self._delivery.nak(delay))


class BlockingSubscription:
    """The blocking face of `goes_lite.contract.event_bus.Subscription`. Any thread may close it and end its iteration."""

    def __init__(self, subscription: Subscription, portal: Portal) -> None:
        self._subscription = subscription
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._subscription)

    def __iter__(self) -> Iterator[BlockingDelivery]:
        return self

    def __next__(self) -> BlockingDelivery:
        if self._portal.closed:
            raise StopIteration
        try:
            return BlockingDelivery(self._portal.run(self._next()), self._portal)
        except StopAsyncIteration:
            raise StopIteration from None

    async def _next(self) -> Delivery:
        return await self._subscription.__anext__()

    def close(self) -> None:
        """End the iteration, even one that is waiting, and give back unsettled deliveries. Closing twice is allowed."""
        if not self._portal.closed:
            self._portal.run(self._subscription.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class BlockingHandling:
    """The blocking face of `goes_lite.contract.event_bus.Handling`."""

    def __init__(self, handling: Handling, portal: Portal) -> None:
        self._handling = handling
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._handling)

    @property
    def running(self) -> bool:
        """Whether it still accepts events."""
        return self._handling.running

    @property
    def failures(self) -> int:
        """How often it has failed so far."""
        return self._handling.failures

    @property
    def errors(self) -> Sequence[Failure]:
        """The latest failures, oldest first."""
        return self._handling.errors

    def stop(self, timeout: float | None = None) -> None:
        """Take no more events, let the current one finish, and release the task or thread. Stopping twice is allowed.

        Called by the handler itself, or by what it started, it does not wait for the handler to end.
        After `timeout` seconds a handler that awaits is cancelled and its event goes back; a blocking one is left running.
        """
        if not self._portal.closed:
            self._portal.run(self._handling.stop(timeout))


class BlockingEventBus:
    """The blocking face of `goes_lite.contract.event_bus.EventBus`. A handler that blocks delays only its own subscription."""

    def __init__(self, bus: EventBus, portal: Portal) -> None:
        self._bus = bus
        self._portal = portal

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._portal.closed:  # with the backend, and so with the bus
            coroutine.close()
            raise BusError("the bus is closed: connect again")
        return self._portal.run(coroutine)

    def __repr__(self) -> str:
        return repr(self._bus)

    @property
    def log(self) -> BlockingEventStore | None:
        """The store whose commits the bus publishes itself; None if it publishes only what `publish` is given.

        A relay of that store to this bus is refused, because every event would arrive twice.
        """
        return None if self._bus.log is None else BlockingEventStore(self._bus.log, self._portal)

    def publish(self, events: Sequence[Event[Any]]) -> None:
        """Deliver the events to all subscribers of their names.

        - Subscribers get the events of one call, and of successive calls, in that order.
        - A subscriber with room gets them at once, however full others are; the call waits for the full ones.
        - Safe to call from any thread. Not atomic: a cancelled call may have reached some subscribers and not others.
        - If one of them is not an event, it raises InvalidEventError and delivers nothing.
        - BusError if the bus is closed, or is closed while the call waits.
        """
        self._run(self._bus.publish(events))

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
    ) -> BlockingSubscription:
        """Subscribe to names and patterns (see `parse_patterns`), from this call on.

        - Without a group, it gets every matching event.
        - The members of a group share: each event goes to exactly one of them.
        - A group exists as long as the bus, or until it is reset, and keeps collecting while it has no member. Its first
          member decides names, order, start and capacity; a further member with other names or another order is a BusError
          (where only a server knows, raised by the first `__anext__`), while its start and capacity are ignored.
        - With `ordered_by="aggregate"`, at most one event of an aggregate is unsettled at a time, across all members: they
          handle each aggregate in order, and different aggregates concurrently.
        - On a bus without the ability "replay" a group collects for its members alone, and what a subscriber has no room
          for may become a dead letter.
        - At most `max_pending` deliveries are unsettled per member; at most about `capacity` events are queued.
        - A delivery that is unsettled after `ack_wait` seconds is taken back and delivered again (None: never).

        Raises InvalidQueryError for a wrong name, pattern or start; ConfigError for a wrong option; AbilityMissing for a
        start other than "now" on a bus that keeps no log; BusError on a closed bus.
        """

        async def subscribe() -> Subscription:  # a network backend needs the loop's thread for this
            return self._bus.subscribe(
                names, group=group, start=start, ordered_by=ordered_by, max_pending=max_pending, capacity=capacity,
                ack_wait=ack_wait,
            )  # fmt: skip

        return BlockingSubscription(self._run(subscribe()), self._portal)

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
    ) -> BlockingHandling:
        """Call the handler with each event, one at a time: a return is an ack, an exception a nak.

        - After a failure the event is retried `backoff(attempt)` seconds later (`Backoff()` by default).
        - After `max_attempts` it becomes a dead letter, and the other events continue.
        - While an event waits for its retry, those of other aggregates, and of none, are handled.
        """

        async def handle() -> Handling:
            return self._bus.handle(
                names, self._portal.callback(handler, "a handler"), group=group, start=start, ordered_by=ordered_by,
                max_attempts=max_attempts, backoff=backoff, max_pending=max_pending, capacity=capacity, ack_wait=ack_wait,
            )  # fmt: skip

        return BlockingHandling(self._run(handle()), self._portal)

    def reset(self, group: str) -> None:
        """Forget a group and its pending events; the next member starts a new one. Its dead letters stay.

        Raises BusError while it has members here. Nothing happens if there is no such group.
        """
        self._run(self._bus.reset(group))

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        return self._run(self._bus.dead_letters())

    def redrive(self, letter: DeadLetter) -> None:
        """Deliver its event to the same subscriber again, counting attempts from 1, and remove the letter.

        Raises BusError if the letter or the subscriber no longer exists.
        """
        self._run(self._bus.redrive(letter))

    def drop(self, letter: DeadLetter) -> None:
        """Remove the letter; BusError if it no longer exists."""
        self._run(self._bus.drop(letter))

    def close(self) -> None:
        """Let handlers finish their current event, then end every subscription. Closing twice is allowed.

        What is still queued in a bus without storage of its own is lost.
        """
        if not self._portal.closed:
            self._run(self._bus.close())
