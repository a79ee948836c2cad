"""Names and patterns: what a subscription covers, and what is not a pattern."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_bus import Subscription
from goes_lite.errors import InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.registry import Registry
from goes_lite_conformance.event_bus._given import take, take_texts
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import Closed, Noted, count, note, registry

LOOK_ALIKES = (
    "order", "order.placed", "order.item.added", "order.item", "Order.placed", "order.Placed", "orders.placed",
    "reorder.placed", "order.placed.twice", "order_placed", "order.", ".placed", "order..placed", ">", "order.>", "$order",
    "order.%", "ordér.placed", "order/placed", "x" * 255, "'",
)  # fmt: skip
"""Names that a bus may confuse with each other or with a wildcard of a broker."""

look_alikes = Registry()
for _name in LOOK_ALIKES:
    look_alikes.register(_name, Noted)


def one_of_each() -> list[Event[Any]]:
    """Return one event of each name."""
    return [Event(Noted(), name=name, registry=look_alikes) for name in LOOK_ALIKES]


async def names_of(subscription: Subscription, number: int) -> list[str]:
    """Acknowledge the next deliveries and return the names of their events."""
    return [delivery.event.name for delivery in await take(subscription, number)]


class NameRules(Contract):
    """Rules EB-NAME."""

    async def test_a_name_covers_itself(self, db: Backend) -> None:
        """EB-NAME-001: A subscription to a name receives the events of exactly that name."""
        subscription = db.bus.subscribe(["sample.noted"])
        await db.bus.publish([count(1), note("1"), Event(Closed(), registry=registry), note("2")])
        assert await take_texts(subscription, 2) == ["1", "2"]

    async def test_several_names(self, db: Backend) -> None:
        """EB-NAME-002: An event that matches several names and patterns of a subscription arrives once."""
        subscription = db.bus.subscribe(["sample.noted", "sample.*", "other.closed"])
        await db.bus.publish([note("1"), Event(Closed(), registry=registry), note("2")])
        names = [delivery.event.name for delivery in await take(subscription, 3)]
        assert names == ["sample.noted", "other.closed", "sample.noted"]

    async def test_a_pattern_covers_a_beginning(self, place: Place) -> None:
        """EB-NAME-003: `order.*` covers names that start with `order.`, at any depth; neither `order` nor `orders.x`."""
        async with place.open(registry=look_alikes) as db:
            for pattern in ("order.*", "order.item.*", "Order.*"):
                subscription = db.bus.subscribe([pattern, "'"])
                await db.bus.publish(one_of_each())
                expected = [name for name in LOOK_ALIKES if name.startswith(pattern[:-1]) or name == "'"]
                assert await names_of(subscription, len(expected)) == expected

    async def test_a_star_covers_everything(self, db: Backend) -> None:
        """EB-NAME-004: `*` covers every name, and is the default."""
        for subscription in (db.bus.subscribe(["*"]), db.bus.subscribe()):
            await db.bus.publish([note("1"), count(2), Event(Closed(), registry=registry)])
            assert len(await take(subscription, 3)) == 3
            await subscription.close()

    async def test_wrong_names_are_refused(self, db: Backend) -> None:
        """EB-NAME-005: A misplaced *, an empty name, no names, or a bare string raises InvalidQueryError."""
        wrong: list[Any] = [
            ["or*"],
            ["*.placed"],
            ["order.*.x"],
            ["**"],
            [" *"],
            ["a b"],
            [""],
            [],
            "sample.noted",
            [7],
            None,
            7,
        ]

        def subscribing(names: Any) -> Any:
            async def call() -> None:
                db.bus.subscribe(names)

            return call

        await each_refused(InvalidQueryError, {repr(names): subscribing(names) for names in wrong})

    async def test_names_that_look_alike(self, place: Place) -> None:
        """EB-NAME-006: A name is any text: names that differ in case, in a dot or in an accent are different names."""
        async with place.open(registry=look_alikes) as db:
            subscriptions = {name: db.bus.subscribe([name]) for name in LOOK_ALIKES}
            for _ in range(2):  # the second time shows that nothing else arrived with the first
                await db.bus.publish(one_of_each())
            for name, subscription in subscriptions.items():
                assert await names_of(subscription, 2) == [name, name]

    async def test_a_name_that_nobody_registered(self, db: Backend) -> None:
        """EB-NAME-007: A name need not be registered to be subscribed to, by itself or with others."""
        alone = db.bus.subscribe(["nobody.knows"])
        subscription = db.bus.subscribe(["nobody.knows", "sample.noted"])
        await db.bus.publish([note("1"), note("2")])
        assert await take_texts(subscription, 2) == ["1", "2"]
        await alone.close()
