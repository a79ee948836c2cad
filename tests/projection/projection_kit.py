"""What the tests of projections share: a shop's events, projections of them, a plain fold, and a place on each face."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import goes_lite as goes
from goes_lite.blocking import BlockingTransaction

T = TypeVar("T")

registry = goes.Registry()
"""What every store of these tests is opened with."""


@registry.event("shop.placed", aliases=["shop.ordered"])
@dataclass(frozen=True)
class Placed:
    customer: str
    cents: int


@registry.event("shop.paid")
@dataclass(frozen=True)
class Paid:
    cents: int


@registry.event("shop.cancelled")
@dataclass(frozen=True)
class Cancelled:
    pass


@registry.event("shop.noted")
@dataclass(frozen=True)
class Noted:
    words: list[str]


@registry.event("shop.word-added")
@dataclass(frozen=True)
class WordAdded:
    word: str


@registry.event("shop.tagged")
@dataclass(frozen=True)
class Tagged:
    """Is about the orders that it names."""

    orders: list[str]
    words: list[str]


@registry.event("shop.failed")
@dataclass(frozen=True)
class Failing:
    """Methods may raise on it."""

    number: int = 0


@registry.event("shop.ignored")
@dataclass(frozen=True)
class Ignored:
    """No projection is told of it."""


@dataclass
class Amount:
    cents: int


registry.register("shop.credited", Amount)
registry.register("shop.debited", Amount)


@dataclass
class Bill:
    cents: int = 0
    paid: int = 0
    words: list[str] = field(default_factory=list[str])


class Bills(goes.ModelProjection[Bill], name="bills"):
    """A read model for each order: some methods answer a new one, some change the given one, one removes it."""

    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        return replace(bill, cents=bill.cents + event.data.cents)

    @goes.projects(Paid)
    def paid(self, bill: Bill, event: goes.Event[Paid]) -> None:
        bill.paid += event.data.cents

    @goes.projects(Cancelled)
    def cancelled(self, bill: Bill, event: goes.Event[Cancelled]) -> Bill:
        return goes.REMOVED

    @goes.projects(Noted)
    def noted(self, bill: Bill, event: goes.Event[Noted]) -> None:
        bill.words = event.data.words  # on purpose: event and read model share the list

    @goes.projects(WordAdded)
    def word_added(self, bill: Bill, event: goes.Event[WordAdded]) -> None:
        bill.words.append(event.data.word)

    @goes.projects(Tagged, key=lambda event: event.data.orders)
    def tagged(self, bill: Bill, event: goes.Event[Tagged]) -> None:
        bill.words = event.data.words


class DoubleBills(Bills, version=2):
    """The next version: amounts count twice."""

    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        return replace(bill, cents=bill.cents + 2 * event.data.cents)


def folded(events: Iterable[goes.Event[Any]], *, factor: int = 1, failing: bool = False) -> dict[str, Bill]:
    """What events mean for Bills, without any of the library's own code.

    Factor 2 is DoubleBills; with `failing`, there is a method for Failing, too, which changes nothing in the end.
    """
    bills: dict[str, Bill] = {}
    for event in events:
        orders = [event.aggregate.id] if event.aggregate else []
        if isinstance(event.data, Tagged):
            orders = list(event.data.orders)
        for order in dict.fromkeys(orders):
            bill = bills.get(order, Bill())
            match event.data:
                case Placed(_, cents):
                    bills[order] = Bill(bill.cents + factor * cents, bill.paid, bill.words)
                case Paid(cents):
                    bills[order] = Bill(bill.cents, bill.paid + cents, bill.words)
                case Cancelled():
                    bills.pop(order, None)
                case Noted(words) | Tagged(_, words):
                    bills[order] = Bill(bill.cents, bill.paid, list(words))
                case WordAdded(word):
                    bills[order] = Bill(bill.cents, bill.paid, [*bill.words, word])
                case Failing() if failing:
                    bills[order] = bill
                case _:
                    pass
    return bills


class Few(Bills):
    """Handles the events up to a position, and fails on the next."""

    def __init__(self, last: int) -> None:
        self.last = last

    def key(self, event: goes.Event[Any]) -> Any:
        if event.position > self.last:
            raise Enough
        return super().key(event)


class Enough(Exception):
    """What ends something in a test."""


class Days(goes.Projection, name="days"):
    """A table of its own; the methods are written for both faces, whose transactions answer rows or awaitables of them."""

    def create(self, tx: Any) -> Any:
        return tx.execute(
            f"CREATE TABLE IF NOT EXISTS days{self.suffix} (customer TEXT PRIMARY KEY, cents INTEGER) STRICT"
        )

    @goes.projects(Placed)
    def placed(self, event: goes.Event[Placed], tx: Any) -> Any:
        return tx.execute(
            f"INSERT INTO days{self.suffix} VALUES (?, ?) "
            "ON CONFLICT (customer) DO UPDATE SET cents = cents + excluded.cents",
            (event.data.customer, event.data.cents),
        )

    def clear(self, tx: Any) -> Any:
        return tx.execute(f"DROP TABLE days{self.suffix}")

    def switch(self, tx: Any) -> Any:
        return statements(tx, "DROP TABLE days", f"ALTER TABLE days{self.suffix} RENAME TO days")

    def rows(self, tx: Any) -> Any:
        return tx.execute(f"SELECT customer, CAST(cents AS TEXT) FROM days{self.suffix} ORDER BY customer")


def statements(tx: Any, *texts: str) -> Any:
    """Run them one after another, on the face of the transaction."""
    if isinstance(tx, BlockingTransaction):
        for text in texts:
            tx.execute(text)
        return None

    async def run() -> None:
        for text in texts:
            await tx.execute(text)

    return run()


def act(tx: Any, action: Callable[[], object]) -> None:
    """Register a plain function for after the commit, on the face of the transaction."""
    if isinstance(tx, BlockingTransaction):
        tx.on_commit(action)
        return

    async def run() -> None:
        action()

    tx.on_commit(run)


def event(data: object, order: str | None = None, version: int = 0, **fields: Any) -> goes.Event[Any]:
    """One event, of an order if there is one."""
    aggregate = None if order is None else goes.AggregateRef("order", order)
    return goes.Event(data, aggregate=aggregate, version=version, registry=registry, **fields)


def story(order: str, *data: object, after: int = 0) -> list[goes.Event[Any]]:
    """The events of one order, behind a version."""
    return [event(one, order, version) for version, one in enumerate(data, start=after + 1)]


async def bills(db: Any, collection: str = "bills") -> dict[str, Bill]:
    """The read models of Bills, as everybody sees them."""
    return {record.id: Bill(**json.loads(record.data)) for record in await db.models.query(collection).list()}


async def days(db: Any) -> dict[str, int]:
    """The rows of Days."""
    return dict(await db.select("SELECT customer, cents FROM days"))


async def log(db: Any) -> list[goes.Event[Any]]:
    """All events."""
    return cast("list[goes.Event[Any]]", await db.events.query().list())


async def caught_up(db: Any, projection: goes.Projection, **options: Any) -> None:
    """Have the projection handle all that is stored, and stop."""
    async with db.projection(projection, **options) as processor:
        await processor.wait_for(await db.events.head(), PATIENCE)


async def filled(db: Any, orders: int = 5) -> None:
    """Some orders of two events each, and their read models."""
    await db.events.append([one for n in range(orders) for one in story(str(n), Placed("ann", 5), Paid(2))])
    await caught_up(db, Bills())


async def failed(processor: Any) -> bool:
    """Whether something has ended it."""
    return bool((await processor.stats()).state == "failed")


async def traces(db: Any) -> tuple[list[str], list[str], set[str]]:
    """What is stored of projections: the names of checkpoints, of collections, and of the user's own tables."""
    collections = await db.select("SELECT DISTINCT collection FROM models ORDER BY collection")
    tables = await db.select("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'days%'")
    checkpoints = [checkpoint.name for checkpoint in await db.checkpoints.all()]
    return checkpoints, [name for (name,) in collections], {name for (name,) in tables}


PATIENCE = 30.0
"""Seconds after which something is taken for stuck."""


def at_once(_: int) -> float:
    """A backoff for those who have no time."""
    return 0.0
