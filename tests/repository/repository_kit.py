"""What the tests of the repository share: an aggregate with its events, and a backend that can be spied on."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, ParamSpec
from uuid import UUID

from goes_lite.aggregate import Aggregate, applies
from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import AppendCondition, Appended, EventStore
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.database import Database
from goes_lite.database.connect import connect
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import event
from goes_lite.repository import Repository

P = ParamSpec("P")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@event("test.repository.opened")
@dataclass(frozen=True)
class Opened:
    owner: str


@event("test.repository.moved")
@dataclass(frozen=True)
class Moved:
    amount: int


@event("test.repository.noted")
@dataclass(frozen=True)
class Noted:
    words: list[str]


@event("test.repository.word-added")
@dataclass(frozen=True)
class WordAdded:
    word: str


@event("test.repository.closed")
@dataclass(frozen=True)
class Closed:
    pass


@event("test.repository.reopened")
@dataclass(frozen=True)
class Reopened:
    pass


class Account(Aggregate, name="account", deleted_by=Closed, restored_by=Reopened):
    owner: str
    balance: int = 0
    words: list[str]

    def __init__(self, id: str | UUID | None = None) -> None:
        super().__init__(id)
        self.words = []

    def open(self, owner: str) -> None:
        self.record(Opened(owner))

    def move(self, amount: int) -> None:
        self.record(Moved(amount))

    @applies(Opened)
    def _opened(self, event: Event[Opened]) -> None:
        self.owner = event.data.owner

    @applies(Moved)
    def _moved(self, event: Event[Moved]) -> None:
        self.balance += event.data.amount

    @applies(Noted)
    def _noted(self, event: Event[Noted]) -> None:
        self.words = event.data.words  # on purpose: state and event share the list

    @applies(WordAdded)
    def _word_added(self, event: Event[WordAdded]) -> None:
        self.words.append(event.data.word)


def state(account: Account) -> tuple[Any, ...]:
    return account.version, account.deleted, account.balance, list(account.words), getattr(account, "owner", None)


def memory() -> AbstractAsyncContextManager[Database]:
    return connect("sqlite:///:memory:")


class Spied(WrappedStore):
    """A store that writes down which events of an aggregate were loaded: (after, upto, how many)."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.loads: list[tuple[int, int | None, int]] = []
        self.before_append: Callable[[], Awaitable[object]] | None = None
        self.after_append: Callable[[], object] | None = None

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        found = await super().load(aggregate, after=after, upto=upto)
        self.loads.append((after, upto, len(found)))
        return found

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        if self.before_append is not None:
            await self.before_append()
        appended = await super().append(events, condition=condition)
        if self.after_append is not None:
            self.after_append()
        return appended

    def taken(self) -> list[tuple[int, int | None, int]]:
        loads, self.loads = self.loads, []
        return loads


def spied(db: Backend, **replaced: Any) -> tuple[WrappedBackend, Spied]:
    """The backend with a spied event store, and whatever else is to be replaced."""
    backend, spy = WrappedBackend(db), Spied(db.events)
    vars(backend).update(replaced, events=spy)
    return backend, spy


async def filled(repository: Repository[Account], id: str, moves: int) -> Account:
    """A saved account: opened, then moved by 1, 2, 3, … one save each."""
    await repository.use(id, lambda account: account.open("Ann"), create=True)
    for amount in range(1, moves + 1):
        await repository.use(id, functools.partial(Account.move, amount=amount))
    return await repository.fetch(id)
