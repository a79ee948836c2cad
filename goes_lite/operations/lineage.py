"""Where a store came from: the record that a copy leaves in its target, and what a target may hold when one begins.

The record is a read model of the collection `goes:lineage`, so every backend keeps it. A copy writes it first and completes it
last: a target whose record is not complete is half a copy, and only the same copy may go on with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from goes_lite.contract.backend import Backend
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import AUDIT, IMPORTS, LINEAGE, UNFINISHED
from goes_lite.errors import CopyRefused
from goes_lite.runtime import Runtime

_ID = "origin"

COPYING, COMPLETE = "copying", "complete"


@dataclass(frozen=True)
class Origin:
    """The store that a store was copied from."""

    store: str
    """Its identity, with its epoch."""
    location: str
    head: int
    """The position up to which the copy has everything; 0 while the first one is under way."""
    time: datetime
    """When it was completed, or begun."""
    state: str = COPYING
    """`copying` or `complete`."""
    earlier: list[str] = field(default_factory=list[str])
    """The identities of the stores that the source itself was copied from, the oldest first."""
    part: str = ""
    """What of the source was copied, in words; nothing if all of it was."""


def origins(models: ModelStore, runtime: Runtime) -> Models[Origin]:
    """Return the record of a store, as a read model."""
    return Models(models, LINEAGE, Origin, runtime)


async def origin_of(models: ModelStore, runtime: Runtime) -> Origin | None:
    """Return where the store came from, None if it is no copy."""
    return await origins(models, runtime).find(_ID)


async def lineage_of(models: ModelStore, runtime: Runtime) -> list[str]:
    """Return the identities of the stores that this one comes from, the oldest first, without its own."""
    origin = await origin_of(models, runtime)
    return [] if origin is None else [*origin.earlier, origin.store]


async def keep_origin(db: Backend, origin: Origin) -> None:
    """Write the record, and while the copy is not complete the mark for which `connect` refuses the store."""
    if origin.state == COMPLETE:  # in this order: whatever comes between, repeating the copy completes it
        await db.models.delete(IMPORTS, UNFINISHED)
    await origins(db.models, db.runtime).put(_ID, origin)
    if origin.state == COPYING:
        await db.models.put(IMPORTS, UNFINISHED, json.dumps({"source": origin.store, "copy": True}))


async def check_target(source: Backend, target: Backend, *, update: bool, back: bool) -> Origin | None:
    """Return the record of a copy that can go on, None for an empty store; CopyRefused for anything else.

    With `update`, a complete copy of the same source can be brought up to date; with `back`, the store that the source was
    copied from. Neither if events were written to it since.
    """
    origin, came_from = await origin_of(target.models, target.runtime), await origin_of(source.models, source.runtime)
    if origin is not None and origin.part:
        raise CopyRefused(
            target.location, f"it is a part of {origin.location} ({origin.part}): copy into an empty store"
        )
    if origin is not None and (origin.store, origin.state) == (source.identity, COPYING):
        return origin
    if back and came_from is not None and (came_from.store, came_from.part) == (target.identity, ""):
        return await _untouched(target, came_from)
    if origin is None:
        if held := await _held(target):
            raise CopyRefused(target.location, f"it already holds {held}: copy into an empty store")
        return None
    if origin.store != source.identity:
        raise CopyRefused(
            target.location,
            f"it is a copy of another store ({origin.store}, of {origin.location}), or of another epoch of this one "
            f"({source.identity}): copy into an empty store",
        )
    if not update:
        raise CopyRefused(target.location, f"it is a complete copy of this store already, up to position {origin.head}")
    return await _untouched(target, origin)


async def check_part(source: str, target: Backend, part: str) -> None:
    """Raise CopyRefused unless the target is empty, or has the beginning of the same part of the same source."""
    origin = await origin_of(target.models, target.runtime)
    if origin is None:
        if held := await _held(target):
            raise CopyRefused(target.location, f"it already holds {held}: copy into an empty store")
    elif (origin.store, origin.state, origin.part) != (source, COPYING, part):
        raise CopyRefused(
            target.location,
            f"it is a copy of {origin.location} ({origin.part or 'all of it'}, {origin.state}): copy into an empty store",
        )


async def _untouched(target: Backend, record: Origin) -> Origin:
    """Return the record if no event was written to the target after it; else CopyRefused."""
    if (head := await target.events.head()) != record.head:
        raise CopyRefused(
            target.location,
            f"events were written to it since it was equal to the source, which was at position {record.head}, and its "
            f"head is {head} now: copy into an empty store",
        )
    return record


async def _held(target: Backend) -> str:
    """Return what a store holds, in words; nothing if it is empty."""
    if head := await target.events.head():
        return f"events up to position {head}"
    if names := [name for name in await target.models.collections() if name != AUDIT]:
        return f"read models ({names[0]!r})"
    if checkpoints := await target.checkpoints.all():
        return f"checkpoints ({checkpoints[0].name!r})"
    return "snapshots" if await target.snapshots.query().next_page() else ""
