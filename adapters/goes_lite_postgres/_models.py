"""The ModelStore of PostgreSQL; `goes_lite.contract.model_store.ModelStore` is the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import (
    ModelQuery,
    ModelRecord,
    check_collection,
    check_expected,
    check_model_key,
    check_model_keys,
    check_models,
    check_records,
    check_rename,
    parse_model,
)
from goes_lite.kit.paging import keyset_pages, upper_bound
from goes_lite.kit.sql import MAX_INTEGER
from goes_lite_postgres._documents import conditions, queryable, sort_keys
from goes_lite_postgres._driver import Connection, Row
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._session import AnyExecutor

PAGE = 1024
"""The maximum number of records in a page."""

_COLUMNS = "m.collection, m.id, m.version, m.data"


class ModelSql:
    """The statements for the tables of one store."""

    def __init__(self, address: ServerAddress) -> None:
        table = self.table = address.table("models")
        insert = f"INSERT INTO {table} AS m (collection, id, version, data, plain) "
        written = "DO UPDATE SET version = m.version + 1, data = excluded.data, plain = excluded.plain"
        self.version = f"SELECT version FROM {table} WHERE collection = $1 AND id = $2"
        self.put = f"{insert}VALUES ($1, $2, 1, $3, $4) ON CONFLICT (collection, id) {written} RETURNING version"
        self.put_new = f"{insert}VALUES ($1, $2, 1, $3, $4) ON CONFLICT (collection, id) DO NOTHING RETURNING version"
        self.put_expected = (
            f"UPDATE {table} SET version = version + 1, data = $3, plain = $4 WHERE collection = $1 AND id = $2 "
            "AND version = $5 RETURNING version"
        )
        self.put_many = (
            f"{insert}SELECT $1, w.id, 1, w.data, w.plain FROM unnest($2::text[], $3::text[], $4::text[]) AS w (id, data, plain) "
            f"ON CONFLICT (collection, id) {written}"
        )
        one = "WHERE collection = $1 AND id = $2"
        self.delete = f"DELETE FROM {table} {one} AND ($3::bigint IS NULL OR version = $3) RETURNING 1"
        self.delete_many = f"DELETE FROM {table} WHERE collection = $1 AND id = ANY ($2::text[])"
        self.clear = f"WITH gone AS (DELETE FROM {table} WHERE collection = $1 RETURNING 1) SELECT count(*) FROM gone"
        moved = f"UPDATE {table} SET collection = $2 WHERE collection = $1 RETURNING 1"
        self.rename = f"WITH moved AS ({moved}) SELECT count(*) FROM moved"
        self.collections = (
            f"WITH RECURSIVE found (name) AS (SELECT min(collection) FROM {table} UNION ALL SELECT (SELECT min(collection) "
            f"FROM {table} WHERE collection > found.name) FROM found WHERE found.name IS NOT NULL) "
            "SELECT name FROM found WHERE name IS NOT NULL"
        )
        self.import_many = (
            f"{insert}SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[]) "
            "ON CONFLICT (collection, id) DO UPDATE SET version = excluded.version, data = excluded.data, "
            "plain = excluded.plain"
        )
        self.get = f"SELECT {_COLUMNS} FROM {table} m WHERE m.collection = $1 AND m.id = $2"
        self.get_many = f"SELECT {_COLUMNS} FROM {table} m WHERE m.collection = $1 AND m.id = ANY ($2::text[])"


class PostgresModels:
    """Read models in the table of that name, as JSON text."""

    def __init__(self, executor: AnyExecutor, sql: ModelSql) -> None:
        self._executor = executor
        self._sql = sql

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        check_model_key(collection, id)
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.get, collection, id))
        return ModelRecord(*rows[0]) if rows else None

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        asked = check_model_keys(collection, ids)
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.get_many, collection, asked))
        found = {row[1]: ModelRecord._make(row) for row in rows}
        return {id: found[id] for id in asked if id in found}

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        check_model_key(collection, id)
        parse_model(collection, id, data)
        _check_is_version(collection, id, expected)
        row = (collection, id, data, queryable(data))

        async def work(connection: Connection) -> int:
            version: int | None
            if expected is None:
                version = await connection.fetchval(self._sql.put, *row)
            elif expected == 0:
                version = await connection.fetchval(self._sql.put_new, *row)
            else:
                version = await connection.fetchval(self._sql.put_expected, *row, min(expected, MAX_INTEGER))
            return await self._conflict(connection, collection, id, expected) if version is None else version

        return await self._executor.write(work)

    async def _conflict(self, connection: Connection, collection: str, id: str, expected: int | None) -> int:
        actual: int = await connection.fetchval(self._sql.version, collection, id) or 0
        check_expected(collection, id, expected, actual)
        return actual

    async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        items = sorted(check_models(collection, models))  # one lock order, so that two such writes cannot deadlock
        written = [
            (id, data, queryable(data)) for id, data in items if data is not None and _is_json(collection, id, data)
        ]
        removed = [id for id, data in items if data is None]

        async def work(connection: Connection) -> None:
            if written:
                await connection.execute(self._sql.put_many, collection, *map(list, zip(*written, strict=True)))
            if removed:
                await connection.execute(self._sql.delete_many, collection, removed)

        await self._executor.write(work, exclusive=True)

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        check_model_key(collection, id)
        _check_is_version(collection, id, expected)
        version = None if expected is None else min(expected, MAX_INTEGER)

        async def work(connection: Connection) -> bool:
            if await connection.fetch(self._sql.delete, collection, id, version):
                return True
            await self._conflict(connection, collection, id, expected)
            return False

        return await self._executor.write(work)

    def query(
        self,
        collection: str,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[ModelRecord]:
        check_collection(collection)
        query = ModelQuery(where, order_by, limit, reverse=reverse)
        fixed: list[Any] = [collection]
        clauses = ["m.collection = $1", *conditions(query, fixed)]
        keys = ["m.id"] if query.order_by is None else [*sort_keys(query.order_by, fixed), "m.id"]
        direction, beyond = ("DESC", "<") if reverse else ("ASC", ">")
        casts = ["text"] if len(keys) == 1 else ["integer", "numeric", "text", "text"]
        names = [f"k{number}" for number in range(len(keys))]
        inner = (
            f"SELECT {_COLUMNS}, {', '.join(f'{key} AS {name}' for key, name in zip(keys, names, strict=True))} "
            f"FROM {self._sql.table} m WHERE {' AND '.join(clauses)}"
        )
        order = ", ".join(f"{name} {direction}" for name in names)

        def page(last: list[Any] | None, number: int) -> Awaitable[list[Row]]:
            values = [*fixed]
            sql = inner if last is None else f"SELECT * FROM ({inner}) AS found"
            if last is not None:
                marks: list[str] = []
                for key, cast in zip(last, casts, strict=True):
                    values.append(key)
                    marks.append(f"${len(values)}::{cast}")
                sql += f" WHERE ({', '.join(names)}) {beyond} ({', '.join(marks)})"
            values.append(number)
            sql += f" ORDER BY {order} LIMIT ${len(values)}"
            return self._executor.read(lambda connection: connection.fetch(sql, *values))

        # the id makes the order total, so that a page can begin after the last row of the previous one
        return keyset_pages(page, _key, _record, limit=upper_bound("limit", limit), most=PAGE)

    async def clear(self, collection: str) -> int:
        check_collection(collection)

        async def work(connection: Connection) -> int:
            number: int = await connection.fetchval(self._sql.clear, collection)
            return number

        return await self._executor.write(work, exclusive=True)

    async def rename(self, collection: str, to: str) -> int:
        check_rename(collection, to)

        async def work(connection: Connection) -> int:
            await connection.fetchval(self._sql.clear, to)
            moved: int = await connection.fetchval(self._sql.rename, collection, to)
            return moved

        return await self._executor.write(work, exclusive=True)

    async def collections(self) -> list[str]:
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.collections))
        return [row[0] for row in rows]

    async def import_models(self, records: Iterable[ModelRecord]) -> None:
        rows = [(*record, queryable(record.data)) for record in check_records(records)]
        if rows:
            columns = [*map(list, zip(*rows, strict=True))]
            await self._executor.write(
                lambda connection: connection.execute(self._sql.import_many, *columns), exclusive=True
            )


def _key(row: Row) -> list[Any]:
    return list(row)[4:]


def _record(row: Row) -> ModelRecord:
    return ModelRecord(*list(row)[:4])


def _is_json(collection: str, id: str, data: str) -> bool:
    parse_model(collection, id, data)
    return True


def _check_is_version(collection: str, id: str, expected: int | None) -> None:
    """Raise InvalidQueryError unless `expected` is None or a version."""
    check_expected(collection, id, expected, expected if type(expected) is int else 0)
