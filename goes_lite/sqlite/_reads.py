"""Where reads of the async face run: on the thread of the event loop, or on a thread of their own.

Switching to a thread and back takes several times as long as reading a few rows from the page cache. But while a read runs
on the loop's own thread, every task of the program stands still. So only brief reads run there, those whose number of rows
is bounded, and only while the store answers fast.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Literal

from goes_lite.errors import ConfigError

ReadsOption = Literal["auto", "inline", "thread"]

LONG = 0.002
"""Seconds for which a read may keep the loop."""
BUDGET = 0.001
"""Seconds after which the statements of a read are interrupted; turning their rows into events takes about as long again."""
TURN = 0.0005
"""Seconds that reads may take together before other tasks have a turn."""
PROOF, MOST_PROOF = 2, 256
"""How many reads on threads in a row must have been quick before one is tried on the loop: twice as many each time that this
fails soon."""
SOON = 20
"""After more quick reads on the loop, one that takes too long is an exception, such as when other programs need the cores."""
MOST_ROWS = 256
"""A page of more rows is not a brief read."""

Stop = Callable[[], bool]


class LoopPolicy:
    """Decides where the brief reads of one handle run, or its commits that do not wait for the disk.

    A read that keeps the loop for longer than `LONG`, or would wait, is followed by reads on threads: at least `PROOF` quick
    ones in a row, before the next is tried on the loop. So two in a row never keep it that long, and a slow store is noticed
    to be fast again without keeping the loop.
    """

    def __init__(self, reads: ReadsOption = "auto", clock: Callable[[], float] = perf_counter) -> None:
        self.clock = clock
        """Seconds that never decrease."""
        self.admits = reads == "inline"
        """Whether the next brief read may run on the loop's thread."""
        self._learns = reads == "auto"
        self._needed = PROOF
        self._proof = 0
        """How many reads on threads in a row were quick."""
        self._quick = 0
        """How many reads on the loop in a row were quick."""
        self._busy = 0.0
        self._ticks = iter(clock, None)

    def limit(self) -> Stop | None:
        """Return a function that tells whether the time of the read that begins now is over, if it is limited.

        SQLite calls it in the midst of a statement, where sqlite3 would drop an exception. So it is put together from
        functions in C, inside of which Python handles no signals: Ctrl-C arrives after the read.
        """
        return map((self.clock() + BUDGET).__lt__, self._ticks).__next__ if self._learns else None

    def ran(self, seconds: float) -> None:
        """Learn from a read on the loop's thread."""
        self._busy += seconds
        if seconds > LONG:
            self.gave_up()
        else:
            self._quick += 1

    def gave_up(self) -> None:
        """Learn that a read kept the loop, or would have, and is repeated on a thread."""
        if self._learns:
            self._needed = PROOF if self._quick > SOON else min(2 * self._needed, MOST_PROOF)
            self._quick = self._proof = 0
            self.admits = False

    def ran_in_thread(self, seconds: float) -> None:
        """Learn from a brief read on a thread, during which other tasks had their turns."""
        self._busy = 0.0
        if self._learns:
            self._proof = self._proof + 1 if seconds < BUDGET else 0
            self.admits = self._proof >= self._needed

    @property
    def tired(self) -> bool:
        """Whether other tasks should have a turn before the next read; asking begins to count again."""
        if self._busy < TURN:
            return False
        self._busy = 0.0
        return True


def parse_reads(value: str) -> ReadsOption:
    if value not in ("auto", "inline", "thread"):
        raise ConfigError(f"unknown reads={value!r}: use 'auto' (the default), 'inline' or 'thread'")
    return value  # type: ignore[return-value]
