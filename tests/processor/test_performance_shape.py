"""How much a processor asks of the store, counted in reads and commits: so no figure depends on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from goes_lite.database import Database
from goes_lite.processor import Continuously, OnDemand, Periodically, Retry
from goes_lite.sqlite._executor import DirectExecutor
from goes_lite.sqlite._session import SessionExecutor
from goes_lite.sqlite._write_transactions import WriteTransactions
from tests.processor.processor_kit import DAY, NAME, ONLY_NOTED, Calls, World, note, notes, other, stands


class Taken(NamedTuple):
    """What was asked of the stores of this process."""

    reads: int
    """Trips to a store that read, outside of transactions."""
    commits: int
    """Of transactions and of single writes, if they changed anything."""
    begun: int
    """Transactions that write, and single writes, whatever became of them."""
    inside: int
    """Operations inside of transactions."""


def _changes(session: object, changed: bool = True) -> bool:
    return changed


class Traffic:
    """Counts what is asked of SQLite."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._counts: Counter[str] = Counter()
        self._count(monkeypatch, DirectExecutor, "read", "reads")
        self._count(monkeypatch, SessionExecutor, "read", "inside")
        self._count(monkeypatch, SessionExecutor, "write", "inside")
        self._count(monkeypatch, WriteTransactions, "begin", "begun")
        self._count(monkeypatch, WriteTransactions, "end", "commits", _changes)
        begin_now = WriteTransactions.begin_now

        def begun_now(transactions: WriteTransactions) -> bool:
            begun = begin_now(transactions)
            self._counts["begun"] += begun
            return begun

        monkeypatch.setattr(WriteTransactions, "begin_now", begun_now)

    def _count(
        self,
        monkeypatch: pytest.MonkeyPatch,
        owner: type[Any],
        method: str,
        what: str,
        counts: Callable[..., bool] = lambda *_, **__: True,
    ) -> None:
        original = getattr(owner, method)

        def counted(*args: Any, **options: Any) -> Any:
            if counts(*args, **options):
                self._counts[what] += 1
            return original(*args, **options)

        monkeypatch.setattr(owner, method, counted)

    def taken(self) -> Taken:
        """What it was since it was asked the last time."""
        return Taken(*(self._counts.pop(what, 0) for what in Taken._fields))


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    return Traffic(monkeypatch)


@asynccontextmanager
async def at_rest(world: World, **options: Any) -> AsyncGenerator[tuple[Database, Any, Calls]]:
    """A store with a processor that has nothing to do."""
    calls = Calls(world.clock)
    options = {"lease": DAY, **options}
    async with world.open() as db, db.processor(NAME, calls, **options) as processor:
        await rest(world)
        yield db, processor, calls


async def rest(world: World) -> None:
    """Until all that there is to do just now is done, and the checkpoint is saved."""
    await world.waiting()
    while 0.05 in world.clock.waiters:
        world.clock.advance(0.05)
        await world.waiting()


