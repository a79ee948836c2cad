"""What happens when a handler raises, and when the store cannot be used: pauses, attempts, and what stands at the end."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, cast

import pytest
from goes_lite_conformance.chaos import ChaosStore

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.checkpoints import Checkpoint, CheckpointStore, Lease
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.database import Database
from goes_lite.errors import (
    AppendInDoubtError,
    ConfigError,
    ProcessorStopped,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
)
from goes_lite.events.event import Event
from goes_lite.processor import Continuously, OnDemand, Periodically, Retry
from goes_lite.runtime.backoff import Backoff
from tests.processor.processor_kit import DAY, NAME, ONLY_NOTED, Calls, World, becomes, note, notes, other, stands

T = TypeVar("T")

TROUBLES: tuple[Callable[[], Exception], ...] = (
    lambda: StoreLocked("app.db", 30.0),
    lambda: StoreFull("app.db"),
    lambda: StoreUnavailable("app.db", "it is away"),
    lambda: AppendInDoubtError(()),
)


def tens(attempt: int) -> float:
    """A backoff: 10, 100, 1000, … seconds."""
    return float(10**attempt)


# --- pauses between attempts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transactional", [False, True])
def test_the_pauses_are_those_of_the_backoff(world: World, transactional: bool) -> None:
    """Counted from 1 again for the next event, and none is made after an attempt that succeeds."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda number: number != 2 and calls.numbers.count(number) < 3)
        options: dict[str, Any] = {"transactional": transactional, "batch": 1, "retry": Retry(backoff=tens)}
        async with world.open() as db, db.processor(NAME, calls, lease=DAY, **options):
            await db.events.append(notes(1, 3))
            for pause in (10, 100, 10, 100):
                await world.until(lambda pause=pause: world.clock.waiters[:1] == (pause,))  # type: ignore[misc]
                world.clock.advance(pause - 1)
                world.clock.advance(1)
            await world.until(lambda: len(calls.seen) == 7)
        assert calls.seen == [(0, 1), (10, 1), (110, 1), (110, 2), (110, 3), (120, 3), (220, 3)]

    world.run(rule())


def test_attempts_are_counted_from_1_when_it_is_started_again(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock, lambda _: True)
        async with world.open() as db:
            await db.events.append([note(1)])
            for _ in range(2):
                processor = db.processor(NAME, calls, retry=Retry(3, backoff=tens), lease=DAY)
                processor.start()
                for pause in (10, 100):
                    await world.until(lambda pause=pause: world.clock.waiters[:1] == (pause,))  # type: ignore[misc]
                    world.clock.advance(pause)
                await becomes(world, processor, "failed")
                assert isinstance(processor.error, ProcessorStopped)
                assert processor.error.attempts == 3
                await processor.stop()

    world.run(rule())


def test_stop_ends_a_pause(world: World) -> None:
    """At once: no time passes. The event is still to come, and is tried as for the first time."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda number: number == 2)
        async with world.open() as db:
            positions = (await db.events.append(notes(1, 3))).positions
            async with db.processor(NAME, calls, retry=Retry(backoff=tens), lease=DAY):
                await world.until(lambda: world.clock.waiters == (10, DAY / 3))
            assert (world.clock.monotonic(), await stands(db)) == (0, positions[0])
            calls.fails = lambda _: False
            async with db.processor(NAME, calls) as processor:
                await processor.wait_for(positions[2])
        assert calls.numbers == [1, 2, 2, 3]

    world.run(rule())


def test_closing_the_store_ends_a_pause(world: World) -> None:
    """Whatever it is that is waited for: the next attempt, the store, or the place of another instance."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda _: True)
        async with world.open() as db:
            await db.events.append([note(1)])
            active, standby = db.processor(NAME, calls, retry=Retry(backoff=tens)), db.processor(NAME, calls)
            running = [world.alongside(active.run())]
            await world.until(lambda: world.clock.waiters[-1:] == (10,))
            running.append(world.alongside(standby.run()))
            await world.until(lambda: world.clock.waiters[:1] == (0.2,))
        for one in running:
            await one.result()
        assert (world.clock.monotonic(), world.clock.waiters, calls.numbers) == (0, (), [1])

    world.run(rule())


