"""The blocking face of processors. They run in the calling thread, or beside it in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from goes_lite.errors import StoreClosed
from goes_lite.processor import ParkedEvent, Processor, Stats
from goes_lite.projection import Parity, Progress, ProjectionProcessor
from goes_lite.runtime.portal import Portal


class BlockingProcessor:
    """See `goes_lite.processor.Processor`."""

    def __init__(self, processor: Processor, portal: Portal) -> None:
        self._portal = portal
        self.processor = processor
        """The async one behind it."""

    def __repr__(self) -> str:
        return repr(self.processor)

    @property
    def name(self) -> str:
        return self.processor.name

    @property
    def error(self) -> Exception | None:
        return self.processor.error

    def run(self) -> None:
        closed = self._portal.closed
        try:
            self._portal.run(self.processor.run())
        except StoreClosed:
            if closed or not self._portal.closed:
                raise  # else it was closed while it worked, which ends it

    def start(self) -> None:
        async def start() -> None:  # in the loop's thread, if there is one
            self.processor.start()

        self._portal.run(start())

    def stop(self, timeout: float | None = None) -> None:
        if not self._portal.closed:
            self._portal.run(self.processor.stop(timeout))

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class BlockingProjectionProcessor(BlockingProcessor):
    """See `goes_lite.projection.ProjectionProcessor`."""

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
