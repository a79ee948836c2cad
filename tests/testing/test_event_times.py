"""A handle with a clock of its own gives events their times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.testing import FakeClock
from tests.commands.commands_kit import Order, Paid, Pay, PlaceOrder, Remind, registry

LATER = timedelta(days=400)


def made() -> goes.Event[Paid]:
    return goes.Event(Paid(1), registry=registry)


def by_use(db: BlockingDatabase) -> None:
    db.repository(Order).use("1", lambda order: order.pay(Pay("1", 1)), create=True)


def by_fetch(db: BlockingDatabase) -> None:
    orders = db.repository(Order, cache=4)
    for order in (orders.fetch("1", create=True), orders.new()):
        order.pay(Pay("1", 1))
        orders.save(order)
    order = orders.fetch("1")
    order.pay(Pay("1", 1))
    orders.save(next(iter(orders.query(ids=["1"]))))
    orders.save(order)


def by_transaction(db: BlockingDatabase) -> None:
    with db.transaction() as tx:
        db.repository(Order).within(tx).use("1", lambda order: order.pay(Pay("1", 1)), create=True)


def by_command(db: BlockingDatabase) -> None:
    db.commands.serve(Order)
    db.commands.dispatch(PlaceOrder("1", 1))
    id = db.commands.dispatch_async(Pay("1", 1))
    with db.commands.worker():
        db.commands.outcome(id)


def by_function(db: BlockingDatabase) -> None:
    db.commands.handle(Remind, lambda command: db.events.append([made()]) and None)
    db.commands.dispatch(Remind("ada"))


def by_decision(db: BlockingDatabase) -> None:
    db.decide(goes.DecisionModel(goes.EventQuery(), 0, lambda count, event: count), decide=lambda count: [made()])


def by_processor(db: BlockingDatabase) -> None:
    db.repository(Order).use("1", lambda order: order.pay(Pay("1", 1)), create=True)

    def handle(event: goes.Event[object]) -> None:
        if event.version:
            db.events.append([made()])

    with db.processor("p", handle) as processor:
        processor.wait_for(1)
    assert db.events.count() == 2


def by_bus(db: BlockingDatabase) -> None:
    handling = db.bus.handle(["order.paid"], lambda event: db.events.append([made()]) if event.version else None)
    seen = db.commits.count
    by_use(db)
    while db.events.count() < 2:
        db.commits.wait(seen + 1)
    handling.stop()


@pytest.mark.parametrize(
    "act", [by_use, by_fetch, by_transaction, by_command, by_function, by_decision, by_processor, by_bus]
)
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "loop"])
def test_what_is_recorded_through_it(act: Callable[[BlockingDatabase], None], *, inline: bool) -> None:
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=timezone.utc))
    with goes.blocking.connect(":memory:", registry=registry, clock=clock, inline=inline) as db:
        act(db)
        assert {event.time for event in db.events.query()} == {clock.now()}


def test_what_is_made_elsewhere_has_the_time_of_the_machine() -> None:
    """And so has what another handle records, even inside; a given time is kept everywhere."""
    clock, given = FakeClock(), datetime(2001, 1, 1, tzinfo=timezone.utc)
    with (
        goes.blocking.connect(":memory:", registry=registry, clock=clock) as db,
        goes.blocking.connect(":memory:", registry=registry) as other,
    ):
        begun = datetime.now(timezone.utc)

        def change(order: Order) -> None:
            order.record(Paid(1), time=given)
            by_use(other)

        db.repository(Order).use("1", change, create=True)
        assert next(db.events.query()).time == given
        assert begun <= next(other.events.query()).time <= datetime.now(timezone.utc)
        assert begun <= made().time <= datetime.now(timezone.utc)


def test_a_command_is_scheduled_by_the_time_of_an_event() -> None:
    clock = FakeClock()
    with goes.blocking.connect(":memory:", registry=registry, clock=clock) as db:
        by_use(db)
        db.commands.schedule(Remind("ada"), at=next(db.events.query()).time + LATER)
        assert db.commands.accepted()[0].due == clock.now() + LATER
