"""What the tests of commands share: orders and what is done with them, and a storage on each face."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import CommandRejected

registry = goes.Registry()
PATIENCE = 30.0


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int


@registry.event("order.paid")
@dataclass(frozen=True)
class Paid:
    cents: int


@registry.commands.event("order.place")
@dataclass(frozen=True)
class PlaceOrder:
    order: str
    total: int


@registry.commands.event("order.pay")
@dataclass(frozen=True)
class Pay:
    order: str
    cents: int


@registry.commands.event("remind", aliases=["reminder.send"])
@dataclass(frozen=True)
class Remind:
    whom: str


@registry.commands.event("greet")
@dataclass(frozen=True)
class Greet:
    whom: str


class Order(goes.Aggregate, name="order", registry=registry):
    total: int = 0
    paid: int = 0

    @goes.handles(PlaceOrder, id="order", create=True)
    def place(self, command: PlaceOrder) -> None:
        if self.total:
            raise CommandRejected("order_placed", f"{self.id} is placed already", details={"total": self.total})
        self.record(Placed(command.total))

    @goes.handles(Pay, id=lambda pay: pay.order)
    def pay(self, command: Pay) -> int:
        self.record(Paid(command.cents))
        return self.total - self.paid

    @goes.applies(Placed)
    def _placed(self, event: goes.Event[Placed]) -> None:
        self.total = event.data.total

    @goes.applies(Paid)
    def _paid(self, event: goes.Event[Paid]) -> None:
        self.paid += event.data.cents


@contextmanager
def raised(kind: type[BaseException], match: str | None = None, **attributes: Any) -> Generator[Any]:
    """An error of exactly that class, with these attributes."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in attributes} == attributes
