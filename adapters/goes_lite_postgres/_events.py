"""The EventStore over PostgreSQL: on the handle's own connections, or inside a user's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.contract.commits import Published, publish
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, Pages, check_condition
from goes_lite.errors import GoesError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref, from_micros
from goes_lite.events.query import EVERYTHING, EventQuery, check_query
from goes_lite.kit.batch import check_batch
from goes_lite.kit.paging import aggregate_pages, check_position, follow_pages, query_pages
from goes_lite.kit.sql import MAX_INTEGER, Dialect, count, select
from goes_lite_postgres._append import AppendSql
from goes_lite_postgres._driver import Connection, Row
from goes_lite_postgres._executor import Executor
from goes_lite_postgres._names import Names
from goes_lite_postgres._options import Target
from goes_lite_postgres._rows import COLUMNS, NAME_KEY, RowReader

PAGE = 1024
"""The most events of a page."""
T = TypeVar("T")

MAX_ARGUMENTS = 32_767
"""Of one statement: the driver counts them with 16 bits."""


def _numbered(number: int) -> str:
    return f"${number}"


def _unchanged(value: T) -> T:
    return value


def _in_order(left: str, right: str, on: str) -> str:
    # OFFSET keeps the planner from choosing another way to join, such as reading the whole log beside the left side
    return f"{left} CROSS JOIN LATERAL (SELECT * FROM {right} WHERE {on} OFFSET 0) e"


def dialect_of(target: Target) -> Dialect:
    """How queries become the SQL of PostgreSQL, on the tables of one store."""
    return Dialect(
        placeholder=_numbered,
        uuid=_unchanged,
        unindexed=_unchanged,
        table=target.table,
        in_order=_in_order,
        pairs=True,
        max_parameters=MAX_ARGUMENTS,
    )


class EventSql:
    """The statements, with the names of one store's tables."""

    def __init__(self, target: Target) -> None:
        table = target.table
        joined = f"{table('events')} e LEFT JOIN {table('aggregates')} a ON a.key = e.aggregate_key"
        self.head = AppendSql(target).head
        self.load = (
            "SELECT e.position, e.id, e.name_key, NULL, NULL, e.version, e.time, e.encoding, e.schema, e.data, e.binary_data, "
            f"e.metadata, e.tags FROM {table('events')} e WHERE e.aggregate_key = "
            f"(SELECT key FROM {table('aggregates')} WHERE name = $1 AND id = $2) "
            "AND e.version > $3 AND e.version <= $4 ORDER BY e.version"
        )
        self.find = f"SELECT {COLUMNS} FROM {joined} WHERE e.id = $1"
        self.aggregates = (
            f"SELECT name, id, version, first_time, last_time FROM {table('aggregates')}",
            "ORDER BY name, id LIMIT $1",
        )
        self.key = f"SELECT key FROM {table('aggregates')} WHERE name = $1 AND id = $2"
        each = "jsonb_array_elements_text(e.tags::jsonb) AS tag"  # none of NULL
        tags = f"SELECT tag, e.position FROM {table('events')} e, {each} WHERE e.aggregate_key = $1"
        self.delete = (
            f"DELETE FROM {table('snapshots')} WHERE name = $1 AND id = $2",
            # a position is never used again, so the head stays where it is
            f"UPDATE {table('store')} SET head = greatest(head, (SELECT max(position) FROM {table('events')}))",
            f"DELETE FROM {table('event_tags')} t WHERE (t.tag, t.position) IN ({tags})",
            f"WITH gone AS (DELETE FROM {table('events')} WHERE aggregate_key = $1 RETURNING 1) SELECT count(*) FROM gone",
            f"DELETE FROM {table('aggregates')} WHERE key = $1",
        )


