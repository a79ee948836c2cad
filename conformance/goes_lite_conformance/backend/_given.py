"""What the rules about a whole backend begin with, look at and wait for."""

from __future__ import annotations

from typing import Any, cast

from goes_lite.contract.backend import Backend, Transaction
from goes_lite_conformance.harness.samples import A, everything, note, snapshot, story


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
