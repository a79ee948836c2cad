"""Simulated runs: the same seed makes the same run, correct programs survive every seed, and faulty ones are found.

The programs run on the processors, projections and commands of the library. The faulty ones break what those promise, each
in one place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid5

import pytest

import goes_lite as goes
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.database import Database
from goes_lite.errors import ConfigError
from goes_lite.processor.batches import BatchRunner
from goes_lite.testing import Simulation, simulate

SEEDS = 8
"""How many seeds a correct program must survive here."""
FOUND = 150
"""Within how many seeds a faulty one is found."""
ORDERS = 6

registry = goes.Registry()


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int


@registry.event("payment.charged")
@dataclass(frozen=True)
class Charged:
    total: int


@registry.commands.event("payment.charge")
@dataclass(frozen=True)
class Charge:
    payment: str
    total: int


@dataclass(frozen=True)
class Bill:
    orders: int = 0
    total: int = 0

    def plus(self, order: Placed) -> Bill:
        return Bill(self.orders + 1, self.total + order.total)


class Payment(goes.Aggregate, name="payment", registry=registry):
    charged: int = 0

    @goes.handles(Charge, id="payment", create=True)
    def charge(self, command: Charge) -> None:
        self.record(Charged(command.total))

    @goes.applies(Charged)
    def _charged(self, event: goes.Event[Charged]) -> None:
        self.charged += event.data.total


class Bills(goes.ModelProjection[Bill], name="bills"):
    @goes.projects(Placed, key=lambda event: "all")
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        return bill.plus(event.data)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:  # the faults are meant
    logger = logging.getLogger("goes_lite")
    logger.disabled, before = True, logger.disabled
    processors = logging.getLogger("goes_lite.processor")
    processors.disabled, earlier = True, processors.disabled
    yield
    logger.disabled, processors.disabled = before, earlier


async def customers(db: Database) -> None:
    """Place the orders that are missing."""
    for number in range(await db.events.count(goes.EventQuery(names=["order.placed"])), ORDERS):
        await db.events.append(
            [goes.Event(Placed(number), aggregate=("order", str(number)), version=1, registry=registry)]
        )
        await asyncio.sleep(0.2)


async def bills(db: Database) -> None:
    """Keep a projection up to date, with its checkpoint in the transaction."""
    await db.projection(Bills()).run()


async def charging(db: Database) -> None:
    """Turn orders into commands that are accepted once, and run the worker that handles them."""
    db.commands.serve(Payment)

    async def charge(event: goes.Event[Placed], tx: Any) -> None:
        command = Charge("all", event.data.total)
        await db.commands.dispatch_async(command, id=uuid5(event.id, "charge"), tx=tx)

    query = goes.EventQuery(names=["order.placed"])
    async with db.processor("charging", charge, query=query, transactional=True), db.commands.worker():
        await asyncio.Event().wait()


async def counting_twice(db: Database) -> None:
    """Write a read model in a transaction that does not hold the checkpoint: a crash between the two repeats events."""

    async def count(event: goes.Event[Placed]) -> None:
        await db.models_of("bills", Bill).use("all", lambda bill: bill.plus(event.data), default=Bill())

    await db.processor("bills", count).run()


async def checkpoint_first(db: Database) -> None:
    """Save the checkpoint before handling: a crash between the two loses events."""
    while True:
        seen = db.commits.count
        checkpoint = await db.checkpoints.get("bills")
        for event in await db.events.query(after=checkpoint.position if checkpoint else 0).list():
            await db.checkpoints.save("bills", event.position or 0)
            await db.models_of("bills", Bill).use("all", partial(Bill.plus, order=event.data), default=Bill())
        await db.commits.wait(seen)


class _Unfenced(WrappedBackend):
    """Saves checkpoints of instances that have lost their lease."""

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Any]:
        async with self.backend.transaction() as tx:
            save = tx.checkpoints.save

            async def unfenced(name: str, position: int, lease: object = None) -> None:
                await save(name, position)

            vars(tx.checkpoints)["save"] = unfenced
            yield tx


async def unfenced(db: Database) -> None:
    """Look neither at the lease nor at the checkpoint in the transaction, so an instance that was stalled writes late."""
    await Database(_Unfenced(db.backend)).projection(Bills()).run()


async def _unchecked(runner: BatchRunner, tx: object) -> None:
    """Stands for the look at the checkpoint."""


async def all_billed(db: Database) -> None:
    """Each order is billed once."""
    found = await db.models_of("bills", Bill).find("all")
    assert found == Bill(ORDERS, sum(range(ORDERS))), f"billed {found}"


async def all_charged(db: Database) -> None:
    """Each order is charged once."""
    charged = await db.events.query(goes.EventQuery(names=["payment.charged"])).list()
    assert sorted(event.data.total for event in charged) == [*range(ORDERS)]


async def never_too_many(db: Database) -> None:
    """No more orders are billed than there are."""
    found = await db.models_of("bills", Bill).find("all")
    assert found is None or found.orders <= await db.events.head(), f"billed {found}"


Prepare = Callable[[Simulation], None]


def billing(program: Any) -> Prepare:
    def prepare(sim: Simulation) -> None:
        sim.program(customers)
        sim.program(program, copies=2)
        sim.always(never_too_many)
        sim.at_end(all_billed)

    return prepare


def charges(sim: Simulation) -> None:
    sim.program(customers)
    sim.program(charging, copies=2)
    sim.at_end(all_charged)


def ran(seed: int, prepare: Prepare, **options: bool) -> Simulation:
    sim = simulate(seed, registry=registry, **options)
    prepare(sim)
    sim.run(calm=150 if prepare is charges else 45)  # longer than a worker claims a command, or a lease is held
    return sim


@pytest.mark.parametrize("prepare", [billing(bills), charges], ids=["a projection", "commands"])
def test_what_the_library_promises_holds_for_every_seed(prepare: Prepare) -> None:
    sims = [ran(seed, prepare) for seed in range(SEEDS)]
    steps = [step for sim in sims for step in sim.trace]
    for fault in (" crashes, and starts again at", " stalls until", " jumps by"):
        assert any(fault in step for step in steps), f"no run had one that{fault}"


@pytest.mark.parametrize(
    ("program", "options"),
    [(counting_twice, {}), (checkpoint_first, {}), (unfenced, {"crashes": False, "jumps": False})],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_faulty_program_is_found_and_its_seed_repeats_the_failure(
    program: Any, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program is unfenced:
        monkeypatch.setattr(BatchRunner, "_check", _unchecked)
    for seed in range(FOUND):
        try:
            ran(seed, billing(program), **options)
        except AssertionError as error:
            found, message = seed, str(error)
            break
    else:
        pytest.fail(f"{program.__name__} survives {FOUND} seeds")
    assert message.startswith(f"seed {found}: AssertionError: billed Bill(")
    assert f"simulate({found}) repeats" in message
    with pytest.raises(AssertionError) as again:
        ran(found, billing(program), **options)
    assert str(again.value) == message


def test_the_same_seed_makes_the_same_run() -> None:
    for seed in range(4):
        assert ran(seed, charges).trace == ran(seed, charges).trace
    assert ran(0, charges).trace != ran(1, charges).trace


def test_it_makes_the_same_run_in_another_process() -> None:
    script = (
        "import logging, sys; logging.disable(logging.CRITICAL); from tests.testing import test_simulation as it\n"
        "for seed in range(3): print(*it.ran(seed, it.charges).trace, sep='\\n')"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert "charging#2" in outputs.pop()


def test_a_crash_before_a_commit_rolls_back_and_one_after_it_does_not() -> None:
    """Whatever is committed is there, whether the program learned of it or not; a transaction is there as a whole."""
    told: set[tuple[int, int]] = set()

    def prepare(sim: Simulation) -> None:
        knows = 0

        async def writer(db: Database) -> None:
            nonlocal knows
            for _ in range(3):
                async with db.transaction() as tx:
                    head = await tx.events.head()
                    await tx.events.append([goes.Event(Placed(head), registry=registry)])
                    await tx.models_of("heads", Bill).put("last", Bill(head + 1))
                knows += 1

        async def whole(db: Database) -> None:
            found = await db.models_of("heads", Bill).find("last")
            assert await db.events.head() == (found.orders if found else 0)

        async def end(db: Database) -> None:
            told.add((await db.events.head(), knows))

        sim.program(writer)
        sim.always(whole)
        sim.at_end(end)

    for seed in range(40):
        ran(seed, prepare)
    assert all(3 <= knows <= stored for stored, knows in told)
    assert any(knows < stored for stored, knows in told), "no crash came between a commit and its acknowledgement"
    assert any(stored > 3 for stored, _ in told), "no crash came after a commit"


def test_a_program_that_raises_fails_the_run() -> None:
    def prepare(sim: Simulation) -> None:
        async def broken(db: Database) -> None:
            await db.events.head()
            raise ValueError("no such order")

        sim.program(broken, crashes=False)

    with pytest.raises(AssertionError, match="seed 5: ValueError: no such order") as failed:
        ran(5, prepare)
    assert isinstance(failed.value.__cause__, ValueError)


def test_programs_that_wait_for_each_other_fail_the_run() -> None:
    def prepare(sim: Simulation) -> None:
        async def waiting(db: Database) -> None:
            await db.commits.wait(db.commits.count)

        sim.program(waiting, crashes=False)

    with pytest.raises(AssertionError, match="everything waits forever"):
        ran(1, prepare)


def test_programs_share_time_and_events_of_the_bus_stay_in_their_program() -> None:
    heard: list[str] = []

    def prepare(sim: Simulation) -> None:
        async def speaker(db: Database) -> None:
            async def hear(event: goes.Event[Any]) -> None:
                heard.append("speaker")

            db.bus.handle(["order.*"], hear)
            await db.events.append([goes.Event(Placed(1), registry=registry)])
            async for event in db.events.follow(after=0):
                assert event.time <= sim.clock.now()
                break
            await asyncio.sleep(1)

        async def listener(db: Database) -> None:
            async def hear(event: goes.Event[Any]) -> None:
                heard.append("listener")

            db.bus.handle(["order.*"], hear)
            async for _ in db.events.follow(after=0):
                break
            await asyncio.sleep(1)

        sim.program(speaker, crashes=False)
        sim.program(listener, crashes=False)

    sim = ran(2, prepare)
    assert heard == ["speaker"]
    assert 1 <= sim.clock.monotonic() < 40


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: simulate("7"),  # type: ignore[arg-type]
        lambda: simulate(1, crashes=1),  # type: ignore[arg-type]
        lambda: simulate(1).program(lambda db: None),  # type: ignore[arg-type, return-value]
        lambda: simulate(1).program(bills, copies=0),
        lambda: simulate(1).always(7),  # type: ignore[arg-type]
        lambda: simulate(1).run(-1),
        lambda: simulate(1).run(calm=float("inf")),
    ],
)
def test_wrong_arguments(wrong: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        wrong()


def test_it_runs_once() -> None:
    sim = ran(3, billing(bills))
    with pytest.raises(ConfigError, match=r"make another one with simulate\(3\)"):
        sim.run()