class PostgresEvents:
    """See `goes_lite.contract.event_store.EventStore` for what is promised."""

    def __init__(
        self, executor: Executor, sql: EventSql, dialect: Dialect, reader: RowReader, names: Names, published: Published
    ) -> None:
        self._executor = executor
        self._sql = sql
        self._dialect = dialect
        self._reader = reader
        self._names = names
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

        async def work(connection: Connection) -> list[Event[Any]]:
            rows = await connection.fetch(self._sql.load, ref.name, ref.id, first, last)
            return await self._events(connection, rows, whole=ref)

        return await self._executor.read(work)

    async def _events(
        self, connection: Connection, rows: Sequence[Row], *, whole: AggregateRef | None = None
    ) -> list[Event[Any]]:
        found: list[Event[Any]] = []
        names = await self._names.names(connection, {row[NAME_KEY] for row in rows})
        self._reader.read_into(names, rows, found, whole=whole)
        return found

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        check_query(query)

        def page(
            low: int, high: int, limit: int, bounded: bool
        ) -> Awaitable[tuple[Sequence[Event[Any]], int, bool, int]]:
            async def work(connection: Connection) -> tuple[Sequence[Event[Any]], int, bool, int]:
                end = high if bounded else min(high, await connection.fetchval(self._sql.head))
                return *await self._page(connection, query, low, end, limit, reverse=reverse), end

            return self._executor.read(work)

        return query_pages(page, after=after, upto=upto, limit=limit, reverse=reverse, most=PAGE)

    async def _page(
        self, connection: Connection, query: EventQuery, low: int, high: int, limit: int, *, reverse: bool = False
    ) -> tuple[list[Event[Any]], int, bool]:
        """The events of a page, the position up to which it tells all, and whether there may be more behind it."""
        registry = self._reader.registry
        page = select(
            COLUMNS, query, self._dialect, registry.spellings, after=low, upto=high, limit=limit, reverse=reverse
        )
        rows = await connection.fetch(page.text, *page.parameters)
        names = await self._names.names(connection, {row[NAME_KEY] for row in rows})
        events: list[Event[Any]] = []
        try:
            self._reader.read_into(names, rows, events)
        except GoesError:
            # Where pages begin and end is nobody's business: what lies before an unreadable event is given out first.
            if not events:
                raise
            return events, events[-1].position, True
        more = len(rows) == limit
        return events, rows[-1][0] if more else high, more

    async def find(self, event_id: UUID) -> Event[Any] | None:
        if not isinstance(event_id, UUID):
            raise InvalidQueryError(f"find takes an event id, which is a UUID, not {event_id!r:.80}")

        async def work(connection: Connection) -> Event[Any] | None:
            rows = await connection.fetch(self._sql.find, event_id)
            return next(iter(await self._events(connection, rows)), None)

        return await self._executor.read(work)

    async def head(self) -> int:
        async def work(connection: Connection) -> int:
            position: int = await connection.fetchval(self._sql.head)
            return position

        return await self._executor.read(work)

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        async def page(behind: AggregateRef | None, number: int) -> list[AggregateInfo]:
            parameters: list[Any] = [number]
            where: list[str] = []
            if behind is not None:
                parameters += behind
                where.append("(name, id) > ($2, $3)")
            if name is not None:
                parameters.append(name)
                where.append(f"name = ${len(parameters)}")
            select, order = self._sql.aggregates
            sql = f"{select} WHERE {' AND '.join(where) or 'TRUE'} {order}"
            rows = await self._executor.read(lambda connection: connection.fetch(sql, *parameters))
            return [
                AggregateInfo(AggregateRef._make((n, i)), version, from_micros(first), from_micros(last))
                for n, i, version, first, last in rows
            ]

        return aggregate_pages(page, name, after=after, limit=limit, most=PAGE)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        check_query(query)
        counted = count(query, self._dialect, self._reader.registry.spellings)
        number: int = await self._executor.read(
            lambda connection: connection.fetchval(counted.text, *counted.parameters)
        )
        return number

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        check_query(query)

        def page(cursor: int) -> Awaitable[tuple[Sequence[Event[Any]], int]]:
            async def work(connection: Connection) -> tuple[Sequence[Event[Any]], int]:
                end: int = await connection.fetchval(self._sql.head)
                if end <= cursor:
                    return [], cursor
                events, edge, _ = await self._page(connection, query, cursor, end, PAGE)
                return events, edge

            return self._executor.read(work)

        return follow_pages(page, self._executor, after=after)

    async def delete(self, aggregate: AggregateRef) -> int:
        ref = aggregate_ref(aggregate)
        snapshots, head, tags, events, gone = self._sql.delete

        async def work(connection: Connection) -> int:
            await connection.execute(snapshots, ref.name, ref.id)
            key: int | None = await connection.fetchval(self._sql.key, ref.name, ref.id)
            if key is None:
                return 0
            await connection.execute(head)
            await connection.execute(tags, key)
            erased: int = await connection.fetchval(events, key)
            await connection.execute(gone, key)
            return erased

        return await self._executor.delete(work)
