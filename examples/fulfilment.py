"""Fulfilment: an order is charged, shipped and delivered; whatever goes wrong on the way, what was done is undone.

    python examples/fulfilment.py [--code] [--orders 10] [--db fulfilment.db]

Orders, payments and parcels are aggregates that know nothing of each other. A workflow takes an order through all of them: it
dispatches commands, waits for their outcomes, for the delivery and for the end of time limits, and undoes the steps in reverse if
the order fails. It is written twice, as reactions to inputs (the default) and as a function (--code), and does the same.

A week passes in a moment here, on a clock that the program advances. Stop it at any point, and run it again with the same
--db: it goes on where it was.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import CommandRejected
from goes_lite.testing import FakeClock

registry = goes.Registry()
CHARGE_WITHIN = timedelta(days=2)
DELIVER_WITHIN = timedelta(days=5)


# --- orders, payments, parcels: three aggregates ----------------------------------------------------------------------


@registry.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    total: int
    card: str
    address: str


@registry.event("order.cancelled")
@dataclass(frozen=True)
class OrderCancelled:
    pass


@registry.event("payment.charged")
@dataclass(frozen=True)
class Charged:
    total: int


@registry.event("payment.refunded")
@dataclass(frozen=True)
class Refunded:
    total: int


@registry.event("parcel.shipped")
@dataclass(frozen=True)
class Shipped:
    address: str


@registry.event("parcel.recalled")
@dataclass(frozen=True)
class Recalled:
    pass


@registry.event("parcel.delivered")
@dataclass(frozen=True)
class Delivered:
    pass


@registry.commands.event("payment.charge")
@dataclass(frozen=True)
class Charge:
    order: str
    total: int
    card: str


@registry.commands.event("payment.refund")
@dataclass(frozen=True)
class Refund:
    order: str


@registry.commands.event("parcel.ship")
@dataclass(frozen=True)
class Ship:
    order: str
    address: str


@registry.commands.event("parcel.recall")
@dataclass(frozen=True)
class Recall:
    order: str


class Order(goes.Aggregate, name="order", registry=registry):
    @goes.applies(OrderPlaced, OrderCancelled)
    def _changed(self, event: goes.Event[Any]) -> None:
        pass


class Payment(goes.Aggregate, name="payment", registry=registry):
    charged: int = 0

    @goes.handles(Charge, id="order", create=True)
    def charge(self, command: Charge) -> None:
        if command.card == "declined":
            raise CommandRejected("declined", "the card was declined")
        self.record(Charged(command.total))

    @goes.handles(Refund, id="order")
    def refund(self, command: Refund) -> None:
        self.record(Refunded(self.charged))

    @goes.applies(Charged, Refunded)
    def _moved(self, event: goes.Event[Charged] | goes.Event[Refunded]) -> None:
        self.charged += event.data.total if isinstance(event.data, Charged) else -event.data.total


class Parcel(goes.Aggregate, name="parcel", registry=registry):
    delivered: bool = False

    @goes.handles(Ship, id="order", create=True)
    def ship(self, command: Ship) -> None:
        if not command.address:
            raise CommandRejected("no_address", "there is no address")
        self.record(Shipped(command.address))

    @goes.handles(Recall, id="order")
    def recall(self, command: Recall) -> None:
        self.record(Recalled())

    @goes.applies(Shipped, Recalled, Delivered)
    def _moved(self, event: goes.Event[Any]) -> None:
        self.delivered = isinstance(event.data, Delivered)


# --- the workflow, as reactions to inputs -----------------------------------------------------------------------------


@dataclass
class Progress:
    order: str
    address: str = ""


class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
    def initial(self, key: str) -> Progress:
        return Progress(key)

    @goes.evolves(OrderPlaced)
    def _placed(self, state: Progress, event: goes.Event[OrderPlaced]) -> Progress:
        return Progress(state.order, event.data.address)

    @goes.starts(OrderPlaced)
    def placed(self, state: Progress, event: goes.Event[OrderPlaced]) -> Iterable[goes.Effect]:
        yield goes.Dispatch(Charge(state.order, event.data.total, event.data.card))
        yield goes.SetTimer("charge", after=CHARGE_WITHIN)

    @goes.on_done(Charge)
    def charged(self, state: Progress, outcome: goes.Event[goes.CommandOutcome]) -> Iterable[goes.Effect]:
        yield goes.CancelTimer("charge")
        yield goes.Undo(Refund(state.order))
        yield goes.Dispatch(Ship(state.order, state.address))

    @goes.on_done(Ship)
    def shipped(self, state: Progress, outcome: goes.Event[goes.CommandOutcome]) -> Iterable[goes.Effect]:
        yield goes.Undo(Recall(state.order))
        yield goes.SetTimer("delivery", after=DELIVER_WITHIN)

    @goes.on_rejected(Charge, Ship)
    def refused(self, state: Progress, outcome: goes.Event[goes.CommandOutcome]) -> goes.Effect:
        return goes.Compensate(outcome.data.message)

    @goes.reacts(Delivered)
    def delivered(self, state: Progress, event: goes.Event[Delivered]) -> goes.Effect:
        return goes.Complete()

    @goes.reacts(OrderCancelled)
    def cancelled(self, state: Progress, event: goes.Event[OrderCancelled]) -> goes.Effect:
        return goes.Compensate("cancelled")

    @goes.on_timer("charge")
    def not_charged(self, state: Progress, timer: goes.TimerFired) -> goes.Effect:
        return goes.Compensate("not charged in time")

    @goes.on_timer("delivery")
    def not_delivered(self, state: Progress, timer: goes.TimerFired) -> goes.Effect:
        return goes.Compensate("not delivered in time")


# --- the same workflow, as a function ---------------------------------------------------------------------------------


@goes.flow("fulfilment", starts_with=OrderPlaced, waits_for={Delivered: None, OrderCancelled: None})
async def fulfil(flow: goes.Flow, placed: goes.Event[OrderPlaced]) -> None:
    order, data = flow.key, placed.data

    first, _ = await flow.any(
        flow.command(Charge(order, data.total, data.card)), flow.sleep(CHARGE_WITHIN, name="charge"), name="charged"
    )
    if first == 1:
        flow.compensate("not charged in time")
    flow.undo(Refund(order))

    await flow.command(Ship(order, data.address))  # if it is rejected, what was done is undone
    flow.undo(Recall(order))

    first, _ = await flow.any(
        flow.wait_for(Delivered),
        flow.wait_for(OrderCancelled),
        flow.sleep(DELIVER_WITHIN, name="delivery"),
        name="delivered",
    )
    if first > 0:
        flow.compensate(["", "cancelled", "not delivered in time"][first])


# --- running it -------------------------------------------------------------------------------------------------------


class Shop:
    """Runs the workflow and a worker until there is nothing left to do."""

    def __init__(self, db: BlockingDatabase, workflow: Any) -> None:
        self.db = db
        self.workflow = db.workflow(workflow)
        db.commands.serve(Payment)
        db.commands.serve(Parcel)
        self.orders = db.repository(Order)
        self.parcels = db.repository(Parcel)

    def place(self, order: str, *, total: int = 450, card: str = "ok", address: str = "1 Main Street") -> None:
        def once(found: Order) -> None:
            if not found.version:
                found.record(OrderPlaced(total, card, address))

        self.orders.use(order, once, create=True)
        self.settle()

    def cancel(self, order: str) -> None:
        self.orders.use(order, lambda found: found.record(OrderCancelled()))
        self.settle()

    def deliver(self, order: str) -> None:
        self.parcels.use(order, lambda found: None if found.delivered else found.record(Delivered()))
        self.settle()

    def settle(self) -> None:
        """Let the workflow and a worker do all that is due."""
        worker = self.db.commands.worker()
        self.workflow.catch_up()
        while worker.catch_up():
            self.workflow.catch_up()

    def happened(self, order: str) -> list[str]:
        """Return what happened to an order, in order."""
        query = goes.EventQuery(aggregates=[("order", order), ("payment", order), ("parcel", order)])
        return [event.name for event in self.db.events.query(query)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--code", action="store_true", help="run the function instead of the reactions")
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--db", default="sqlite:///:memory:")
    arguments = parser.parse_args()

    clock = FakeClock()
    with goes.blocking.connect(arguments.db, registry=registry, clock=clock) as db:
        shop = Shop(db, fulfil if arguments.code else Fulfilment())
        orders = [f"{number:04}" for number in range(1, arguments.orders + 1)]
        for number, order in enumerate(orders):
            shop.place(
                order,
                card="declined" if number % 5 == 1 else "ok",
                address="" if number % 5 == 2 else f"{number + 1} Main Street",
            )
        for number, order in enumerate(orders):
            if number % 5 == 0:
                shop.deliver(order)
            elif number % 5 == 3:
                found = db.workflows.find("fulfilment", order)
                if found is not None and not found.ended:
                    shop.cancel(order)
        clock.advance(7 * 86_400)
        shop.settle()

        for order in orders:
            found = db.workflows.find("fulfilment", order)
            assert found is not None
            print(f"{order}  {found.status:9}  {found.reason or '-':24}  {', '.join(shop.happened(order))}")
        print(dict(Counter(one.status for one in db.workflows.list("fulfilment"))), "stuck:", len(db.workflows.stuck()))


if __name__ == "__main__":
    main()
