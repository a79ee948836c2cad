"""Make the snapshots, read models and checkpoints of a copy equal to those of a view: write what differs, remove what is gone.

Both sides are read in the order of their keys, so this takes constant memory, and a second pass proves that nothing is left.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from goes_lite.contract.backend import Backend, View
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.own_collections import AUDIT, STORES_OWN
from goes_lite.contract.snapshot_store import Snapshot

T = TypeVar("T")

BATCH, BATCH_BYTES = 500, 1 << 20
"""At most so many items, or characters of their content, are written at once."""


class Changes(NamedTuple):
    """How many records were written, and how many removed."""

    written: int = 0
    removed: int = 0

    def plus(self, other: Changes) -> Changes:
        return Changes(self.written + other.written, self.removed + other.removed)


async def differing(
    wanted: Pages[T], found: Pages[T], key: Callable[[T], Any], same: Callable[[T, T], bool]
) -> AsyncGenerator[tuple[T | None, T | None]]:
    """Yield the pairs of items of one key that are not the same; None stands for no item. Both are in the order of the key."""
    one, other = await _next(wanted), await _next(found)
    while one is not None or other is not None:
        if other is None or (one is not None and key(one) < key(other)):
            yield one, None
            one = await _next(wanted)
        elif one is None or key(one) > key(other):
            yield None, other
            other = await _next(found)
        else:
            if not same(one, other):
                yield one, other
            one, other = await _next(wanted), await _next(found)


async def _next(pages: Pages[T]) -> T | None:
    try:
        return await anext(pages)
    except StopAsyncIteration:
        return None


async def reconcile(view: View, target: Backend, *, progress: Callable[[str, int], object]) -> Changes:
    """Make everything but the events of the target equal to the view, and return what was done.

    Checkpoints of the view's store become those of the target; the others belong to the stores that they name.
    """
    changes = await _snapshots(view, target, progress)
    changes = changes.plus(await _models(view, target, progress))
    return changes.plus(await _checkpoints(view, target))


async def _snapshots(view: View, target: Backend, progress: Callable[[str, int], object]) -> Changes:
    changes, batch = Changes(), list[Snapshot]()

    async def flush() -> None:
        await target.snapshots.save_many(batch)
        batch.clear()

    async for one, other in differing(
        view.snapshots.query(), target.snapshots.query(), _snapshot_key, lambda a, b: a == b
    ):
        if one is not None:
            batch.append(one)
            changes = changes.plus(Changes(1))
            if len(batch) == BATCH or sum(len(item.state) for item in batch) > BATCH_BYTES:
                await flush()
                progress("snapshots", changes.written)
        elif other is not None:
            await target.snapshots.delete(other.aggregate, version=other.version)
            changes = changes.plus(Changes(removed=1))
    await flush()
    return changes


def _snapshot_key(snapshot: Snapshot) -> tuple[str, str, int]:
    return snapshot.aggregate.name, snapshot.aggregate.id, snapshot.version


async def _models(view: View, target: Backend, progress: Callable[[str, int], object]) -> Changes:
    changes = Changes()
    wanted, there = await view.models.collections(), await target.models.collections()
    for name in sorted({*wanted, *there} - STORES_OWN):
        if name not in wanted:
            if name == AUDIT:  # entries of the target itself, such as that of this very copy
                continue
            changes = changes.plus(Changes(removed=await target.models.clear(name)))
            continue
        written, gone = list[ModelRecord](), dict[str, str | None]()
        async for one, other in differing(view.models.query(name), target.models.query(name), _id, same_record):
            if one is not None:
                written.append(one)
                changes = changes.plus(Changes(1))
            elif other is not None and name != AUDIT:
                gone[other.id] = None
                changes = changes.plus(Changes(removed=1))
            if len(written) == BATCH or len(gone) == BATCH or sum(len(item.data) for item in written) > BATCH_BYTES:
                await _write(target, name, written, gone)
                progress("models", changes.written)
        await _write(target, name, written, gone)
    return changes


async def _write(target: Backend, name: str, written: list[ModelRecord], gone: dict[str, str | None]) -> None:
    if written:
        await target.models.import_models(written)
        written.clear()
    if gone:
        await target.models.put_many(name, gone)
        gone.clear()


def _id(record: ModelRecord) -> str:
    return record.id


def same_record(one: ModelRecord, other: ModelRecord) -> bool:
    """Whether two records are the same; backends may spell the same JSON in different ways."""
    if one[:3] != other[:3]:
        return False
    return one.data == other.data or json.loads(one.data) == json.loads(other.data)


async def _checkpoints(view: View, target: Backend) -> Changes:
    wanted = {one.name: moved(one, view.identity, target.identity) for one in await view.checkpoints.all()}
    there = {one.name: one for one in await target.checkpoints.all()}
    changed = [one for name, one in wanted.items() if there.get(name) != one]
    gone = [name for name in there if name not in wanted]
    if changed:
        await target.checkpoints.import_checkpoints(changed)
    for name in gone:
        await target.checkpoints.delete(name)
    return Changes(len(changed), len(gone))


def moved(checkpoint: Checkpoint, source: str, target: str) -> Checkpoint:
    """Return the checkpoint as it is in a copy: one of the source is one of the target."""
    return checkpoint._replace(store=target) if checkpoint.store == source else checkpoint


def ahead_of(checkpoints: Iterable[Checkpoint], head: int) -> list[Checkpoint]:
    """Return the checkpoints that are ahead of a head: their consumers have handled events that are not there."""
    return [one for one in checkpoints if one.position > head]
