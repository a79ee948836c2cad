"""Deadlines: what the running code may still write.

Code cannot be stopped from outside while it blocks, and goes on after its caller was told that it took too long. So it is
refused what it could do harm with: a write that begins after the deadline raises CommandTimeout.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from goes_lite.errors import CommandTimeout
from goes_lite.runtime import Clock


class Deadline:
    """The deadline of one command that is being handled, by the clock of its handle."""

    def __init__(self, clock: Clock, seconds: float, command: str, id: Any) -> None:
        self._clock = clock
        self._ends = clock.monotonic() + seconds  # not a time of day, which may be set
        self._command = command
        self._id = id
        self._outer = current_deadline.get()
        self._lock = threading.Lock()
        self._over = False
        self._wrote = False

    @property
    def left(self) -> float:
        """The seconds until it passes; 0 afterwards."""
        return 0.0 if self._over else max(0.0, self._ends - self._clock.monotonic())

    def check(self) -> None:
        """Raise CommandTimeout if the deadline has passed."""
        with self._lock:
            if not self.left:
                raise self._timeout()

    def admit(self) -> None:
        """Note that a write begins. CommandTimeout if the deadline has passed."""
        with self._lock:
            if self.left > 0:
                self._wrote = True
            else:
                raise self._timeout()
        if self._outer is not None:
            self._outer.admit()

    def end(self) -> CommandTimeout:
        """Admit no write any more, and return the error to raise."""
        with self._lock:
            self._over = True
            return self._timeout()

    def _timeout(self) -> CommandTimeout:
        return CommandTimeout(self._command, self._id, begun=True, written=self._wrote)


current_deadline: ContextVar[Deadline | None] = ContextVar("goes_lite_deadline", default=None)
"""The deadline of the command that the running code handles, if it has one."""


@contextmanager
def limited(deadline: Deadline | None) -> Generator[None]:
    """Set a deadline for the block, or none for what is to be written in any case."""
    token = current_deadline.set(deadline)
    try:
        yield
    finally:
        current_deadline.reset(token)
