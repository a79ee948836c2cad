"""What processes that may be killed at any moment write, and how they count it.

A writer says what it is about to append, and afterwards where it was stored; its events are a function of its name, a
number and the versions that it builds on. So a listener can reconstruct every one of its events.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from goes_lite.aggregate import Aggregate, applies
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.harness.samples import NOON
from goes_lite_conformance.harness.workers import say

SIZES = (1, 1, 1, 2, 5, 40)
"""The sizes of batches."""
SHARED = AggregateRef("shared", "all")
"""The aggregate that all writers write to."""
COUNTED = "counted"
"""The name of the checkpoint, the processor and the collection of read models for counting events."""

WRITTEN = EventQuery(["crash.written"])

Versions = dict[str, int]
"""By aggregate (as text), the version that a batch builds on."""

registry = Registry()


@registry.event("crash.written")
@dataclass(frozen=True)
class Written:
    """The `index`-th of the `size` events in the batch that `writer` made as its `number`-th."""

    writer: str
    number: int
    index: int
    size: int
    text: str


@registry.event("crash.grown")
@dataclass(frozen=True)
class Grown:
    """One more event in this life of its aggregate."""

    life: int


class Doomed(Aggregate, name="doomed", registry=registry):
    """An aggregate that grows until it is deleted, and begins again."""

    life: int = 0
    size: int = 0

    def grow(self, life: int) -> None:
        for _ in range(3):
            self.record(Grown(life))

    @applies(Grown)
    def _grown(self, event: Event[Grown]) -> None:
        self.life = event.data.life
        self.size += 1


def batch(writer: str, number: int, versions: Versions, sizes: Sequence[int] = SIZES) -> list[Event[Written]]:
    """Return the events of a writer's n-th batch: the same ones every time."""
    chance = random.Random(f"{writer} {number}")
    size, text = chance.choice(sizes), "x" * chance.choice((0, 10, 3000))
    claim = _claim(writer, number) if size == 1 else ""
    own = AggregateRef("own", f"{writer}-{chance.randrange(2)}")
    refs = (None,) if claim else (own,) if size == 1 else (own, SHARED, None)
    steps, events = dict(versions), list[Event[Written]]()
    for index in range(size):
        ref = refs[index % len(refs)]
        tags = [f"writer:{writer}", f"index:{index}"][: chance.randrange(3)]
        if ref is not None:
            steps[str(ref)] = steps.get(str(ref), 0) + 1
        events.append(Event(
            Written(writer, number, index, size, text), id=UUID(int=chance.getrandbits(128), version=4), aggregate=ref,
            version=0 if ref is None else steps[str(ref)], time=NOON + timedelta(microseconds=number),
            tags=[*tags, claim] if claim else tags, registry=registry,
        ))  # fmt: skip
    return events


def _claim(writer: str, number: int) -> str:
    """Return a claim for an event: sometimes one that other writers claim, too, of this process or of all."""
    if number % 5:
        return ""
    return f"claim:{number}" if number % 10 else f"claim:{writer.partition('.')[0]}-{number}"


def plain(writer: str, number: int) -> Event[Written]:
    """Return a writer's n-th event, of no aggregate."""
    return Event(Written(writer, number, 0, 1, ""), registry=registry)


def condition(events: Sequence[Event[Written]]) -> AppendCondition | None:
    """Return the condition that its claim is free, for an event with a claim."""
    claims = [tag for tag in events[0].tags if tag.startswith("claim:")]
    return AppendCondition(EventQuery(tags=claims)) if claims else None


async def write_on(
    db: Backend,
    writer: str,
    sizes: Sequence[int] = SIZES,
    *,
    numbers: Iterable[int] | None = None,
    tell: Callable[[Any], None] = say,
) -> None:
    """Append batches, these or without end; say of each that it is tried, and then that it is done or refused."""
    versions: Versions = {}
    for number in itertools.count(1) if numbers is None else numbers:
        while True:
            events = batch(writer, number, versions, sizes)
            touched = {str(event.aggregate) for event in events}
            tell(["try", writer, number, {ref: version for ref, version in versions.items() if ref in touched}])
            try:
                appended = await db.events.append(events, condition=condition(events))
            except ConcurrencyError as conflict:  # another writer was faster
                versions[str(conflict.aggregate)] = conflict.actual
                continue
            except AppendConditionFailed:
                tell(["refused", writer, number, []])
            else:
                versions |= {str(event.aggregate): event.version for event in events if event.aggregate}
                tell(["done", writer, number, appended.positions])
            break


async def count_next(transaction: Transaction) -> int:
    """Count some more events in a read model and return how far the count has come."""
    checkpoint = await transaction.checkpoints.get(COUNTED)
    position = checkpoint.position if checkpoint is not None else 0
    record = await transaction.models.get(COUNTED, "all")
    counts: dict[str, int] = json.loads(record.data) if record is not None else {}
    for event in await transaction.events.query(WRITTEN, after=position, limit=20).list():
        counts[event.data.writer] = counts.get(event.data.writer, 0) + 1
        position = event.position
    await transaction.models.put(COUNTED, "all", json.dumps(counts), expected=record.version if record else 0)
    await transaction.checkpoints.save(COUNTED, position)
    return position


def counting(
    table: str | None, tell: Callable[[int], object] = say
) -> Callable[[Event[Written], Transaction], Coroutine[Any, Any, None]]:
    """Return a handler that counts each event in a read model, and in a table if given, and says so once it is committed."""

    async def count(event: Event[Written], transaction: Transaction) -> None:
        record = await transaction.models.get(COUNTED, "all")
        counts: dict[str, int] = json.loads(record.data) if record is not None else {}
        counts[event.data.writer] = counts.get(event.data.writer, 0) + 1
        await transaction.models.put(COUNTED, "all", json.dumps(counts))
        if table is not None:
            await transaction.execute(f"INSERT INTO {table} (position) VALUES ({event.position})")

        async def committed() -> None:
            tell(event.position)

        transaction.on_commit(committed)

    return count
