"""The program whose stores are kept here, as it is today. What it stored in its earlier versions is in `earlier.py`.

Change nothing that is stored: the files are old, and have to be read for ever. A new kind of data needs new names.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import goes_lite as goes

registry = goes.Registry()


@registry.event("account.opened", schema=3, aliases=["customer.joined"])
@dataclass(frozen=True)
class AccountOpened:
    first: str
    last: str
    limit: Decimal


@registry.upcast("customer.joined", 1)
def split_name(old: dict[str, Any]) -> dict[str, Any]:
    first, _, last = old["name"].partition(" ")
    return {"first": first, "last": last}


@registry.upcast("account.opened", 2)
def with_limit(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "limit": "100.00"}


@registry.event("account.paid")
@dataclass(frozen=True)
class AccountPaid:
    amount: int


class Kind(enum.Enum):
    NEW = "new"
    USED = "us\u00e9d"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Place(TypedDict):
    street: str
    floor: NotRequired[int]


@dataclass(frozen=True)
class Tree:
    name: str
    children: tuple[Tree, ...] = ()


@registry.event("everything.stored")
@dataclass
class Everything:
    text: str
    number: int
    real: float
    flag: bool
    nothing: None
    raw: bytes
    moment: datetime
    day: date
    clock: time
    span: timedelta
    id: UUID
    price: Decimal
    kind: Kind
    rights: Rights
    choice: Literal["a", 1] | None
    union: int | str | list[int]
    point: Point
    place: Place
    tree: Tree
    items: list[int]
    pair: tuple[int, str]
    some: tuple[float, ...]
    names: set[str]
    frozen: frozenset[int]
    by_id: dict[UUID, int]
    by_number: dict[int, Any]


EVERYTHING = Everything(
    text="\u00fcber \u0001 \U0001f600", number=2**70, real=1e-7, flag=True, nothing=None, raw=b"\x00\xff",
    moment=datetime(2026, 3, 1, 9, 0, 0, 1, timezone(timedelta(hours=-5))), day=date(1, 1, 1), clock=time(23, 59, 59),
    span=timedelta(days=-1, microseconds=5), id=UUID(int=7), price=Decimal("1.10"), kind=Kind.USED,
    rights=Rights.READ | Rights.WRITE, choice=1, union=[1, 2], point=Point(3), place={"street": "High"},
    tree=Tree("root", (Tree("leaf"),)), items=[], pair=(1, "x"), some=(0.5, -0.0), names={"b", "a"}, frozen=frozenset((3, 1)),
    by_id={UUID(int=1): 1}, by_number={-5: {"deep": [None, True, 1.5]}},
)  # fmt: skip


@registry.event("note.taken")
@dataclass(frozen=True)
class NoteTaken:
    text: str


class Account(goes.Aggregate, name="account", registry=registry):
    holder: str = ""
    limit: Decimal = Decimal(0)
    paid: int = 0

    @goes.applies(AccountOpened)
    def _opened(self, event: goes.Event[AccountOpened]) -> None:
        self.holder, self.limit = f"{event.data.last}, {event.data.first}", event.data.limit

    @goes.applies(AccountPaid)
    def _paid(self, event: goes.Event[AccountPaid]) -> None:
        self.paid += event.data.amount


@dataclass(frozen=True)
class Sum:
    paid: int = 0
    by: tuple[str, ...] = ()


class Payments(goes.ModelProjection[Sum], name="payments"):
    def key(self, event: goes.Event[object]) -> str:
        return "all"

    @goes.projects(AccountPaid)
    def paid(self, before: Sum | None, event: goes.Event[AccountPaid]) -> Sum:
        before = before or Sum()
        assert event.aggregate is not None
        return Sum(before.paid + event.data.amount, (*before.by, str(event.aggregate.id)))


@registry.commands.event("letter.send")
@dataclass(frozen=True)
class SendLetter:
    to: str


@dataclass
class Reminding:
    account: str
    payments: int = 0


class Reminder(goes.Workflow[Reminding], name="reminder"):
    """Writes to those who open an account, and waits for a payment."""

    def initial(self, key: str) -> Reminding:
        return Reminding(key)

    @goes.starts(AccountOpened)
    def opened(self, state: Reminding, event: goes.Event[AccountOpened]) -> Iterable[goes.Effect]:
        yield goes.Dispatch(SendLetter(state.account))
        yield goes.SetTimer("late", at=datetime(2999, 1, 1, tzinfo=timezone.utc))

    @goes.on_done(SendLetter)
    def sent(self, state: Reminding, outcome: goes.Event[goes.CommandOutcome]) -> Iterable[goes.Effect]:
        return ()

    @goes.evolves(AccountPaid)
    def counted(self, state: Reminding, event: goes.Event[AccountPaid]) -> Reminding:
        return Reminding(state.account, state.payments + 1)

    @goes.reacts(AccountPaid)
    def paid(self, state: Reminding, event: goes.Event[AccountPaid]) -> goes.Effect | None:
        return goes.Complete() if event.data.amount >= 1000 else None

    @goes.on_timer("late")
    def late(self, state: Reminding, timer: goes.TimerFired) -> goes.Effect:
        return goes.Fail("never paid")


WAITING = UUID("01900000-0000-7000-8000-000000000001")
FAILED = UUID("01900000-0000-7000-8000-000000000002")


def fussy(event: goes.Event[object]) -> None:
    """Handle an event; a payment of 7 it refuses."""
    if event.data == AccountPaid(7):
        raise ValueError("seven")
