"""The queue of a subscription or group that reads a stream.

`Queue` decides what the members of this process do with an event, as on an in-process bus. This adds what the broker has
to know: settled events are acknowledged, and events that no member is left for are given back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from goes_lite.events.event import Event
from goes_lite.kit.bus.backlog import Item, Member
from goes_lite.kit.bus.queue import Queue
from goes_lite.kit.bus.subscription_request import SubscriptionRequest
from goes_lite.runtime import Clock, Signal

ACK = b"+ACK"
NAK = b"-NAK"
IN_PROGRESS = b"+WPI"

BATCH = 256
"""How many events are requested at a time, at most."""


class StreamQueue(Queue):
    """Events from a stream. With a group, the broker expects an acknowledgement of each; without one it does not."""

    def __init__(self, request: SubscriptionRequest, clock: Clock, send: Callable[[str, bytes], None]) -> None:
        super().__init__(request, clock, _never)
        self.demand_changed = Signal()
        """Notified when it may take more events, or has ended."""
        self._send = send
        self._unacked: dict[int, Item] = {}  # with a group: by seq
        self._by_sequence: dict[int, Item] = {}  # the same, by their sequence in the stream
        self._sequence_of: dict[int, int] = {}  # from seq to sequence
        self._due_at_close: dict[int, float] = {}
        self.last_ack = ""
        """Where the last event was acknowledged; empty before the first one."""

    def receive(self, event: Event[Any], ack_to: str, sequence: int, attempts: int, *, redriven: bool) -> None:
        """Queue an event that was delivered so many times before."""
        if sequence in self._by_sequence:  # delivered again, because the broker did not hear from this process in time
            self._by_sequence[sequence].ack_to = ack_to
            return
        item = self.backlog.add(event, redriven)
        item.attempt = attempts
        if self.group is not None:
            item.ack_to = ack_to
            self._unacked[item.seq] = item
            self._by_sequence[sequence] = item
            self._sequence_of[item.seq] = sequence
        self.changed.notify()

    @property
    def demand(self) -> int:
        """How many more events it can use."""
        room = self.capacity - len(self.backlog)
        if self.group is not None:
            # no more than its members can have: no other process can handle what waits here
            free = sum(member.max_pending - len(member.in_flight) for member in self.members)
            room = min(room, free - self.backlog.ready)
        return min(room, BATCH)

    @property
    def max_demand(self) -> int:
        """How many events it could use if it had none."""
        most = self.capacity
        if self.group is not None:
            most = min(most, sum(member.max_pending for member in self.members))
        return max(1, min(most, BATCH))

    @property
    def one_at_a_time(self) -> bool:
        """Whether its members here handle one event after the other, so that a group of one keeps the order."""
        return self.group is not None and not self.ordered and self.max_demand == 1

    @property
    def unacked(self) -> int:
        """How many events are here that the broker expects to be acknowledged."""
        return len(self._unacked)

    @property
    def first_unacked(self) -> int | None:
        """The first sequence of the stream whose event is here and not settled; None if there is none."""
        return min(self._by_sequence, default=None)

    def ack_subjects(self) -> Iterator[str]:
        """Where to report that the events here are in progress."""
        return iter([item.ack_to for item in self._unacked.values()])

    def defer(self, action: Callable[[], None]) -> None:
        super().defer(action)
        self.demand_changed.notify()

    def join(self, member: Member) -> None:
        super().join(member)
        self.demand_changed.notify()

    def leave(self, member: Member) -> None:
        super().leave(member)
        self.demand_changed.notify()

    def take(self, member: Member) -> Item | None:
        item = super().take(member)
        if item is not None and self.group is None:
            self.demand_changed.notify()
        return item

    def settle(self, item: Item, delay: float | None = None, *, done: bool) -> None:
        owned = item.owner is not None
        super().settle(item, delay, done=done)
        if owned and done:
            if self._unacked.pop(item.seq, None) is not None:
                self._by_sequence.pop(self._sequence_of.pop(item.seq), None)
                self.last_ack = item.ack_to
                self._send(item.ack_to, ACK)
            self.demand_changed.notify()

    def close(self) -> None:
        """End the queue. Its events are given back by `give_back`, once nothing more is on its way."""
        self._due_at_close |= self._due()
        super().close()
        self.demand_changed.notify()

    def give_back(self) -> list[tuple[str, bytes]]:
        """What to tell the broker, in this order, so that another process or the next member gets the events here."""
        if not self._unacked:
            return []
        now = self._clock.monotonic()
        due = self._due_at_close | self._due()
        replies: list[tuple[str, bytes]] = []
        for seq, item in sorted(self._unacked.items()):
            replies.append((item.ack_to, nak(due.get(seq, now) - now)))
        self.forget_unacked()
        self.backlog.clear()
        return replies

    def forget_unacked(self) -> None:
        """Acknowledge nothing that is here: it was given back, or its stream is gone, and its sequences mean other events."""
        for kept in (self._unacked, self._by_sequence, self._sequence_of):
            kept.clear()
        self.last_ack = ""

    def _due(self) -> dict[int, float]:
        return {seq: time for time, seq, _ in self.backlog.delayed}


def nak(delay: float) -> bytes:
    """The reply that makes the broker deliver an event again, after so many seconds."""
    return NAK if delay <= 0 else NAK + b" " + json.dumps({"delay": int(delay * 1e9)}).encode()


def _never(queue: Queue, event: Event[Any], attempts: int, error: str) -> None:
    raise AssertionError("an event without room stays in the stream")
