"""The event store's statements for PostgreSQL, and the conversion of their results."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.events import AggregateRow, Page, page_of
from goes_lite.kit.importing import Import
from goes_lite.kit.select import read_count, read_page
from goes_lite.kit.sql import Dialect
from goes_lite_postgres._append import AppendSql
from goes_lite_postgres._driver import Connection, Row, answer
from goes_lite_postgres._import import ImportSql, insert
from goes_lite_postgres._names import Names
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._rows import COLUMNS, NAME_KEY, RowReader
from goes_lite_postgres._session import AnyExecutor

T = TypeVar("T")

MAX_ARGUMENTS = 32_767
"""The maximum for one statement: the driver counts them with 16 bits."""


def _numbered(number: int) -> str:
    return f"${number}"


def _unchanged(value: T) -> T:
    return value


def _in_order(left: str, right: str, on: str) -> str:
    # OFFSET keeps the planner from choosing another join, such as reading the whole log as well as the left side
    return f"{left} CROSS JOIN LATERAL (SELECT * FROM {right} WHERE {on} OFFSET 0) e"


def _each(values: str, subquery: str) -> str:
    return f"unnest({values}) AS v (value) CROSS JOIN LATERAL ({subquery})"


def dialect_of(address: ServerAddress) -> Dialect:
    """Return the dialect for queries on the tables of one store."""
    return Dialect(
        placeholder=_numbered,
        uuid=_unchanged,
        unindexed=_unchanged,
        table=address.table,
        in_order=_in_order,
        each=_each,
        pairs=True,
        max_parameters=MAX_ARGUMENTS,
    )


class EventSql:
    """The statements for the tables of one store."""

    def __init__(self, address: ServerAddress) -> None:
        table = address.table
        joined = f"{table('events')} e LEFT JOIN {table('aggregates')} a ON a.key = e.aggregate_key"
        self.head = AppendSql(address).head
        # One statement, so that the version of the aggregate, in the row without a position, is of the same moment.
        key = f"(SELECT key FROM {table('aggregates')} WHERE name = $1 AND id = $2)"
        self.load = (
            "(SELECT e.position, e.id, e.name_key, NULL::bigint, NULL::bigint, e.version, e.time, e.encoding, e.schema, "
            f"e.data, e.binary_data, e.metadata, e.tags FROM {table('events')} e WHERE e.aggregate_key = {key} "
            "AND e.version > $3 AND e.version <= $4 ORDER BY e.version) UNION ALL "
            "SELECT NULL, NULL, NULL, version, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL "
            f"FROM {table('aggregates')} WHERE name = $1 AND id = $2"
        )
        self.find = f"SELECT {COLUMNS} FROM {joined} WHERE e.id = $1"
        self.aggregates = (
            f"SELECT name, id, version, first_time, last_time FROM {table('aggregates')}",
            "ORDER BY name, id LIMIT $1",
        )
        self.key = f"SELECT key FROM {table('aggregates')} WHERE name = $1 AND id = $2"
        each = "jsonb_array_elements_text(e.tags::jsonb) AS tag"  # none of NULL
        tags = f"SELECT tag, e.position FROM {table('events')} e, {each} WHERE e.aggregate_key = $1"
        self.imports = ImportSql(address)
        self.delete = (
            f"DELETE FROM {table('snapshots')} WHERE name = $1 AND id = $2",
            # positions are never reused, so the head stays where it is
            f"UPDATE {table('store')} SET head = greatest(head, (SELECT max(position) FROM {table('events')}))",
            f"DELETE FROM {table('event_tags')} t WHERE (t.tag, t.position) IN ({tags})",
            f"WITH gone AS (DELETE FROM {table('events')} WHERE aggregate_key = $1 RETURNING 1) SELECT count(*) FROM gone",
            f"DELETE FROM {table('aggregates')} WHERE key = $1",
        )


class PostgresEventRows:
    """Implements `goes_lite.kit.events.EventRows`."""

    page_size = 1024

    def __init__(
        self,
        executor: AnyExecutor,
        sql: EventSql,
        dialect: Dialect,
        reader: RowReader,
        as_stored: RowReader,
        names: Names,
    ) -> None:
        self._executor = executor
        self._sql = sql
        self._dialect = dialect
        self._reader = reader
        self._as_stored = as_stored
        self._names = names

    def load(self, ref: AggregateRef, after: int, upto: int) -> Awaitable[list[Event[Any]]]:
        async def work(connection: Connection) -> list[Event[Any]]:
            rows = await connection.fetch(self._sql.load, ref.name, ref.id, after, upto)
            if not rows:
                return []
            version = rows.pop()[3]
            found = await self._events(connection, rows, whole=ref)
            self._reader.check_whole(ref, found, after, upto, version)
            return found

        return self._executor.read(work)

    async def _events(
        self, connection: Connection, rows: Sequence[Row], *, whole: AggregateRef | None = None
    ) -> list[Event[Any]]:
        found: list[Event[Any]] = []
        names = await self._names.names(connection, {row[NAME_KEY] for row in rows})
        self._reader.read_into(names, rows, found, whole=whole)
        return found

    def page(self, query: EventQuery, after: int, upto: int, limit: int, *, reverse: bool) -> Awaitable[Page]:
        return self._executor.read(partial(self._page, self._reader, query, after, upto, limit, reverse))

    def stored(self, after: int, upto: int, limit: int) -> Awaitable[Page]:
        return self._executor.read(partial(self._page, self._as_stored, EVERYTHING, after, upto, limit, False))

    def news(self, query: EventQuery, after: int, limit: int) -> Awaitable[Page]:
        async def work(connection: Connection) -> Page:
            end = await self._head(connection)
            if end <= after:
                return Page((), after, False)
            return await self._page(self._reader, query, after, end, limit, False, connection)

        return self._executor.read(work)

    async def _page(
        self,
        reader: RowReader,
        query: EventQuery,
        after: int,
        upto: int,
        limit: int,
        reverse: bool,
        connection: Connection,
    ) -> Page:
        spellings = reader.registry.spellings
        page = read_page(COLUMNS, query, self._dialect, spellings, after=after, upto=upto, limit=limit, reverse=reverse)
        rows, last = await answer(page, connection)
        names = await self._names.names(connection, {row[NAME_KEY] for row in rows})
        return page_of(partial(reader.read_into, names, rows), last, upto)

    def find(self, event_id: UUID) -> Awaitable[Event[Any] | None]:
        async def work(connection: Connection) -> Event[Any] | None:
            rows = await connection.fetch(self._sql.find, event_id)
            return next(iter(await self._events(connection, rows)), None)

        return self._executor.read(work)

    def head(self) -> Awaitable[int]:
        return self._executor.read(self._head)

    async def _head(self, connection: Connection) -> int:
        position: int = await connection.fetchval(self._sql.head)
        return position

    async def aggregates(self, name: str | None, after: AggregateRef | None, limit: int) -> list[AggregateRow]:
        parameters: list[Any] = [limit]
        where: list[str] = []
        if after is not None:
            parameters += after
            where.append("(name, id) > ($2, $3)")
        if name is not None:
            parameters.append(name)
            where.append(f"name = ${len(parameters)}")
        select, order = self._sql.aggregates
        sql = f"{select} WHERE {' AND '.join(where) or 'TRUE'} {order}"
        rows = await self._executor.read(lambda connection: connection.fetch(sql, *parameters))
        return [(name, id, version, first, last) for name, id, version, first, last in rows]

    def count(self, query: EventQuery) -> Awaitable[int]:
        async def work(connection: Connection) -> int:
            return await answer(read_count(query, self._dialect, self._reader.registry.spellings), connection)

        return self._executor.read(work)

    def delete(self, ref: AggregateRef) -> Awaitable[int]:
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

        return self._executor.change_log(work)

    def insert(self, imported: Import) -> Awaitable[int]:
        return self._executor.change_log(partial(insert, self._sql.imports, self._names.inside(), imported))
