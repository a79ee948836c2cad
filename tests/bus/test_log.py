"""A bus with a log: offers, catching up, and where a subscription starts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from goes_lite_conformance.harness.place import Alongside
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.contract.event_bus import Start, Subscription, parse_patterns
from goes_lite.events.event import Event
from goes_lite.runtime import InlineRuntime, drive
from tests.bus.bus_kit import (
    Log,
    NoWaiting,
    Program,
    Run,
    data,
    drained,
    event,
    events,
    take,
)


def test_an_offer_never_waits_and_a_full_subscriber_catches_up_from_the_log(run: Run) -> None:
    """Others receive the events at once; the one that lags receives everything, once and in order, through a bounded queue."""

    async def rule(p: Program) -> None:
        slow, quick = p.bus.subscribe(["order.*"], capacity=3), p.bus.subscribe(["order.placed"])
        for n in range(20):
            p.bus.offer(*p.log.commit(event("order.placed", n), event("user.named", -1)))
        assert (slow.queued, slow.lagging, quick.queued) == (3, True, 20)
        assert await data(quick, 20) == list(range(20))
        assert p.log.fetches == 0
        for n in range(20):
            assert await data(slow, 1) == [n]
            assert slow.queued <= 3
        p.bus.offer(*p.log.commit(event("order.placed", 20)))
        assert await data(slow, 1) == [20]

    run(rule, Log())


def test_reordered_offers_are_delivered_in_position_order(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        first, second = p.log.commit(*events(1, 2)), p.log.commit(*events(3))
        p.bus.offer(*second)
        assert subscription.queued == 0
        p.bus.offer(*first)
        assert await data(subscription, 3) == [1, 2, 3]
        p.bus.offer(*p.log.commit(*events(4), gap=7))
        assert await data(subscription, 1) == [4]

    run(rule, Log())


def test_an_offer_without_events_announces_a_position(run: Run) -> None:
    """So the events of another process are delivered, too."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        p.log.commit(*events(1, 2))
        p.bus.offer([], p.log.last)
        assert await data(subscription, 2) == [1, 2]
        assert await data(p.bus.subscribe(start="beginning"), 2) == [1, 2]
        assert repr(p.bus.subscribe()).endswith("0 queued, 0 in flight>")

    run(rule, Log())


def test_now_is_after_the_highest_position_announced(run: Run) -> None:
    """Even if that was not the last offer."""

    async def rule(p: Program) -> None:
        first, second = p.log.commit(*events(1)), p.log.commit(*events(2))
        p.bus.offer(*second)
        p.bus.offer(*first)
        subscription = p.bus.subscribe()
        p.bus.offer(*p.log.commit(*events(3)))
        assert await data(subscription, 1) == [3]

    run(rule, Log())


def test_a_log_that_ends_before_the_announced_position_is_believed() -> None:
    """It is not read over and over; what is appended later is delivered."""

    async def rule() -> None:
        p = Program(NoWaiting, Log())
        subscription, ahead = p.bus.subscribe(), p.bus.subscribe(start=50)
        p.log.commit(*events(1))
        p.bus.offer([], 99)
        assert [delivery.event.data for delivery in await drained(subscription)] == [1]
        assert await drained(ahead) == []
        assert (subscription.lagging, ahead.lagging) == (False, False)
        p.bus.offer(*p.log.commit(*events(2)))
        p.bus.offer(*p.log.commit(*events(3), gap=99))
        assert [delivery.event.data for delivery in await drained(subscription)] == [2, 3]
        assert [delivery.event.data for delivery in await drained(ahead)] == [3]

    drive(rule())


def test_a_log_that_cannot_be_read_loses_nothing(run: Run) -> None:
    """The consumer gets the error; its next call resumes where it stopped."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(start="beginning")

        def fail() -> None:
            p.log.interfere = lambda: None
            raise OSError("away")

        p.log.interfere = fail
        with pytest.raises(OSError, match="away"):
            await take(subscription, 1)
        assert await data(subscription, 3) == [1, 2, 3]

    log = Log()
    log.commit(*events(1, 2, 3))
    run(rule, log)


def test_an_offer_while_the_log_is_read_is_not_lost(run: Run) -> None:
    """Whether before or after the log returned its head."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(start="beginning")
        left = [events(2), events(3)]

        def interfere() -> None:
            if left:
                p.bus.offer(*p.log.commit(*left.pop(0)))

        p.log.interfere = interfere
        assert await data(subscription, 3) == [1, 2, 3]

    log = Log()
    log.commit(*events(1))
    run(rule, log)


