"""Publishing and subscribing: who receives which events, in which order, and who waits for whom."""

from __future__ import annotations

import asyncio
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_bus import REPLAY
from goes_lite.errors import BusError, ConfigError, InvalidEventError
from goes_lite.events.event import Event
from goes_lite_conformance.event_bus._given import take, take_texts
from goes_lite_conformance.harness.asserts import each_refused, refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, Closed, count, note, registry
from goes_lite_conformance.rule import needs, only


class DeliveryRules(Contract):
    """Rules EB-PUB and EB-SUB."""

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def test_every_subscriber_gets_what_is_published(self, db: Backend) -> None:
        """EB-PUB-001: Each subscription without a group receives every published event that its names cover, once."""
        subscriptions = [db.bus.subscribe() for _ in range(5)]
        await db.bus.publish([note("1"), note("2")])
        await db.bus.publish([note("last")])
        for subscription in subscriptions:
            assert await take_texts(subscription, 3) == ["1", "2", "last"]

    async def test_an_event_arrives_as_it_was_published(self, db: Backend) -> None:
        """EB-PUB-002: Every field of an event arrives unchanged, even if no store has the event."""
        events: list[Event[Any]] = [note("a\0\n☃𝄞", A, 7, metadata={"actor": "ann"}, tags=["k:v"])]
        events += [count(2**63 - 1, time=NOON), note("x" * 100_000)]
        subscription = db.bus.subscribe()
        await db.bus.publish(events)
        same([delivery.event for delivery in await take(subscription, 3)], events)

    async def test_publishing_nothing_does_nothing(self, db: Backend) -> None:
        """EB-PUB-003: Publishing no events succeeds, and nothing is delivered."""
        subscription = db.bus.subscribe()
        await db.bus.publish([])
        await db.bus.publish([note("1")])
        assert await take_texts(subscription, 1) == ["1"]

    async def test_publishing_to_nobody_succeeds(self, db: Backend) -> None:
        """EB-PUB-004: Publishing succeeds without subscribers, and a later subscriber does not receive those events."""
        await db.bus.publish([note("early")])
        subscription = db.bus.subscribe()
        await db.bus.publish([note("now")])
        assert await take_texts(subscription, 1) == ["now"]

    async def test_order_of_publication(self, db: Backend) -> None:
        """EB-PUB-005: Events arrive in the order of their call, and consecutive calls in their order."""
        subscription = db.bus.subscribe()
        for start in range(0, 60, 6):
            await db.bus.publish([note(str(n)) for n in range(start, start + 6)])
        assert await take_texts(subscription, 60) == [str(n) for n in range(60)]

    async def test_order_across_names(self, db: Backend) -> None:
        """EB-PUB-006: The order holds across names, also for one subscription to several patterns."""
        subscription = db.bus.subscribe(["sample.*", "other.closed"])
        closed = Event(Closed(), registry=registry)
        await db.bus.publish([note("1"), closed, count(3), note("4")])
        names = [delivery.event.name for delivery in await take(subscription, 4)]
        assert names == ["sample.noted", "other.closed", "sample.counted", "sample.noted"]

    async def test_publishing_wakes_a_waiting_subscriber(self, place: Place, db: Backend) -> None:
        """EB-PUB-007: Publishing wakes a subscriber that waits."""
        subscription = db.bus.subscribe()
        waiting = place.alongside(take_texts(subscription, 2))
        await db.bus.publish([note("1")])
        await db.bus.publish([note("2")])
        assert await waiting.result() == ["1", "2"]

    async def test_publishing_does_not_store(self, db: Backend) -> None:
        """EB-PUB-008: Publishing an event does not store it in the log."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1")])
        await take_texts(subscription, 1)
        assert await db.events.head() == 0

    @needs(REPLAY)
    async def test_a_full_subscriber_holds_up_nobody_else(self, place: Place, db: Backend) -> None:
        """EB-PUB-009: A subscriber with room receives everything at once, however full another one is."""
        full = db.bus.subscribe(capacity=1, max_pending=1)
        free = db.bus.subscribe()
        publishing = place.alongside(db.bus.publish([note(str(n)) for n in range(20)]))
        assert await take_texts(free, 20) == [str(n) for n in range(20)]
        assert await take_texts(full, 20) == [str(n) for n in range(20)]
        await publishing.result()

    async def test_what_is_no_event_is_refused(self, db: Backend) -> None:
        """EB-PUB-010: Publishing anything but events raises InvalidEventError, and nothing of the call is delivered."""
        subscription = db.bus.subscribe()
        bad: list[Any] = [[note("x"), "no event"], 7, None, "text"]
        for events in bad:
            with refused(InvalidEventError):
                await db.bus.publish(events)
        await db.bus.publish([note("1")])
        assert await take_texts(subscription, 1) == ["1"]

    async def test_a_closed_bus_refuses(self, place: Place) -> None:
        """EB-PUB-011: On a closed bus, publish and subscribe raise BusError."""
        async with place.open() as db:
            bus = db.bus
        with refused(BusError):
            await bus.publish([note("1")])
        with refused(BusError):
            bus.subscribe()

    @needs(REPLAY)
    async def test_several_publish_at_once(self, place: Place, db: Backend) -> None:
        """EB-PUB-012: Concurrent calls lose and duplicate nothing, and each publisher's events stay in order."""
        subscription = db.bus.subscribe(capacity=8)

        def said(name: str) -> list[str]:
            return [f"{name}{number}" for number in range(60)]

        async def publish(name: str) -> None:
            for start in range(0, 60, 2):
                await db.bus.publish([note(text) for text in said(name)[start : start + 2]])

        publishing = [place.alongside(publish(name)) for name in "abcd"]
        got = await take_texts(subscription, 240)
        for one in publishing:
            await one.result()
        for name in "abcd":
            assert [text for text in got if text[0] == name] == said(name)

    @needs(REPLAY)
    @only("async")
    async def test_a_cancelled_call(self, place: Place, db: Backend) -> None:
        """EB-PUB-013: A cancelled call may have delivered some events, in order and once; it delivers none later."""
        subscription = db.bus.subscribe(capacity=2)
        for turn in range(1, 6):
            publishing = place.alongside(db.bus.publish([note(str(number)) for number in range(20)]))
            got = await take_texts(subscription, turn)
            publishing.cancel()
            await publishing.outcome()
            after = place.alongside(db.bus.publish([note("after")]))
            while "after" not in got:
                got += await take_texts(subscription, 1)
            await after.result()
            numbers = [int(text) for text in got[:-1]]
            assert numbers == sorted(set(numbers)), got

    # --- subscriptions ------------------------------------------------------------------------------------------------

    async def test_from_the_call_on(self, db: Backend) -> None:
        """EB-SUB-001: A subscription receives what is published after the call of subscribe, before its iteration starts."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1"), note("2")])
        later = db.bus.subscribe()
        await db.bus.publish([note("3")])
        assert await take_texts(subscription, 3) == ["1", "2", "3"]
        assert await take_texts(later, 1) == ["3"]

    async def test_a_delivery_says_what_it_is(self, db: Backend) -> None:
        """EB-SUB-002: A first delivery is attempt 1 and not marked redelivered."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1")])
        (delivery,) = await take(subscription, 1)
        assert (delivery.event.data.text, delivery.attempt, delivery.redelivered) == ("1", 1, False)

    async def test_max_pending_bounds_what_is_out(self, place: Place, db: Backend) -> None:
        """EB-SUB-003: At most `max_pending` deliveries are unsettled; settling one lets the next one through."""
        subscription = db.bus.subscribe(max_pending=2)
        await db.bus.publish([note(str(n)) for n in range(4)])
        first, second = await take(subscription, 2, ack=False)
        waiting = place.alongside(take_texts(subscription, 1))
        await db.bus.publish([note("4")])
        assert not waiting.ended
        await second.ack()
        assert await waiting.result() == ["2"]
        await first.ack()
        assert await take_texts(subscription, 2) == ["3", "4"]

    async def test_closing_ends_the_iteration(self, place: Place, db: Backend) -> None:
        """EB-SUB-004: Closing a subscription ends its iteration, even one that waits; closing it twice is fine."""
        subscription = db.bus.subscribe()
        waiting = place.alongside(_rest(subscription))
        await subscription.close()
        await subscription.close()
        assert await waiting.result() == []
        assert await _rest(subscription) == []

    async def test_leaving_the_block_closes(self, db: Backend) -> None:
        """EB-SUB-005: Used as a context manager, a subscription is closed at the end of the block."""
        async with db.bus.subscribe() as subscription:
            await db.bus.publish([note("1")])
            assert await take_texts(subscription, 1) == ["1"]
        assert await _rest(subscription) == []

    async def test_one_that_ends_disturbs_no_other(self, db: Backend) -> None:
        """EB-SUB-006: Closing a subscription with events left affects no other subscription, and publishing succeeds."""
        leaving, staying = db.bus.subscribe(capacity=2), db.bus.subscribe()
        await db.bus.publish([note("1"), note("2")])
        await take(leaving, 1, ack=False)
        await leaving.close()
        await db.bus.publish([note("3")])
        assert await take_texts(staying, 3) == ["1", "2", "3"]

    async def test_a_publisher_is_released_by_a_subscriber_that_leaves(self, place: Place, db: Backend) -> None:
        """EB-SUB-007: Closing a full subscription releases a publisher that waits for room in it."""
        full = db.bus.subscribe(capacity=1, max_pending=1)
        publishing = place.alongside(db.bus.publish([note(str(n)) for n in range(10)]))
        await take(full, 1, ack=False)
        await full.close()
        await publishing.result()

    async def test_wrong_options_are_refused(self, db: Backend) -> None:
        """EB-SUB-008: Subscribing with an option that means nothing raises ConfigError."""
        wrong: list[dict[str, Any]] = [
            {"max_pending": 0}, {"max_pending": 1.5}, {"capacity": 0}, {"capacity": "many"}, {"ack_wait": 0},
            {"ack_wait": -1}, {"ack_wait": float("nan")}, {"group": ""}, {"group": 7},
        ]  # fmt: skip

        def subscribing(options: dict[str, Any]) -> Any:
            async def call() -> None:
                db.bus.subscribe(**options)

            return call

        await each_refused(ConfigError, {repr(options): subscribing(options) for options in wrong})

    @only("async")
    async def test_a_cancelled_wait_loses_nothing(self, db: Backend) -> None:
        """EB-SUB-009: Cancelling `__anext__`, at any moment, loses no event and repeats none."""
        subscription = db.bus.subscribe()
        got: list[str] = []
        for number in range(40):
            waiting = asyncio.ensure_future(anext(subscription))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            publishing = asyncio.ensure_future(db.bus.publish([note(str(number))]))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                delivery = await waiting
            except asyncio.CancelledError:
                pass
            else:
                await delivery.ack()
                got.append(delivery.event.data.text)
            await publishing
        got += await take_texts(subscription, 40 - len(got))
        assert got == [str(number) for number in range(40)]

    async def test_closing_leaves_what_is_queued(self, db: Backend) -> None:
        """EB-SUB-010: A closed subscription delivers nothing more, even if events are queued."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1"), note("2"), note("3")])
        await take_texts(subscription, 1)
        await subscription.close()
        assert await _rest(subscription) == []

    async def test_without_a_group_it_is_gone(self, db: Backend) -> None:
        """EB-SUB-011: What a subscription without a group leaves, unsettled or queued, is delivered to nobody else."""
        async with db.bus.subscribe() as subscription:
            await db.bus.publish([note("unsettled"), note("queued")])
            await take(subscription, 1, ack=False)
        later = db.bus.subscribe()
        await db.bus.publish([note("1")])
        assert await take_texts(later, 1) == ["1"]
        assert await db.bus.dead_letters() == []


async def _rest(subscription: Any) -> list[str]:
    """Return the texts of what arrives until the iteration ends."""
    return [delivery.event.data.text async for delivery in subscription]
