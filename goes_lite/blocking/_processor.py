"""The blocking face of processors, which run in the calling thread or in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable

from goes_lite.blocking._running import Running
from goes_lite.processor import ParkedEvent, Processor, Stats
from goes_lite.projection import Accept, Parity, Progress, ProjectionProcessor
from goes_lite.runtime.portal import Portal
from goes_lite.workflow import WorkflowProcessor


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
        """The last error."""
        return self.processor.error

    def catch_up(self) -> int:
        """Handle everything that is stored at this moment, whatever the schedule; return the position that was reached.

        For programs that run once, such as command-line tools. It works here, in the calling task or thread; if another
        instance is active, that one is asked to, and waited for. Errors as for `run`.
        """
        return self._portal.run(self.processor.catch_up())

    def wait_for(self, position: int, timeout: float | None = None) -> None:
        """Wait until everything up to the position is handled, by any instance in any process.

        For read-your-writes: `processor.wait_for((db.events.append(…)).position)`. ProcessorBehind after
        `timeout` seconds; if this instance failed, its error is raised. InvalidQueryError for an invalid argument.
        """
        self._portal.run(self.processor.wait_for(position, timeout))

    def trigger(self) -> None:
        """Request a run now, whatever the schedule, from the active instance in any process, or else the next one."""
        self._portal.run(self.processor.trigger())

    def reset(self) -> None:
        """Request that it discards its progress and starts over like a new one, from the active instance or the next one.

        Dead letters are removed. Removing what its handlers wrote is up to you (a projection does that itself).
        """
        self._portal.run(self.processor.reset())

    def parked(self) -> list[ParkedEvent]:
        """Return the dead letters, in the order of the log."""
        return self._portal.run(self.processor.parked())

    def redrive(self, *letters: ParkedEvent) -> None:
        """Request that these dead letters, or all, are handled again by the active instance, in the order of the log.

        One that fails again is parked again, after one attempt. Letters that no longer exist are ignored.
        """
        self._portal.run(self.processor.redrive(*letters))

    def drop(self, letter: ParkedEvent) -> bool:
        """Drop a dead letter; False if it no longer exists. Events that were held back because of it are handled."""
        return self._portal.run(self.processor.drop(letter))

    def stats(self) -> Stats:
        """Return its state and progress, as known to this instance."""
        return self._portal.run(self.processor.stats())


class BlockingProjectionProcessor(BlockingProcessor):
    """A processor that keeps the read model of a projection up to date: see `BlockingDatabase.projection`."""

    def __init__(self, processor: ProjectionProcessor, portal: Portal) -> None:
        super().__init__(processor, portal)
        self._projection = processor

    def rebuild(self, *, progress: Callable[[Progress], object] | None = None, accept: Accept | None = None) -> Parity:
        """Rebuild the read model **next to** the live one, compare the two, and replace the live one atomically.

        - Readers see the live one until then, and the new one afterwards; the active instance resumes at exactly the
          position that the new one has reached, so nothing is missed and nothing counts twice.
        - `progress` is called after each batch. An exception that it raises ends the rebuild, as do cancelling and the end
          of the program. Called again, the rebuild resumes where it left off, unless that was another version.
        - `accept` is called with the result of the comparison and returns whether the new read model replaces the live one;
          by default it does. If not, the new one is removed.
        - An event on which a method raises is retried, then ends the rebuild with ProcessorStopped or is parked, as defined
          by `retry`. Dead letters of the live read model are removed with it.
        - It may run while the projection runs, here or in another process. LeaseHeld if another rebuild is running.
        - RegistrationError if the projection does not define `clear` and `switch`; ProjectionOutdated if the read model has
          a higher version.

        After that, instances of another version stop with ProjectionOutdated.
        """
        return self._portal.run(self._projection.rebuild(progress=progress, accept=accept))


class BlockingWorkflowProcessor(BlockingProcessor):
    """A processor that runs a workflow: see `BlockingDatabase.workflow`."""

    def __init__(self, processor: WorkflowProcessor, portal: Portal) -> None:
        super().__init__(processor, portal)
        self._workflow = processor

    @property
    def ignored(self) -> int:
        """How many inputs this instance of the processor has ignored: for instances that do not exist, or have ended."""
        return self._workflow.ignored
