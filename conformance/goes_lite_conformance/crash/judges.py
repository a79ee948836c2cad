"""How a store that killed processes have left is judged, by what they said before. See `writing` for what they write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from goes_lite.contract.backend import Backend
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.crash.writing import COUNTED, SIZES, WRITTEN, Versions, Written, batch


class Judge(Protocol):
    """Listens to processes that will be killed, and judges what they leave: each time only what is new.

    Its str is a summary of what it has seen so far.
    """

    def hear(self, said: Any) -> str:
        """Note a message and return what it is about."""
        ...

    async def judge(self, db: Backend) -> None:
        """Compare the store with the messages, once nothing writes any more."""
        ...


class Ledger:
    """Judges `write`: every acknowledged batch and some of the others are stored, each whole and once."""

    def __init__(self, sizes: Sequence[int] = SIZES) -> None:
        self._sizes = sizes
        self._tried: dict[tuple[str, int], Versions] = {}
        self._done: dict[tuple[str, int], list[int]] = {}
        self._judged = 0
        self._claims: set[str] = set()
        self.acknowledged = self.events = self.unknown = self.unknown_stored = 0

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledgements, {self.events} events checked; "
            f"{self.unknown_stored} of {self.unknown} unacknowledged batches are stored"
        )

    def hear(self, said: Any) -> str:
        what, writer, number, details = said
        if what == "try":
            self._tried[writer, number] = details
        elif what == "done":
            self._done[writer, number] = details
            self.acknowledged += 1
        else:
            del self._tried[writer, number]
        return str(what)

    @property
    def in_doubt(self) -> list[list[Event[Written]]]:
        """Batches that may or may not be stored, and the last acknowledged one."""
        keys = [key for key in self._tried if key not in self._done]
        return [batch(*key, self._tried[key], self._sizes) for key in [*keys, *list(self._done)[-1:]]]

    async def judge(self, db: Backend) -> None:
        head = await db.events.head()
        self.unknown += len(self._tried) - len(self._done)
        found: dict[tuple[str, int], list[Event[Written]]] = {}
        async for event in db.events.query(WRITTEN, after=self._judged):
            found.setdefault((event.data.writer, event.data.number), []).append(event)
        for key, stored in found.items():
            assert key in self._tried, f"the batch {key} is stored, but no writer has appended it (again)"
            made = batch(*key, self._tried.pop(key), self._sizes)
            assert len(stored) == len(made), f"the batch {key} has {len(made)} events, {len(stored)} are stored"
            assert stored == made, f"the batch {key} is not stored as it was appended"
            positions = [event.position for event in stored]
            self.unknown_stored += key not in self._done
            assert self._done.pop(key, positions) == positions, f"the batch {key} was acknowledged at other positions"
            claims = {tag for tag in made[0].tags if tag.startswith("claim:")}
            assert self._claims.isdisjoint(claims), f"{claims} was claimed twice"
            self._claims |= claims
            self.events += len(stored)
        assert not self._done, f"acknowledged, but not stored: {self._done}"
        self._tried.clear()
        self._judged = head


class Counts:
    """Judges `count` and `process`: the read model has counted exactly the events up to its checkpoint."""

    def __init__(self) -> None:
        self._told = 0
        self._folded = 0
        self._counts: Counter[str] = Counter()
        self.acknowledged = 0

    def __str__(self) -> str:
        return f"{self.acknowledged} acknowledgements, {self._counts.total()} events counted"

    @property
    def counted(self) -> int:
        """How many events the checkpoint covers, all of them counted."""
        return self._counts.total()

    def hear(self, said: Any) -> str:
        self._told = said
        self.acknowledged += 1
        return "counted"

    async def judge(self, db: Backend) -> None:
        checkpoint = await db.checkpoints.get(COUNTED)
        position = checkpoint.position if checkpoint is not None else 0
        assert position >= self._told, f"counting up to {self._told} was acknowledged, but the checkpoint is {position}"
        async for event in db.events.query(WRITTEN, after=self._folded, upto=position):
            self._counts[event.data.writer] += 1
        self._folded = position
        record = await db.models.get(COUNTED, "all")
        counted: dict[str, int] = json.loads(record.data) if record is not None else {}
        assert counted == self._counts, "the read model has not counted each event up to its checkpoint once"


class Lives:
    """Judges `doom`: an aggregate exists with its snapshots, or neither exists."""

    def __init__(self) -> None:
        self._ref = AggregateRef("doomed", "nobody")
        self._last = ("erased", 0, 0)
        self.acknowledged = self.cut_off = 0

    def __str__(self) -> str:
        return f"{self.acknowledged} acknowledgements, {self.cut_off} times cut off while erasing"

    def begin(self, id: str) -> None:
        """Judge this aggregate from now on."""
        self._ref = AggregateRef("doomed", id)
        self._last = ("erased", 0, 0)

    def hear(self, said: Any) -> str:
        self._last = tuple(said)
        self.acknowledged += said[0] != "erasing"
        return str(said[0])

    async def judge(self, db: Backend) -> None:
        what, life, size = self._last
        events = await db.events.load(self._ref)
        snapshots = [snapshot.version async for snapshot in db.snapshots.query(aggregate=self._ref)]
        told = list(range(3, size + 1, 3))
        # what may have been stored by then without being reported
        possible = {
            "grown": [(life, size), (life, min(size + 3, 9))],
            "erasing": [(life, size), (0, 0)],
            "erased": [(0, 0), (life + 1, 3)],
        }[what]
        lives = {event.data.life for event in events}
        assert len(lives) <= 1, f"events of several lives of {self._ref} are stored: {events}"
        assert (max(lives, default=0), len(events)) in possible, f"after {self._last}: {events}"
        if not events:
            assert snapshots == [], f"{self._ref} is deleted, but its snapshots at {snapshots} are not"
        else:
            assert snapshots in (told, [*told, len(events)]), (
                f"after {self._last}: snapshots at {snapshots} of {events}"
            )
        self.cut_off += what == "erasing"
