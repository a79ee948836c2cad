"""What the shop does. Nothing here knows that there is Django."""

from __future__ import annotations

from dataclasses import dataclass

import goes_lite as goes


@goes.event("order.placed")
@dataclass(frozen=True)
class Placed:
    item: str
    cents: int


@goes.event("order.paid")
@dataclass(frozen=True)
class Paid:
    pass


class Refused(Exception):
    """What a customer asked for cannot be done; the message says why."""


class Order(goes.Aggregate, name="order"):
    cents: int = 0
    paid: bool = False

    def place(self, item: str, cents: int) -> None:
        if self.cents:
            raise Refused(f"order {self.id} is placed already")
        if cents < 1:
            raise Refused(f"an order costs something, not {cents} cents")
        self.record(Placed(item, cents))

    def pay(self) -> None:
        if self.paid:
            raise Refused(f"order {self.id} is paid already")
        self.record(Paid())

    @goes.applies(Placed)
    def _placed(self, event: goes.Event[Placed]) -> None:
        self.cents = event.data.cents

    @goes.applies(Paid)
    def _paid(self, event: goes.Event[Paid]) -> None:
        self.paid = True
