"""An LRU cache of private copies of aggregates.

Aggregates are copied in and out, so callers never share a mutable instance. An entry is not trusted either: it names its
last event, and the caller checks with the store whether that event is still there, and what followed it.
"""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

from goes_lite.aggregate import Aggregate, last_event
from goes_lite.events.event import Event, id_bytes

A = TypeVar("A", bound=Aggregate)


class Entry(Generic[A]):
    """An aggregate as it was right after an event."""

    __slots__ = ("_aggregate", "id_bytes", "version")

    def __init__(self, aggregate: A, last: Event[Any]) -> None:
        self._aggregate: A = aggregate.__deepcopy__({})  # what copy.deepcopy ends up calling
        self.version = last.version
        self.id_bytes = id_bytes(last)

    def copy(self) -> A:
        """Return an instance that belongs to the caller."""
        copied: A = self._aggregate.__deepcopy__({})
        return copied


class Cache(Generic[A]):
    """At most `size` entries; the least recently used are dropped first. May be used from any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._entries: dict[str, Entry[A]] = {}  # in the order of use, the oldest first

    def get(self, id: str) -> Entry[A] | None:
        with self._lock:
            entry = self._entries.pop(id, None)
            if entry is not None:
                self._entries[id] = entry
            return entry

    def put(self, aggregate: A) -> None:
        """Keep a copy of an aggregate that has events and none pending. Errors of copying propagate."""
        last = last_event(aggregate)
        if last is None:
            return
        entry = Entry(aggregate, last)
        id = aggregate.id
        with self._lock:
            self._entries.pop(id, None)
            self._entries[id] = entry
            while len(self._entries) > self.size:
                del self._entries[next(iter(self._entries))]

    def drop(self, id: str) -> None:
        with self._lock:
            self._entries.pop(id, None)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Cache {len(self)} of at most {self.size}>"
