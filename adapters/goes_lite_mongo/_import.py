"""Import events of another store, in one transaction that has the turn on the log."""

from __future__ import annotations

from bson.binary import Binary
from bson.int64 import Int64
from pymongo import UpdateOne

from goes_lite.events.event import id_bytes, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.importing import Import, check_new, check_same
from goes_lite_mongo._append import read_head
from goes_lite_mongo._driver import ClientSession, Document
from goes_lite_mongo._rows import document, stored
from goes_lite_mongo._schema import STORE, Collections

MANY = 10_000
"""Rows that the server sends at once."""


async def insert(found: Collections, imported: Import, session: ClientSession) -> int:
    """Store the events at their positions and return the head; the caller has the turn on the log."""
    before = await read_head(found, session)
    if known := imported.stored_already(before):
        place: Document = {"_id": {"$gte": known[0].position, "$lte": known[-1].position}}
        rows = await found.events.find(place, session=session, batch_size=MANY).to_list()
        check_same(known, map(stored, rows))
    batch = imported.new(before)
    check_new(batch, await _versions(found, batch, session), await _used(found, batch, session))
    if batch.events:
        await found.events.insert_many([document(event) for event in batch.events], session=session)
    if batch.steps:
        moves = [
            UpdateOne(
                {"_id": {"name": ref.name, "id": ref.id}},
                {
                    "$set": {"version": Int64(step.version), "last_time": Int64(time_micros(step.last))},
                    "$setOnInsert": {"first_time": Int64(time_micros(step.first))},
                },
                upsert=True,
            )
            for ref, step in batch.steps.items()
        ]
        await found.aggregates.bulk_write(moves, ordered=False, session=session)
    if imported.head > before:
        await found.store.update_one({"_id": STORE}, {"$set": {"head": Int64(imported.head)}}, session=session)
    return max(before, imported.head)


async def _versions(found: Collections, batch: AppendBatch, session: ClientSession) -> dict[AggregateRef, int]:
    keys = [{"name": ref.name, "id": ref.id} for ref in batch.steps]
    rows = await found.aggregates.find({"_id": {"$in": keys}}, session=session, batch_size=MANY).to_list()
    return {AggregateRef._make((row["_id"]["name"], row["_id"]["id"])): int(row["version"]) for row in rows}


async def _used(found: Collections, batch: AppendBatch, session: ClientSession) -> dict[bytes, int]:
    ids = [Binary(id_bytes(event), 4) for event in batch.events]
    rows = await found.events.find({"id": {"$in": ids}}, {"id": 1}, session=session, batch_size=MANY).to_list()
    return {bytes(row["id"]): int(row["_id"]) for row in rows}
