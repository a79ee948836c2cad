"""What the tests of commands share: orders and what is done with them, and a storage on each face."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast
from uuid import UUID

import pytest
from goes_lite_conformance import Contract, Storage
from goes_lite_conformance.harness.faces import _Awaited, _AwaitedProcessor, _function
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.storage import Declared
from goes_lite_conformance.rule import Face

import goes_lite as goes
from goes_lite.commands import AcceptedCommand
from goes_lite.errors import CommandRejected
from goes_lite.runtime import drive

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


class File(Contract):
    """A file in the folder of the test."""

    options: ClassVar[dict[str, Any]] = {"registry": registry, "durability": "normal"}

    def url(self, storage: Storage) -> str:
        return f"sqlite:///{storage.folder}/app.db"


class Bus(Protocol):
    """What the tests use of a command bus."""

    handled: tuple[str, ...]

    def handle(
        self,
        command: Any,
        handler: Callable[[Any], object] | Callable[[Any, Any], object],
        *,
        transactional: bool = False,
    ) -> None: ...
    def serve(self, aggregate: Any) -> None: ...
    def use(self, *middleware: Any, around: Any = "handling") -> None: ...
    def worker(self, **options: Any) -> Any: ...
    async def dispatch(self, command: Any, *, id: Any = None, timeout: Any = None) -> Any: ...
    async def dispatch_async(self, command: Any, *, id: Any = None, timeout: Any = None, tx: Any = None) -> UUID: ...
    async def schedule(self, command: Any, *, at: datetime) -> UUID: ...
    async def outcome(self, id: UUID, timeout: float | None = None) -> Any: ...
    async def accepted(self, *, failed: bool = False) -> list[AcceptedCommand]: ...
    async def withdraw(self, id: UUID) -> bool: ...
    async def redrive(self, id: UUID) -> bool: ...
    async def forget(self, before: datetime) -> int: ...


class World(Place):
    """A storage, and the face through which a test works on it."""

    def __init__(self, face: Face, folder: Path) -> None:
        super().__init__(File(), Storage.fresh(folder), face, Declared(), 1)

    def commands(self, db: Any) -> Bus:
        """The command bus of a handle, to be awaited; on the blocking face handlers are made plain functions."""
        return cast("Bus", db.commands if self.face == "async" else _Commands(db.target.commands))

    def run(self, test: Callable[[Any], Coroutine[Any, Any, None]], **options: Any) -> None:
        async def with_handle() -> None:
            async with self.open(**options) as db:
                await test(db)

        if self.face == "async":
            asyncio.run(with_handle())
        else:
            drive(with_handle())


class _Commands(_Awaited):
    def handle(self, command: Any, handler: Any, **options: Any) -> None:
        self.target.handle(command, _plain(handler), **options)

    def serve(self, aggregate: Any, **options: Any) -> None:
        self.target.serve(aggregate, **options)

    def use(self, *middleware: Any, **options: Any) -> None:
        self.target.use(*(_blocking(one) for one in middleware), **options)

    def worker(self, **options: Any) -> Any:
        return _AwaitedProcessor(self.target.worker(**options))


def _plain(handler: Any) -> Any:
    return _function(handler) if inspect.iscoroutinefunction(handler) or handler is not print else handler


def _blocking(middleware: Any) -> Any:
    """A middleware of a test, written to be awaited, as a plain function is."""
    if not inspect.iscoroutinefunction(middleware) or middleware.__module__ == "goes_lite.commands.middleware":
        return middleware

    def call(command: Any, proceed: Any) -> Any:
        async def next_one(command: Any) -> Any:
            return proceed(command)

        return drive(middleware(command, next_one))

    return call


@contextmanager
def raised(kind: type[BaseException], match: str | None = None, **attributes: Any) -> Generator[Any]:
    """An error of exactly that class, with these attributes."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in attributes} == attributes
