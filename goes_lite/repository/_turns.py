"""Who may try next: those of one process who want the same aggregate line up, instead of refusing one another.

This is courtesy and no lock: the store alone decides who was first. A turn that makes no progress (its holder waits
for something slow, or for one of those who line up behind it) holds nobody up for more than a moment.
"""

from __future__ import annotations

import threading
from collections import deque
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from goes_lite.events.fields import AggregateRef
from goes_lite.runtime import Runtime, Signal

PATIENCE = 1.0
"""How long a turn may last, in seconds, until those behind it go ahead without one."""


class Turn(NamedTuple):
    """A place in the line for one aggregate."""

    aggregate: AggregateRef
    called: Signal


class Turns:
    """The lines of one backend. May be used from any thread and event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[AggregateRef, deque[Turn]] = {}

    def wanted(self, aggregate: AggregateRef) -> bool:
        """Whether somebody has a turn for the aggregate, or waits for one; not counting the calling context."""
        return aggregate in self._lines and aggregate not in _held.get()

    async def take(self, aggregate: AggregateRef, runtime: Runtime) -> Turn:
        """Line up, and answer when all before have gone, or when nothing moves any more. Give it back with `end`."""
        turn = Turn(aggregate, Signal())
        with self._lock:
            line = self._lines.setdefault(aggregate, deque())
            line.append(turn)
        try:
            first = line[0]
            while first is not turn and not await runtime.wait(turn.called, 0, PATIENCE):
                before, first = first, line[0]
                if before is first:
                    break
        except BaseException:
            self.end(turn)
            raise
        _held.set(_held.get() | {aggregate})
        return turn

    def end(self, turn: Turn) -> None:
        """Leave the line, wherever in it the turn is, and call the next."""
        _held.set(_held.get() - {turn.aggregate})
        with self._lock:
            line = self._lines[turn.aggregate]
            was_first = line[0] is turn
            line.remove(turn)
            following = line[0] if line else None
            if following is None:
                del self._lines[turn.aggregate]
        if was_first and following is not None:
            following.called.notify()

    def __repr__(self) -> str:
        return f"<Turns for {len(self._lines)} aggregates>"


# A change that uses its own aggregate inside itself must not wait for the turn that it is in.
_held: ContextVar[frozenset[AggregateRef]] = ContextVar("goes_lite_turns", default=frozenset())

_known: WeakKeyDictionary[Any, Turns] = WeakKeyDictionary()


def turns_of(backend: object) -> Turns:
    """The lines of a backend, the same for all repositories on it: programs make a repository wherever they need one."""
    try:
        return _known.setdefault(backend, Turns())
    except TypeError:  # it has slots and no room for weak references: then its repositories do without each other
        return Turns()
