"""What the tests of aggregates share: a dog with its events, and reloading it without any store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast
from uuid import UUID

from goes_lite.aggregate import Aggregate, applies
from goes_lite.events.event import Event, restore
from goes_lite.events.registry import default_registry, event

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@event("test.aggregate.registered")
@dataclass(frozen=True)
class Registered:
    name: str
    tricks: list[str]


@event("test.aggregate.trick-added")
@dataclass(frozen=True)
class TrickAdded:
    trick: str


@event("test.aggregate.barked")
@dataclass(frozen=True)
class Barked:
    """Changes no state: nothing applies it."""


@event("test.aggregate.left")
@dataclass(frozen=True)
class Left:
    pass


@event("test.aggregate.returned")
@dataclass(frozen=True)
class Returned:
    pass


@event("test.aggregate.failed")
@dataclass(frozen=True)
class Failing:
    pass


class Dog(Aggregate, name="dog", deleted_by=Left, restored_by=Returned, ignores=Barked):
    name: str = ""
    tricks: list[str]

    def __init__(self, id: str | UUID | None = None) -> None:
        super().__init__(id)
        self.tricks = []

    def register(self, name: str, tricks: list[str]) -> None:
        self.record(Registered(name, tricks))

    @applies(Registered)
    def _registered(self, event: Event[Registered]) -> None:
        self.name = event.data.name
        self.tricks = event.data.tricks  # on purpose: state and event share the list

    @applies(TrickAdded)
    def _trick_added(self, event: Event[TrickAdded]) -> None:
        self.tricks.append(event.data.trick)

    @applies(Failing)
    def _failing(self, event: Event[Failing]) -> None:
        raise LookupError("no such thing")


def stored(events: tuple[Event[Any], ...]) -> list[Event[Any]]:
    """The events as a store gives them back: decoded from what was encoded."""
    return [
        restore(
            event.id, event.name, default_registry.decode(event.name, *event.encoded), event.time, event.aggregate,
            event.version, event.metadata, event.tags, event.version, *event.encoded,
        )
        for event in events
    ]  # fmt: skip


def made(body: dict[str, Any], **arguments: Any) -> Any:
    """A class statement whose parts a test puts together."""
    return cast(Any, type)("Bad", (Aggregate,), body, **arguments)


def reloaded(dog: Dog) -> Dog:
    fresh = Dog(dog.id)
    fresh.replay(stored(dog.pending))
    return fresh
