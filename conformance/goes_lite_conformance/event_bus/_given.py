"""Helpers of the bus rules: taking deliveries, and a handler that records its events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any

from goes_lite.contract.event_bus import Delivery, Handler, Subscription
from goes_lite.events.event import Event
from goes_lite.runtime import drive
from goes_lite_conformance.harness.place import Place, until


async def take(subscription: Subscription, number: int, *, ack: bool = True) -> list[Delivery]:
    """Return the next deliveries, each acknowledged before the next is requested, unless told otherwise."""
    deliveries: list[Delivery] = []
    for _ in range(number):
        delivery = await anext(subscription)
        if ack:
            await delivery.ack()
        deliveries.append(delivery)
    return deliveries


async def take_texts(subscription: Subscription, number: int) -> list[str]:
    """Acknowledge the next deliveries (of the type Noted) and return their texts."""
    return [delivery.event.data.text for delivery in await take(subscription, number)]


def handler(place: Place, work: Callable[[Event[Any]], Coroutine[Any, Any, object]]) -> Handler:
    """Return a handler that waits as the face does: by awaiting, or by blocking its thread."""
    if place.face == "async":
        return work
    return lambda event: drive(work(event))


class RecordingHandler:
    """A handler that records the texts of its events, and fails on some of them, for a while.

    On the blocking face it runs in a thread, otherwise on the event loop.
    """

    def __init__(self, place: Place, fails: Callable[[Event[Any]], bool] = lambda _: False) -> None:
        self._place = place
        self._fails = fails
        self._changed = threading.Condition()
        self.calls: list[str] = []
        """The text of each call, failed or not."""
        self.done: list[str] = []
        """The texts of the calls that did not fail."""

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
        """Wait for so many calls, and return their texts."""
        await until(self._place, lambda: len(self.calls) >= number)
        return self.calls[:number]

    async def after_done(self, number: int) -> list[str]:
        """Wait for so many calls that did not fail, and return their texts."""
        await until(self._place, lambda: len(self.done) >= number)
        return self.done[:number]
