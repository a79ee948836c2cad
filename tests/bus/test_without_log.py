"""An in-process bus without a log, under the suite of every bus; with a log it is under it in every backend."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from goes_lite_conformance import EventBusTests, Storage
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.rule import Face

from goes_lite.contract.backend import Backend, Unknown
from goes_lite.database.connect import register_bus
from goes_lite.events.registry import Registry
from goes_lite.kit.bus import InProcessBus
from goes_lite.runtime import Runtime
from tests.bus.bus_kit import take


class InProcessCarrier:
    """A bus of its own inside the process."""

    abilities: frozenset[str] = frozenset()

    def __init__(self, location: str, runtime: Runtime) -> None:
        self.location = location
        self.bus = InProcessBus(runtime)

    @classmethod
    async def open(cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any) -> Self:
        return cls(location, runtime)

    async def close(self) -> None:
        await self.bus.close()


register_bus("inprocess", InProcessCarrier)


class TestWithoutLog(EventBusTests):
    faces: ClassVar[tuple[Face, ...]] = ("async",)  # the other tests of this folder are about both runtimes

    def url(self, storage: Storage) -> str:
        return "sqlite:///:memory:"

    def bus(self, storage: Storage) -> str:
        return f"inprocess://{storage.name}"

    async def test_a_full_subscriber_catches_up(self, place: Place, db: Backend) -> None:
        """EB-LOG-009: A full subscriber holds up the relay, and so receives everything, once and in order."""
        full = db.bus.subscribe(capacity=2, max_pending=1)
        expected = [str(number) for number in range(100)]
        await db.events.append([note(text) for text in expected])
        assert [delivery.event.data.text for delivery in await take(full, 100)] == expected
