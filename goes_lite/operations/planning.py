"""What a copy would do: how much there is, about how long it takes, and what the target cannot do that the source can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from goes_lite.contract.backend import Backend, View
from goes_lite.errors import CopyRefused
from goes_lite.operations.canonical import event_hashes
from goes_lite.operations.lineage import check_target

SAMPLE = 4_000
"""So many events are read to tell how long a copy takes."""
PASSES = 5
"""A copy reads an event, hashes it, writes it, reads it back, and reads it once more at the end: about so much of one reading."""


class CopyPlan(NamedTuple):
    """What a copy would do."""

    events: int
    head: int
    aggregates: Mapping[str, int]
    """How many aggregates there are of each name."""
    snapshots: int
    models: Mapping[str, int]
    """How many records each collection of read models has, those of goes_lite included."""
    checkpoints: int
    size: int | None
    """How many bytes the source occupies; None if its backend cannot tell. Other backends need more or less."""
    seconds: float
    """About how long it would take, told from reading some events of the source: a server may be slower at writing them."""
    missing: frozenset[str]
    """Abilities of the source that the target lacks."""
    refused: str
    """Why the target cannot take the copy; nothing if it can."""


async def records_of(view: View) -> tuple[int, Counter[str], int]:
    """Return how many snapshots there are, read models by collection, and checkpoints; all of the first two are read."""
    snapshots, models = 0, Counter[str]()
    stored = view.snapshots.query()
    while taken := await stored.next_page():
        snapshots += len(taken)
    for collection in await view.models.collections():
        records = view.models.query(collection)
        while some := await records.next_page():
            models[collection] += len(some)
    return snapshots, models, len(await view.checkpoints.all())


async def plan_copy(source: Backend, target: Backend, *, update: bool = False) -> CopyPlan:
    """Say what `copy` would do with these arguments. Nothing is written; all of the source but its events is read."""
    clock = source.runtime.clock
    began = clock.monotonic()
    read = 0
    pages = source.events.stored()
    while read < SAMPLE and (page := await pages.next_page()):
        event_hashes(page)
        read += len(page)
    each = (clock.monotonic() - began) / max(read, 1)
    async with source.view() as view:
        names = Counter[str]()
        aggregates = view.events.aggregates()
        while found := await aggregates.next_page():
            names.update(one.aggregate.name for one in found)
        snapshots, models, checkpoints = await records_of(view)
        events, head = await view.events.count(), await view.events.head()
    number = events + snapshots + models.total() + names.total()
    try:
        await check_target(source, target, update=update, back=False)
        refused = ""
    except CopyRefused as problem:
        refused = problem.reason
    sizes = await source.sizes()
    return CopyPlan(
        events, head, dict(names), snapshots, dict(models), checkpoints, sum(sizes.values()) if sizes else None,
        round(number * each * PASSES, 1), source.abilities - target.abilities, refused,
    )  # fmt: skip
