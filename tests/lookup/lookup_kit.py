"""What the tests of lookups share: customers and their email addresses, and a storage on each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import goes_lite as goes
from goes_lite.events.marks import EventKind
from goes_lite.projection.lookup import KeyOf

registry = goes.Registry()
PATIENCE = 30.0


@registry.event("customer.joined")
@dataclass(frozen=True)
class Joined:
    email: str


@registry.event("customer.email-changed")
@dataclass(frozen=True)
class EmailChanged:
    old: str
    new: str | None


@registry.event("customer.left")
@dataclass(frozen=True)
class Left:
    email: str


@registry.event("customer.greeted")
@dataclass(frozen=True)
class Greeted:
    """Of no lookup."""


KEYS: dict[EventKind, KeyOf | None] = {
    Joined: lambda event: event.data.email,
    "customer.email-changed": lambda event: event.data.new,
    Left: None,
}
emails = goes.Lookup("emails", KEYS)
A, B, C = (goes.AggregateRef("customer", id) for id in "abc")


class History:
    """Appends events of aggregates, whose versions it counts."""

    def __init__(self) -> None:
        self.versions: dict[goes.AggregateRef, int] = {}

    def event(self, data: Any, ref: goes.AggregateRef | None, tags: Sequence[str] = ()) -> goes.Event[Any]:
        version = 0
        if ref is not None:
            version = self.versions[ref] = self.versions.get(ref, 0) + 1
        return goes.Event(data, aggregate=ref, version=version, tags=tags, registry=registry)

    def events(self, *pairs: tuple[goes.AggregateRef | None, Any]) -> list[goes.Event[Any]]:
        return [self.event(data, ref) for ref, data in pairs]
