"""The domain of the demo: customers, orders and the stock of a small shop. Nothing in here knows of databases."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import goes_lite as goes

shop = goes.Registry()
"""A registry of its own: the demo leaves the default one alone."""

applied: Counter[str] = Counter()
"""How often an applier of the stock ran, by the id of the stock: the demo shows what a snapshot saves."""


class Refused(Exception):
    """A rule of the shop says no."""


# --- what can be asked for --------------------------------------------------------------------------------------------


@shop.commands.event("order.ship")
@dataclass(frozen=True)
class ShipOrder:
    """Send an order off."""

    order: str
    parcel: str


@shop.commands.event("customer.thank")
@dataclass(frozen=True)
class ThankCustomer:
    """Write a letter of thanks."""

    customer: str


# --- what can happen --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """So many of an item, at a price in cents each."""

    item: str
    quantity: int
    price: int


@shop.event("customer.joined")
@dataclass(frozen=True)
class CustomerJoined:
    """Somebody became a customer."""

    name: str
    email: str


@shop.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    """A customer ordered."""

    customer: str
    line: Line


@shop.event("order.line_added")
@dataclass(frozen=True)
class LineAdded:
    """The customer wants something more."""

    line: Line


@shop.event("order.paid")
@dataclass(frozen=True)
class OrderPaid:
    """The whole amount arrived."""

    amount: int


@shop.event("order.shipped")
@dataclass(frozen=True)
class OrderShipped:
    """The parcel is on its way."""

    parcel: str


@shop.event("stock.delivered")
@dataclass(frozen=True)
class StockDelivered:
    """New goods came in."""

    quantity: int


@shop.event("stock.sold")
@dataclass(frozen=True)
class StockSold:
    """Goods went over the counter."""

    quantity: int


# --- who decides ------------------------------------------------------------------------------------------------------


class Customer(goes.Aggregate, name="customer", registry=shop):
    """Somebody who orders."""

    email: str = ""

    def join(self, name: str, email: str) -> None:
        """Become a customer. The tag is what the rule "one customer per e-mail" asks for."""
        if self.email:
            raise Refused(f"{self.id} is a customer already")
        self.record(CustomerJoined(name, email), tags=[f"email:{email}"])

    @goes.applies(CustomerJoined)
    def _joined(self, event: goes.Event[CustomerJoined]) -> None:
        self.email = event.data.email


class Order(goes.Aggregate, name="order", registry=shop):
    """From the first item to the parcel."""

    customer: str = ""
    lines: tuple[Line, ...] = ()
    status: str = "empty"

    @property
    def total(self) -> int:
        """What it costs, in cents."""
        return sum(line.quantity * line.price for line in self.lines)

    def place(self, customer: str, item: str, quantity: int, price: int) -> None:
        """Order a first item."""
        if self.status != "empty":
            raise Refused(f"order {self.id} is {self.status} already")
        self.record(OrderPlaced(customer, Line(item, quantity, price)))

    def add(self, item: str, quantity: int, price: int) -> None:
        """Order something more, while it is not paid."""
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
        """Send it off."""
        if self.status != "paid":
            raise Refused(f"order {self.id} is {self.status}: only paid orders are shipped")
        self.record(OrderShipped(parcel))

    @goes.handles(ShipOrder, id="order")
    def ship_as_asked(self, command: ShipOrder) -> str:
        """The same, for who asks with a command."""
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
    """How much there is of one item."""

    quantity: int = 0

    def deliver(self, quantity: int) -> None:
        """Put new goods on the shelf."""
        self.record(StockDelivered(quantity))

    def sell(self, quantity: int) -> None:
        """Take goods off the shelf, if they are there."""
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


# --- what is made of it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """A read model: what a customer has paid so far."""

    orders: int = 0
    paid: int = 0


@dataclass
class Movement:
    """Another one: what came and went of an item."""

    delivered: int = 0
    sold: int = 0


class Movements(goes.ModelProjection[Movement], name="stock-movements"):
    """Keeps it, for each item."""

    @goes.projects(StockDelivered)
    def delivered(self, movement: Movement, event: goes.Event[StockDelivered]) -> None:
        """More of it."""
        movement.delivered += event.data.quantity

    @goes.projects(StockSold)
    def sold(self, movement: Movement, event: goes.Event[StockSold]) -> None:
        """Less of it."""
        movement.sold += event.data.quantity


def brief(data: object) -> str:
    """What an event says, in a few words."""
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
    """An amount as people write it."""
    return f"{amount // 100}.{amount % 100:02}"
