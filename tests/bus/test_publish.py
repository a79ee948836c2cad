"""Publishing on the in-process bus: patterns of names, order, and waiting for room."""

from __future__ import annotations

from goes_lite.contract.event_bus import parse_patterns
from tests.bus.bus_kit import Program, Run, data, events

# --- patterns ---------------------------------------------------------------------------------------------------------


def test_patterns_of_equal_coverage_are_equal() -> None:
    """Redundant patterns make no difference, so members of a group may spell them differently."""
    assert parse_patterns(["*", "order.*", "a"]) == parse_patterns(["*"])
    assert parse_patterns(["order.item.*", "order.*", "order.paid"]) == parse_patterns(["order.*"])


# --- publishing -------------------------------------------------------------------------------------------------------


def test_a_full_subscriber_blocks_its_publisher_and_nobody_else(run: Run) -> None:
    """Publishing waits for the full one; the one with room receives everything meanwhile, and queues stay bounded."""

    async def rule(p: Program) -> None:
        slow, quick = p.bus.subscribe(capacity=2), p.bus.subscribe()
        publisher = p.alongside(p.bus.publish(events(1, 2, 3, 4, 5)))
        await p.waiting(1)
        assert await data(quick, 5) == [1, 2, 3, 4, 5]
        assert (slow.queued, publisher.ended) == (2, False)
        assert await data(slow, 5) == [1, 2, 3, 4, 5]
        await publisher.result()

    run(rule)


def test_waiting_publishers_are_served_in_order(run: Run) -> None:
    """No publisher overtakes one that waits for room, so consecutive calls keep their order."""

    async def rule(p: Program) -> None:
        slow = p.bus.subscribe(capacity=1)
        first = p.alongside(p.bus.publish(events(1, 2, 3)))
        await p.waiting(1)
        second = p.alongside(p.bus.publish(events(4)))
        await p.waiting(2)
        assert await data(slow, 4) == [1, 2, 3, 4]
        await first.result()
        await second.result()

    run(rule)


def test_a_publisher_is_released_when_the_subscriber_it_waits_for_ends(run: Run) -> None:
    """Closing or abandoning a full subscription releases its publishers."""

    async def rule(p: Program) -> None:
        for ending in ("close", "abandon"):
            full = p.bus.subscribe(capacity=1)
            publisher = p.alongside(p.bus.publish(events(1, 2)))
            await p.waiting(1)
            if ending == "close":
                await full.close()
            del full
            await publisher.result()

    run(rule)