def test_nobody_tries_again_who_has_lost_the_lease_meanwhile(world: World) -> None:
    async def rule() -> None:
        calls = Calls(world.clock, lambda _: True)
        async with world.open() as db:
            await db.events.append([note(1)])
            async with db.processor(NAME, calls, retry=Retry(backoff=tens), lease=15) as processor:
                await world.until(lambda: world.clock.waiters == (5, 10))
                lease = await db.leases.get(NAME)
                assert lease is not None
                await db.leases.release(lease)
                thief = await db.leases.acquire(NAME, "thief", 60)
                world.clock.advance(5)  # it learns of that when it renews the lease
                await world.until(lambda: world.clock.waiters == (0.2,))
                assert (await processor.stats()).state == "standby"
                world.clock.advance(5)
                await world.waiting(1)
                assert calls.numbers == [1]
                await db.leases.release(thief)

    world.run(rule())


# --- batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transactional", [False, True])
def test_of_a_list_that_fails_each_event_is_handled_alone(world: World, transactional: bool) -> None:
    """For nobody knows which of them it was; the next ones come in lists again."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda number: number == 3 and [3] not in calls.numbers[:-1])
        options: dict[str, Any] = {"batched": True, "batch": 4, "transactional": transactional}
        async with world.open() as db:
            last = (await db.events.append(notes(1, 8))).position
            async with db.processor(NAME, calls, retry=Retry(backoff=tens), lease=DAY, **options) as processor:
                await world.until(lambda: world.clock.waiters[:1] == (10,))
                assert (await processor.stats()).handled == 2
                world.clock.advance(10)
                await processor.wait_for(last)
                await world.waiting()
                assert (await processor.stats()).handled == 8
        assert calls.numbers == [[1, 2, 3, 4], [1], [2], [3], [3], [4], [5, 6, 7, 8]]
        assert calls.times == [0, 0, 0, 0, 10, 10, 10]

    world.run(rule())


def test_of_a_list_of_one_the_failure_is_no_second_one(world: World) -> None:
    """It is tried as often as others are: `attempts` times."""

    async def rule() -> None:
        calls = Calls(world.clock, lambda _: True)
        async with world.open() as db:
            await db.events.append([note(1)])
            with pytest.raises(ProcessorStopped) as caught:
                await db.processor(NAME, calls, batched=True, retry=Retry(1)).run()
            assert (caught.value.attempts, calls.numbers) == (1, [[1]])

    world.run(rule())


# --- backoffs that are wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, "soon", float("nan"), ZeroDivisionError()], ids=repr)
def test_a_backoff_that_answers_no_time_is_told_of_and_stops_nothing(
    world: World, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The pause is that of `Backoff()`."""

    def backoff(attempt: int) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def rule() -> None:
        calls = Calls(world.clock, lambda _: len(calls.numbers) < 3)
        async with world.open() as db:
            last = (await db.events.append([note(1)])).position
            async with db.processor(NAME, calls, retry=Retry(backoff=backoff), lease=DAY) as processor:
                for shortest, longest in ((0.05, 0.1), (0.1, 0.2)):
                    await world.until(
                        lambda low=shortest, high=longest: low <= (world.clock.waiters[:1] or (0,))[0] <= high  # type: ignore[misc]
                    )
                    world.clock.advance(longest)
                await processor.wait_for(last)

    logger = logging.getLogger("goes_lite.processor")
    logger.addHandler(caplog.handler)
    world.run(rule())
    logger.removeHandler(caplog.handler)
    assert sum("backoff" in record.message for record in caplog.records) == 2


