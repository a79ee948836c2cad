"""The EventStore over SQLite: on the backend's own connections, or inside a user's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from goes_lite.contract.commits import Published
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, Pages, check_condition
from goes_lite.errors import GoesError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref, from_micros
from goes_lite.events.query import EVERYTHING, EventQuery, check_query
from goes_lite.kit.batch import check_batch
from goes_lite.kit.paging import aggregate_pages, check_position, follow_pages, query_pages
from goes_lite.kit.sql import MAX_INTEGER, SQLITE, count, select
from goes_lite.sqlite._append import Append, head
from goes_lite.sqlite._driver import Connection, Driver
from goes_lite.sqlite._rows import COLUMNS, RowReader

T = TypeVar("T")

PAGE = 1024
"""The most events of a page."""

_LOAD = (
    "SELECT e.position, e.id, e.name_key, NULL, NULL, e.version, e.time, e.encoding, e.schema, e.data, e.metadata, e.tags "
    "FROM events e WHERE e.aggregate_key = (SELECT key FROM aggregates WHERE name = ? AND id = ?) "
    "AND e.version > ? AND e.version <= ? ORDER BY e.version"
)
_FIND = f"SELECT {COLUMNS} FROM events e LEFT JOIN aggregates a ON a.key = e.aggregate_key WHERE e.id = ?"
_AGGREGATES = "SELECT name, id, version, first_time, last_time FROM aggregates WHERE {where} ORDER BY name, id LIMIT ?"


class Executor(Protocol):
    """Where operations run: on the backend's connections, or inside one transaction."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...
    def write(self, work: Callable[[Connection], T], committed: Callable[[T], None] | None = None) -> Awaitable[T]: ...
    async def wait(self, seen: int) -> None:
        """Until something may have been committed since the signal's count was `seen`."""
        ...

    @property
    def commits(self) -> int:
        """The signal's count, to be read before looking."""
        ...


class SQLiteEvents:
    """See `goes_lite.contract.event_store.EventStore` for what is promised."""

    def __init__(self, executor: Executor, driver: Driver, reader: RowReader, published: Published) -> None:
        self._executor = executor
        self._driver = driver
        self._reader = reader
        self._published = published

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events)
        if not batch.events:
            await self._executor.read(head)  # nothing to write, but a closed store says that it is closed
            return Appended(())
        if condition is not None:
            check_condition(condition)
        append = Append(batch, condition, self._reader.registry, self._driver)

        def committed(appended: Appended) -> None:
            if not appended.already_committed:
                try:  # as `publish` does, which would be one call more for each append
                    self._published(batch.events, append.before)
                except Exception:
                    import logging  # where nothing goes wrong, nobody pays for it

                    logging.getLogger("goes_lite").exception("publishing %d committed events failed", len(batch.events))

        return await self._executor.write(append.run, committed)

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        ref = aggregate_ref(aggregate)
        first, last = check_position("after", after), MAX_INTEGER if upto is None else check_position("upto", upto)

        def work(connection: Connection) -> list[Event[Any]]:
            rows = connection.execute(_LOAD, (*ref, first, last)).fetchall()
            return self._reader.events(connection, rows, whole=ref)

        return await self._executor.read(work)

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
            def work(connection: Connection) -> tuple[Sequence[Event[Any]], int, bool, int]:
                end = high if bounded else min(high, head(connection))
                return *self._page(connection, query, low, end, limit, reverse=reverse), end

            return self._executor.read(work)

        return query_pages(page, after=after, upto=upto, limit=limit, reverse=reverse, most=PAGE)

    def _page(
        self, connection: Connection, query: EventQuery, low: int, high: int, limit: int, *, reverse: bool = False
    ) -> tuple[list[Event[Any]], int, bool]:
        """The events of a page, the position up to which it tells all, and whether there may be more behind it."""
        registry = self._reader.registry
        page = select(COLUMNS, query, SQLITE, registry.spellings, after=low, upto=high, limit=limit, reverse=reverse)
        rows = connection.execute(page.text, page.parameters).fetchall()
        events: list[Event[Any]] = []
        try:
            self._reader.read_into(connection, rows, events)
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

        def work(connection: Connection) -> Event[Any] | None:
            rows = connection.execute(_FIND, (event_id.bytes,)).fetchall()
            return next(iter(self._reader.events(connection, rows)), None)

        return await self._executor.read(work)

    async def head(self) -> int:
        return await self._executor.read(head)

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        async def page(behind: AggregateRef | None, number: int) -> list[AggregateInfo]:
            where = ["(name, id) > (?, ?)"] if behind is not None else []
            where += ["name = ?"] if name is not None else []
            parameters = [*(behind or ()), *(() if name is None else (name,)), number]
            sql = _AGGREGATES.format(where=" AND ".join(where) or "TRUE")
            rows = await self._executor.read(lambda connection: connection.execute(sql, parameters).fetchall())
            return [
                AggregateInfo(AggregateRef._make((n, i)), version, from_micros(first), from_micros(last))
                for n, i, version, first, last in rows
            ]

        return aggregate_pages(page, name, after=after, limit=limit, most=PAGE)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        check_query(query)
        counted = count(query, SQLITE, self._reader.registry.spellings)
        rows = await self._executor.read(
            lambda connection: connection.execute(counted.text, counted.parameters).fetchall()
        )
        number: int = rows[0][0]
        return number

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        check_query(query)

        def page(cursor: int) -> Awaitable[tuple[Sequence[Event[Any]], int]]:
            def work(connection: Connection) -> tuple[Sequence[Event[Any]], int]:
                end = head(connection)
                if end <= cursor:
                    return [], cursor
                events, edge, _ = self._page(connection, query, cursor, end, PAGE)
                return events, edge

            return self._executor.read(work)

        return follow_pages(page, self._executor, after=after)

    async def delete(self, aggregate: AggregateRef) -> int:
        ref = aggregate_ref(aggregate)

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

        return await self._executor.write(work)
