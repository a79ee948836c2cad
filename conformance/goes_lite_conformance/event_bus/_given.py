"""What the rules of the bus share: taking deliveries, and a handler that remembers what it got."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any

from goes_lite.contract.event_bus import Delivery, Handler, Subscription
from goes_lite.events.event import Event
from goes_lite.runtime import drive
from goes_lite_conformance.harness.place import Place, until


async def take(subscription: Subscription, number: int, *, ack: bool = True) -> list[Delivery]:
    """The next deliveries, each settled before the next is asked for, unless told otherwise."""
    deliveries: list[Delivery] = []
    for _ in range(number):
        delivery = await anext(subscription)
        if ack:
            await delivery.ack()
        deliveries.append(delivery)
    return deliveries


async def heard(subscription: Subscription, number: int) -> list[str]:
    """The texts of the next deliveries (of the type Noted), which are settled."""
    return [delivery.event.data.text for delivery in await take(subscription, number)]


def handler(place: Place, work: Callable[[Event[Any]], Coroutine[Any, Any, object]]) -> Handler:
    """A handler that waits as one does on this face: by awaiting, or by blocking the thread that it is called in."""
    if place.face == "async":
        return work
    return lambda event: drive(work(event))


class Ear:
    """A handler that remembers the texts that it was called with, and fails on some of them, for a while.

    On the blocking face it is called in a thread, on the others on the event loop.
    """

    def __init__(self, place: Place, fails: Callable[[Event[Any]], bool] = lambda _: False) -> None:
        self._place = place
        self._fails = fails
        self._changed = threading.Condition()
        self.calls: list[str] = []
        """The text of each call, failed or not."""
        self.done: list[str] = []
        """The texts of those that did not fail."""

    def __call__(self, event: Event[Any]) -> None:
        with self._changed:
            self.calls.append(event.data.text)
            self._changed.notify_all()
        if self._fails(event):
            raise ValueError(f"no {event.data.text}")
        with self._changed:
            self.done.append(event.data.text)
            self._changed.notify_all()

    async def after_calls(self, number: int) -> list[str]:
        """The first so many calls, once there are so many."""
        await until(self._place, lambda: len(self.calls) >= number)
        return self.calls[:number]

    async def after_done(self, number: int) -> list[str]:
        """The first so many that did not fail, once there are so many."""
        await until(self._place, lambda: len(self.done) >= number)
        return self.done[:number]
