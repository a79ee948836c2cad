"""The dead letters of a bus inside one process: in memory, and bounded.

Rule of this file: it is plain state. Every method is called with the lock of the bus held.
"""

from __future__ import annotations

from typing import Any

from goes_lite.contract.event_bus import DeadLetter, check_letter
from goes_lite.errors import BusError
from goes_lite.events.event import Event
from goes_lite.kit.bus.queue import Queue
from goes_lite.runtime import Clock


class DeadLetters:
    """Dead letters, oldest first, each with the queue that it belongs to."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.overflowed = 0
        """How many events became dead letters because a queue was full."""
        self.lost = 0
        """How many dead letters were dropped to make room for newer ones."""
        self._clock = clock
        self._limit = limit
        self._letters: dict[str, tuple[DeadLetter, Queue]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._letters)

    def all(self) -> list[DeadLetter]:
        """Oldest first."""
        return [letter for letter, _ in self._letters.values()]

    def bury(self, queue: Queue, event: Event[Any], attempts: int, error: str) -> None:
        """Keep an event as a dead letter; beyond the limit, drop the oldest one and log it."""
        self._number += 1
        letter = DeadLetter(str(self._number), event, queue.label, attempts, error, self._clock.now())
        self._letters[letter.id] = letter, queue
        self.overflowed += attempts == 0
        if len(self._letters) > self._limit:
            oldest, _ = self._letters.pop(next(iter(self._letters)))
            self.lost += 1
            import logging

            logging.getLogger("goes_lite.bus").error("too many dead letters, lost the oldest: %r", oldest)

    def queue(self, letter: DeadLetter) -> Queue:
        """The queue that the letter belongs to; BusError if the letter is gone."""
        check_letter(letter)
        try:
            return self._letters[letter.id][1]
        except KeyError:
            raise BusError(f"the dead letter {letter.id!r} is gone: it was redriven or dropped before") from None

    def drop(self, letter: DeadLetter) -> None:
        """Forget the letter; BusError if it is gone."""
        self.queue(letter)
        del self._letters[letter.id]