@pytest.mark.parametrize("transactional", [False, True])
def test_a_catch_up_shares_commits_and_reads(world: World, traffic: Traffic, transactional: bool) -> None:
    """5,000 events in batches of 500: a commit for each, one for the lease and one for where it begins; a few reads more."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            last = (await db.events.append(notes(1, 5000))).position
            traffic.taken()
            options: dict[str, Any] = {"transactional": transactional, "batch": 500, "lease": DAY}
            async with db.processor(NAME, calls, **options):
                await world.until(lambda: len(calls.numbers) == 5000)
                await world.waiting()
                taken = traffic.taken()
                assert (taken.commits, taken.begun, taken.inside) == (12, 12, 20 if transactional else 0)
                assert taken.reads <= 20
                assert await stands(db) == last
        assert calls.numbers == list(range(1, 5001))

    world.run(rule())


@pytest.mark.parametrize("schedule", [Continuously(), Continuously(debounce=0.5)], ids=repr)
@pytest.mark.parametrize("options", [{}, {"transactional": True}, {"batched": True}], ids=str)
def test_one_event_costs_one_commit(
    world: World, traffic: Traffic, options: dict[str, Any], schedule: Continuously
) -> None:
    """And a few reads: what is asked of it, where the log ends, what has come; and a look whether there is more."""

    async def rule() -> None:
        async with at_rest(world, schedule=schedule, **options) as (db, _, calls):
            for n in range(11):
                await db.events.append([note(n)])
                await world.waiting()
                world.clock.advance(schedule.debounce)
                await rest(world)
                if n == 0:
                    traffic.taken()
            taken = traffic.taken()
            assert len(calls.numbers) == 11
            assert (taken.commits, taken.begun) == (20, 20)  # with those of the appends
            assert taken.reads <= 10 * (9 if schedule.debounce else 5)

    world.run(rule())


def test_what_does_not_match_costs_one_commit_however_much_it_is(world: World, traffic: Traffic) -> None:
    """A moment later, when it is written down that it was passed over."""

    async def rule() -> None:
        async with at_rest(world, query=ONLY_NOTED) as (db, _, calls):
            traffic.taken()
            for _ in range(50):
                await db.events.append([other()])
                await world.waiting()
            assert traffic.taken().commits == 50
            await rest(world)
            assert traffic.taken().commits == 1
            assert (await stands(db), calls.numbers) == (50, [])

    world.run(rule())


@pytest.mark.parametrize("schedule", [Continuously(), Continuously(debounce=5), OnDemand()], ids=repr)
def test_one_that_has_nothing_to_do_does_nothing(world: World, traffic: Traffic, schedule: Any) -> None:
    """Whatever time passes."""

    async def rule() -> None:
        async with at_rest(world, schedule=schedule) as (db, processor, _):
            await db.events.append([note(1)])
            await processor.trigger()
            await rest(world)
            world.clock.advance(10)
            await rest(world)
            traffic.taken()
            await world.passing(1000, 10)
            assert traffic.taken() == (0, 0, 0, 0)

    world.run(rule())


def test_a_period_in_which_nothing_came_costs_no_commit(world: World, traffic: Traffic) -> None:
    async def rule() -> None:
        async with at_rest(world, schedule=Periodically(10)):
            traffic.taken()
            await world.passing(100, 10)
            taken = traffic.taken()
            assert (taken.commits, taken.begun) == (0, 0)
            assert taken.reads <= 10 * 4

    world.run(rule())


def test_renewing_a_lease_is_all_that_time_costs(world: World, traffic: Traffic) -> None:
    """One commit for each third of it, of both together if they come together, and a look of each who learns of that."""

    async def rule() -> None:
        async with (
            world.open() as db,
            db.processor("a", Calls(world.clock), lease=30),
            db.processor("b", Calls(world.clock), lease=30),
        ):
            await world.waiting(4)
            traffic.taken()
            await world.passing(300, 10, 4)
            taken = traffic.taken()
            assert 30 <= taken.commits == taken.begun <= 2 * 30
            assert taken.reads <= 2 * 2 * 2 * 30

    world.run(rule())


def test_one_that_stands_by_keeps_no_writer_waiting(world: World, traffic: Traffic) -> None:
    """It looks five times a second whether the lease is free, and begins to write when it is."""

    async def rule() -> None:
        async with at_rest(world) as (db, _, _), db.processor(NAME, Calls(world.clock), lease=DAY):
            await world.waiting(3)
            traffic.taken()
            await world.passing(60, 0.25, 3)
            taken = traffic.taken()
            assert (taken.commits, taken.begun, taken.inside) == (0, 0, 0)
            assert taken.reads <= 300
            for n in range(100):
                await db.events.append([note(n)])
                await world.waiting(3)
            assert traffic.taken().reads <= 600  # of the active one

    world.run(rule())


def test_a_letter_that_is_redriven_costs_one_transaction(world: World, traffic: Traffic) -> None:
    """Besides the one in which somebody asks for it, also where events have been passed over a moment before."""

    async def rule() -> None:
        options: dict[str, Any] = {"transactional": True, "query": ONLY_NOTED, "retry": Retry(1, then="park")}
        async with at_rest(world, **options) as (db, processor, calls):
            calls.fails = lambda _: True
            await db.events.append(notes(1, 20))
            await rest(world)
            calls.fails = lambda _: False
            traffic.taken()
            await db.events.append([other()])
            await world.waiting()
            await processor.redrive()
            await world.until(lambda: len(calls.numbers) == 40)
            await rest(world)
            assert traffic.taken().begun == 1 + 20 + 1 + 20

    world.run(rule())
