"""The in-process bus: every rule on an event loop and in a blocking program, with time in the test's hands."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.bus import Backoff, Delivery, EventBus, Handling, Start, Subscription, parse_patterns
from goes_lite.errors import AbilityMissing, BusError, ConfigError, DeliveryError, InvalidQueryError, StoreClosed
from goes_lite.event import AggregateRef, Event, restore
from goes_lite.ids import new_id_bytes
from goes_lite.inprocess import InProcessBus
from goes_lite.query import EVERYTHING, EventQuery
from goes_lite.runtime import Clock, InlineRuntime, LoopRuntime, Runtime, Signal, drive
from goes_lite.store import EventStore, Pages

T = TypeVar("T")
PATIENCE = 10.0  # seconds after which a test that hangs fails; nothing is measured by it
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time that passes only when told to; whoever waits for it is woken."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.watchers: set[Signal] = set()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        for watcher in tuple(self.watchers):
            watcher.notify()


class FakeTime:
    """A runtime on the fake clock, which knows how many are waiting, and for how long."""

    def __init__(self, inner: Runtime) -> None:
        self.inner = inner
        self.fake = FakeClock()
        self.clock: Clock = self.fake
        self.waits: list[float | None] = []
        self.entered = Signal()

    @property
    def inline(self) -> bool:
        return self.inner.inline

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing in the bus sleeps")

    async def call(self, work: Callable[[], T]) -> T:
        return work()

    async def close(self) -> None:
        return None

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        either = Signal()
        deadline = None if timeout is None else self.fake.seconds + timeout
        self.waits.append(timeout)
        self.fake.watchers.add(either)
        self.entered.notify()
        try:
            while True:
                count = either.count
                if not signal.call_once(seen, either.notify):
                    return True
                if deadline is not None and self.fake.seconds >= deadline:
                    return False
                if not await self.inner.wait(either, count, PATIENCE):
                    raise AssertionError("it waits for ever")
        finally:
            signal.forget(either.notify)
            self.waits.remove(timeout)
            self.fake.watchers.discard(either)


class Beside:
    """A coroutine that runs beside the test: in a task, or in a thread."""

    def __init__(self, runtime: FakeTime, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.inline = runtime.inline
        self.outcome: list[Any] = []
        self.error: BaseException | None = None
        if self.inline:
            self.thread = threading.Thread(target=lambda: drive(self._run(coroutine)), daemon=True)
            self.thread.start()
        else:
            self.task = asyncio.get_running_loop().create_task(self._run(coroutine))

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            self.outcome.append(await coroutine)
        except BaseException as exc:
            self.error = exc

    async def result(self) -> Any:
        if self.inline:
            self.thread.join(PATIENCE)
        else:
            await asyncio.wait({self.task}, timeout=PATIENCE)
        if self.error is not None:
            raise self.error
        assert self.outcome, "it hangs"
        return self.outcome[0]


class Log:
    """The least that a bus needs of a store: a list of events, and where it ends."""

    def __init__(self) -> None:
        self.events: list[Event[int]] = []
        self.fetches = 0
        self.interfere: Callable[[], None] = lambda: None

    @property
    def last(self) -> int:
        return self.events[-1].position if self.events else 0

    async def head(self) -> int:
        head = self.last
        self.interfere()
        return head

    def query(
        self, query: EventQuery = EVERYTHING, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> Pages[Event[int]]:
        end = self.last if upto is None else upto
        pages = [[e for e in self.events if after < e.position <= end and query.matches(e)][:limit]]

        async def fetch() -> Sequence[Event[int]]:
            self.fetches += 1
            self.interfere()
            return pages.pop() if pages else []

        return Pages(fetch)

    def commit(self, *events: Event[int], gap: int = 0) -> tuple[list[Event[int]], int]:
        """Store the events; what to offer of it."""
        before = self.last
        stored = [event.at(before + gap + 1 + i) for i, event in enumerate(events)]
        self.events += stored
        return stored, before


class Program:
    """One test's world: a bus on one of the runtimes, with its time."""

    def __init__(self, runtime: FakeTime, log: Log | None = None) -> None:
        self.runtime = runtime
        self.clock = runtime.fake
        self.log = log or Log()
        store = cast("EventStore", log)
        self.bus = InProcessBus(runtime, store if log else None, head=log.last if log else None, max_dead_letters=50)

    def beside(self, coroutine: Coroutine[Any, Any, Any]) -> Beside:
        return Beside(self.runtime, coroutine)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the others run until the condition holds; it is looked at again whenever one of them begins to wait."""
        while True:
            count = self.runtime.entered.count
            if condition():
                return
            if self.runtime.inline:
                assert self.runtime.entered.block(count, PATIENCE), "it never came true"
            else:
                await asyncio.wait_for(self.runtime.inner.wait(self.runtime.entered, count), PATIENCE)

    async def waiting(self, n: int) -> None:
        """Until exactly n others wait."""
        await self.until(lambda: len(self.runtime.waits) == n)


Rule = Callable[[Program], Coroutine[Any, Any, None]]
Run = Callable[..., None]


@pytest.fixture(params=["loop", "inline"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a rule on a bus of either runtime, and closes the bus."""

    async def with_bus(rule: Rule, runtime: Runtime, log: Log | None) -> None:
        program = Program(FakeTime(runtime), log)
        try:
            await rule(program)
        finally:
            await program.bus.close()

    def run(rule: Rule, log: Log | None = None) -> None:
        if request.param == "loop":
            asyncio.run(with_bus(rule, LoopRuntime(), log))
        else:
            drive(with_bus(rule, InlineRuntime(), log))

    return run


