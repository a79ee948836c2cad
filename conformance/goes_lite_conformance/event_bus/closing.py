"""Closing a bus: what is refused, what is finished first, and what is not affected."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_bus import Subscription
from goes_lite.errors import BusError, DeliveryError
from goes_lite.events.event import Event
from goes_lite_conformance.event_bus._given import handler, take, take_texts
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place, until
from goes_lite_conformance.harness.samples import count, note, texts


class BusCloseRules(Contract):
    """Rules EB-CLOSE."""

    async def test_a_bus_that_was_closed(self, db: Backend) -> None:
        """EB-CLOSE-001: A bus can be closed by itself, and twice: then publish, subscribe and handle raise BusError."""

        async def subscribe() -> None:
            db.bus.subscribe()

        async def handle() -> None:
            db.bus.handle(["*"], print)

        for _ in range(2):
            await db.bus.close()
            await each_refused(
                BusError, {"publish": lambda: db.bus.publish([note("x")]), "subscribe": subscribe, "handle": handle}
            )

    async def test_closing_ends_every_subscription(self, place: Place, db: Backend) -> None:
        """EB-CLOSE-002: Closing the bus ends every iteration, with or without a group, even if it waits or has events queued."""

        async def rest(subscription: Subscription) -> list[str]:
            return [delivery.event.data.text async for delivery in subscription]

        idle = [db.bus.subscribe(["sample.counted"], group=group) for group in (None, "g")]
        busy = db.bus.subscribe()
        waiting = [place.alongside(rest(subscription)) for subscription in idle]
        await db.bus.publish([note("1"), note("2")])
        await take_texts(busy, 1)
        await db.bus.close()
        assert [await one.result() for one in waiting] == [[], []]
        assert await rest(busy) == []

    async def test_what_is_out_when_it_closes(self, db: Backend) -> None:
        """EB-CLOSE-003: A delivery that is unsettled when the bus is closed can no longer be settled: DeliveryError."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1")])
        (delivery,) = await take(subscription, 1, ack=False)
        await db.bus.close()
        await each_refused(DeliveryError, {"ack": delivery.ack, "nak": delivery.nak})
        await subscription.close()

    async def test_handlers_finish_first(self, place: Place, db: Backend) -> None:
        """EB-CLOSE-004: Closing the bus waits until each handler has finished its current event; it gets no further one."""
        begun, go_on = Moment(place), Moment(place)
        done: list[str] = []

        async def handle(event: Event[Any]) -> None:
            begun.come()
            await go_on.wait()
            done.append(event.data.text)

        handlings = [db.bus.handle(["sample.noted"], handler(place, handle)), db.bus.handle(["other.*"], print)]
        await db.bus.publish([note("1"), note("2")])
        await begun.wait()
        closing = place.alongside(db.bus.close())
        await until(place, lambda: not handlings[0].running)
        assert not closing.ended
        go_on.come()
        await closing.result()
        assert (done, [one.running for one in handlings], handlings[0].failures) == (["1"], [False, False], 0)

    async def test_closing_beside_a_publisher(self, place: Place, db: Backend) -> None:
        """EB-CLOSE-005: A publish call in progress when the bus is closed ends, with success or BusError; it never hangs."""
        full = db.bus.subscribe(capacity=1)
        publishing = place.alongside(db.bus.publish([note(str(n)) for n in range(50)]))
        await take(full, 1)
        await db.bus.close()
        error = await publishing.outcome()
        assert error is None or type(error) is BusError, repr(error)

    async def test_closing_beside_a_handler_that_publishes(self, place: Place, db: Backend) -> None:
        """EB-CLOSE-006: A handler that waits to publish does not keep the bus from closing."""
        begun = Moment(place)

        async def forward(event: Event[Any]) -> None:
            begun.come()
            await db.bus.publish([note(str(n)) for n in range(50)])

        full = db.bus.subscribe(["sample.noted"], capacity=1)
        handling = db.bus.handle(["sample.counted"], handler(place, forward))
        await db.bus.publish([count(1)])
        await begun.wait()
        await take(full, 1)  # so the handler is publishing, and there is no room
        await db.bus.close()
        assert not handling.running

    async def test_the_store_goes_on(self, db: Backend) -> None:
        """EB-CLOSE-007: A store whose bus is closed still stores events, even if there were subscribers."""
        subscription = db.bus.subscribe()
        await db.bus.close()
        await db.events.append([note("1")])
        assert await texts(db) == ["1"]
        await subscription.close()

    async def test_what_is_left_of_a_closed_backend(self, place: Place) -> None:
        """EB-CLOSE-008: Closing the backend ends its subscriptions and handlers; closing those again does nothing."""
        async with place.open() as db:
            subscription = db.bus.subscribe()
            handling = db.bus.handle(["*"], print)
        assert not handling.running
        assert await anext(subscription, None) is None
        await subscription.close()
        await handling.stop()
        await db.bus.close()
