"""What the rules about a whole backend begin with, look at and wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

from goes_lite.backend import Backend, Transaction
from goes_lite_conformance._contract import declared_by, in_thread
from goes_lite_conformance._place import PATIENCE, Place, Storage
from goes_lite_conformance._samples import A, everything, note, snapshot, story


async def fill(stores: Backend | Transaction) -> None:
    """Write something into every store that a transaction has, too: three events, a snapshot, a model, a checkpoint."""
    await stores.events.append([*story(A, 2), note("loose", tags=["t:1"])])
    await stores.snapshots.save(snapshot(A, 2))
    await stores.models.put("c", "1", '{"n": 1}')
    await stores.checkpoints.save("reader", 3)


async def contents(stores: Backend | Transaction) -> dict[str, Any]:
    """All that a reader can find out about these stores, but for the time of checkpoints."""
    return {
        "events": await everything(cast("Backend", stores)),
        "snapshots": await stores.snapshots.query().list(),
        "models": await stores.models.query("c").list(),
        "checkpoints": [checkpoint[:3] for checkpoint in await stores.checkpoints.all()],
    }


class Moment:
    """Something that one side of a rule brings about and the other waits for, whatever the face."""

    def __init__(self, place: Place) -> None:
        self._event = asyncio.Event() if place.face == "async" else threading.Event()

    def come(self) -> None:
        """It is now."""
        self._event.set()

    async def wait(self) -> None:
        """Until it has come; AssertionError if it does not."""
        if isinstance(self._event, threading.Event):
            assert self._event.wait(PATIENCE), "what the rule waits for does not come"
            return
        async with asyncio.timeout(PATIENCE):
            await self._event.wait()


@asynccontextmanager
async def another(place: Place) -> AsyncGenerator[Place]:
    """A second storage, empty at first, beside that of the place and on the same face."""
    name = f"u{uuid4().hex[:16]}"
    folder = place.storage.folder / name
    folder.mkdir()
    storage = Storage(folder, name, place.storage.variant)
    try:
        yield Place(place.hook, storage, place.face, declared_by(type(place.hook), storage.variant), place.rounds)
    finally:
        in_thread(lambda: asyncio.run(place.hook.erase(storage)), PATIENCE)
