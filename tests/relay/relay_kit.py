"""What the tests of the relay share: a storage on each face, events, and a bus that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from goes_lite_conformance.harness.place import Place, until

import goes_lite as goes
from goes_lite.contract.backend import Backend
from goes_lite.runtime import Runtime, Signal
from goes_lite.sqlite import SQLiteBackend
from goes_lite.testing import FakeClock

registry = goes.Registry()
PATIENCE = 30.0


@registry.event("relay.noted")
@dataclass(frozen=True)
class Noted:
    number: int


@registry.event("relay.other")
@dataclass(frozen=True)
class Other:
    number: int


def note(number: int, of: str | None = None, version: int = 0) -> goes.Event[Noted]:
    return goes.Event(Noted(number), aggregate=("relay", of) if of else None, version=version, registry=registry)


def notes(first: int, last: int) -> list[goes.Event[Noted]]:
    return [note(number) for number in range(first, last + 1)]


async def passing(place: Place, clock: FakeClock, condition: Callable[[], bool]) -> None:
    """Let time pass until it holds."""

    def holds() -> bool:
        clock.advance(5)
        return condition()

    await until(place, holds)


class FakeBus:
    """A bus that hears, fails and waits as it is told to."""

    def __init__(self) -> None:
        self.heard: list[goes.Event[Any]] = []
        self.calls = 0
        self.inside = 0
        """How many calls are under way."""
        self.trouble: Callable[[goes.Event[Any]], Exception | None] = lambda event: None
        """What it raises instead of taking an event."""
        self.runtime: Runtime | None = None
        self.let = Signal()
        """Where it is given a runtime, it waits for this before it takes anything."""

    async def publish(self, events: Sequence[goes.Event[Any]]) -> None:
        self.calls += 1
        self.inside += 1
        try:
            if self.runtime is not None:
                await self.runtime.wait(self.let, 0)
            for event in events:
                error = self.trouble(event)
                if error is not None:
                    raise error
                self.heard.append(event)
        finally:
            self.inside -= 1

    async def close(self) -> None:
        pass

    @property
    def numbers(self) -> list[int]:
        return [event.data.number for event in self.heard]

    @property
    def once(self) -> list[int]:
        """What one hears who passes over ids that were heard before."""
        return [event.data.number for event in {event.id: event for event in reversed(self.heard)}.values()][::-1]


class Carrier:
    """A backend for the sake of its bus."""

    embedded = True

    def __init__(self, bus: FakeBus) -> None:
        self.bus = bus

    async def open(self, location: str, runtime: Any, registry: Any, unknown: Any, **options: Any) -> Backend:
        backend = await SQLiteBackend.open(":memory:", runtime, registry, unknown)
        backend.bus = cast(Any, self.bus)
        return backend


async def stands(db: Backend, name: str = "relay") -> int:
    checkpoint = await db.checkpoints.get(name)
    return checkpoint.position if checkpoint else 0
