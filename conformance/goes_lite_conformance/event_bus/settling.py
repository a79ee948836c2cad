"""Settling deliveries: what an ack and a nak do, and what happens to unsettled deliveries."""

from __future__ import annotations

from functools import partial
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.errors import ConfigError, DeliveryError
from goes_lite_conformance.event_bus._given import take, take_texts
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, B, note, story


class SettlingRules(Contract):
    """Rules EB-SETTLE."""

    async def test_what_is_acked_does_not_come_again(self, db: Backend) -> None:
        """EB-SETTLE-001: An acknowledged delivery does not arrive again, whatever happens to its neighbours."""
        subscription = db.bus.subscribe(group="g")
        await db.bus.publish([note("1"), note("2"), note("3")])
        first, second, third = await take(subscription, 3, ack=False)
        await second.ack()
        await first.nak()
        await third.nak()
        assert await take_texts(subscription, 2) == ["1", "3"]
        await db.bus.publish([note("4")])
        assert await take_texts(subscription, 1) == ["4"]

    async def test_a_nak_brings_it_again(self, db: Backend) -> None:
        """EB-SETTLE-002: A nakked delivery arrives again, with its attempts counted, until it is acknowledged."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1")])
        for attempt in (1, 2, 3):
            delivery = await anext(subscription)
            assert (delivery.event.data.text, delivery.attempt, delivery.redelivered) == ("1", attempt, attempt > 1)
            await delivery.nak()
        delivery = await anext(subscription)
        assert delivery.attempt == 4
        await delivery.ack()

    async def test_a_nak_may_ask_for_a_delay(self, db: Backend) -> None:
        """EB-SETTLE-003: A delivery nakked with a delay arrives again after the delay, and others arrive before it."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("later")])
        (delivery,) = await take(subscription, 1, ack=False)
        await delivery.nak(0.1)
        await db.bus.publish([note("1"), note("2")])
        assert await take_texts(subscription, 3) == ["1", "2", "later"]

    async def test_a_wrong_delay_settles_nothing(self, db: Backend) -> None:
        """EB-SETTLE-004: An invalid delay raises ConfigError and leaves the delivery unsettled."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1")])
        (delivery,) = await take(subscription, 1, ack=False)
        wrong: list[Any] = [-1, float("nan"), float("inf")]
        await each_refused(ConfigError, {repr(delay): partial(delivery.nak, delay) for delay in wrong})
        await delivery.ack()

    async def test_a_delivery_is_settled_once(self, db: Backend) -> None:
        """EB-SETTLE-005: Settling a settled delivery, in either way, raises DeliveryError and changes nothing."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1"), note("2"), note("3")])
        acked, nakked, third = await take(subscription, 3, ack=False)
        await acked.ack()
        await nakked.nak(0.05)
        for settle in (acked.ack, acked.nak, nakked.ack, nakked.nak):
            with refused(DeliveryError):
                await settle()
        await third.ack()
        (again,) = await take(subscription, 1)
        assert (again.event.data.text, again.attempt) == ("2", 2)

    async def test_settling_after_the_end_is_refused(self, db: Backend) -> None:
        """EB-SETTLE-006: Settling a delivery of a closed subscription raises DeliveryError."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("1"), note("2")])
        one, other = await take(subscription, 2, ack=False)
        await subscription.close()
        with refused(DeliveryError):
            await one.ack()
        with refused(DeliveryError):
            await other.nak()

    async def test_what_takes_too_long_is_taken_back(self, db: Backend) -> None:
        """EB-SETTLE-007: A delivery unsettled after `ack_wait` arrives again; settling the first one raises DeliveryError."""
        subscription = db.bus.subscribe(ack_wait=0.2)
        await db.bus.publish([note("1")])
        (late,) = await take(subscription, 1, ack=False)
        (again,) = await take(subscription, 1, ack=False)
        assert (again.event.data.text, again.attempt, again.redelivered) == ("1", 2, True)
        await each_refused(DeliveryError, {"ack": late.ack, "nak": late.nak})
        await again.ack()

    async def test_without_a_limit_nothing_is_taken_back(self, place: Place, db: Backend) -> None:
        """EB-SETTLE-008: Without `ack_wait` a delivery belongs to its subscriber until it is settled."""
        subscription = db.bus.subscribe(group="g")
        await db.bus.publish([note("mine")])
        (held,) = await take(subscription, 1, ack=False)
        hurried = db.bus.subscribe(group="h", ack_wait=0.05)
        await db.bus.publish([note("other")])
        await take(hurried, 1, ack=False)
        assert (await take(hurried, 1))[0].attempt == 2  # so that much time has passed
        assert await take_texts(subscription, 1) == ["other"]
        await held.ack()

    async def test_an_aggregate_waits_behind_one_to_be_retried(self, db: Backend) -> None:
        """EB-SETTLE-009: With `max_pending=1`, later events of an aggregate wait for one that was nakked.

        Those of other aggregates, or of none, do not.
        """
        subscription = db.bus.subscribe(max_pending=1)
        await db.bus.publish([*story(A, 2), *story(B, 1), note("none")])
        first = await anext(subscription)
        assert first.event.data.text == "a-1"
        await first.nak(0.1)
        assert await take_texts(subscription, 4) == ["b-1", "none", "a-1", "a-2"]

    async def test_order_of_an_aggregate_under_failures(self, db: Backend) -> None:
        """EB-SETTLE-010: With `max_pending=1`, each aggregate is acknowledged in order, whatever fails."""
        subscription = db.bus.subscribe(group="g", max_pending=1)
        events = [event for pair in zip(story(A, 6), story(B, 6), strict=True) for event in pair]
        await db.bus.publish(events)
        done: list[str] = []
        tries: dict[str, int] = {}
        while len(done) < len(events):
            delivery = await anext(subscription)
            text = delivery.event.data.text
            tries[text] = tries.get(text, 0) + 1
            if tries[text] <= (len(tries) * 7) % 3:
                await delivery.nak(0.001 * (tries[text] % 2))
            else:
                await delivery.ack()
                done.append(text)
        for name in "ab":
            assert [text for text in done if text[0] == name] == [f"{name}-{version}" for version in range(1, 7)]

    async def test_what_is_acked_is_not_taken_back(self, db: Backend) -> None:
        """EB-SETTLE-011: A delivery acknowledged in time does not arrive again when its `ack_wait` is over."""
        subscription = db.bus.subscribe(group="g", ack_wait=0.15)
        await db.bus.publish([note("done"), note("later")])
        done, later = await take(subscription, 2, ack=False)
        await done.ack()
        await later.nak(0.2)
        assert await take_texts(subscription, 1) == ["later"]
        await db.bus.publish([note("1")])
        assert await take_texts(subscription, 1) == ["1"]

    async def test_ack_wait_begins_with_the_delivery(self, db: Backend) -> None:
        """EB-SETTLE-012: `ack_wait` starts with the delivery, not when the event is published."""
        subscription, clock = db.bus.subscribe(ack_wait=0.15), db.bus.subscribe()
        await db.bus.publish([note("1")])
        await (await anext(clock)).nak(0.2)
        await take(clock, 1)  # so that much time has passed
        delivery = await anext(subscription)
        await db.bus.publish([note("2")])
        assert await take_texts(subscription, 1) == ["2"]
        assert delivery.attempt == 1
        await delivery.ack()

    async def test_a_long_delay_holds_up_no_short_one(self, db: Backend) -> None:
        """EB-SETTLE-013: A delivery nakked with a short delay does not wait for one with a long delay."""
        subscription = db.bus.subscribe()
        await db.bus.publish([note("long"), note("short")])
        long, short = await take(subscription, 2, ack=False)
        await long.nak(600)
        await short.nak(0.02)
        assert await take_texts(subscription, 1) == ["short"]
