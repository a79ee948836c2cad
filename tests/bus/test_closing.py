"""Closing subscriptions and the in-process bus; and what their reprs show."""

from __future__ import annotations

import pytest

from goes_lite.contract.event_bus import EventBus, Handling, Subscription
from goes_lite.errors import BusError
from goes_lite.kit.bus import InProcessBus
from goes_lite.runtime import InlineRuntime, drive
from tests.bus.bus_kit import Program, Run, data, events, take


def test_a_closed_bus_refuses_publishers_even_those_that_wait(run: Run) -> None:
    async def rule(p: Program) -> None:
        full = p.bus.subscribe(capacity=1)
        publisher = p.alongside(p.bus.publish(events(1, 2)))
        await p.waiting(1)
        await p.bus.close()
        with pytest.raises(BusError, match="closed"):
            await publisher.result()
        with pytest.raises(BusError, match="closed"):
            await p.bus.publish(events(3))
        with pytest.raises(BusError, match="closed"):
            p.bus.subscribe()
        p.bus.offer(events(4), 0)
        await full.close()
        await p.bus.close()

    run(rule)


def test_nothing_settled_or_closed_is_kept(run: Run) -> None:
    """Neither events, nor subscriptions that were closed or abandoned."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(max_pending=1)
        for _ in range(50):
            p.bus.subscribe()
            await p.bus.publish(events(1))
            await data(subscription, 1)
            async with p.bus.subscribe(["order.*"]):
                pass
        assert repr(p.bus) == "<InProcessBus 1 subscriptions, 0 groups, 0 queued, 0 dead letters>"

    run(rule)


def test_reprs_show_the_state(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(["order.*"], group="mail")
        await p.bus.publish(events(1, 2, 3, 4))
        (delivery,) = await take(subscription, 1, ack=False)
        assert repr(subscription) == "<Subscription order.* group='mail' 3 queued, 1 in flight>"
        assert repr(delivery) == "<Delivery attempt 1: <Event order.placed: 1>>"
        handling = p.bus.handle(["user.named"], print)
        assert repr(handling).startswith("<Handling print running, 0 failures, <Subscription user.named 0 queued")

    run(rule)


def test_it_is_an_event_bus() -> None:
    """For the type checkers: the protocols are implemented."""
    runtime = InlineRuntime()
    bus: EventBus = InProcessBus(runtime)
    subscription: Subscription = bus.subscribe()
    handling: Handling = bus.handle(["*"], print)
    drive(bus.close())
    assert not handling.running
    drive(subscription.close())
