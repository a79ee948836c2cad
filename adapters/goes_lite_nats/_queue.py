"""The queue of a subscription or group whose events a consumer of a stream brings.

What the members of this process do with an event is decided by `Queue`, as on the bus within a process. This adds that the
broker learns of it: what is settled is acknowledged, and what nobody is left for is given back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from goes_lite.events.event import Event
from goes_lite.kit.bus.queue import Item, Member, Queue, Wish
from goes_lite.runtime import Clock, Signal

ACK = b"+ACK"
NAK = b"-NAK"
PROGRESS = b"+WPI"

BATCH = 256
"""How many events are asked for at a time, at most."""


class StreamQueue(Queue):
    """Events from a stream. With a group, the broker waits for an answer to each; else it sends and forgets."""

    def __init__(self, wish: Wish, clock: Clock, answer: Callable[[str, bytes], None]) -> None:
        super().__init__(
            wish.patterns, wish.group, wish.label, wish.capacity, clock, _never,
            min_time=wish.min_time, ordered=wish.ordered_by is not None,
        )  # fmt: skip
        self.hungry = Signal()
        """Notified when it may take more, or its end has come."""
        self._answer = answer
        self._here: dict[int, Item] = {}  # of a group: all that the broker waits to hear of, by seq
        self._known: dict[int, Item] = {}  # the same, by their sequence in the stream
        self._sequences: dict[int, int] = {}  # from seq to that

    def receive(self, event: Event[Any], source: str, sequence: int, attempts: int, *, redriven: bool) -> None:
        """An event has come, which was given out before so many times."""
        if sequence in self._known:  # the broker has not heard of this process for a while, and gave it once more
            self._known[sequence].source = source
            return
        self._seq += 1
        item = Item(event, self._seq, redriven)
        item.attempt = attempts
        if self.group is not None:
            item.source = source
            self._here[item.seq] = item
            self._known[sequence] = item
            self._sequences[item.seq] = sequence
        self._fresh.append(item)
        self.changed.notify()

    @property
    def wanted(self) -> int:
        """How many more events it has a use for."""
        room = self.capacity - self.size
        if self.group is not None:
            # no more than its members can have: what waits here, no other process can handle
            free = sum(member.max_pending - len(member.in_flight) for member in self.members)
            room = min(room, free - len(self._fresh) - len(self._back))
        return min(room, BATCH)

    @property
    def appetite(self) -> int:
        """How many it would take if it had none."""
        most = self.capacity
        if self.group is not None:
            most = min(most, sum(member.max_pending for member in self.members))
        return max(1, min(most, BATCH))

    def sources(self) -> Iterator[str]:
        """Where to say that what is here is still being worked on."""
        return iter([item.source for item in self._here.values()])

    def later(self, errand: Callable[[], None]) -> None:
        super().later(errand)
        self.hungry.notify()

    def join(self, member: Member) -> None:
        super().join(member)
        self.hungry.notify()

    def leave(self, member: Member) -> None:
        super().leave(member)
        self.hungry.notify()

    def take(self, member: Member) -> Item | None:
        item = super().take(member)
        if item is not None and self.group is None:
            self.hungry.notify()
        return item

    def settle(self, item: Item, delay: float | None = None, *, done: bool) -> None:
        mine = item.owner is not None
        super().settle(item, delay, done=done)
        if mine and done:
            if self._here.pop(item.seq, None) is not None:
                self._known.pop(self._sequences.pop(item.seq), None)
                self._answer(item.source, ACK)
            self.hungry.notify()

    def close(self) -> None:
        """End; what is here is still to be given back, once nothing more is on its way."""
        delayed = list(self._delayed)
        super().close()
        self._delayed += delayed
        self.hungry.notify()

    def give_back(self) -> list[tuple[str, bytes]]:
        """What to tell the broker, so that another process or the next member gets what is here, in this order."""
        if not self._here:
            return []
        now = self._clock.monotonic()
        due = {item.seq: time - now for time, _, item in self._delayed}
        answers: list[tuple[str, bytes]] = []
        for seq, item in sorted(self._here.items()):
            answers.append((item.source, nak(due.get(seq, 0.0))))
        for kept in (self._here, self._known, self._sequences):
            kept.clear()
        for waiting in (self._fresh, self._back, self._delayed, self._held, self._retrying, self._out):
            waiting.clear()
        self._held_count = 0
        return answers


def nak(delay: float) -> bytes:
    """The answer that has an event come again, after so many seconds."""
    return NAK if delay <= 0 else NAK + b" " + json.dumps({"delay": int(delay * 1e9)}).encode()


def _never(queue: Queue, event: Event[Any], attempts: int, error: str) -> None:
    raise AssertionError("what has no room stays in the stream")
