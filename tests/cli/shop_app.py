"""A program whose store the tests of commands look into: `python shop_app.py FILE` makes it, with something of everything."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import UUID

import goes_lite as goes


@goes.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    items: list[str]
    total: int


@goes.event("order.paid", schema=2)
@dataclass(frozen=True)
class OrderPaid:
    amount: int
    currency: str


@goes.default_registry.upcast("order.paid", 1)
def _with_currency(data: dict[str, object]) -> dict[str, object]:
    return {**data, "currency": "EUR"}


@goes.event("letter.sent")
@dataclass(frozen=True)
class LetterSent:
    to: str


class Order(goes.Aggregate, name="order"):
    items: tuple[str, ...] = ()
    paid: int = 0
    status: str = "new"

    def place(self, *items: str, total: int) -> None:
        self.record(OrderPlaced(list(items), total))

    def pay(self, amount: int) -> None:
        self.record(OrderPaid(amount, "USD"))

    @goes.applies(OrderPlaced)
    def _placed(self, event: goes.Event[OrderPlaced]) -> None:
        self.items, self.status = (*self.items, *event.data.items), "placed"

    @goes.applies(OrderPaid)
    def _paid(self, event: goes.Event[OrderPaid]) -> None:
        self.paid, self.status = self.paid + event.data.amount, f"paid in {event.data.currency}"


@dataclass(frozen=True)
class Summary:
    total: int = 0
    orders: int = 0


class Sales(goes.ModelProjection[Summary], name="sales"):
    def key(self, event: goes.Event[object]) -> str:
        return "all"

    @goes.projects(OrderPlaced)
    def placed(self, summary: Summary | None, event: goes.Event[OrderPlaced]) -> Summary:
        before = summary or Summary()
        return Summary(before.total + event.data.total, before.orders + 1)


@goes.command("letter.send")
@dataclass(frozen=True)
class SendLetter:
    to: str


WAITING = UUID("01900000-0000-7000-8000-000000000001")
FAILED = UUID("01900000-0000-7000-8000-000000000002")


def letters(event: goes.Event[object]) -> None:
    if event.name == "order.paid":
        raise RuntimeError("the printer is \x1b[31mon fire")


def refuse(command: SendLetter) -> None:
    raise goes.errors.CommandRejected("no-address", f"{command.to} has no address")


def fill(path: str) -> None:
    """Make the store."""
    with goes.blocking.connect(path, durability="normal") as db:
        orders = db.repository(Order, snapshots=goes.Every(1))
        with goes.Context.bind(actor="ada"):
            orders.use("2026-001", lambda order: order.place("tea", "cup", total=1250), create=True)
        placed = next(iter(db.events.query(limit=1)))
        with goes.Context.bind(goes.Context.of(placed.metadata, str(placed.id))):
            orders.use("2026-001", lambda order: order.pay(1000))
            db.events.append([goes.Event(LetterSent("ada"))])
        orders.use("2026-001", lambda order: order.pay(250))
        orders.use("2026-002", lambda order: order.place("honey", total=300), create=True)
        # an event of an old version of the program
        old = goes.Registry()
        old.register("order.paid", OldPaid)
        db.events.append([goes.Event(OldPaid(300), aggregate=("order", "2026-002"), version=2, registry=old)])
        db.projection(Sales()).catch_up()
        retry = goes.Retry(attempts=1, then="park", order="strict")
        db.processor("letters", letters, retry=retry).catch_up()
        db.commands.schedule(SendLetter("bob"), at=datetime(2099, 1, 1, tzinfo=timezone.utc), id=WAITING)

        db.commands.handle(SendLetter, refuse)
        db.commands.dispatch_async(SendLetter("eve"), id=FAILED)
        with db.commands.worker(attempts=1), suppress(goes.errors.CommandRejected):
            db.commands.outcome(FAILED, timeout=60)


@dataclass(frozen=True)
class OldPaid:
    amount: int


if __name__ == "__main__":
    logging.disable()  # of the failures that are meant
    fill(sys.argv[1])