def event(name: str = "order.placed", data: int = 0, of: str | None = None) -> Event[int]:
    ref = AggregateRef("order", of) if of else None
    return restore(new_id_bytes(), name, data, EPOCH, ref, 1 if of else 0, None, None, 0, "json", 1, str(data))


def events(*data: int, name: str = "order.placed") -> list[Event[int]]:
    return [event(name, n) for n in data]


async def take(subscription: Subscription, n: int, *, ack: bool = True) -> list[Delivery]:
    deliveries: list[Delivery] = []
    for _ in range(n):
        deliveries.append(await subscription.__anext__())
        if ack:
            await deliveries[-1].ack()
    return deliveries


async def data(subscription: Subscription, n: int) -> list[int]:
    return [delivery.event.data for delivery in await take(subscription, n)]


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
        p = Program(FakeTime(LoopRuntime()))
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


# --- groups and redelivery ------------------------------------------------------------------------------------------


def test_each_event_goes_to_exactly_one_member_of_a_group(run: Run) -> None:
    async def rule(p: Program) -> None:
        got: list[int] = []

        async def member(subscription: Subscription) -> None:
            async for delivery in subscription:
                got.append(delivery.event.data)
                await delivery.ack()

        members = [p.bus.subscribe(group="mail", capacity=3, max_pending=2) for _ in range(3)]
        other = p.bus.subscribe(group="audit")
        at_work = [p.beside(member(subscription)) for subscription in members]
        await p.bus.publish(events(*range(50)))
        await p.until(lambda: len(got) >= 50)
        await p.waiting(3)
        for subscription in members:
            await subscription.close()
        for one in at_work:
            await one.result()
        assert sorted(got) == list(range(50))
        assert await data(other, 50) == list(range(50))

    run(rule)


@pytest.mark.parametrize("ending", ["close", "abandon"])
def test_what_a_member_leaves_unsettled_goes_to_another(run: Run, ending: str) -> None:
    """In its old place, as the next attempt, whether the member was closed or garbage collected."""

    async def rule(p: Program) -> None:
        leaver = p.bus.subscribe(group="mail")
        await p.bus.publish(events(1, 2, 3))
        deliveries = await take(leaver, 2, ack=False)
        await deliveries.pop().ack()
        stayer = p.bus.subscribe(group="mail")
        if ending == "close":
            await leaver.close()
        del leaver
        deliveries.clear()
        gc.collect()
        again, fresh = await take(stayer, 2)
        assert (again.event.data, again.attempt, again.redelivered) == (1, 2, True)
        assert (fresh.event.data, fresh.attempt, fresh.redelivered) == (3, 1, False)

    run(rule)


