"""The seat at the writing connection: who has it, and who waits for it.

An interrupt (Ctrl-C, an exception out of a signal handler) can come between taking a lock and noting that it is taken;
then nobody ever gives it back. Here both are one step of the interpreter, so code that is interrupted anywhere can tell
whether the seat is its own. And it is not bound to a thread: anyone may end the turn of another.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue


class Turn:
    """One that takes the seat."""

    __slots__ = ("bell",)

    def __init__(self) -> None:
        self.bell: SimpleQueue[None] | None = None
        """Wakes the one that waits, which then looks for itself."""

    def wake(self) -> None:
        if self.bell is not None:
            self.bell.put(None)


class Seat:
    """A place for one turn at a time."""

    def __init__(self) -> None:
        self.taken: dict[int, Turn] = {}
        """Under 0, the turn that has the seat: `setdefault(0, turn) is turn` takes it, if it is free."""
        self.waiting: deque[Turn] = deque()

    def holds(self, turn: Turn) -> bool:
        return self.taken.get(0) is turn

    def take(self, turn: Turn, timeout: float | None) -> bool:
        """Wait for the seat behind those that came before; return False after `timeout` seconds."""
        if not self.waiting and self.taken.setdefault(0, turn) is turn:
            return True
        end = None if timeout is None else time.monotonic() + timeout
        turn.bell = SimpleQueue()
        try:
            self.waiting.append(turn)
            while self.waiting[0] is not turn or self.taken.setdefault(0, turn) is not turn:
                turn.bell.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
        except Empty:
            return False
        finally:
            self.forget(turn)
        return True

    def forget(self, turn: Turn) -> None:
        """Remove a turn from those that wait."""
        with suppress(ValueError):
            self.waiting.remove(turn)
        if not self.holds(turn):
            self.wake()  # it may have been woken instead of the next one

    def wake(self) -> None:
        """Wake the first of those that wait."""
        if self.waiting:
            with suppress(IndexError):  # another thread took it meanwhile
                self.waiting[0].wake()
