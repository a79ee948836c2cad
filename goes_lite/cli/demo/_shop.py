"""The domain of the demo: customers, orders and the stock of a small shop. Nothing here knows about databases."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import goes_lite as goes

shop = goes.Registry()
"""A registry of its own, so that the demo does not touch the default one."""

applied: Counter[str] = Counter()
"""The number of times an applier of the stock ran, by the id of the stock: it shows what a snapshot saves."""


class Refused(Exception):
    """A rule of the shop forbids it."""


# --- commands ---------------------------------------------------------------------------------------------------------


@shop.commands.event("order.ship")
@dataclass(frozen=True)
class ShipOrder:
    """Ship an order."""

    order: str
    parcel: str


@shop.commands.event("customer.thank")
@dataclass(frozen=True)
class ThankCustomer:
    """Write a letter of thanks."""

    customer: str


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A quantity of an item, at a price in cents each."""

    item: str
    quantity: int
    price: int


@shop.event("customer.joined")
@dataclass(frozen=True)
class CustomerJoined:
    """A person became a customer."""

    name: str
    email: str


@shop.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    """A customer placed an order."""

    customer: str
    line: Line


@shop.event("order.line_added")
@dataclass(frozen=True)
class LineAdded:
    """The customer added an item."""

    line: Line


@shop.event("order.paid")
@dataclass(frozen=True)
class OrderPaid:
    """The whole amount was paid."""

    amount: int


@shop.event("order.shipped")
@dataclass(frozen=True)
class OrderShipped:
    """The parcel was shipped."""

    parcel: str


@shop.event("stock.delivered")
@dataclass(frozen=True)
class StockDelivered:
    """New goods arrived."""

    quantity: int


@shop.event("stock.sold")
@dataclass(frozen=True)
class StockSold:
    """Goods were sold."""

    quantity: int


# --- aggregates -------------------------------------------------------------------------------------------------------


class Customer(goes.Aggregate, name="customer", registry=shop):
    """A person who orders."""

    email: str = ""

    def join(self, name: str, email: str) -> None:
        """Become a customer. The tag serves the rule "one customer per e-mail"."""
        if self.email:
            raise Refused(f"{self.id} is a customer already")
        self.record(CustomerJoined(name, email), tags=[f"email:{email}"])

    @goes.applies(CustomerJoined)
    def _joined(self, event: goes.Event[CustomerJoined]) -> None:
        self.email = event.data.email


class Order(goes.Aggregate, name="order", registry=shop):
    """An order, from the first item to the parcel."""

    customer: str = ""
    lines: tuple[Line, ...] = ()
    status: str = "empty"

    @property
    def total(self) -> int:
        """The price, in cents."""
        return sum(line.quantity * line.price for line in self.lines)

    def place(self, customer: str, item: str, quantity: int, price: int) -> None:
        """Order the first item."""
        if self.status != "empty":
            raise Refused(f"order {self.id} is {self.status} already")
        self.record(OrderPlaced(customer, Line(item, quantity, price)))

    def add(self, item: str, quantity: int, price: int) -> None:
        """Add an item, while the order is not paid."""
        if self.status != "open":
            raise Refused(f"order {self.id} is {self.status}, nothing can be added")
        self.record(LineAdded(Line(item, quantity, price)))

    def pay(self, amount: int) -> None:
        """Pay it, all at once."""
        if self.status != "open":
            raise Refused(f"order {self.id} is {self.status}, there is nothing to pay")
        if amount != self.total:
            raise Refused(f"order {self.id} costs {cents(self.total)}, not {cents(amount)}")
        self.record(OrderPaid(amount))

    def ship(self, parcel: str) -> None:
        """Ship it."""
        if self.status != "paid":
            raise Refused(f"order {self.id} is {self.status}: only paid orders are shipped")
        self.record(OrderShipped(parcel))

    @goes.handles(ShipOrder, id="order")
    def handle_ship(self, command: ShipOrder) -> str:
        """Ship it, in response to a command."""
        self.ship(command.parcel)
        return f"{self.ref} is on its way as {command.parcel}"

    @goes.applies(OrderPlaced)
    def _placed(self, event: goes.Event[OrderPlaced]) -> None:
        self.customer, self.lines, self.status = event.data.customer, (event.data.line,), "open"

    @goes.applies(LineAdded)
    def _added(self, event: goes.Event[LineAdded]) -> None:
        self.lines = (*self.lines, event.data.line)

    @goes.applies(OrderPaid)
    def _paid(self, _event: goes.Event[OrderPaid]) -> None:
        self.status = "paid"

    @goes.applies(OrderShipped)
    def _shipped(self, _event: goes.Event[OrderShipped]) -> None:
        self.status = "shipped"


class Stock(goes.Aggregate, name="stock", registry=shop):
    """The stock of one item."""

    quantity: int = 0

    def deliver(self, quantity: int) -> None:
        """Put new goods on the shelf."""
        self.record(StockDelivered(quantity))

    def sell(self, quantity: int) -> None:
        """Take goods off the shelf, if there are enough."""
        if quantity > self.quantity:
            raise Refused(f"{self.quantity} x {self.id} in stock, {quantity} wanted")
        self.record(StockSold(quantity))

    @goes.applies(StockDelivered)
    def _delivered(self, event: goes.Event[StockDelivered]) -> None:
        applied[self.id] += 1
        self.quantity += event.data.quantity

    @goes.applies(StockSold)
    def _sold(self, event: goes.Event[StockSold]) -> None:
        applied[self.id] += 1
        self.quantity -= event.data.quantity


# --- read models ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """What a customer has paid so far."""

    orders: int = 0
    paid: int = 0


@dataclass
class Movement:
    """How many of an item were delivered and sold."""

    delivered: int = 0
    sold: int = 0


class Movements(goes.ModelProjection[Movement], name="stock-movements"):
    """Keeps a `Movement` for each item."""

    @goes.projects(StockDelivered)
    def delivered(self, movement: Movement, event: goes.Event[StockDelivered]) -> None:
        """Count a delivery."""
        movement.delivered += event.data.quantity

    @goes.projects(StockSold)
    def sold(self, movement: Movement, event: goes.Event[StockSold]) -> None:
        """Count a sale."""
        movement.sold += event.data.quantity


def brief(data: object) -> str:
    """Summarise the data of an event in a few words."""
    match data:
        case CustomerJoined(name, email):
            return f"{name}, {email}"
        case OrderPlaced(line=line) | LineAdded(line):
            return f"{line.quantity} {line.item} at {cents(line.price)}"
        case OrderPaid(amount):
            return cents(amount)
        case OrderShipped(parcel):
            return parcel
        case StockDelivered(quantity) | StockSold(quantity):
            return str(quantity)
        case _:
            return repr(data)


def cents(amount: int) -> str:
    """Format an amount."""
    return f"{amount // 100}.{amount % 100:02}"


def wait_for_next_tick() -> None:
    """Wait until the clock shows another time: some clocks tick only every 16 ms."""
    start = datetime.now(timezone.utc)
    while datetime.now(timezone.utc) - start < timedelta(milliseconds=1):
        time.sleep(0.001)
