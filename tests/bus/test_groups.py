"""Groups and redelivery on the in-process bus: who receives an event, how often, and how it is settled."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.contract.event_bus import Delivery, Subscription
from goes_lite.errors import DeliveryError
from goes_lite.runtime import drive
from tests.bus.bus_kit import NoWaiting, Program, Run, data, drained, event, events, take


def test_a_delivery_keeps_its_subscription_alive(run: Run) -> None:
    """A delivery can be settled even if nothing else references its subscription."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(group="mail")
        await p.bus.publish(events(1))
        (delivery,) = await take(subscription, 1, ack=False)
        del subscription
        gc.collect()
        await delivery.ack()

    run(rule)


def test_a_group_without_members_still_collects_events(run: Run) -> None:
    """The next member receives the events; a publisher does not wait, so events without room are dead letters."""

    async def rule(p: Program) -> None:
        await p.bus.subscribe(group="mail", capacity=2).close()
        await p.bus.publish(events(1, 2, 3))
        p.bus.offer(events(4), 0)
        member = p.bus.subscribe(group="mail")
        assert await data(member, 2) == [1, 2]
        letters = await p.bus.dead_letters()
        assert [(letter.event.data, letter.subscriber, letter.attempts) for letter in letters] == [
            (3, "mail", 0),
            (4, "mail", 0),
        ]
        assert p.bus.overflowed == 2
        await p.bus.redrive(letters[0])
        (redriven,) = await take(member, 1)
        assert (redriven.event.data, redriven.attempt, redriven.redelivered) == (3, 1, True)

    run(rule)


def test_the_last_member_that_leaves_releases_a_waiting_publisher(run: Run) -> None:
    async def rule(p: Program) -> None:
        member = p.bus.subscribe(group="mail", capacity=1)
        publisher = p.alongside(p.bus.publish(events(1, 2)))
        await p.waiting(1)
        await member.close()
        await publisher.result()
        assert [letter.event.data for letter in await p.bus.dead_letters()] == [2]

    run(rule)


def test_nak_redelivers_at_once_or_after_the_delay(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        await p.bus.publish(events(1, 2))
        (first,) = await take(subscription, 1, ack=False)
        await first.nak()
        (first,) = await take(subscription, 1, ack=False)
        assert (first.event.data, first.attempt) == (1, 2)
        await first.nak(5)
        assert await data(subscription, 1) == [2]
        third = p.alongside(take(subscription, 1))
        await p.waiting(1)
        assert p.clock.waiters == (5,)
        p.clock.advance(4.5)
        p.clock.advance(0.5)
        (last,) = await third.result()
        assert (last.event.data, last.attempt, p.clock.monotonic()) == (1, 3, 5)

    run(rule)


def test_an_event_does_not_wait_for_the_retry_of_a_later_one(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        await p.bus.publish([event(data=n, of="a") for n in (1, 2, 3)])
        first, second = await take(subscription, 2, ack=False)
        await second.nak(5)
        await first.nak()
        assert await data(subscription, 1) == [1]
        p.clock.advance(5)
        assert await data(subscription, 2) == [2, 3]

    run(rule)


def test_an_event_unsettled_after_ack_wait_is_redelivered(run: Run) -> None:
    """It wakes a member that waits; the late acknowledgement is an error."""

    async def rule(p: Program) -> None:
        hung = p.bus.subscribe(group="mail", ack_wait=10)
        other = p.bus.subscribe(group="mail")
        await p.bus.publish(events(1))
        waiting = None
        (late,) = await take(hung, 1, ack=False)
        waiting = p.alongside(take(other, 1))
        await p.waiting(1)
        p.clock.advance(10)
        (again,) = await waiting.result()
        assert (again.event.data, again.attempt) == (1, 2)
        with pytest.raises(DeliveryError, match="taken back"):
            await late.ack()

    run(rule)


def test_an_event_that_was_taken_back_cannot_be_acked_before_redelivery_either(run: Run) -> None:
    async def rule(p: Program) -> None:
        hung = p.bus.subscribe(group="mail", ack_wait=10)
        busy = p.bus.subscribe(group="mail", max_pending=1)
        await p.bus.publish(events(1, 2))
        (late,) = await take(hung, 1, ack=False)
        (working,) = await take(busy, 1, ack=False)
        waiting = p.alongside(take(busy, 1))
        await p.waiting(1)
        p.clock.advance(10)
        await p.until(lambda: hung.queued == 1)
        with pytest.raises(DeliveryError, match="taken back"):
            await late.ack()
        await working.ack()
        await waiting.result()

    run(rule)


@given(st.data())
def test_in_a_group_each_event_is_acked_exactly_once_whatever_its_members_do(draw: st.DataObject) -> None:
    """Members join, leave, are abandoned, take, ack, nak and let time pass, in any order."""
    p = Program(NoWaiting)
    members: list[Subscription] = []
    held: list[Delivery] = []
    acked: list[int] = []
    published = 0
    p.bus.subscribe(group="g")

    async def act() -> None:
        nonlocal published
        for step in draw.draw(
            st.lists(st.sampled_from(["join", "leave", "abandon", "take", "ack", "nak", "time", "publish"]))
        ):
            if step == "join":
                members.append(
                    p.bus.subscribe(group="g", max_pending=3, ack_wait=draw.draw(st.sampled_from([None, 2.0])))
                )
            elif step == "publish":
                await p.bus.publish([event(data=published, of=draw.draw(st.sampled_from([None, "a", "b"])))])
                published += 1
            elif step == "time":
                p.clock.advance(1)
            elif step in ("leave", "abandon", "take") and members:
                member = members.pop(draw.draw(st.integers(0, len(members) - 1)))
                if step == "leave":
                    await member.close()
                elif step == "take":
                    members.append(member)
                    held.extend(await drained(member, 1))
            elif step in ("ack", "nak") and held:
                delivery = held.pop(draw.draw(st.integers(0, len(held) - 1)))
                try:
                    await (delivery.ack() if step == "ack" else delivery.nak(draw.draw(st.sampled_from([None, 1.5]))))
                except DeliveryError:
                    continue
                if step == "ack":
                    acked.append(delivery.event.data)

    async def rule() -> None:
        await act()  # a function of its own, so that no variable references an abandoned member
        for member in members:
            await member.close()
        held.clear()  # a delivery keeps its subscription alive
        last = p.bus.subscribe(group="g", max_pending=1000)
        for _ in range(3):
            p.clock.advance(2)
            for delivery in await drained(last):
                await delivery.ack()
                acked.append(delivery.event.data)

    drive(rule())
    assert sorted(acked) == list(range(published))
