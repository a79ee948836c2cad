"""Where a store came from: the record that a copy leaves in its target, and what a target may hold when one begins.

The record is a read model of the collection `goes:lineage`, so every backend keeps it. A copy writes it first and completes it
last: a target whose record is not complete is half a copy, and only the same copy may go on with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
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


def origins(models: ModelStore, runtime: Runtime) -> Models[Origin]:
    """Return the record of a store, as a read model."""
    return Models(models, LINEAGE, Origin, runtime)


async def origin_of(models: ModelStore, runtime: Runtime) -> Origin | None:
    """Return where the store came from, None if it is no copy."""
    return await origins(models, runtime).find(_ID)


async def keep_origin(db: Backend, origin: Origin) -> None:
    """Write the record, and while the copy is not complete the mark for which `connect` refuses the store."""
    if origin.state == COMPLETE:  # in this order: whatever comes between, repeating the copy completes it
        await db.models.delete(IMPORTS, UNFINISHED)
    await origins(db.models, db.runtime).put(_ID, origin)
    if origin.state == COPYING:
        await db.models.put(IMPORTS, UNFINISHED, json.dumps({"source": origin.store, "copy": True}))


async def check_target(source: str, target: Backend, *, complete: Callable[[Origin], bool]) -> Origin | None:
    """Return the record of a copy that can go on, None for an empty store; CopyRefused for anything else.

    `complete` says whether a complete copy of the same source may be brought up to date.
    """
    origin = await origin_of(target.models, target.runtime)
    if origin is None:
        if held := await _held(target):
            raise CopyRefused(target.location, f"it already holds {held}: copy into an empty store")
        return None
    if origin.store != source:
        raise CopyRefused(
            target.location,
            f"it is a copy of another store ({origin.store}, of {origin.location}), or of another epoch of this one "
            f"({source}): copy into an empty store",
        )
    if origin.state == COMPLETE and not complete(origin):
        raise CopyRefused(target.location, f"it is a complete copy of this store already, up to position {origin.head}")
    return origin


async def _held(target: Backend) -> str:
    """Return what a store holds, in words; nothing if it is empty."""
    if head := await target.events.head():
        return f"events up to position {head}"
    if names := [name for name in await target.models.collections() if name != AUDIT]:
        return f"read models ({names[0]!r})"
    if checkpoints := await target.checkpoints.all():
        return f"checkpoints ({checkpoints[0].name!r})"
    return "snapshots" if await target.snapshots.query().next_page() else ""
