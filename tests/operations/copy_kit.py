"""A store with something of every kind in it, and what a copy of it must have."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from goes_lite_conformance.harness.samples import NOON, A, B, count, note, registry, snapshot, story

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.contract import Checkpoint, ModelRecord
from goes_lite.contract.own_collections import LINEAGE
from goes_lite.events.event import Event, restore
from goes_lite.events.ids import new_id
from goes_lite.events.registry import Raw

GONE = goes.AggregateRef("order", "gone")


def opened(url: object, **options: Any) -> BlockingDatabase:
    return connect(str(url), registry=registry, **options)


def raw(encoding: str, payload: str | bytes, position: int, **fields: Any) -> Event[Any]:
    """An event in any encoding, which no registry knows."""
    data = Raw("elsewhere.happened", encoding, 3, payload)
    given = {"metadata": None, "tags": None, **fields}
    return restore(
        new_id(), data.name, data, NOON, None, 0, given["metadata"], given["tags"], position, encoding, 3, payload
    )


def fill_everything(db: BlockingDatabase, number: int = 1_200) -> None:
    """Events of every kind with gaps, also at the end; snapshots, read models, receipts, commands, checkpoints."""
    old = datetime(1907, 6, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
    db.events.append([note("é\0", A, 1, metadata={"b": "ü", "a": "1"}, tags=["k:2", "k:1"]), *story(GONE, 3)])
    db.events.append([count(-1, B, 1, time=old), *story(A, 3, after=1)])
    head = db.events.head()
    db.events.import_events([
        raw("json", '{"b":1,  "a":\t1.50}', head + 5, metadata='{"a": "b"}', tags='["color:red"]'),
        raw("msgpack", b"\x81\xa1a\x01", head + 7), raw("own", "any \u2028 text", head + 8), raw("own", b"", head + 20),
    ])  # fmt: skip
    db.events.append([note(str(n), tags=[f"n:{n % 7}"]) for n in range(number)])
    last = goes.AggregateRef("order", "last")
    db.events.append(story(last, 2))
    db.events.delete(GONE)
    db.events.delete(last)
    db.snapshots.save_many(
        [snapshot(A, 2, b"\0\1", encoding="msgpack"), snapshot(A, 4, deleted=True), snapshot(B, 1, "{}")]
    )
    db.models.put_many("totals", {str(n): f'{{"n": {n}, "t": "\\u00e9"}}' for n in range(700)})
    db.models.import_models(
        [ModelRecord("totals", "5", 41, "[1.50]"), ModelRecord("goes:receipts", "r", 2, '{"x": 1}')]
    )
    db.models.put("goes:commands", "c", '{"due": 5}')
    db.checkpoints.save("mine", 7)
    db.checkpoints.import_checkpoints([Checkpoint("stale", 3, "another/1", NOON)])


def contents(db: BlockingDatabase) -> dict[str, Any]:
    """All that a copy keeps, read through another face of the store than the copy uses."""
    import json

    checkpoints = [one._replace(store="this") if one.store == db.identity else one for one in db.checkpoints.all()]
    events = db.events.stored().list()
    return {
        "events": [
            (one.position, one.id, one.name, one.time, one.aggregate, one.version, dict(one.metadata), one.tags, one.encoded)
            for one in events
        ],
        "head": db.events.head(),
        "aggregates": db.events.aggregates().list(),
        "tagged": [one.position for one in db.events.query(goes.EventQuery(tags=["n:3"]))],
        "snapshots": db.snapshots.query().list(),
        "models": {
            name: [(one.id, one.version, json.loads(one.data)) for one in db.models.query(name)]
            for name in db.models.collections()
            if name != LINEAGE
        },
        "checkpoints": checkpoints,
    }  # fmt: skip
