"""A program whose store the explorer shows in tests and pictures, with something of everything: `python tea_shop.py FILE`.

Its types have a registry of their own: `--app tea_shop:registry`.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, BlockingRepository
from goes_lite.testing import FakeClock

registry = goes.Registry()

OPENS = datetime(2026, 11, 23, 8, tzinfo=timezone.utc)
DAYS = 7
WAITING, FAILED, DONE = (UUID(f"01900000-0000-7000-8000-00000000000{digit}") for digit in "123")
OLD_ORDER = "2026-0001"
"""An order with an event that an earlier version of the program stored."""

ITEMS = {"tea": 450, "cup": 800, "honey": 300, "teapot": 2900, "biscuits": 250}
CUSTOMERS = ("ada", "bob", "cem", "dora", "eve")


@registry.event("customer.joined")
@dataclass(frozen=True)
class CustomerJoined:
    name: str
    email: str


@dataclass(frozen=True)
class Line:
    item: str
    quantity: int
    price: int  # cents


@registry.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    lines: list[Line]


@registry.event("order.paid", schema=2)
@dataclass(frozen=True)
class OrderPaid:
    amount: int
    currency: str


@registry.upcast("order.paid", 1)
def _with_currency(data: dict[str, object]) -> dict[str, object]:
    return {**data, "currency": "EUR"}


@registry.event("order.shipped")
@dataclass(frozen=True)
class OrderShipped:
    parcel: str


@registry.event("letter.sent")
@dataclass(frozen=True)
class LetterSent:
    to: str
    subject: str


@registry.commands.event("charge")
@dataclass(frozen=True)
class Charge:
    order: str
    amount: int


@registry.commands.event("refund")
@dataclass(frozen=True)
class Refund:
    order: str


@registry.commands.event("letter.send")
@dataclass(frozen=True)
class SendLetter:
    to: str


class Customer(goes.Aggregate, name="customer", registry=registry):
    name: str = ""

    @goes.applies(CustomerJoined)
    def _joined(self, event: goes.Event[CustomerJoined]) -> None:
        self.name = event.data.name


class Order(goes.Aggregate, name="order", registry=registry):
    customer: str = ""
    lines: tuple[Line, ...] = ()
    paid: int = 0
    status: str = "new"

    @goes.applies(OrderPlaced)
    def _placed(self, event: goes.Event[OrderPlaced]) -> None:
        self.customer, self.lines, self.status = event.data.customer, tuple(event.data.lines), "placed"

    @goes.applies(OrderPaid)
    def _paid(self, event: goes.Event[OrderPaid]) -> None:
        self.paid, self.status = self.paid + event.data.amount, f"paid in {event.data.currency}"

    @goes.applies(OrderShipped)
    def _shipped(self, event: goes.Event[OrderShipped]) -> None:
        self.status = f"shipped as {event.data.parcel}"


@dataclass(frozen=True)
class Bought:
    orders: int = 0
    spent: int = 0


class Sales(goes.ModelProjection[Bought], name="sales"):
    """What each customer has bought."""

    @goes.projects(OrderPlaced, key=lambda event: event.data.customer)
    def placed(self, bought: Bought | None, event: goes.Event[OrderPlaced]) -> Bought:
        before = bought or Bought()
        return Bought(before.orders + 1, before.spent + sum(line.quantity * line.price for line in event.data.lines))


@dataclass
class Progress:
    order: str
    paid: bool = False


class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
    broken = True

    def initial(self, key: str) -> Progress:
        return Progress(key)

    @goes.starts(OrderPlaced)
    def placed(self, state: Progress, event: goes.Event[OrderPlaced]) -> Iterable[goes.Effect]:
        if event.data.customer == "eve" and self.broken:
            raise LookupError("eve has no address")
        yield goes.Dispatch(Charge(state.order, sum(line.quantity * line.price for line in event.data.lines)))
        yield goes.SetTimer("payment", after=timedelta(days=14))

    @goes.evolves(OrderPaid)
    def _paid(self, state: Progress, event: goes.Event[OrderPaid]) -> Progress:
        return Progress(state.order, paid=True)

    @goes.reacts(OrderPaid)
    def paid(self, state: Progress, event: goes.Event[OrderPaid]) -> Iterable[goes.Effect]:
        yield goes.CancelTimer("payment")
        yield goes.Undo(Refund(state.order))
        yield goes.SetTimer("delivery", after=timedelta(days=30))

    @goes.reacts(OrderShipped)
    def shipped(self, state: Progress, event: goes.Event[OrderShipped]) -> goes.Effect:
        return goes.Complete()

    @goes.on_rejected(Charge)
    def refused(self, state: Progress, outcome: goes.Event[goes.CommandOutcome]) -> goes.Effect:
        return goes.Fail(outcome.data.message)


def charge(command: Charge) -> str:
    if command.amount > 9000:
        raise goes.errors.CommandRejected("limit", "the card has a limit")
    return f"charged {command.amount}"


def refuse(command: SendLetter) -> str:
    if command.to == "ada":
        return "sent"
    raise goes.errors.CommandRejected("no-address", f"{command.to} has no address")


@contextmanager
def opened(path: str, clock: FakeClock | None = None) -> Generator[BlockingDatabase]:
    """The store, with handlers of commands."""
    with goes.blocking.connect(path, registry=registry, clock=clock, durability="normal") as db:
        db.commands.handle(Charge, charge)
        db.commands.handle(SendLetter, refuse)
        yield db


def fill(path: str) -> None:
    """Make the store: a week of a shop, by a clock of its own."""
    dice, clock = random.Random(7), FakeClock(OPENS)
    with opened(path, clock) as db:
        customers, orders = db.repository(Customer), db.repository(Order, snapshots=goes.Every(2))
        letters = db.processor("letters", _print, retry=goes.Retry(attempts=1, then="park"))
        fulfilment, sales = db.workflow(Fulfilment(), patience=60), db.projection(Sales())
        _join(customers)
        _old_order(db, clock)
        number = 1
        for _ in range(DAYS):
            opening = clock.now()
            for _ in range(dice.randint(4, 9)):
                clock.advance(dice.randint(600, 5400))
                number += 1
                _order(db, orders, dice, clock, f"2026-{number:04}")
                fulfilment.catch_up()
                db.commands.worker(attempts=1).catch_up()
                fulfilment.catch_up()
            clock.advance((opening + timedelta(days=1) - clock.now()).total_seconds())
        sales.catch_up()
        letters.catch_up()
        fulfilment.catch_up()
        db.commands.dispatch_async(SendLetter("eve"), id=FAILED)
        db.commands.dispatch(SendLetter("ada"), id=DONE)
        db.commands.worker(attempts=1).catch_up()
        db.commands.schedule(SendLetter("bob"), at=datetime(2099, 1, 1, tzinfo=timezone.utc), id=WAITING)
        for _ in range(3):  # what consumers have not handled yet
            clock.advance(300)
            number += 1
            _order(db, orders, dice, clock, f"2026-{number:04}")


def _join(customers: BlockingRepository[Customer]) -> None:
    for id in CUSTOMERS:
        customer = customers.new(id)
        customer.record(CustomerJoined(id.capitalize(), f"{id}@example.org"), tags=[f"email:{id}@example.org"])
        customers.save(customer)


def _old_order(db: BlockingDatabase, clock: FakeClock) -> None:
    """An order whose payment was stored by an earlier version of the program."""
    former = goes.Registry()
    former.register("order.paid", FormerOrderPaid)
    placed = OrderPlaced("ada", [Line("tea", 2, 450)])
    order = ("order", OLD_ORDER)
    db.events.append(
        [
            goes.Event(placed, aggregate=order, version=1, registry=registry, time=clock.now()),
            goes.Event(FormerOrderPaid(900), aggregate=order, version=2, registry=former, time=clock.now()),
        ]
    )


@dataclass(frozen=True)
class FormerOrderPaid:
    amount: int


def _order(
    db: BlockingDatabase, orders: BlockingRepository[Order], dice: random.Random, clock: FakeClock, id: str
) -> None:
    """A customer orders, most pay, some get a letter and a parcel; what follows says what it was caused by."""
    customer = dice.choice(CUSTOMERS)
    lines = [Line(item, dice.randint(1, 4), ITEMS[item]) for item in dice.sample(sorted(ITEMS), dice.randint(1, 3))]
    order = orders.new(id)
    with goes.Context.bind(actor=customer, correlation=id):
        order.record(
            OrderPlaced(customer, lines), tags=[f"customer:{customer}", *(f"item:{line.item}" for line in lines)]
        )
        orders.save(order)
    amount = sum(line.quantity * line.price for line in lines)
    for likely, data in ((0.8, OrderPaid(amount, "EUR")), (0.7, OrderShipped(f"P-{id[-4:]}"))):
        if dice.random() > likely:
            return
        clock.advance(dice.randint(5, 300))
        with _caused_by_the_last(db, "shop"):
            order.record(data)
            orders.save(order)
        if isinstance(data, OrderPaid):
            with _caused_by_the_last(db, "letters"):
                letter = LetterSent(customer, "Your receipt\nof today")
                tags = [f"customer:{customer}"]
                db.events.append([goes.Event(letter, registry=registry, tags=tags, time=clock.now())])


def _caused_by_the_last(db: BlockingDatabase, actor: str) -> AbstractContextManager[goes.Context]:
    cause = next(iter(db.events.query(after=db.events.head() - 1)))
    return goes.Context.bind(goes.Context.of(cause.metadata, str(cause.id)), actor=actor)


def _print(event: goes.Event[Any]) -> None:
    if event.name == "order.shipped" and event.data.parcel.endswith("3"):
        raise ConnectionError("no printer at 10.0.0.7: paper jam")


if __name__ == "__main__":
    logging.disable()  # of the failures that are meant
    fill(sys.argv[1])
