"""A recorder of the events that are published on a bus."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from goes_lite.blocking import BlockingEventBus
from goes_lite.contract.event_bus import EventBus
from goes_lite.events.event import Event
from goes_lite.runtime import InlineRuntime, LoopRuntime, Runtime, Signal, drive

PATIENCE = 10.0


class RecordedBus:
    """Records every event that is published on a bus from now on, in order. The bus may be of either face.

        heard = RecordedBus(db.bus)
        ...
        assert [event.name for event in heard.block_until(2)] == ["order.placed", "order.paid"]

    `names` are names and patterns as in `EventBus.subscribe`.
    """

    def __init__(self, bus: EventBus | BlockingEventBus, names: Iterable[str] = ("*",)) -> None:
        self.events: list[Event[Any]] = []
        """The events published so far."""
        self._changed = Signal()
        self._handling = bus.handle(names, self._hear)

    def __repr__(self) -> str:
        return f"<RecordedBus: {[event.name for event in self.events]!r}>"

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [event.name for event in self.events]

    @property
    def data(self) -> list[Any]:
        """The data of the events."""
        return [event.data for event in self.events]

    async def until(self, number: int, *, patience: float = PATIENCE) -> list[Event[Any]]:
        """Wait on an event loop for this number of events, and return them. AssertionError after `patience` seconds."""
        return await self._until(LoopRuntime(), number, patience)

    def block_until(self, number: int, *, patience: float = PATIENCE) -> list[Event[Any]]:
        """Do the same in a blocking program."""
        return drive(self._until(InlineRuntime(), number, patience))

    def _hear(self, event: Event[Any]) -> None:
        self.events.append(event)
        self._changed.notify()

    async def _until(self, runtime: Runtime, number: int, patience: float) -> list[Event[Any]]:
        end = time.monotonic() + patience
        while True:
            seen = self._changed.count
            if len(self.events) >= number:
                return list(self.events)
            if not await runtime.wait(self._changed, seen, end - time.monotonic()):
                raise AssertionError(f"after {patience:g} s, fewer than {number} events were published: {self!r}")
