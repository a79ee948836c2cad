"""The blocking face of processors. They run in the calling thread, or in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable

from goes_lite.blocking._running import Running
from goes_lite.processor import ParkedEvent, Processor, Stats
from goes_lite.projection import Accept, Parity, Progress, ProjectionProcessor
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
        """The last one that it met."""
        return self.processor.error

    def wait_for(self, position: int, timeout: float | None = None) -> None:
        """Until everything up to the position is handled, by whichever instance, in whatever process.

        For read-your-writes: `processor.wait_for((db.events.append(…)).position)`. ProcessorBehind after
        `timeout` seconds; what ended this very instance is raised if it is no longer running. InvalidQueryError if one of
        the two is none.
        """
        self._portal.run(self.processor.wait_for(position, timeout))

    def trigger(self) -> None:
        """Have the active instance run now, whatever its schedule, in whatever process it is; else the next one does."""
        self._portal.run(self.processor.trigger())

    def reset(self) -> None:
        """Have it forget how far it has come, and begin again where a new one would: whoever is active, else the next one.

        Dead letters are forgotten. What its handlers have written is for you to remove (a projection does that itself).
        """
        self._portal.run(self.processor.reset())

    def parked(self) -> list[ParkedEvent]:
        """The dead letters, in the order of the log."""
        return self._portal.run(self.processor.parked())

    def redrive(self, *letters: ParkedEvent) -> None:
        """Have these dead letters handled again, or all of them; whoever is active does so, in the order of the log.

        One that fails again is parked again, after one attempt. Letters that are gone are passed over.
        """
        self._portal.run(self.processor.redrive(*letters))

    def drop(self, letter: ParkedEvent) -> bool:
        """Give the event up for good; False if the letter is gone already. What is held back behind it is re-driven."""
        return self._portal.run(self.processor.drop(letter))

    def stats(self) -> Stats:
        """How it is getting on, as seen from here."""
        return self._portal.run(self.processor.stats())


class BlockingProjectionProcessor(BlockingProcessor):
    """A processor that keeps the read model of a projection up to date: see `BlockingDatabase.projection`."""

    def __init__(self, processor: ProjectionProcessor, portal: Portal) -> None:
        super().__init__(processor, portal)
        self._projection = processor

    def rebuild(self, *, progress: Callable[[Progress], object] | None = None, accept: Accept | None = None) -> Parity:
        """Make the read model anew **beside** the live one, compare the two, and put it in its place, atomically.

        - Readers see the live one until then, and the new one from then on; whoever runs the projection goes on at the
          very position that the new one was made up to, so nothing is missed and nothing counts twice.
        - `progress` is called after each batch. What it raises ends the rebuild, as does cancelling; so does the program's
          end. Called again, it goes on where it was, unless that was of another version.
        - `accept` is asked, with what the comparison found, whether the new one is to take the place of the live one; by
          default it is. If not, what was made is removed.
        - An event on which a method raises is tried again, then ends it with ProcessorStopped or is parked, as `retry`
          says. Dead letters of the live one are forgotten with it.
        - It may run while the projection does, here or in another process. LeaseHeld if another rebuild of it is running.
        - RegistrationError if the projection does not define `clear` and `switch`; ProjectionOutdated if the read model is
          of a higher version.

        Instances of another version stop with ProjectionOutdated then.
        """
        return self._portal.run(self._projection.rebuild(progress=progress, accept=accept))
