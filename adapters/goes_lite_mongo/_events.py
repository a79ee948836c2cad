"""The event store's operations for MongoDB, and the conversion of their results."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any
from uuid import UUID

from bson.binary import Binary

from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.branches import Window
from goes_lite.kit.events import AggregateRow, Page, page_of
from goes_lite.kit.importing import Import
from goes_lite.kit.sql import MAX_INTEGER
from goes_lite_mongo._documents import of_collection
from goes_lite_mongo._driver import ClientSession, Document
from goes_lite_mongo._filter import condition, window
from goes_lite_mongo._import import insert
from goes_lite_mongo._many import count_positions, find_positions, many
from goes_lite_mongo._rows import RowReader, versions
from goes_lite_mongo._schema import STORE, Collections
from goes_lite_mongo._session import AnyExecutor


@of_collection("aggregates")
def _aggregate(row: Document) -> AggregateRow:
    key = row["_id"]
    return key["name"], key["id"], int(row["version"]), int(row["first_time"]), int(row["last_time"])


class MongoEventRows:
    """Implements `goes_lite.kit.events.EventRows`."""

    page_size = 512

    def __init__(self, executor: AnyExecutor, found: Collections, reader: RowReader, as_stored: RowReader) -> None:
        self._executor = executor
        self._found = found
        self._reader = reader
        self._as_stored = as_stored

    async def load(self, ref: AggregateRef, after: int, upto: int) -> list[Event[Any]]:
        async def work(session: ClientSession) -> tuple[list[Document], int | None]:
            rows = await self._rows(ref, after, upto, session)
            if not rows or "aggregate" in rows[-1]:  # it was deleted meanwhile, or there is none
                return rows, None
            version = int(rows.pop()["version"])
            last = int(rows[-1]["version"]) if rows else after
            if last < min(version, upto):  # appended meanwhile: the versions are read after the events
                rows += [row for row in await self._rows(ref, last, min(version, upto), session) if "aggregate" in row]
            return rows, version

        rows, version = await self._executor.read(work)
        events = self._reader.events(rows, whole=ref)
        self._reader.check_whole(ref, events, after, upto, version)
        return events

    async def _rows(self, ref: AggregateRef, after: int, upto: int, session: ClientSession) -> list[Document]:
        """Return events of an aggregate in order, then the aggregate itself, in one trip to the server.

        In a transaction, where the server has no way to do that, without the aggregate.
        """
        of = {"aggregate.name": ref.name, "aggregate.id": ref.id, "version": {"$gt": after, "$lte": upto}}
        if session.in_transaction:
            found = self._found.events.find(of, sort=[("version", 1)], session=session, batch_size=100_000)
            return await found.to_list()
        itself = [{"$match": {"_id": {"name": ref.name, "id": ref.id}}}, {"$project": {"_id": 0, "version": 1}}]
        pipeline: list[Document] = [
            {"$match": of},
            {"$sort": {"version": 1}},
            {"$unionWith": {"coll": self._found.aggregates.name, "pipeline": itself}},
        ]
        cursor = await self._found.events.aggregate(pipeline, batchSize=100_000, session=session)
        return await cursor.to_list()

    def page(self, query: EventQuery, after: int, upto: int, limit: int, *, reverse: bool) -> Awaitable[Page]:
        return self._executor.read(partial(self._page, self._reader, query, after, upto, limit, reverse))

    def stored(self, after: int, upto: int, limit: int) -> Awaitable[Page]:
        return self._executor.read(partial(self._page, self._as_stored, EVERYTHING, after, upto, limit, False))

    def news(self, query: EventQuery, after: int, limit: int) -> Awaitable[Page]:
        async def work(session: ClientSession) -> Page:
            end = await self._head(session)
            if end <= after:
                return Page((), after, False)
            return await self._page(self._reader, query, after, end, limit, False, session)

        return self._executor.read(work)

    async def _page(
        self,
        reader: RowReader,
        query: EventQuery,
        after: int,
        upto: int,
        limit: int,
        reverse: bool,
        session: ClientSession,
    ) -> Page:
        spellings = reader.registry.spellings
        found: list[int] | None = None
        if parts := many(query, spellings):
            part = Window(after, min(upto, await self._head(session)), limit, reverse)
            found = await find_positions(self._found.events, session, parts, part, spellings)
        rows = await self._found.events.find(
            window(query, spellings, after, upto) if found is None else {"_id": {"$in": found}},
            sort=[("_id", -1 if reverse else 1)],
            limit=limit,
            batch_size=limit,
            session=session,
        ).to_list()
        # rows may have been erased in the meantime: the page is as full as what was found
        full = [int(row["_id"]) for row in rows[limit - 1 :]] if found is None else found[limit - 1 :]
        last = full[0] if full else None
        return page_of(partial(reader.read_into, rows), last, upto)

    async def find(self, event_id: UUID) -> Event[Any] | None:
        wanted = {"id": Binary(event_id.bytes, 4)}
        row = await self._executor.read(lambda session: self._found.events.find_one(wanted, session=session))
        return None if row is None else next(iter(self._reader.events([row])), None)

    def head(self) -> Awaitable[int]:
        return self._executor.read(self._head)

    async def _head(self, session: ClientSession) -> int:
        row = await self._found.store.find_one({"_id": STORE}, session=session)
        return 0 if row is None else int(row["head"])

    async def aggregates(self, name: str | None, after: AggregateRef | None, limit: int) -> list[AggregateRow]:
        wanted: list[Document] = []
        if after is not None:  # documents compare field by field, so this is (name, id) > after
            wanted.append({"_id": {"$gt": {"name": after.name, "id": after.id}}})
        if name is not None:
            wanted.append({"_id": {"$gte": {"name": name, "id": ""}, "$lt": {"name": name, "id": []}}})

        async def work(session: ClientSession) -> list[Document]:
            return await self._found.aggregates.find(
                {"$and": wanted} if wanted else {}, sort=[("_id", 1)], limit=limit, batch_size=limit, session=session
            ).to_list()

        return [_aggregate(row) for row in await self._executor.read(work)]

    def count(self, query: EventQuery) -> Awaitable[int]:
        spellings = self._reader.registry.spellings

        async def work(session: ClientSession) -> int:
            if parts := many(query, spellings):
                head = await self._head(session)
                return await count_positions(self._found.events, session, parts, head, spellings)
            return await self._found.events.count_documents(condition(query, spellings), session=session)

        return self._executor.read(work)

    def delete(self, ref: AggregateRef) -> Awaitable[int]:
        key = {"name": ref.name, "id": ref.id}

        async def work(session: ClientSession) -> int:
            await self._found.snapshots.delete_many({"_id": versions(ref, MAX_INTEGER)}, session=session)
            gone = await self._found.events.delete_many(
                {"aggregate.name": ref.name, "aggregate.id": ref.id}, session=session
            )
            await self._found.aggregates.delete_one({"_id": key}, session=session)
            return gone.deleted_count

        return self._executor.change_log(work)

    def insert(self, imported: Import) -> Awaitable[int]:
        return self._executor.change_log(partial(insert, self._found, imported))
