"""The EventStore over MongoDB: by itself, or inside a user's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID

from bson.binary import Binary

from goes_lite.contract.commits import Published, publish
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, Pages, check_condition
from goes_lite.errors import GoesError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref, from_micros
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.batch import check_batch
from goes_lite.kit.paging import aggregate_pages, check_position, follow_pages, query_pages
from goes_lite_mongo._driver import Document, Session
from goes_lite_mongo._executor import Executor
from goes_lite_mongo._filter import MAX_INTEGER, window
from goes_lite_mongo._filter import condition as condition_of
from goes_lite_mongo._rows import RowReader, versions
from goes_lite_mongo._schema import STORE, Collections

PAGE = 512
"""The most events of a page."""


class MongoEvents:
    """See `goes_lite.contract.event_store.EventStore` for what is promised."""

    def __init__(self, executor: Executor, found: Collections, reader: RowReader, published: Published) -> None:
        self._executor = executor
        self._found = found
        self._reader = reader
        self._published = published

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events)
        if not batch.events:
            await self.head()  # nothing to write, but a closed store says that it is closed
            return Appended(())
        check_condition(condition)
        if condition is not None:
            self._reader.check(condition.query)

        def committed(appended: Appended) -> None:
            if not appended.already_committed:
                publish(self._published, batch.events, appended.positions[0] - 1)

        return await self._executor.append(batch, condition, committed)

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        ref = aggregate_ref(aggregate)
        first, last = check_position("after", after), MAX_INTEGER if upto is None else check_position("upto", upto)
        wanted = {"aggregate.name": ref.name, "aggregate.id": ref.id, "version": {"$gt": first, "$lte": last}}

        async def work(session: Session) -> list[Document]:
            return await self._found.events.find(
                wanted, sort=[("version", 1)], session=session, batch_size=100_000
            ).to_list()

        return self._reader.events(await self._executor.read(work), whole=ref)

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        self._reader.check(query)

        def page(
            low: int, high: int, limit: int, bounded: bool
        ) -> Awaitable[tuple[Sequence[Event[Any]], int, bool, int]]:
            async def work(session: Session) -> tuple[Sequence[Event[Any]], int, bool, int]:
                end = high if bounded else min(high, await self._head(session))
                return *await self._page(session, query, low, end, limit, reverse=reverse), end

            return self._executor.read(work)

        return query_pages(page, after=after, upto=upto, limit=limit, reverse=reverse, most=PAGE)

    async def _page(
        self, session: Session, query: EventQuery, low: int, high: int, limit: int, *, reverse: bool = False
    ) -> tuple[list[Event[Any]], int, bool]:
        """The events of a page, the position up to which it tells all, and whether there may be more behind it."""
        rows = await self._found.events.find(
            window(query, self._reader.registry.spellings, low, high),
            sort=[("_id", -1 if reverse else 1)],
            limit=limit,
            batch_size=limit,
            session=session,
        ).to_list()
        events: list[Event[Any]] = []
        try:
            self._reader.read_into(rows, events)
        except GoesError:
            # Where pages begin and end is nobody's business: what lies before an unreadable event is given out first.
            if not events:
                raise
            return events, events[-1].position, True
        more = len(rows) == limit
        return events, int(rows[-1]["_id"]) if more else high, more

    async def find(self, event_id: UUID) -> Event[Any] | None:
        if not isinstance(event_id, UUID):
            raise InvalidQueryError(f"find takes an event id, which is a UUID, not {event_id!r:.80}")
        wanted = {"id": Binary(event_id.bytes, 4)}
        row = await self._executor.read(lambda session: self._found.events.find_one(wanted, session=session))
        return None if row is None else next(iter(self._reader.events([row])), None)

    async def head(self) -> int:
        return await self._executor.read(self._head)

    async def _head(self, session: Session) -> int:
        row = await self._found.store.find_one({"_id": STORE}, session=session)
        return 0 if row is None else int(row["head"])

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        async def page(behind: AggregateRef | None, number: int) -> list[AggregateInfo]:
            wanted: list[Document] = []
            if behind is not None:  # documents compare field by field, so this is (name, id) > behind
                wanted.append({"_id": {"$gt": {"name": behind.name, "id": behind.id}}})
            if name is not None:
                wanted.append({"_id": {"$gte": {"name": name, "id": ""}, "$lt": {"name": name, "id": []}}})

            async def work(session: Session) -> list[Document]:
                return await self._found.aggregates.find(
                    {"$and": wanted} if wanted else {},
                    sort=[("_id", 1)],
                    limit=number,
                    batch_size=number,
                    session=session,
                ).to_list()

            rows = await self._executor.read(work)
            return [
                AggregateInfo(
                    AggregateRef._make((row["_id"]["name"], row["_id"]["id"])), int(row["version"]),
                    from_micros(row["first_time"]), from_micros(row["last_time"]),
                )
                for row in rows
            ]  # fmt: skip

        return aggregate_pages(page, name, after=after, limit=limit, most=PAGE)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        self._reader.check(query)
        wanted = condition_of(query, self._reader.registry.spellings)
        return await self._executor.read(lambda session: self._found.events.count_documents(wanted, session=session))

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        self._reader.check(query)

        def page(cursor: int) -> Awaitable[tuple[Sequence[Event[Any]], int]]:
            async def work(session: Session) -> tuple[Sequence[Event[Any]], int]:
                end: int = await self._head(session)
                if end <= cursor:
                    return [], cursor
                events, edge, _ = await self._page(session, query, cursor, end, PAGE)
                return events, edge

            return self._executor.read(work)

        return follow_pages(page, self._executor, after=after)

    async def delete(self, aggregate: AggregateRef) -> int:
        ref = aggregate_ref(aggregate)
        key = {"name": ref.name, "id": ref.id}

        async def work(session: Session) -> int:
            await self._found.snapshots.delete_many({"_id": versions(ref, MAX_INTEGER)}, session=session)
            gone = await self._found.events.delete_many(
                {"aggregate.name": ref.name, "aggregate.id": ref.id}, session=session
            )
            await self._found.aggregates.delete_one({"_id": key}, session=session)
            return gone.deleted_count

        return await self._executor.delete(work)