def test_a_delivery_keeps_its_subscription_alive(run: Run) -> None:
    """Whoever holds a delivery can settle it, even if the iterator is gone from sight."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(group="mail")
        await p.bus.publish(events(1))
        (delivery,) = await take(subscription, 1, ack=False)
        del subscription
        gc.collect()
        await delivery.ack()

    run(rule)


def test_a_group_without_members_goes_on_collecting(run: Run) -> None:
    """The next member finds what came meanwhile; nothing waits for nobody: what has no room is a dead letter."""

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


def test_a_publisher_that_waits_for_a_group_is_released_when_its_last_member_leaves(run: Run) -> None:
    async def rule(p: Program) -> None:
        member = p.bus.subscribe(group="mail", capacity=1)
        publisher = p.beside(p.bus.publish(events(1, 2)))
        await p.waiting(1)
        await member.close()
        await publisher.result()
        assert [letter.event.data for letter in await p.bus.dead_letters()] == [2]

    run(rule)


def test_members_of_a_group_share_one_set_of_names(run: Run) -> None:
    async def rule(p: Program) -> None:
        first = p.bus.subscribe(["order.*"], group="mail")
        with pytest.raises(BusError, match=r"mail.*order\.\*.*user\.named"):
            p.bus.subscribe(["user.named"], group="mail")
        await first.close()

    run(rule)


def test_cancelled_iteration_loses_nothing() -> None:
    """However a waiting `__anext__` and an event cross, the event is there for the next one."""

    async def rule() -> None:
        p = Program(FakeTime(LoopRuntime()))
        subscription = p.bus.subscribe(group="mail")
        for n in range(20):
            consumer = asyncio.create_task(subscription.__anext__())
            await p.waiting(1)
            if n % 2:
                await p.bus.publish(events(n))
            consumer.cancel()
            await asyncio.wait({consumer})
            if not n % 2:
                await p.bus.publish(events(n))
            assert await data(subscription, 1) == [n]
        await p.bus.close()

    asyncio.run(rule())


def test_nak_delivers_again_at_once_or_after_the_delay(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        await p.bus.publish(events(1, 2))
        (first,) = await take(subscription, 1, ack=False)
        await first.nak()
        (first,) = await take(subscription, 1, ack=False)
        assert (first.event.data, first.attempt) == (1, 2)
        await first.nak(5)
        assert await data(subscription, 1) == [2]
        third = p.beside(take(subscription, 1))
        await p.waiting(1)
        assert p.runtime.waits == [5]
        p.clock.advance(4.5)
        p.clock.advance(0.5)
        (last,) = await third.result()
        assert (last.event.data, last.attempt, p.clock.seconds) == (1, 3, 5)

    run(rule)


def test_events_of_an_aggregate_wait_behind_one_that_is_to_be_retried(run: Run) -> None:
    """Others pass. So with one delivery at a time, each aggregate is seen in order."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(max_pending=1)
        await p.bus.publish([event(data=n, of=of) for n, of in [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, None)]])
        (first,) = await take(subscription, 1, ack=False)
        await first.nak(5)
        assert await data(subscription, 2) == [3, 5]
        await p.bus.publish([event(data=6, of="b")])
        p.clock.advance(5)
        (first,) = await take(subscription, 1, ack=False)
        await first.nak(5)
        p.clock.advance(5)
        assert await data(subscription, 4) == [1, 2, 4, 6]
        assert subscription.queued == 0

    run(rule)


def test_an_event_does_not_wait_behind_a_later_one_that_is_to_be_retried(run: Run) -> None:
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


def test_what_is_unsettled_after_ack_wait_is_delivered_again(run: Run) -> None:
    """A member that waits already is woken for it; the late acknowledgement is an error."""

    async def rule(p: Program) -> None:
        hung = p.bus.subscribe(group="mail", ack_wait=10)
        other = p.bus.subscribe(group="mail")
        await p.bus.publish(events(1))
        waiting = None
        (late,) = await take(hung, 1, ack=False)
        waiting = p.beside(take(other, 1))
        await p.waiting(1)
        p.clock.advance(10)
        (again,) = await waiting.result()
        assert (again.event.data, again.attempt) == (1, 2)
        with pytest.raises(DeliveryError, match="taken back"):
            await late.ack()

    run(rule)


def test_what_was_taken_back_cannot_be_acked_before_it_is_delivered_again_either(run: Run) -> None:
    async def rule(p: Program) -> None:
        hung = p.bus.subscribe(group="mail", ack_wait=10)
        busy = p.bus.subscribe(group="mail", max_pending=1)
        await p.bus.publish(events(1, 2))
        (late,) = await take(hung, 1, ack=False)
        (working,) = await take(busy, 1, ack=False)
        waiting = p.beside(take(busy, 1))
        await p.waiting(1)
        p.clock.advance(10)
        await p.until(lambda: hung.queued == 1)
        with pytest.raises(DeliveryError, match="taken back"):
            await late.ack()
        await working.ack()
        await waiting.result()

    run(rule)


