"""A workflow for the tests: an order is charged, then shipped; a charge that takes too long is given up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import goes_lite as goes
from goes_lite.events.outcome import CommandOutcome
from goes_lite.events.registry import Registry
from goes_lite.workflow import Definition

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
registry = Registry()


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int


@registry.event("order.cancelled")
@dataclass(frozen=True)
class Cancelled:
    pass


@registry.event("parcel.delivered")
@dataclass(frozen=True)
class Delivered:
    parcel: str


@registry.event("fulfilment.late")
@dataclass(frozen=True)
class Late:
    order: str


@registry.commands.event("charge")
@dataclass(frozen=True)
class Charge:
    order: str
    total: int


@registry.commands.event("refund")
@dataclass(frozen=True)
class Refund:
    order: str


@registry.commands.event("ship")
@dataclass(frozen=True)
class Ship:
    order: str


@registry.commands.event("recall")
@dataclass(frozen=True)
class Recall:
    order: str


@dataclass(frozen=True)
class Progress:
    order: str = ""
    total: int = 0
    seen: tuple[str, ...] = ()


class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
    """Charges, ships, and undoes both if the order is cancelled."""

    def initial(self, key: str) -> Progress:
        return Progress(key)

    def evolve(self, state: Progress, input: Any) -> Progress:
        return replace(state, seen=(*state.seen, input.name))

    @goes.evolves(Placed)
    def total(self, state: Progress, event: goes.Event[Placed]) -> Progress:
        return replace(state, total=event.data.total, seen=(*state.seen, event.name))

    @goes.starts(Placed)
    def placed(self, state: Progress, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
        yield goes.Dispatch(Charge(state.order, state.total))
        yield goes.SetTimer("payment", after=timedelta(days=2))

    @goes.on_done(Charge)
    def charged(self, state: Progress, event: goes.Event[CommandOutcome]) -> Iterable[goes.Effect]:
        yield goes.CancelTimer("payment")
        yield goes.Undo(Refund(state.order))
        yield goes.Dispatch(Ship(state.order))

    @goes.on_rejected(Charge)
    def refused(self, state: Progress, event: goes.Event[CommandOutcome]) -> goes.Effect:
        return goes.Fail(event.data.message)

    @goes.on_timer("payment")
    def late(self, state: Progress, timer: goes.TimerFired) -> Iterable[goes.Effect]:
        yield goes.Publish(Late(state.order))
        yield goes.Fail("no payment in time")

    @goes.on_done(Ship)
    def shipped(self, state: Progress, event: goes.Event[CommandOutcome]) -> Iterable[goes.Effect]:
        yield goes.Undo(Recall(state.order))
        yield goes.Associate(f"parcel-{state.order}")

    @goes.reacts(Cancelled)
    def cancelled(self, state: Progress, event: goes.Event[Cancelled]) -> goes.Effect:
        return goes.Compensate("cancelled by the customer")

    @goes.reacts(Delivered, key=lambda event: event.data.parcel)
    def delivered(self, state: Progress, event: goes.Event[Delivered]) -> goes.Effect:
        return goes.Complete()


def definition() -> Definition:
    return Definition(Fulfilment(), registry)


def happened(data: Any, position: int, *, order: str = "1", time: datetime = NOON, **fields: Any) -> goes.Event[Any]:
    """An event of an order, at a position of the log."""
    event = goes.Event(data, aggregate=("order", order), version=1, time=time, registry=registry, **fields)
    return event.at(position)


def outcome(
    id: UUID, command: str, position: int, kind: Any = "done", *, order: str = "1", **fields: Any
) -> goes.Event[CommandOutcome]:
    """The outcome of a command of an instance, at a position of the log."""
    told = CommandOutcome(id, command, kind, **fields)
    tags = ["workflow:fulfilment", f"instance:{order}"]
    return goes.Event(told, time=NOON, tags=tags, registry=registry).at(position)
