"""eventsource-py: async, over aiosqlite; the level of an application (AggregateRepository), with the library's own defaults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

from eventsource import (
    AggregateRepository,
    AggregateRoot,
    DomainEvent,
    InMemoryCheckpointRepository,
    InMemoryEventBus,
    OptimisticLockError,
    register_event,
)
from eventsource.adapters.sqlite.store import SQLiteEventStore
from eventsource.application.subscriptions import SubscriptionConfig, SubscriptionManager
from pydantic import BaseModel
from scenario import Task, Unsupported, main, median


@register_event
class Changed(DomainEvent):
    event_type: str = "account.changed"
    aggregate_type: str = "Account"
    amount: int
    note: str


class State(BaseModel):
    total: int = 0


class Account(AggregateRoot[State]):
    aggregate_type = "Account"

    def _get_initial_state(self) -> State:
        return State()

    def _apply(self, event: DomainEvent) -> None:
        if isinstance(event, Changed):
            self._state = State(total=(self._state or State()).total + event.amount)

    def change(self, amount: int, note: str) -> None:
        self.apply_event(
            Changed(aggregate_id=self.aggregate_id, amount=amount, note=note, aggregate_version=self.get_next_version())
        )


class Setting:
    """A store in a file, and what an application has around it."""

    def __init__(self, task: Task) -> None:
        if task.relaxed:
            raise Unsupported("it has no option for a commit that does not wait for the disk")
        self.task = task
        self.store = SQLiteEventStore(str(task.path))
        self.bus = InMemoryEventBus()
        self.accounts = AggregateRepository(
            event_store=self.store, aggregate_factory=Account, aggregate_type="Account", event_publisher=self.bus
        )

    async def save_new(self, events: int = 1, key: UUID | None = None) -> None:
        account = self.accounts.create_new(key or uuid4())
        for _ in range(events):
            account.change(1, self.task.note)
        await self.accounts.save(account)

    def manager(self) -> SubscriptionManager:
        return SubscriptionManager(self.store, self.bus, InMemoryCheckpointRepository())


async def timed(count: int, work: Coroutine[Any, Any, object]) -> dict[str, float]:
    began = time.perf_counter()
    await work
    return {"events_per_s": count / (time.perf_counter() - began)}


async def append_single(setting: Setting) -> dict[str, float]:
    await setting.save_new()

    async def work() -> None:
        for _ in range(setting.task.events):
            await setting.save_new()

    return await timed(setting.task.events, work())


async def append_batch(setting: Setting) -> dict[str, float]:
    await setting.save_new()

    async def work() -> None:
        for _ in range(setting.task.events // 100):
            await setting.save_new(100)

    return await timed(setting.task.events, work())


async def command(setting: Setting) -> dict[str, float]:
    keys = [uuid4() for _ in range(10)]
    for key in keys:
        await setting.save_new(key=key)

    async def work() -> None:
        for number in range(setting.task.events):
            account = await setting.accounts.load(keys[number % 10])
            account.change(1, setting.task.note)
            await setting.accounts.save(account)

    return await timed(setting.task.events, work())


async def load(setting: Setting) -> dict[str, float]:
    key = uuid4()
    await setting.save_new(setting.task.events, key)

    async def work() -> None:
        for _ in range(20):
            await setting.accounts.load(key)

    return await timed(20 * setting.task.events, work())


async def log_read(setting: Setting) -> dict[str, float]:
    for _ in range(setting.task.events // 10):
        await setting.save_new(10)

    async def work() -> None:
        async for found in setting.store.read_all():
            found.event.event_type  # noqa: B018

    return await timed(setting.task.events, work())


async def writers_contended(setting: Setting) -> dict[str, float]:
    """Many tasks change one aggregate, each until it succeeds."""
    key = uuid4()
    await setting.save_new(key=key)

    async def change() -> None:
        for _ in range(setting.task.events // setting.task.writers):
            while True:
                account = await setting.accounts.load(key)
                account.change(1, setting.task.note)
                try:
                    await setting.accounts.save(account)
                except OptimisticLockError:
                    continue
                break

    async def work() -> None:
        await asyncio.gather(*(change() for _ in range(setting.task.writers)))

    return await timed(setting.task.events, work())


class Counting:
    """A projection that counts in memory; the checkpoints are in memory as well, so it is more than fair."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.count = 0
        self.seen: list[float] = []
        self.arrived = asyncio.Event()

    def subscribed_to(self) -> list[type[DomainEvent]]:
        return [Changed]

    async def handle(self, event: DomainEvent) -> None:
        self.count += 1
        self.seen.append(time.perf_counter())
        if self.count >= self.wanted:
            self.arrived.set()


async def projection_pull(setting: Setting) -> dict[str, float]:
    for _ in range(setting.task.events // 10):
        await setting.save_new(10)
    counting = Counting(setting.task.events)
    manager = setting.manager()
    await manager.subscribe(counting, SubscriptionConfig(start_from="beginning"), name="counting")

    async def work() -> None:
        await manager.start()
        await counting.arrived.wait()

    found = await timed(setting.task.events, work())
    await manager.stop()
    return found


async def poll_latency(setting: Setting) -> dict[str, float]:
    counting = Counting(1)
    manager = setting.manager()
    await manager.subscribe(counting, SubscriptionConfig(start_from="beginning"), name="counting")
    await manager.start()
    begun: list[float] = []
    for number in range(setting.task.events):
        counting.arrived.clear()
        counting.wanted = number + 1
        begun.append(time.perf_counter())
        await setting.save_new()
        await counting.arrived.wait()
    await manager.stop()
    return median([there - here for here, there in zip(begun, counting.seen, strict=True)])


def blocking(scenario: Callable[[Setting], Awaitable[dict[str, float]]]) -> Callable[[Task], dict[str, float]]:
    async def whole(task: Task) -> dict[str, float]:
        setting = Setting(task)
        try:
            return await scenario(setting)
        finally:
            await setting.store.close()

    return lambda task: asyncio.run(whole(task))


main(
    {
        "append_single": blocking(append_single),
        "append_batch": blocking(append_batch),
        "command": blocking(command),
        "load": blocking(load),
        "log_read_domain": blocking(log_read),
        "writers_contended": blocking(writers_contended),
        "projection_pull": blocking(projection_pull),
        "poll_latency": blocking(poll_latency),
    }
)