def test_a_delivery_is_settled_once(run: Run) -> None:
    """Settling it again, or after its subscription ended, is DeliveryError; a wrong delay settles nothing."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(group="mail")
        await p.bus.publish(events(1, 2, 3))
        acked, nakked, left = await take(subscription, 3, ack=False)
        with pytest.raises(ConfigError):
            await acked.nak(-1)
        await acked.ack()
        await nakked.nak(1)
        for delivery, how in ((acked, "acked already"), (nakked, "nakked already")):
            with pytest.raises(DeliveryError, match=how):
                await delivery.ack()
            with pytest.raises(DeliveryError, match=how):
                await delivery.nak()
        await subscription.close()
        with pytest.raises(DeliveryError, match="has ended"):
            await left.ack()

    run(rule)


@given(st.data())
def test_in_a_group_each_event_is_acked_exactly_once_whatever_its_members_do(draw: st.DataObject) -> None:
    """Joining, leaving, being abandoned, taking, acking, nakking, letting time pass, in any order."""
    p = Program(FakeTime(NoWaiting()))
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
        await act()  # apart, so that no variable holds what was to be abandoned
        for member in members:
            await member.close()
        held.clear()  # a delivery that somebody holds keeps its subscription
        last = p.bus.subscribe(group="g", max_pending=1000)
        for _ in range(3):
            p.clock.advance(2)
            for delivery in await drained(last):
                await delivery.ack()
                acked.append(delivery.event.data)

    drive(rule())
    assert sorted(acked) == list(range(published))


# --- behind a log ---------------------------------------------------------------------------------------------------


class WouldWait(Exception):
    pass


class NoWaiting(InlineRuntime):
    """Raises where others wait, as a cancellation would."""

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        raise WouldWait


async def drained(subscription: Subscription, n: int = 10**9) -> list[Delivery]:
    """What can be had of it without waiting, at most n."""
    got: list[Delivery] = []
    try:
        while len(got) < n:
            got.append(await subscription.__anext__())
    except WouldWait:
        pass
    return got


def test_an_offer_never_waits_and_a_full_subscriber_catches_up_from_the_log(run: Run) -> None:
    """The others have it at once; the one that lags gets everything, once and in order, through a bounded queue."""

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


def test_offers_that_cross_are_delivered_in_the_order_of_positions(run: Run) -> None:
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


def test_an_offer_of_no_events_tells_how_far_the_log_is(run: Run) -> None:
    """So what another process wrote is delivered, too."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()
        p.log.commit(*events(1, 2))
        p.bus.offer([], p.log.last)
        assert await data(subscription, 2) == [1, 2]
        assert await data(p.bus.subscribe(start="beginning"), 2) == [1, 2]
        assert repr(p.bus.subscribe()).endswith("0 queued, 0 in flight>")

    run(rule, Log())


def test_now_is_behind_the_last_position_that_the_bus_was_told_of(run: Run) -> None:
    """Also if that was not told last."""

    async def rule(p: Program) -> None:
        first, second = p.log.commit(*events(1)), p.log.commit(*events(2))
        p.bus.offer(*second)
        p.bus.offer(*first)
        subscription = p.bus.subscribe()
        p.bus.offer(*p.log.commit(*events(3)))
        assert await data(subscription, 1) == [3]

    run(rule, Log())


def test_a_log_that_ends_before_what_was_announced_is_believed() -> None:
    """It is not asked over and over; what it gets later is delivered."""

    async def rule() -> None:
        p = Program(FakeTime(NoWaiting()), Log())
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


@pytest.mark.parametrize(
    ("start", "expected"),
    [("now", [4]), ("beginning", [1, 2, 3, 4]), (0, [1, 2, 3, 4]), (2, [3, 4]), (3, [4]), (EPOCH, [1, 2, 3, 4])],
)
def test_a_subscription_begins_where_it_says(run: Run, start: Start, expected: list[int]) -> None:
    """Now, at the beginning, behind a position, or at a time."""

    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(start=start)
        p.bus.offer(*p.log.commit(*events(4)))
        assert await data(subscription, len(expected)) == expected
        p.bus.offer(*p.log.commit(*events(5)))
        assert await data(subscription, 1) == [5]

    log = Log()
    log.commit(*events(1, 2, 3))
    run(rule, log)


