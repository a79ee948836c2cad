"""Publishing on the in-process bus: patterns of names, order, and waiting for room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goes_lite.contract.event_bus import parse_patterns
from goes_lite.errors import InvalidQueryError
from goes_lite.runtime import LoopRuntime
from tests.bus.bus_kit import Program, Run, data, event, events, take

# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "covered", "not_covered"),
    [
        (["order.placed"], ["order.placed"], ["order.paid", "order", "order.placed.twice"]),
        (["order.*"], ["order.placed", "order.item.added"], ["order", "orders.placed", "reorder.placed"]),
        (["*"], ["order.placed", "x"], []),
        (["order.item.*", "user.named"], ["order.item.added", "user.named"], ["order.placed", "user.renamed"]),
    ],
)
def test_a_pattern_covers_every_name_with_its_beginning(
    names: list[str], covered: list[str], not_covered: list[str]
) -> None:
    """`order.*` covers what begins with `order.`, to any depth; `*` everything; a name only itself."""
    patterns = parse_patterns(names)
    assert [name for name in covered + not_covered if patterns.matches(name)] == covered


@pytest.mark.parametrize(
    "names", ["order.*", [], ["order*"], ["*.placed"], ["a.*.b"], ["**"], [""], [7], [" *"], ["a b"], None]
)
def test_what_is_no_pattern_is_refused_by_a_typed_error(names: Any) -> None:
    with pytest.raises(InvalidQueryError):
        parse_patterns(names)


def test_patterns_of_equal_coverage_are_equal() -> None:
    """What another pattern covers anyway makes no difference, so members of a group may spell it differently."""
    assert parse_patterns(["*", "order.*", "a"]) == parse_patterns(["*"])
    assert parse_patterns(["order.item.*", "order.*", "order.paid"]) == parse_patterns(["order.*"])


# --- publishing -----------------------------------------------------------------------------------------------------


def test_every_subscriber_gets_each_matching_event_in_the_order_of_publication_across_names(run: Run) -> None:
    async def rule(p: Program) -> None:
        everything, orders = p.bus.subscribe(), p.bus.subscribe(["order.*", "user.named"])
        await p.bus.publish([event("order.placed", 1), event("user.named", 2), event("user.left", 3)])
        await p.bus.publish([event("order.paid", 4), event("user.named", 5)])
        assert await data(everything, 5) == [1, 2, 3, 4, 5]
        assert await data(orders, 4) == [1, 2, 4, 5]

    run(rule)


def test_publishing_wakes_a_consumer_that_waits(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        consumer = p.beside(data(subscription, 2))
        await p.waiting(1)
        await p.bus.publish(events(1, 2))
        assert await consumer.result() == [1, 2]

    run(rule)


def test_a_full_subscriber_holds_up_its_publisher_and_nobody_else(run: Run) -> None:
    """Publishing waits for the full one; the one with room has everything meanwhile, and queues stay bounded."""

    async def rule(p: Program) -> None:
        slow, quick = p.bus.subscribe(capacity=2), p.bus.subscribe()
        publisher = p.beside(p.bus.publish(events(1, 2, 3, 4, 5)))
        await p.waiting(1)
        assert await data(quick, 5) == [1, 2, 3, 4, 5]
        assert (slow.queued, publisher.outcome) == (2, [])
        assert await data(slow, 5) == [1, 2, 3, 4, 5]
        await publisher.result()

    run(rule)


def test_publishers_that_wait_get_in_in_turn(run: Run) -> None:
    """Nobody overtakes a publisher that waits for room, so calls that follow each other keep their order."""

    async def rule(p: Program) -> None:
        slow = p.bus.subscribe(capacity=1)
        first = p.beside(p.bus.publish(events(1, 2, 3)))
        await p.waiting(1)
        second = p.beside(p.bus.publish(events(4)))
        await p.waiting(2)
        assert await data(slow, 4) == [1, 2, 3, 4]
        await first.result()
        await second.result()

    run(rule)


def test_a_publisher_is_released_when_the_subscriber_it_waits_for_ends(run: Run) -> None:
    """Closing or abandoning a full subscription lets its publishers go."""

    async def rule(p: Program) -> None:
        for ending in ("close", "abandon"):
            full = p.bus.subscribe(capacity=1)
            publisher = p.beside(p.bus.publish(events(1, 2)))
            await p.waiting(1)
            if ending == "close":
                await full.close()
            del full
            await publisher.result()

    run(rule)


def test_a_cancelled_publisher_takes_back_what_did_not_get_in() -> None:
    async def rule() -> None:
        p = Program(LoopRuntime)
        full = p.bus.subscribe(capacity=1)
        publisher = asyncio.create_task(p.bus.publish(events(1, 2)))
        await p.waiting(1)
        publisher.cancel()
        await asyncio.wait({publisher})
        assert await data(full, 1) == [1]
        await p.bus.publish(events(3))
        assert await data(full, 1) == [3]
        await p.bus.close()

    asyncio.run(rule())


def test_a_consumer_has_at_most_max_pending_unsettled(run: Run) -> None:
    """Iteration waits at the limit, and goes on when one is settled."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(max_pending=2)
        await p.bus.publish(events(1, 2, 3))
        first, _ = await take(subscription, 2, ack=False)
        third = p.beside(data(subscription, 1))
        await p.waiting(1)
        assert (subscription.in_flight, subscription.queued, third.outcome) == (2, 1, [])
        await first.ack()
        assert await third.result() == [3]

    run(rule)
