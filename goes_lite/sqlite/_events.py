"""The event store's statements for SQLite, and the conversion of their results."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from uuid import UUID

from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.events import AggregateRow, Page, page_of
from goes_lite.kit.importing import Import
from goes_lite.kit.select import answer, read_count, read_page
from goes_lite.kit.sql import SQLITE
from goes_lite.sqlite._append import head
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._executor import AnyExecutor
from goes_lite.sqlite._import import insert
from goes_lite.sqlite._reads import MOST_ROWS
from goes_lite.sqlite._rows import COLUMNS, RowReader

# One statement, so that the version of the aggregate, which every row has, and its events are of one moment.
_LOAD = (
    "SELECT e.position, e.id, e.name_key, a.version, NULL, e.version, e.time, e.encoding, e.schema, e.data, e.metadata, "
    "e.tags FROM aggregates a LEFT JOIN events e ON e.aggregate_key = a.key AND e.version > ?3 AND e.version <= ?4 "
    "WHERE a.name = ?1 AND a.id = ?2 ORDER BY e.version"
)
_FIND = f"SELECT {COLUMNS} FROM events e LEFT JOIN aggregates a ON a.key = e.aggregate_key WHERE e.id = ?"
_AGGREGATES = "SELECT name, id, version, first_time, last_time FROM aggregates WHERE {where} ORDER BY name, id LIMIT ?"


class SQLiteEventRows:
    """Implements `goes_lite.kit.events.EventRows`."""

    page_size = 1024

    def __init__(self, location: str, executor: AnyExecutor, reader: RowReader, as_stored: RowReader) -> None:
        self._location = location
        self._executor = executor
        self._reader = reader
        self._as_stored = as_stored

    def load(self, ref: AggregateRef, after: int, upto: int) -> Awaitable[list[Event[None]]]:
        def work(connection: Connection) -> list[Event[None]]:
            found: list[Event[None]] = []
            rows = connection.execute(_LOAD, (*ref, after, upto)).fetchall()
            if rows:
                version = rows[0][3]
                if rows[0][0] is not None:  # else it has no such events
                    self._reader.read_into(connection, rows, found, whole=ref)
                self._reader.check_whole(ref, found, after, upto, version)
            return found

        return self._executor.read(work, brief=True)

    def page(self, query: EventQuery, after: int, upto: int, limit: int, *, reverse: bool) -> Awaitable[Page]:
        work = partial(self._page, self._reader, query, after, upto, limit, reverse)
        return self._executor.read(work, brief=limit <= MOST_ROWS)

    def stored(self, after: int, upto: int, limit: int) -> Awaitable[Page]:
        return self._executor.read(partial(self._page, self._as_stored, EVERYTHING, after, upto, limit, False))

    def news(self, query: EventQuery, after: int, limit: int) -> Awaitable[Page]:
        def work(connection: Connection) -> Page:
            end = head(connection)
            if end <= after:
                return Page((), after, False)
            return self._page(self._reader, query, after, end, limit, False, connection)

        return self._executor.read(work)

    def _page(
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
        page = read_page(COLUMNS, query, SQLITE, spellings, after=after, upto=upto, limit=limit, reverse=reverse)
        rows, last = answer(page, lambda sql: connection.execute(*sql).fetchall())
        return page_of(lambda found: reader.read_into(connection, rows, found), last, upto)

    def find(self, event_id: UUID) -> Awaitable[Event[None] | None]:
        def work(connection: Connection) -> Event[None] | None:
            found: list[Event[None]] = []
            rows = connection.execute(_FIND, (event_id.bytes,)).fetchall()
            self._reader.read_into(connection, rows, found)
            return found[0] if found else None

        return self._executor.read(work, brief=True)

    def head(self) -> Awaitable[int]:
        return self._executor.read(head, brief=True)

    def aggregates(self, name: str | None, after: AggregateRef | None, limit: int) -> Awaitable[list[AggregateRow]]:
        lower: tuple[str, str] | None = after
        if name is not None:  # one range of the index: with `name = ?` SQLite would walk there from its first id
            lower = max(after or (name, ""), (name, ""))
        where = ["(name, id) > (?, ?)"] if lower is not None else []
        where += ["name <= ?"] if name is not None else []
        parameters = [*(lower or ()), *(() if name is None else (name,)), limit]
        sql = _AGGREGATES.format(where=" AND ".join(where) or "TRUE")
        return self._executor.read(
            lambda connection: connection.execute(sql, parameters).fetchall(), brief=limit <= MOST_ROWS
        )

    def count(self, query: EventQuery) -> Awaitable[int]:
        def work(connection: Connection) -> int:
            counting = read_count(query, SQLITE, self._reader.registry.spellings)
            return answer(counting, lambda sql: connection.execute(*sql).fetchall())

        return self._executor.read(work)

    def delete(self, ref: AggregateRef) -> Awaitable[int]:
        def work(connection: Connection) -> int:
            execute = connection.execute
            execute("DELETE FROM snapshots WHERE name = ? AND id = ?", ref)
            rows = execute("SELECT key FROM aggregates WHERE name = ? AND id = ?", ref).fetchall()
            if not rows:
                return 0
            execute(
                "DELETE FROM event_tags WHERE (tag, position) IN (SELECT t.value, e.position FROM events e, json_each(e.tags) t "
                "WHERE e.aggregate_key = ? AND e.tags IS NOT NULL)",
                rows[0],
            )
            erased = len(execute("DELETE FROM events WHERE aggregate_key = ? RETURNING 1", rows[0]).fetchall())
            execute("DELETE FROM aggregates WHERE key = ?", rows[0])
            return erased

        return self._executor.write(work)

    def insert(self, imported: Import) -> Awaitable[int]:
        return self._executor.write(partial(insert, self._location, imported))
