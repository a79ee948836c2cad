"""One of the three services: `python service.py orders|payments|shipping STORE BUS`. Each has a store of its own.

STORE is a path or a URL, such as postgresql://…; BUS is nats://….
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import goes_lite as goes
from goes_lite.commands import DispatchedCommand

if TYPE_CHECKING:
    from examples.services.shop import ItemsOf, Order, Parcel, Payment, PaymentTaken, PlaceOrder
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from shop import ItemsOf, Order, Parcel, Payment, PaymentTaken, PlaceOrder

LIMIT = 10_000
"""The highest payment that is accepted, in cents."""


def say(what: str) -> None:
    print(what, flush=True)


def order_of(event: goes.Event[Any]) -> str:
    return event.aggregate_id


@asynccontextmanager
async def orders(db: goes.Database) -> AsyncGenerator[None]:
    """Accept orders, and close them when the other services are done."""
    repository = db.repository(Order)

    async def items(command: ItemsOf) -> list[str]:
        return list((await repository.fetch(command.order)).items)

    async def settled(event: goes.Event[Any]) -> None:
        how = {"parcel.sent": "shipped", "payment.refused": "cancelled"}[event.name]
        await repository.use(order_of(event), lambda order: order.close(how))
        say(f"order {order_of(event)} is {how}")

    async def report(command: DispatchedCommand[Any], proceed: Any) -> Any:
        result = await proceed(command)
        if isinstance(command.data, PlaceOrder):
            say(f"{result}: {', '.join(command.data.items)}, {command.data.total} cents")
        return result

    db.commands.serve(Order)
    db.commands.handle(ItemsOf, items)
    db.commands.use(report)
    db.bus.handle(["parcel.sent", "payment.refused"], settled, group="orders", start="beginning")
    async with db.commands.service():
        yield


@asynccontextmanager
async def payments(db: goes.Database) -> AsyncGenerator[None]:
    """Take or refuse the money for an order."""
    repository = db.repository(Payment)

    async def placed(event: goes.Event[Any]) -> None:
        await asyncio.sleep(0.1)  # the bank is slow
        order, cents = order_of(event), event.data.total
        await repository.use(order, lambda payment: payment.decide(cents, LIMIT), create=True)
        say(f"{cents} cents for order {order}: {'taken' if cents <= LIMIT else 'refused'}")

    db.bus.handle(["order.placed"], placed, group="payments", start="beginning", max_pending=4)
    yield


@asynccontextmanager
async def shipping(db: goes.Database) -> AsyncGenerator[None]:
    """Send a parcel when an order is paid, with the contents that orders names."""
    repository = db.repository(Parcel)

    async def paid(event: goes.Event[PaymentTaken]) -> None:
        order = order_of(event)
        items = await db.commands.dispatch(ItemsOf(order), timeout=5)
        await repository.use(order, lambda parcel: parcel.send(items), create=True)
        say(f"a parcel for order {order}: {', '.join(items)}")

    db.bus.handle(["payment.taken"], paid, group="shipping", start="beginning")
    yield


async def main(name: str, store: str, bus: str) -> None:
    service = {"orders": orders, "payments": payments, "shipping": shipping}[name]
    # one relay of a store is active at a time: when it is killed, the next one takes over a lease later
    async with goes.connect(store, bus=bus) as db, db.relay(lease=1), service(db):
        say("is ready")
        # until the parent process ends or closes our standard input
        await asyncio.to_thread(sys.stdin.read)
        say("has ended")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
