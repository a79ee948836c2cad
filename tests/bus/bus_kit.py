"""What the tests of the in-process bus share: a log, a fake clock, and helpers to publish and take."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from goes_lite_conformance.harness.place import PATIENCE, Alongside

from goes_lite.contract.event_bus import Delivery, Subscription
from goes_lite.contract.event_store import EventStore, Pages
from goes_lite.events.event import Event, restore
from goes_lite.events.fields import AggregateRef
from goes_lite.events.ids import new_id_bytes
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.bus import InProcessBus
from goes_lite.runtime import Clock, InlineRuntime, LoopRuntime, Runtime, Signal
from goes_lite.testing import FakeClock

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """The minimum that a bus needs of a store: a list of events, and its head."""

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
        """Store the events and return what to offer."""
        before = self.last
        stored = [event.at(before + gap + 1 + i) for i, event in enumerate(events)]
        self.events += stored
        return stored, before


class Program:
    """The world of one test: a bus on one of the runtimes, with its clock."""

    def __init__(self, runtime: Callable[[Clock], Runtime], log: Log | None = None) -> None:
        self.clock = FakeClock()
        self.runtime = runtime(self.clock)
        self.log = log or Log()
        store = cast("EventStore", log)
        self.bus = InProcessBus(
            self.runtime, store if log else None, head=log.last if log else None, max_dead_letters=50
        )

    def alongside(self, coroutine: Coroutine[Any, Any, Any]) -> Alongside:
        return Alongside(coroutine, loop=not self.runtime.inline)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let others run until the condition holds; it is checked whenever one of them starts to wait."""
        real = InlineRuntime() if self.runtime.inline else LoopRuntime()
        while True:
            count = self.clock.changed.count
            if condition():
                return
            assert await real.wait(self.clock.changed, count, PATIENCE), "it never came true"

    async def waiting(self, n: int) -> None:
        """Wait until n others wait."""
        if self.runtime.inline:
            self.clock.block_until_waiting(n)
        else:
            await self.clock.until_waiting(n)


Rule = Callable[[Program], Coroutine[Any, Any, None]]
Run = Callable[..., None]


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


class WouldWait(Exception):
    pass


class NoWaiting(InlineRuntime):
    """Raises instead of waiting, as a cancellation would."""

    async def wait(self, signal: Signal, seen: int, timeout: float | None = None) -> bool:
        raise WouldWait


async def drained(subscription: Subscription, n: int = 10**9) -> list[Delivery]:
    """Return what can be taken without waiting, at most n."""
    got: list[Delivery] = []
    try:
        while len(got) < n:
            got.append(await subscription.__anext__())
    except WouldWait:
        pass
    return got
