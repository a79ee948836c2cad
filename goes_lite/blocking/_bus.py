"""The blocking face of the event bus. Handlers run on threads of their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

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
    """See `goes_lite.contract.event_bus.Delivery`."""

    def __init__(self, delivery: Delivery, portal: Portal) -> None:
        self._delivery = delivery
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._delivery)

    @property
    def event(self) -> Event[Any]:
        return self._delivery.event

    @property
    def attempt(self) -> int:
        return self._delivery.attempt

    @property
    def redelivered(self) -> bool:
        return self._delivery.redelivered

    def ack(self) -> None:
        self._portal.run(self._delivery.ack())

    def nak(self, delay: float | None = None) -> None:
        self._portal.run(self._delivery.nak(delay))


class BlockingSubscription:
    """See `goes_lite.contract.event_bus.Subscription`. Any thread may close it; an iteration that waits then ends."""

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
        if not self._portal.closed:
            self._portal.run(self._subscription.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class BlockingHandling:
    """See `goes_lite.contract.event_bus.Handling`."""

    def __init__(self, handling: Handling, portal: Portal) -> None:
        self._handling = handling
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._handling)

    @property
    def running(self) -> bool:
        return self._handling.running

    @property
    def failures(self) -> int:
        return self._handling.failures

    @property
    def errors(self) -> Sequence[Failure]:
        return self._handling.errors

    def stop(self, timeout: float | None = None) -> None:
        if not self._portal.closed:
            self._portal.run(self._handling.stop(timeout))


class BlockingEventBus:
    """See `goes_lite.contract.event_bus.EventBus`. A handler that blocks keeps nobody waiting but its own subscription."""

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

    def publish(self, events: Sequence[Event[Any]]) -> None:
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
        async def subscribe() -> Subscription:  # on a network backend this has to happen on the loop's thread
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
        async def handle() -> Handling:
            return self._bus.handle(
                names, self._portal.callback(handler), group=group, start=start, ordered_by=ordered_by,
                max_attempts=max_attempts, backoff=backoff, max_pending=max_pending, capacity=capacity, ack_wait=ack_wait,
            )  # fmt: skip

        return BlockingHandling(self._run(handle()), self._portal)

    def reset(self, group: str) -> None:
        self._run(self._bus.reset(group))

    def dead_letters(self) -> list[DeadLetter]:
        return self._run(self._bus.dead_letters())

    def redrive(self, letter: DeadLetter) -> None:
        self._run(self._bus.redrive(letter))

    def drop(self, letter: DeadLetter) -> None:
        self._run(self._bus.drop(letter))

    def close(self) -> None:
        if not self._portal.closed:
            self._run(self._bus.close())
