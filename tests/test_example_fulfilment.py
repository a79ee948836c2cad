"""examples/fulfilment.py: the same workflow as reactions and as a function, with the same tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.database import Database
from goes_lite.testing import FakeClock, Simulation, done, given, history, simulate
from tests.examples import example_kit as kit

example: Any = kit.module("fulfilment")

STYLES = pytest.mark.parametrize("workflow", [example.Fulfilment(), example.fulfil], ids=["reactions", "function"])
WEEK = 7 * 86_400
SEEDS = 3


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def db(clock: FakeClock) -> Iterator[BlockingDatabase]:
    with goes.blocking.connect("sqlite:///:memory:", registry=example.registry, clock=clock) as db:
        yield db


def ends(db: BlockingDatabase, order: str = "1") -> tuple[str, str]:
    found = db.workflows.find("fulfilment", order)
    assert found is not None
    return found.status, found.reason


@STYLES
def test_an_order_that_is_delivered_is_completed(db: BlockingDatabase, clock: FakeClock, workflow: Any) -> None:
    shop: Any = example.Shop(db, workflow)
    shop.place("1")
    shop.deliver("1")
    clock.advance(WEEK)
    shop.settle()
    assert ends(db) == ("completed", "")
    assert shop.happened("1") == ["order.placed", "payment.charged", "parcel.shipped", "parcel.delivered"]
    assert db.models.query("goes:timers:fulfilment").list() == []


@STYLES
@pytest.mark.parametrize(
    ("order", "reason", "happened"),
    [
        ({"card": "declined"}, "the card was declined", []),
        ({"address": ""}, "there is no address", ["payment.charged", "payment.refunded"]),
        ({}, "not delivered in time", ["payment.charged", "parcel.shipped", "parcel.recalled", "payment.refunded"]),
    ],
    ids=["declined", "no address", "lost"],
)
def test_what_was_done_is_undone_in_reverse(
    db: BlockingDatabase, clock: FakeClock, workflow: Any, order: Any, reason: str, happened: list[str]
) -> None:
    shop: Any = example.Shop(db, workflow)
    shop.place("1", **order)
    clock.advance(WEEK)
    shop.settle()
    assert ends(db) == ("failed", reason)
    assert shop.happened("1") == ["order.placed", *happened]


@STYLES
def test_a_cancelled_order_is_undone_and_a_late_delivery_changes_nothing(db: BlockingDatabase, workflow: Any) -> None:
    shop: Any = example.Shop(db, workflow)
    shop.place("1")
    shop.cancel("1")
    assert ends(db) == ("failed", "cancelled")
    shop.deliver("1")
    assert ends(db) == ("failed", "cancelled")
    assert shop.happened("1")[-3:] == ["parcel.recalled", "payment.refunded", "parcel.delivered"]


@STYLES
def test_a_charge_that_nobody_handles_is_given_up(db: BlockingDatabase, clock: FakeClock, workflow: Any) -> None:
    shop: Any = example.Shop(db, workflow)
    placed = example.OrderPlaced(450, "ok", "1 Main Street")

    def record(order: Any) -> None:
        order.record(placed)

    shop.orders.use("1", record, create=True)
    shop.workflow.catch_up()
    clock.advance(2 * 86_400)
    shop.workflow.catch_up()
    assert ends(db) == ("failed", "not charged in time")


def test_reactions_are_effects_as_data() -> None:
    placed = history(("order", "1"), example.OrderPlaced(450, "ok", "1 Main Street"), registry=example.registry)
    charge = example.Charge("1", 450, "ok")
    flow = given(placed, registry=example.registry).workflow(example.Fulfilment(), under="all")
    flow = flow.then(goes.Dispatch(charge), goes.SetTimer("charge", after=example.CHARGE_WITHIN))
    flow = flow.when(done(charge)).then(
        goes.CancelTimer("charge"), goes.Undo(example.Refund("1")), goes.Dispatch(example.Ship("1", "1 Main Street"))
    )
    flow.advance(days=30).then_nothing()


@pytest.mark.parametrize("flags", [[], ["--code"]])
def test_the_program_says_how_each_order_ended(tmp_path: Path, flags: list[str]) -> None:
    out, _ = kit.run("fulfilment.py", "--orders", 5, *flags, cwd=tmp_path)
    assert [line.split()[:2] for line in out.splitlines()[:5]] == [
        ["0001", "completed"], ["0002", "failed"], ["0003", "failed"], ["0004", "failed"], ["0005", "failed"],
    ]  # fmt: skip
    assert out.endswith("stuck: 0\n")


# --- with crashes, stalls and clock jumps -------------------------------------------------------------------------------


def shop_of(workflow: Any) -> Any:
    async def shop(db: Database) -> None:
        db.commands.serve(example.Payment)
        db.commands.serve(example.Parcel)
        async with db.workflow(workflow), db.commands.worker():
            await asyncio.Event().wait()

    return shop


async def customers(db: Database) -> None:
    """Place orders, and let the first one arrive."""
    orders = [("1", "ok", "1 Main Street"), ("2", "declined", "2 Main Street"), ("3", "ok", "")]
    for order, card, address in orders:
        ref = goes.AggregateRef("order", order)
        if not await db.events.load(ref):
            data = example.OrderPlaced(450, card, address)
            await db.events.append([goes.Event(data, aggregate=ref, version=1, registry=example.registry)])
    ref = goes.AggregateRef("parcel", "1")
    while len(shipped := await db.events.load(ref)) < 1:
        await db.commits.wait(db.commits.count, 1.0)
    if len(shipped) == 1:
        await db.events.append([goes.Event(example.Delivered(), aggregate=ref, version=2, registry=example.registry)])


async def nobody_is_charged_twice(db: Database) -> None:
    for order in ("1", "2", "3"):
        events = await db.events.load(goes.AggregateRef("payment", order))
        assert len(events) <= 2, [event.name for event in events]


async def every_order_ends_well(db: Database) -> None:
    found = {one.key: (one.status, one.reason) for one in await db.workflows.list("fulfilment")}
    assert found == {
        "1": ("completed", ""),
        "2": ("failed", "the card was declined"),
        "3": ("failed", "there is no address"),
    }
    names = [event.name for event in await db.events.load(goes.AggregateRef("payment", "3"))]
    assert names == ["payment.charged", "payment.refunded"]


def ran(seed: int, workflow: Any) -> Simulation:
    sim = simulate(seed, jumps=False, registry=example.registry)
    sim.program(customers)
    sim.program(shop_of(workflow), copies=2)
    sim.always(nobody_is_charged_twice)
    sim.at_end(every_order_ends_well)
    sim.run(calm=200)
    return sim


@STYLES
def test_it_survives_crashes_and_stalls(workflow: Any) -> None:
    logging.getLogger("goes_lite").disabled = True
    try:
        for seed in range(SEEDS):
            ran(seed, workflow)
    finally:
        logging.getLogger("goes_lite").disabled = False
