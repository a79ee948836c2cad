"""What the tests of lookups share: customers and their email addresses, and a storage on each face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from goes_lite_conformance import Contract, Storage
from goes_lite_conformance.harness.faces import _Awaited, _AwaitedProcessor, awaited
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.storage import Declared
from goes_lite_conformance.rule import Face

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.events.marks import EventKind
from goes_lite.projection.lookup import BoundLookup, KeyOf
from goes_lite.runtime import drive

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


class File(Contract):
    """A file in the folder of the test."""

    options: ClassVar[dict[str, Any]] = {"registry": registry, "durability": "normal"}

    def url(self, storage: Storage) -> str:
        return f"sqlite:///{storage.folder}/app.db"


class World(Place):
    """A storage, and the face through which a test works on it."""

    def __init__(self, face: Face, folder: Path) -> None:
        super().__init__(File(), Storage.fresh(folder), face, Declared(), 1)

    def bound(self, db: Any, lookup: goes.Lookup = emails) -> BoundLookup:
        if self.face == "async":
            return lookup.of(cast(Database, db))
        return cast(BoundLookup, _Awaited(lookup.of(db.target)))

    def projection(self, db: Any, lookup: goes.Lookup = emails, **options: Any) -> Any:
        if self.face == "async":
            return db.projection(lookup, **options)
        return _AwaitedProcessor(db.target.projection(lookup, **options))

    def inline(self, db: Any, lookup: goes.Lookup = emails) -> Database:
        if self.face == "async":
            return cast(Database, db.inline(lookup))
        return awaited(db.target.inline(lookup))

    def run(self, test: Callable[[Database], Coroutine[Any, Any, None]], **options: Any) -> None:
        async def with_handle() -> None:
            async with self.open(**options) as db:
                await test(db)

        if self.face == "async":
            asyncio.run(with_handle())
        else:
            drive(with_handle())