@pytest.mark.parametrize(("stored", "first"), [(events(1, 2), [1, 2]), (events(1, 2, name="user.named"), [])])
def test_a_publisher_gets_the_room_that_a_refill_leaves(stored: list[Event[int]], first: list[int]) -> None:
    """Room is reserved for the events being read; a publisher gets what they do not need."""
    log = Log()
    log.commit(*stored)
    p = Program(InlineRuntime, log)
    subscription = p.bus.subscribe(["order.*"], start="beginning", capacity=4)
    publishers: list[Alongside] = []

    def interfere() -> None:
        log.interfere = lambda: None
        publishers.append(p.alongside(p.bus.publish(events(*range(10, 16)))))
        drive(p.waiting(1))

    log.interfere = interfere
    (delivery,) = drive(take(subscription, 1))
    assert subscription.queued == 4
    assert [delivery.event.data, *drive(data(subscription, len(first) + 5))] == [*first, *range(10, 16)]
    drive(publishers[0].result())
    drive(p.bus.close())


def test_publishers_that_never_pause_do_not_starve_the_log(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(start="beginning", capacity=2)
        publisher = p.alongside(p.bus.publish(events(*[0] * 40)))
        await p.waiting(1)
        assert {1, 2} <= set(await data(subscription, 20))
        await data(subscription, 22)
        await publisher.result()

    log = Log()
    log.commit(*events(1, 2))
    run(rule, log)


STEPS = ["commit", "commit and offer", "offer", "drain", "drain all", "subscribe", "fail", "interfere"]


@given(st.data(), st.lists(st.sampled_from(STEPS), max_size=40), st.integers(1, 4))
def test_each_subscription_receives_its_suffix_of_the_log_once_in_order(
    draw: st.DataObject, steps: list[str], capacity: int
) -> None:
    """Commits with gaps, late and reordered offers (also while the log is read), full queues, late subscriptions."""
    p = Program(NoWaiting, Log())
    offers: list[tuple[list[Event[int]], int]] = []
    subscriptions: list[tuple[Subscription, int, Any, list[Event[int]]]] = []
    told = 0

    def offer() -> None:
        nonlocal told
        if offers:
            batch, after = offers.pop(draw.draw(st.integers(0, len(offers) - 1)))
            told = max(told, batch[-1].position)
            p.bus.offer(batch, after)

    def commit() -> None:
        names = draw.draw(st.lists(st.sampled_from(["a.x", "a.y", "b"]), min_size=1, max_size=4))
        offers.append(p.log.commit(*(event(name) for name in names), gap=draw.draw(st.integers(0, 2))))

    def interfere() -> None:
        for _ in range(draw.draw(st.integers(0, 2))):
            draw.draw(st.sampled_from([commit, offer]))()

    def fail() -> None:
        p.log.interfere = lambda: None
        raise OSError

    async def drain(n: int) -> None:
        for subscription, _, _, got in subscriptions:
            for _ in range(n):
                try:
                    deliveries = await drained(subscription, 1)
                except OSError:
                    break
                if not deliveries:
                    break
                await deliveries[0].ack()
                got.append(deliveries[0].event)

    async def rule() -> None:
        for step in [*steps, "drain all", "drain all"]:
            if step == "commit":
                commit()
            elif step == "commit and offer":
                commit()
                offer()
            elif step == "offer":
                offer()
            elif step == "drain":
                await drain(2)
            elif step == "drain all":
                await drain(10**9)
            elif step == "fail":
                p.log.interfere = fail
            elif step == "interfere":
                p.log.interfere = interfere
            else:
                names = draw.draw(st.sampled_from([["*"], ["a.*"], ["a.x", "b"], ["a.*", "b"]]))
                starts: list[Start] = ["now", "beginning", draw.draw(st.integers(0, p.log.last + 2))]
                start = draw.draw(st.sampled_from(starts))
                after = start if isinstance(start, int) else told if start == "now" else 0
                subscriptions.append((p.bus.subscribe(names, start=start, capacity=capacity), after, names, []))
        p.log.interfere = lambda: None
        while offers:
            offer()
        await drain(10**9)

    drive(rule())
    for _, after, names, got in subscriptions:
        covers = parse_patterns(names).matches
        assert [e.position for e in got] == [e.position for e in p.log.events if e.position > after and covers(e.name)]


def test_offers_from_several_threads_arrive_once_in_order() -> None:
    p = Program(InlineRuntime, Log())
    subscription = p.bus.subscribe(capacity=16)
    committing = threading.Lock()

    def write() -> None:
        for n in range(200):
            with committing:
                commit = p.log.commit(event(data=n))
            p.bus.offer(*commit)

    consumer = p.alongside(take(subscription, 800))
    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [delivery.event.position for delivery in drive(consumer.result())] == list(range(1, 801))
