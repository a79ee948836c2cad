"""What the three services share: the events and commands that they exchange, and their aggregates."""

from __future__ import annotations

from dataclasses import dataclass

import goes_lite as goes


@goes.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    items: list[str]
    total: int  # cents


@goes.event("order.closed")
@dataclass(frozen=True)
class OrderClosed:
    how: str


@goes.event("payment.taken")
@dataclass(frozen=True)
class PaymentTaken:
    cents: int


@goes.event("payment.refused")
@dataclass(frozen=True)
class PaymentRefused:
    why: str


@goes.event("parcel.sent")
@dataclass(frozen=True)
class ParcelSent:
    items: list[str]


@goes.command("order.place")
@dataclass(frozen=True)
class PlaceOrder:
    order: str
    items: list[str]
    total: int


@goes.command("order.items")
@dataclass(frozen=True)
class ItemsOf:
    order: str


class Order(goes.Aggregate, name="order"):
    items: tuple[str, ...] = ()
    closed: str = ""

    @goes.handles(PlaceOrder, id="order", create=True)
    def place(self, command: PlaceOrder) -> str:
        if command.total <= 0:
            raise goes.errors.CommandRejected(
                "nothing_to_pay", f"an order must cost something, not {command.total} cents"
            )
        self.record(OrderPlaced(command.items, command.total))
        return f"order {self.id} is placed"

    def close(self, how: str) -> None:
        if not self.closed:  # a repeated event closes it only once
            self.record(OrderClosed(how))

    @goes.applies(OrderPlaced)
    def _placed(self, event: goes.Event[OrderPlaced]) -> None:
        self.items = tuple(event.data.items)

    @goes.applies(OrderClosed)
    def _closed(self, event: goes.Event[OrderClosed]) -> None:
        self.closed = event.data.how


class Payment(goes.Aggregate, name="payment"):
    """The payment of the order with the same id."""

    decided: bool = False

    def decide(self, cents: int, limit: int) -> None:
        if self.decided:  # a repeated event decides it only once
            return
        self.record(PaymentTaken(cents) if cents <= limit else PaymentRefused(f"{cents} cents are too much"))

    @goes.applies(PaymentTaken, PaymentRefused)
    def _decided(self, event: goes.Event[PaymentTaken | PaymentRefused]) -> None:
        self.decided = True


class Parcel(goes.Aggregate, name="parcel"):
    """The parcel of the order with the same id."""

    sent: bool = False

    def send(self, items: list[str]) -> None:
        if not self.sent:
            self.record(ParcelSent(items))

    @goes.applies(ParcelSent)
    def _sent(self, event: goes.Event[ParcelSent]) -> None:
        self.sent = True
