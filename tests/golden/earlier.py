"""What the program stored in its earlier versions: the types of each, in a registry of its own, and an event of each."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import goes_lite as goes
from tests.golden import program

first, second = goes.Registry(), goes.Registry()


@first.event("customer.joined")
@dataclass(frozen=True)
class CustomerJoined:
    name: str


@second.event("customer.joined", schema=2)
@dataclass(frozen=True)
class CustomerJoinedLater:
    first: str
    last: str


VERSIONS: dict[str, tuple[goes.Registry, object]] = {
    "customer.joined-1": (first, CustomerJoined("Ada Lovelace")),
    "customer.joined-2": (second, CustomerJoinedLater("Ada", "Lovelace")),
    "account.opened-3": (program.registry, program.AccountOpened("Ada", "Lovelace", Decimal("100.00"))),
    "everything.stored-1": (program.registry, program.EVERYTHING),
    "note.taken-1": (program.registry, program.NoteTaken("once")),
    "account.paid-1": (program.registry, program.AccountPaid(250)),
}
"""By name and schema: the program that stored it, and its data."""