@pytest.mark.parametrize(("answer", "pause"), [(-5, 0.0), (1e300, 86_400.0), (float("inf"), 86_400.0), (True, 1.0)])
def test_a_pause_is_a_time_that_one_can_wait_for(answer: float, pause: float) -> None:
    assert Retry(backoff=lambda _: answer).pause(1) == pause


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Retry(0), "attempts must be an int ≥ 1, not 0"),
        (lambda: Retry(backoff=cast(Any, 5)), "backoff must be a function of the attempt (1, 2, 3, …), not 5"),
        (lambda: Retry(then=cast(Any, "x" * 500)), "then must be 'stop' or 'park', not 'xxx"),
        (lambda: Retry(order=cast(Any, ["strict"])), "order must be 'free' or 'strict', not ['strict']"),
        (lambda: Retry(order="strict"), "order='strict' applies to parked events: also pass then='park'"),
    ],
)
def test_what_is_no_retry_is_refused(make: Callable[[], Retry], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("odd", [5, "park", Retry])
def test_a_processor_takes_a_retry_and_nothing_else(world: World, odd: Any) -> None:
    async def rule() -> None:
        async with world.open() as db:
            with pytest.raises(ConfigError, match="retry must be a Retry, not"):
                db.processor(NAME, print, retry=odd)

    world.run(rule())


def test_a_retry_shows_what_it_is() -> None:
    assert repr(Retry(3, backoff=Backoff(1, jitter=0), then="park", order="strict")) == (
        "Retry(3, backoff=Backoff(1, factor=2.0, maximum=30.0, jitter=0), then='park', order='strict')"
    )


# --- a store that cannot be used just now -------------------------------------------------------------------------------------


class Trouble(WrappedBackend):
    """A store in which commits fail as a test asks for, before they are done or after that."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.checkpoints = TroubledCheckpoints(backend.checkpoints, self)
        self.before: list[Exception] = []
        """What the next commits raise instead of being done."""
        self.after: list[Exception] = []
        """What the next commits raise although they were done."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._troubled()

    @asynccontextmanager
    async def _troubled(self) -> AsyncGenerator[Transaction]:
        async with self.backend.transaction() as tx:
            yield tx
            if self.before:
                raise self.before.pop(0)
        if self.after:
            raise self.after.pop(0)


class TroubledCheckpoints(CheckpointStore):
    def __init__(self, checkpoints: CheckpointStore, trouble: Trouble) -> None:
        self._checkpoints = checkpoints
        self._trouble = trouble

    async def get(self, name: str) -> Checkpoint | None:
        return await self._checkpoints.get(name)

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        if self._trouble.before:
            raise self._trouble.before.pop(0)
        await self._checkpoints.save(name, position, lease=lease)
        if self._trouble.after:
            raise self._trouble.after.pop(0)

    async def delete(self, name: str) -> bool:
        return await self._checkpoints.delete(name)

    async def all(self) -> list[Checkpoint]:
        return await self._checkpoints.all()

    async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        await self._checkpoints.import_checkpoints(checkpoints)


@asynccontextmanager
async def troubled(world: World) -> AsyncGenerator[tuple[Database, Trouble]]:
    made: list[Trouble] = []

    def wrap(backend: Backend) -> Backend:
        made.append(Trouble(backend))
        return made[0]

    async with world.open(wrap=wrap) as db:
        yield db, made[0]


async def passing(world: World, holds: Callable[[], bool]) -> None:
    """Let time pass until it holds, as long as it takes; a processor comes to rest each time."""
    for _ in range(10_000):
        if holds():
            return
        await world.waiting()
        world.clock.advance(0 if holds() else 0.125)
    raise AssertionError(f"it never came true; {world.clock!r} with {world.clock.waiters}")


def counting(calls: Calls) -> Callable[..., Awaitable[None]]:
    """A handler that counts each number in a read model, in the transaction that it is given."""

    async def handle(event: Event[Any], tx: Any) -> None:
        calls(event)
        counter = tx.models_of("counter", int)
        await counter.put(str(event.data.number), 1 + (await counter.find(str(event.data.number)) or 0))

    return handle


async def counted(db: Database) -> dict[int, int]:
    return {int(record.id): int(record.data) for record in await db.models.query("counter").list()}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("make", TROUBLES, ids=lambda make: type(make()).__name__)
def test_commits_that_fail_count_every_event_once(world: World, make: Callable[[], Exception], when: str) -> None:
    """However often, and whether or not they were done: what the store says then is what counts."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with troubled(world) as (db, trouble):
            last = (await db.events.append(notes(1, 6))).position
            options: dict[str, Any] = {"transactional": True, "batch": 2, "retry": Retry(1)}
            async with db.processor(NAME, counting(calls), **options) as processor:
                await processor.wait_for(last)
                getattr(trouble, when).extend(make() for _ in range(10))
                last = (await db.events.append(notes(7, 60))).position
                await passing(world, lambda: calls.numbers[-1] == 60)
                await processor.wait_for(last)
                assert type((await processor.stats()).error) is type(make())
                assert await processor.parked() == []
            assert await counted(db) == dict.fromkeys(range(1, 61), 1)
            assert calls.numbers[-1] == 60

    world.run(rule())


@pytest.mark.parametrize("when", ["before", "after"])
def test_checkpoints_that_cannot_be_saved_leave_out_nothing(world: World, when: str) -> None:
    """Handlers outside of transactions get again what was not saved, and nothing else."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with troubled(world) as (db, trouble):
            async with db.processor(NAME, calls, retry=Retry(1)) as processor:
                await processor.wait_for((await db.events.append(notes(1, 3))).position)
                getattr(trouble, when).extend(make() for make in TROUBLES)
                last = (await db.events.append(notes(4, 9))).position
                await passing(world, lambda: not getattr(trouble, when) and calls.numbers[-1] == 9)
                await processor.wait_for(last)
            again = [4] * len(TROUBLES) if when == "before" else []
        assert calls.numbers == [1, 2, 3, *again, 4, 5, 6, 7, 8, 9]

    world.run(rule())


def test_the_pauses_grow_whatever_else_is_committed(world: World) -> None:
    """A handler that commits something itself, and then cannot go on, is not called without a pause for that."""

    async def rule() -> None:
        calls = Calls(world.clock)

        async with world.open() as db:

            async def handle(event: Event[Any]) -> None:
                calls(event)
                await db.models.put("c", str(len(calls.numbers)), "1")
                raise StoreUnavailable("elsewhere", "it is away")

            await db.events.append([note(1)])
            async with db.processor(NAME, handle, lease=DAY):
                for n in range(12):
                    await world.waiting()
                    assert len(calls.numbers) == n + 1
                    await db.models.put("c", "x", str(n))
                    await world.waiting()
                    assert len(calls.numbers) == n + 1
                    shortest = min(0.05 * 2**n, 5) / 2
                    pause = world.clock.waiters[0]
                    assert pause is not None
                    assert shortest <= pause <= 2 * shortest
                    world.clock.advance(pause + 1e-6)  # it was told to the microsecond

    world.run(rule())


@pytest.mark.parametrize("schedule", [Continuously(debounce=1), Periodically(3600), OnDemand(at_start=True)], ids=repr)
def test_a_run_that_the_store_has_cut_short_is_made_again(world: World, schedule: Any) -> None:
    """As soon as the store can be used again, not at the next time that the schedule says."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with troubled(world) as (db, trouble):
            last = (await db.events.append(notes(1, 5))).position
            await db.checkpoints.save(NAME, 0)
            trouble.before += [StoreLocked("app.db", 30.0)] * 3
            options: dict[str, Any] = {"transactional": True, "batched": True, "schedule": schedule, "lease": DAY}
            async with db.processor(NAME, calls, **options) as processor:
                await passing(world, lambda: len(calls.numbers) == 4)
                await processor.wait_for(last)
        # a second of debounce at most, and three pauses of at most 0.05, 0.1 and 0.2 seconds, in steps of an eighth
        assert calls.numbers == [[1, 2, 3, 4, 5]] * 4
        assert world.clock.monotonic() <= 2

    world.run(rule())


@pytest.mark.parametrize("schedule", [Continuously(), Continuously(debounce=1)], ids=repr)
def test_what_was_passed_over_is_passed_over_in_the_end(world: World, schedule: Any) -> None:
    """Though the checkpoint could not be saved at first, and nothing else comes."""

    async def rule() -> None:
        async with troubled(world) as (db, trouble):
            options: dict[str, Any] = {"query": ONLY_NOTED, "schedule": schedule, "lease": DAY}
            async with db.processor(NAME, Calls(world.clock), **options):
                await world.waiting()
                trouble.before += [StoreLocked("app.db", 30.0)] * 3
                last = (await db.events.append([other()])).position
                await passing(world, lambda: not trouble.before)
                await world.passing(3, 0.125)
                assert await stands(db) == last

    world.run(rule())


def test_an_unreliable_way_to_the_store(world: World) -> None:
    """Reads and pages fail at random, and pages are short: every event is handled once, in order."""

    async def rule() -> None:
        calls = Calls(world.clock)
        made: list[ChaosStore] = []

        def wrap(backend: Backend) -> Backend:
            wrapped = WrappedBackend(backend)
            made.append(ChaosStore(backend.events, 7, repeats=0, in_doubt=0, unavailable=0.5))
            wrapped.events = made[0]
            return wrapped

        async with world.open(wrap=wrap) as db:
            await made[0].store.append(notes(1, 300))  # the way on which nothing happens
            options: dict[str, Any] = {"transactional": True, "batch": 7}
            async with db.processor(NAME, counting(calls), **options):
                await passing(world, lambda: len(calls.numbers) >= 300)
                await world.until(lambda: _stands_at(db, 300))
            assert await counted(db) == dict.fromkeys(range(1, 301), 1)
        assert calls.numbers == list(range(1, 301))
        assert made[0].troubles > 10

    world.run(rule())


async def _stands_at(db: Database, position: int) -> bool:
    return await stands(db) == position