def test_a_start_in_time_leaves_out_earlier_events_stored_and_live(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(start=EPOCH + timedelta(seconds=1))
        assert await data(subscription, 1) == [3]
        p.bus.offer(*p.log.commit(*events(4)))
        p.bus.offer(*p.log.commit(later))
        assert await data(subscription, 1) == [3]

    log = Log()
    later = restore(new_id_bytes(), "x", 3, EPOCH + timedelta(seconds=1), None, 0, None, None, 0, "json", 1, "3")
    log.commit(*events(1, 2), later)
    run(rule, log)


def test_without_a_log_there_is_no_replay_and_an_offer_without_room_is_a_dead_letter(run: Run) -> None:
    async def rule(p: Program) -> None:
        starts: list[Start] = ["beginning", 1, EPOCH]
        for start in starts:
            with pytest.raises(AbilityMissing, match="replay"):
                p.bus.subscribe(start=start)
        subscription = p.bus.subscribe(["order.*"], capacity=1)
        p.bus.offer(events(1, 2), 0)
        assert await data(subscription, 1) == [1]
        assert [letter.event.data for letter in await p.bus.dead_letters()] == [2]

    run(rule)


@pytest.mark.parametrize("start", [-1, True, "then", datetime(2026, 1, 1), None, 1.5])
def test_a_start_that_means_nothing_is_refused(start: Any) -> None:
    with pytest.raises(InvalidQueryError):
        InProcessBus(InlineRuntime()).subscribe(start=start)


@pytest.mark.parametrize(
    "options", [{"max_pending": 0}, {"capacity": 0}, {"ack_wait": 0.0}, {"group": ""}, {"capacity": 1.5}]
)
def test_an_option_that_means_nothing_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError):
        InProcessBus(InlineRuntime()).subscribe(**options)


def test_a_log_that_cannot_be_read_costs_nothing_but_time(run: Run) -> None:
    """The error reaches who asked; asking again goes on where it stopped."""

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


def test_an_offer_that_comes_while_the_log_is_read_is_not_forgotten(run: Run) -> None:
    """Whether before or after the log said where it ends."""

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
def test_a_publisher_that_comes_while_the_log_is_read_gets_the_room_that_is_left(
    stored: list[Event[int]], first: list[int]
) -> None:
    """Room is set aside for what is being read; what that does not need is the publisher's."""
    log = Log()
    log.commit(*stored)
    p = Program(FakeTime(InlineRuntime()), log)
    subscription = p.bus.subscribe(["order.*"], start="beginning", capacity=4)
    publishers: list[Beside] = []

    def interfere() -> None:
        log.interfere = lambda: None
        publishers.append(p.beside(p.bus.publish(events(*range(10, 16)))))
        drive(p.waiting(1))

    log.interfere = interfere
    (delivery,) = drive(take(subscription, 1))
    assert subscription.queued == 4
    assert [delivery.event.data, *drive(data(subscription, len(first) + 5))] == [*first, *range(10, 16)]
    drive(publishers[0].result())
    drive(p.bus.close())


