"""The blocking face of processors. They run in the calling thread, or in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable

from goes_lite.blocking._running import Running
from goes_lite.processor import ParkedEvent, Processor, Stats
from goes_lite.projection import Parity, Progress, ProjectionProcessor
from goes_lite.runtime.portal import Portal


class BlockingProcessor(Running):
    """A named, durable consumer of the log: see `BlockingDatabase.processor`."""

    def __init__(self, processor: Processor, portal: Portal) -> None:
        super().__init__(processor, portal)
        self.processor = processor
        """The async processor that does the work."""

    @property
    def name(self) -> str:
        """Its name, which its checkpoint and its lease have too."""
        return self.processor.name

    @property
    def error(self) -> Exception | None:
        return self.processor.error

    def wait_for(self, position: int, timeout: float | None = None) -> None:
        self._portal.run(self.processor.wait_for(position, timeout))

    def trigger(self) -> None:
        self._portal.run(self.processor.trigger())

    def reset(self) -> None:
        self._portal.run(self.processor.reset())

    def parked(self) -> list[ParkedEvent]:
        return self._portal.run(self.processor.parked())

    def redrive(self, *letters: ParkedEvent) -> None:
        self._portal.run(self.processor.redrive(*letters))

    def drop(self, letter: ParkedEvent) -> bool:
        return self._portal.run(self.processor.drop(letter))

    def stats(self) -> Stats:
        return self._portal.run(self.processor.stats())


class BlockingProjectionProcessor(BlockingProcessor):
    """A processor that keeps the read model of a projection up to date: see `BlockingDatabase.projection`."""

    def __init__(self, processor: ProjectionProcessor, portal: Portal) -> None:
        super().__init__(processor, portal)
        self._projection = processor

    def rebuild(
        self,
        *,
        progress: Callable[[Progress], object] | None = None,
        accept: Callable[[Parity], bool] | None = None,
    ) -> Parity:
        return self._portal.run(self._projection.rebuild(progress=progress, accept=accept))
