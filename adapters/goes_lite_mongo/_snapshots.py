"""The SnapshotStore of MongoDB; `goes_lite.contract.snapshot_store.SnapshotStore` is the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from bson.int64 import Int64
from pymongo import ReplaceOne

from goes_lite.contract.event_store import Pages
from goes_lite.contract.snapshot_store import (
    Snapshot,
    check_keep,
    check_snapshot,
    check_snapshot_query,
    check_snapshots,
)
from goes_lite.events.fields import AggregateRef, aggregate_ref, from_micros, to_micros
from goes_lite.kit.paging import keyset_pages, upper_bound
from goes_lite.kit.sql import MAX_INTEGER
from goes_lite.kit.stored import SNAPSHOT
from goes_lite_mongo._documents import of_collection
from goes_lite_mongo._driver import ClientSession, Document
from goes_lite_mongo._rows import payload_of, put_payload, versions
from goes_lite_mongo._schema import Collections
from goes_lite_mongo._session import AnyExecutor

PAGE = 64
"""The maximum number of snapshots in a page; a state may be large."""
PART = 512
"""How many snapshots one command deletes."""


class MongoSnapshots:
    """Snapshots in the collection of that name, by name, id and version."""

    def __init__(self, executor: AnyExecutor, found: Collections) -> None:
        self._executor = executor
        self._snapshots = found.snapshots

    async def save(self, snapshot: Snapshot) -> None:
        row = _row(check_snapshot(snapshot))
        await self._executor.write(
            lambda session: self._snapshots.replace_one({"_id": row["_id"]}, row, upsert=True, session=session)
        )

    async def save_many(self, snapshots: Iterable[Snapshot]) -> None:
        rows = [_row(snapshot) for snapshot in check_snapshots(snapshots)]
        writes = [ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in rows]

        async def work(session: ClientSession) -> None:
            if writes:
                await self._snapshots.bulk_write(writes, session=session)

        await self._executor.write(work)

    async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        wanted = {"_id": versions(aggregate_ref(aggregate), upper_bound("upto", upto))}
        row = await self._executor.read(
            lambda session: self._snapshots.find_one(wanted, sort=[("_id", -1)], session=session)
        )
        return None if row is None else _snapshot(row)

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        wanted, owner = check_snapshot_query(names, aggregate)
        clauses: list[Document] = []
        if wanted:
            ranges: list[Document] = [
                {"_id": {"$gte": {"name": name}, "$lt": {"name": name, "id": []}}} for name in wanted
            ]
            clauses.append(ranges[0] if len(ranges) == 1 else {"$or": ranges})
        if owner:
            clauses.append({"_id": versions(owner, MAX_INTEGER)})

        def page(last: Document | None, number: int) -> Awaitable[list[Document]]:
            found = clauses if last is None else [*clauses, {"_id": {"$gt": last}}]

            async def work(session: ClientSession) -> list[Document]:
                return await self._snapshots.find(
                    {"$and": found} if found else {},
                    sort=[("_id", 1)],
                    limit=number,
                    batch_size=number,
                    session=session,
                ).to_list()

            return self._executor.read(work)

        return keyset_pages(page, _key, _snapshot, most=PAGE)

    async def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        ref = aggregate_ref(aggregate)
        wanted: Document = {"_id": versions(ref, MAX_INTEGER)}
        if version is not None:
            wanted = {"_id": {"name": ref.name, "id": ref.id, "version": Int64(upper_bound("version", version))}}

        async def work(session: ClientSession) -> int:
            return (await self._snapshots.delete_many(wanted, session=session)).deleted_count

        return await self._executor.write(work)

    async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        check_keep(keep)
        wanted = {} if aggregate is None else {"_id": versions(aggregate_ref(aggregate), MAX_INTEGER)}

        async def work(session: ClientSession) -> int:
            rows = await self._snapshots.find(wanted, {"_id": 1}, sort=[("_id", -1)], session=session).to_list()
            kept: dict[tuple[str, str], int] = {}
            old: list[Document] = []
            for row in rows:  # the newest first
                owner = row["_id"]["name"], row["_id"]["id"]
                kept[owner] = kept.get(owner, 0) + 1
                if kept[owner] > keep:
                    old.append(row["_id"])
            gone = 0
            for first in range(0, len(old), PART):
                part = {"_id": {"$in": old[first : first + PART]}}
                gone += (await self._snapshots.delete_many(part, session=session)).deleted_count
            return gone

        return await self._executor.write(work)


def _row(snapshot: Snapshot) -> Document:
    ref, version, time, schema, encoding, state, deleted = snapshot
    key = {"name": ref.name, "id": ref.id, "version": Int64(version)}
    row: Document = {"_id": key, "time": Int64(to_micros(time)), "schema": Int64(schema), "encoding": encoding}
    put_payload(row, "state", encoding, state)
    row["deleted"] = deleted
    return row


def _key(row: Document) -> Document:
    key: Document = row["_id"]
    return key


@of_collection("snapshots")
def _snapshot(row: Document) -> Snapshot:
    key = row["_id"]
    state = payload_of(row, "state")
    name, id, version, time, schema, encoding, state, deleted = SNAPSHOT.check((
        key["name"], key["id"], int(key["version"]), row["time"], int(row["schema"]), row["encoding"], state, row["deleted"]
    ))  # fmt: skip
    return Snapshot(AggregateRef._make((name, id)), version, from_micros(time), schema, encoding, state, deleted)