def test_publishers_that_never_pause_do_not_keep_a_subscription_from_its_log(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(start="beginning", capacity=2)
        publisher = p.beside(p.bus.publish(events(*[0] * 40)))
        await p.waiting(1)
        assert {1, 2} <= set(await data(subscription, 20))
        await data(subscription, 22)
        await publisher.result()

    log = Log()
    log.commit(*events(1, 2))
    run(rule, log)


STEPS = ["commit", "commit and offer", "offer", "drain", "drain all", "subscribe", "fail", "interfere"]


@given(st.data(), st.lists(st.sampled_from(STEPS), max_size=40), st.integers(1, 4))
def test_whatever_crosses_each_subscription_gets_its_suffix_of_the_log_once_in_order(
    draw: st.DataObject, steps: list[str], capacity: int
) -> None:
    """Commits with gaps, offers late and crossed (also while the log is read), full queues, late subscriptions."""
    p = Program(FakeTime(NoWaiting()), Log())
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


def test_offers_from_several_threads_reach_a_consumer_in_another_once_in_order() -> None:
    p = Program(FakeTime(InlineRuntime()), Log())
    subscription = p.bus.subscribe(capacity=16)
    committing = threading.Lock()

    def write() -> None:
        for n in range(200):
            with committing:
                commit = p.log.commit(event(data=n))
            p.bus.offer(*commit)

    consumer = p.beside(take(subscription, 800))
    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [delivery.event.position for delivery in drive(consumer.result())] == list(range(1, 801))


# --- handlers -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures of handlers are logged, which is not what is looked at here."""
    logger = logging.getLogger("goes_lite.bus")
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_handler_gets_each_event_and_its_return_is_an_ack(run: Run, kind: str) -> None:
    async def rule(p: Program) -> None:
        got: list[int] = []

        async def coroutine(event: Event[int]) -> None:
            got.append(event.data)

        handling = p.bus.handle(
            ["order.*"], coroutine if kind == "coroutine" else lambda e: got.append(e.data), group="g"
        )
        await p.bus.publish(events(1, 2, 3))
        await p.until(lambda: len(got) == 3)
        await handling.stop()
        assert (got, handling.running, handling.failures) == ([1, 2, 3], False, 0)
        assert p.bus.subscribe(["order.*"], group="g").queued == 0

    run(rule)


def failing(on: Callable[[int], bool], seen: list[tuple[int, float]], clock: FakeClock) -> Callable[[Event[int]], None]:
    def handler(event: Event[int]) -> None:
        seen.append((event.data, clock.seconds))
        if on(event.data):
            raise ValueError(f"no {event.data}")

    return handler


def test_an_exception_is_a_nak_with_backoff_and_a_poison_event_blocks_no_other(run: Run) -> None:
    """After max_attempts it is a dead letter, with the error; the handler goes on."""

    async def rule(p: Program) -> None:
        seen: list[tuple[int, float]] = []
        handling = p.bus.handle(
            ["*"],
            failing(lambda n: n == 1, seen, p.clock),
            group="mail",
            max_attempts=4,
            backoff=lambda attempt: 10**attempt,
        )
        await p.bus.publish(events(1, 2, 3))
        for wait in (10, 100, 1000):
            await p.until(lambda wait=wait: p.runtime.waits == [wait])  # type: ignore[misc]
            p.clock.advance(wait)
        await p.until(lambda: p.runtime.waits == [None])
        assert seen == [(1, 0), (2, 0), (3, 0), (1, 10), (1, 110), (1, 1110)]
        (letter,) = await p.bus.dead_letters()
        assert (letter.event.data, letter.subscriber, letter.attempts, letter.error) == (
            1,
            "mail",
            4,
            "ValueError: no 1",
        )
        assert letter.time == p.clock.now()
        assert [(e.attempt, str(e.error)) for e in handling.errors] == [(n, "no 1") for n in (1, 2, 3, 4)]
        assert handling.running

    run(rule)


def test_a_dead_letter_can_be_redriven_or_dropped_once(run: Run) -> None:
    async def rule(p: Program) -> None:
        seen: list[tuple[int, float]] = []
        broken = True
        handling = p.bus.handle(["*"], failing(lambda _: broken, seen, p.clock), max_attempts=1)
        await p.bus.publish(events(1, 2))
        await p.until(lambda: handling.failures == 2)
        await p.waiting(1)
        first, second = await p.bus.dead_letters()
        broken = False
        await p.bus.redrive(first)
        await p.until(lambda: len(seen) == 3)
        await p.bus.drop(second)
        assert (seen[2][0], await p.bus.dead_letters(), handling.failures) == (1, [], 2)
        for gone in (first, second):
            with pytest.raises(BusError, match="gone"):
                await p.bus.redrive(gone)
            with pytest.raises(BusError, match="gone"):
                await p.bus.drop(gone)

    run(rule)


def test_a_dead_letter_of_a_subscription_that_ended_cannot_be_redriven(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(capacity=1)
        p.bus.offer(events(1, 2), 0)
        await subscription.close()
        (letter,) = await p.bus.dead_letters()
        with pytest.raises(BusError, match="has ended"):
            await p.bus.redrive(letter)
        assert await p.bus.dead_letters() == [letter]

    run(rule)


def test_dead_letters_are_bounded(run: Run) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe(capacity=1)
        p.bus.offer(events(*range(61)), 0)
        assert [letter.event.data for letter in await p.bus.dead_letters()] == list(range(11, 61))
        assert (p.bus.letters_lost, p.bus.overflowed) == (10, 60)
        await subscription.close()

    run(rule)


def test_backoff_doubles_to_its_maximum_and_its_jitter_is_seeded() -> None:
    assert [Backoff(1, jitter=0)(attempt) for attempt in (1, 2, 3, 10, 5000)] == [1, 2, 4, 30, 30]
    one, other = (Backoff(1, rng=random.Random(7)) for _ in range(2))
    waits = [one(3) for _ in range(50)]
    assert waits == [other(3) for _ in range(50)]
    assert all(2 < wait <= 4 for wait in waits)
    assert len(set(waits)) > 40
    with pytest.raises(ConfigError):
        Backoff(-1)


def test_stop_lets_the_event_at_hand_finish_and_leaves_no_task_or_thread(run: Run) -> None:
    async def rule(p: Program) -> None:
        begun, gate = Signal(), Signal()
        before = threading.active_count()

        async def slow(event: Event[int]) -> None:
            begun.notify()
            await p.runtime.wait(gate, 0)

        handling = p.bus.handle(["*"], slow, group="g")
        await p.bus.publish(events(1, 2))
        await p.until(lambda: begun.count == 1)
        stopping = p.beside(handling.stop())
        await p.waiting(2)
        gate.notify()
        await stopping.result()
        assert (begun.count, handling.failures) == (1, 0)
        left = p.bus.subscribe(group="g")
        assert await data(left, 1) == [2]
        assert left.queued == 0
        if p.runtime.inline:
            assert threading.active_count() == before
        else:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run(rule)


def test_a_handler_that_does_not_finish_in_time_is_cancelled_and_its_event_goes_back() -> None:
    async def rule() -> None:
        p = Program(FakeTime(LoopRuntime()))

        async def hang(event: Event[int]) -> None:
            await asyncio.Event().wait()

        handling = p.bus.handle(["*"], hang, group="g")
        await p.bus.publish(events(1))
        stopping = p.beside(handling.stop(timeout=3))
        await p.until(lambda: p.runtime.waits == [3])
        p.clock.advance(3)
        await stopping.result()
        (again,) = await take(p.bus.subscribe(group="g"), 1)
        assert (again.event.data, again.attempt) == (1, 2)
        await p.bus.close()

    asyncio.run(rule())


def test_a_handler_may_stop_itself(run: Run) -> None:
    async def rule(p: Program) -> None:
        stopped: list[int] = []

        async def once(event: Event[int]) -> None:
            await handling.stop()
            stopped.append(event.data)
            p.runtime.entered.notify()

        handling = p.bus.handle(["*"], once)
        await p.bus.publish(events(1, 2))
        await p.until(lambda: stopped == [1])
        await p.bus.close()
        assert not handling.running

    run(rule)


def test_a_handler_that_waits_for_its_log_to_come_back_can_be_stopped(run: Run) -> None:
    async def rule(p: Program) -> None:
        def away() -> None:
            raise OSError("away")

        p.log.interfere = away
        handling = p.bus.handle(["*"], print, start="beginning")
        await p.until(lambda: handling.failures == 1 and len(p.runtime.waits) == 1)
        await handling.stop()

    log = Log()
    log.commit(*events(1))
    run(rule, log)


def test_a_handler_slower_than_its_ack_wait_goes_on(run: Run) -> None:
    """Another member has the event meanwhile; the late return is recorded as a failure, and the next event comes."""

    async def rule(p: Program) -> None:
        got: list[int] = []
        gate = Signal()

        async def slow(event: Event[int]) -> None:
            got.append(event.data)
            await p.runtime.wait(gate, 0)

        handling = p.bus.handle(["*"], slow, group="g", ack_wait=5)
        await p.bus.publish(events(1))
        await p.until(lambda: got == [1])
        p.clock.advance(5)
        other = p.bus.subscribe(group="g")
        assert await data(other, 1) == [1]
        gate.notify()
        await p.until(lambda: handling.failures == 1)
        assert isinstance(handling.errors[0].error, DeliveryError)
        await other.close()
        await p.bus.publish(events(2))
        await p.until(lambda: got == [1, 2])

    run(rule)


def test_a_handler_that_waits_to_publish_does_not_keep_the_bus_from_closing(run: Run) -> None:
    """Closing refuses publishers first, so that no handler waits for room that nobody will make."""

    async def rule(p: Program) -> None:
        full = p.bus.subscribe(["out"], capacity=1)

        async def forward(event: Event[int]) -> None:
            await p.bus.publish(events(1, 2, name="out"))

        handling = p.bus.handle(["in"], forward)
        await p.bus.publish(events(1, name="in"))
        await p.until(lambda: full.queued == 1 and len(p.runtime.waits) == 1)
        await p.bus.close()
        assert isinstance(handling.errors[0].error, BusError)

    run(rule)


def test_what_goes_wrong_around_a_handler_does_not_end_it(run: Run) -> None:
    """A log that is away, a backoff that raises, a stray cancellation, an event that came back before its ack."""

    async def rule(p: Program) -> None:
        got: list[int] = []

        async def handler(event: Event[int]) -> None:
            got.append(event.data)
            if event.data == 1 and got.count(1) == 1:
                await asyncio.sleep(
                    0, asyncio.get_running_loop().call_soon(lambda: None)
                ) if not p.runtime.inline else None
                raise asyncio.CancelledError if not p.runtime.inline else ValueError("no")

        def away() -> None:
            p.log.interfere = lambda: None
            raise OSError("away")

        def backoff(attempt: int) -> float:
            raise ZeroDivisionError

        p.log.interfere = away
        handling = p.bus.handle(["*"], handler, start="beginning", backoff=backoff)
        await p.until(lambda: len(p.runtime.waits) == 1)
        p.clock.advance(1)
        await p.until(lambda: got == [1, 2] and len(p.runtime.waits) == 1)
        p.clock.advance(1)
        await p.until(lambda: got == [1, 2, 1])
        kinds = Counter(type(failure.error).__name__ for failure in handling.errors)
        assert kinds == {"OSError": 1, "ZeroDivisionError": 2, "ValueError" if p.runtime.inline else "BusError": 1}
        assert handling.running

    log = Log()
    log.commit(*events(1, 2))
    run(rule, log)


def test_a_handler_ends_when_its_log_is_closed(run: Run) -> None:
    """So it holds up no publisher; the error is there to be seen."""

    async def rule(p: Program) -> None:
        def closed() -> None:
            raise StoreClosed("here")

        p.log.interfere = closed
        handling = p.bus.handle(["*"], lambda _: None, start="beginning", capacity=1)
        await p.bus.publish(events(*range(10)))
        await handling.stop()
        assert [type(failure.error) for failure in handling.errors] == [StoreClosed]

    log = Log()
    log.commit(*events(1))
    run(rule, log)


def test_in_a_blocking_program_a_handler_that_suspends_fails_alone() -> None:
    async def suspending(event: Event[int]) -> None:
        loop = asyncio.new_event_loop()
        loop.close()
        await loop.create_future()

    p = Program(FakeTime(InlineRuntime()))
    handling = p.bus.handle(["*"], suspending, max_attempts=1)
    drive(p.bus.publish(events(1)))
    drive(p.until(lambda: handling.failures == 1))
    assert "suspended" in str(handling.errors[0].error)
    drive(p.bus.close())


def test_on_the_async_face_a_handler_needs_a_running_loop() -> None:
    bus = InProcessBus(LoopRuntime())
    with pytest.raises(BusError, match="running event loop"):
        bus.handle(["*"], print)
    drive(bus.publish(events(1)))
    assert "0 subscriptions" in repr(bus)


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closes", ["subscription", "bus"])
def test_closing_ends_an_iteration_that_waits(run: Run, closes: str) -> None:
    async def rule(p: Program) -> None:
        subscription = p.bus.subscribe()

        async def consume() -> int:
            return len([delivery async for delivery in subscription])

        consumer = p.beside(consume())
        await p.waiting(1)
        await (subscription if closes == "subscription" else p.bus).close()
        assert await consumer.result() == 0
        with pytest.raises(StopAsyncIteration):
            await subscription.__anext__()
        await subscription.close()

    run(rule)


def test_a_closed_bus_refuses_publishers_also_those_that_wait(run: Run) -> None:
    async def rule(p: Program) -> None:
        full = p.bus.subscribe(capacity=1)
        publisher = p.beside(p.bus.publish(events(1, 2)))
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


def test_closing_the_bus_stops_its_handlers(run: Run) -> None:
    async def rule(p: Program) -> None:
        handlings = [p.bus.handle(["*"], lambda _: None, group="g") for _ in range(3)]
        await p.waiting(3)
        await p.bus.close()
        assert [handling.running for handling in handlings] == [False] * 3

    run(rule)


def test_nothing_is_kept_of_what_is_settled_or_gone(run: Run) -> None:
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


def test_everything_that_lives_long_shows_its_state_on_a_line(run: Run) -> None:
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
    """For the type checkers: the protocols are kept."""
    runtime = InlineRuntime()
    bus: EventBus = InProcessBus(runtime)
    subscription: Subscription = bus.subscribe()
    handling: Handling = bus.handle(["*"], print)
    drive(bus.close())
    assert not handling.running
    drive(subscription.close())
