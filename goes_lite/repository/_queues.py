"""Queues of those in one process that compete for the same aggregate or decision, so that they do not refuse one another.

A queue is a courtesy and no lock: the store alone decides who is first. A turn without progress (its holder waits for
something slow, or for one that queues after it) delays the others only for a moment.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from goes_lite.runtime import Runtime, Signal

MAX_TURN = 1.0
"""How long a turn may last, in seconds, before those that wait proceed without one."""


class Ticket(NamedTuple):
    """A place in the queue for one aggregate, or one decision."""

    key: Hashable
    called: Signal


class AggregateQueues:
    """The queues of one backend. May be used from any thread and event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[Ticket]] = {}

    def occupied(self, key: Hashable) -> bool:
        """Whether anyone but the calling context has a turn for the key, or waits for one."""
        return key in self._queues and key not in _held.get()

    async def join(self, key: Hashable, runtime: Runtime) -> Ticket:
        """Wait for a turn, or until the queue stops moving. Give the ticket back with `leave`."""
        ticket = Ticket(key, Signal())
        with self._lock:
            queue = self._queues.setdefault(key, deque())
            queue.append(ticket)
        try:
            first = queue[0]
            while first is not ticket and not await runtime.wait(ticket.called, 0, MAX_TURN):
                before, first = first, queue[0]
                if before is first:
                    break
        except BaseException:
            self.leave(ticket)
            raise
        _held.set(_held.get() | {key})
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Leave the queue, from whatever place, and call the next."""
        _held.set(_held.get() - {ticket.key})
        with self._lock:
            queue = self._queues[ticket.key]
            was_first = queue[0] is ticket
            queue.remove(ticket)
            following = queue[0] if queue else None
            if following is None:
                del self._queues[ticket.key]
        if was_first and following is not None:
            following.called.notify()

    def __repr__(self) -> str:
        return f"<AggregateQueues for {len(self._queues)} keys>"


# A change that uses its own aggregate inside itself must not wait for the turn that it is in.
_held: ContextVar[frozenset[Hashable]] = ContextVar("goes_lite_queues", default=frozenset())

_known: WeakKeyDictionary[Any, AggregateQueues] = WeakKeyDictionary()


def queues_of(backend: object) -> AggregateQueues:
    """Return the queues of a backend: all repositories on it share them, since programs create one wherever needed."""
    try:
        return _known.setdefault(backend, AggregateQueues())
    except TypeError:  # a class with slots and no room for weak references: its repositories do without
        return AggregateQueues()
