"""The domain of the benches: one small event and one small aggregate, the same on every side."""

from __future__ import annotations

from dataclasses import dataclass

import goes_lite as goes

NOTE = "x" * 60


@goes.event("account.changed")
@dataclass(frozen=True, slots=True)
class Changed:
    """A change of an account's balance."""

    amount: int
    note: str


@goes.event("account.closed")
@dataclass(frozen=True, slots=True)
class Closed:
    """The end of an account, which is rare."""


class Account(goes.Aggregate, name="account"):
    """An account with a balance."""

    total: int = 0

    def change(self, amount: int) -> None:
        """Record a change."""
        self.record(Changed(amount, NOTE))

    @goes.applies(Changed)
    def _changed(self, event: goes.Event[Changed]) -> None:
        self.total += event.data.amount

    @goes.applies(Closed)
    def _closed(self, event: goes.Event[Closed]) -> None:
        self.total = 0


def events(aggregate: str, count: int, *, first: int = 1) -> list[goes.Event[Changed]]:
    """Return the next `count` events of an account."""
    ref = goes.AggregateRef("account", aggregate)
    return [goes.Event(Changed(n, NOTE), aggregate=ref, version=n) for n in range(first, first + count)]


@dataclass(frozen=True, slots=True)
class Total:
    """The number of events so far."""

    events: int = 0


class Totals(goes.ModelProjection[Total], name="totals"):
    """One read model for all events of the same name."""

    def key(self, event: goes.Event[object]) -> str:
        """Return the name of the event."""
        return event.name

    @goes.projects(Changed)
    def changed(self, total: Total, event: goes.Event[Changed]) -> Total:
        """Count an event."""
        return Total(total.events + 1)
