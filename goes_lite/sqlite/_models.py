"""The ModelStore of SQLite; `goes_lite.contract.model_store.ModelStore` is the contract."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Iterable, Iterator, Mapping
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
from goes_lite.errors import ModelError
from goes_lite.kit.paging import keyset_pages, upper_bound
from goes_lite.kit.stored import MODEL
from goes_lite.sqlite._driver import Connection, Row
from goes_lite.sqlite._executor import AnyExecutor
from goes_lite.sqlite._reads import MOST_ROWS

PAGE = 1024
"""The maximum number of records in a page."""
BRIEF = 4096
"""A model with more letters than these is not written on the thread of an event loop."""

_VERSION = "SELECT version FROM models WHERE collection = ? AND id = ?"
_VALID = "SELECT json_valid(?)"
_PUT = (
    "INSERT INTO models (collection, id, version, data) VALUES (?, ?, 1, ?) ON CONFLICT (collection, id) DO UPDATE "
    "SET version = version + 1, data = excluded.data RETURNING version"
)
_PUT_VALID = (
    # invalid JSON becomes NULL, which the table refuses
    "INSERT INTO models (collection, id, version, data) VALUES (?, ?, 1, iif(json_valid(?3), ?3, NULL)) "
    "ON CONFLICT (collection, id) DO UPDATE SET version = version + 1, data = excluded.data"
)
_DELETE = "DELETE FROM models WHERE collection = ? AND id = ?"
_CLEAR = "DELETE FROM models WHERE collection = ?"
_RENAME = "UPDATE models SET collection = ? WHERE collection = ?"
_GET = "SELECT collection, id, version, data FROM models WHERE collection = ? AND id = ?"
# one statement, so that all are of one moment; CROSS JOIN looks up the ids in the table, never the table's rows in the ids
_GET_MANY = (
    "SELECT m.collection, m.id, m.version, m.data FROM json_each(?) AS asked CROSS JOIN models AS m "
    "ON m.collection = ? AND m.id = asked.value"
)
_NEXT = "SELECT collection FROM models WHERE collection > ? ORDER BY collection LIMIT 1"
_IMPORT = (
    "INSERT INTO models (collection, id, version, data) VALUES (?, ?, ?, ?) ON CONFLICT (collection, id) DO UPDATE "
    "SET version = excluded.version, data = excluded.data"
)
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|.)")


class SQLiteModels:
    """Read models in the table of that name, as JSON text."""

    def __init__(self, executor: AnyExecutor) -> None:
        self._executor = executor

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        check_model_key(collection, id)
        key = (collection, id)
        rows = await self._executor.read(lambda connection: connection.execute(_GET, key).fetchall(), brief=True)
        return ModelRecord._make(MODEL.check(rows[0])) if rows else None

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        asked = check_model_keys(collection, ids)
        text = json.dumps(asked, ensure_ascii=False)

        def work(connection: Connection) -> dict[str, ModelRecord]:
            rows = connection.execute(_GET_MANY, (text, collection)).fetchall()
            found = {row[1]: ModelRecord._make(MODEL.check(row)) for row in rows}
            return {id: found[id] for id in asked if id in found}

        return await self._executor.read(work, brief=len(asked) <= MOST_ROWS)

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        check_model_key(collection, id)

        def work(connection: Connection) -> int:
            _check_json(connection, collection, id, data)
            _check_version(connection, collection, id, expected)
            version: int = connection.execute(_PUT, (collection, id, _plain(data))).fetchall()[0][0]
            return version

        return await self._executor.write(work, atomic=True, brief=_is_brief(data))

    async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        items = check_models(collection, models)
        written = [(id, data) for id, data in items if data is not None]
        removed = [(collection, id) for id, data in items if data is None]

        def work(connection: Connection) -> None:
            try:
                connection.executemany(_PUT_VALID, _rows(connection, collection, written))
            except Exception:
                for id, data in written:
                    _check_json(connection, collection, id, data)
                raise
            connection.executemany(_DELETE, removed)

        await self._executor.write(work, atomic=len(items) == 1, brief=all(_is_brief(data) for _, data in items))

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        check_model_key(collection, id)

        def work(connection: Connection) -> bool:
            _check_version(connection, collection, id, expected)
            return bool(connection.execute(f"{_DELETE} RETURNING 1", (collection, id)).fetchall())

        return await self._executor.write(work, atomic=True)

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
        clauses, parameters = ["collection = ?"], list[Any]((collection,))
        query = ModelQuery(where, order_by, limit, reverse=reverse)
        for names, value in query.where:
            path = _path(names)
            types, comparable = _comparable(value)
            clauses.append("json_extract(data, ?) IS ?")
            parameters += [path, comparable]
            if types:  # json_extract returns 1 for true, and an array as text
                clauses.append(f"json_type(data, ?) IN ({types})")
                parameters.append(path)
        direction, beyond = ("DESC", "<") if reverse else ("ASC", ">")
        ordered = "NULL" if query.order_by is None else "json_extract(data, ?)"
        found = f"SELECT collection, id, version, data, {ordered} AS field FROM models WHERE {' AND '.join(clauses)}"
        fixed = [*([] if query.order_by is None else [_path(query.order_by)]), *parameters]
        order = f"ORDER BY {'' if order_by is None else f'field {direction}, '}id {direction} LIMIT ?"

        def page(last: Row | None, number: int) -> Awaitable[list[Row]]:
            sql, values = found, [*fixed]
            if last is not None and order_by is None:
                sql += f" AND id {beyond} ?"
                values.append(last[0])
            elif last is not None:
                # None sorts before every value, so `field IS NULL` takes part as a first, coarser key
                sql = f"SELECT * FROM ({sql}) WHERE (field IS NOT NULL, ifnull(field, 0), id) {beyond} (?, ?, ?)"
                values += [last[1] is not None, 0 if last[1] is None else last[1], last[0]]
            return self._executor.read(
                lambda connection: connection.execute(f"{sql} {order}", (*values, number)).fetchall(),
                brief=number <= MOST_ROWS,
            )

        # the id makes the order total, so that a page can begin after the last row of the previous one
        return keyset_pages(page, _key, _record, limit=upper_bound("limit", limit), most=PAGE)

    async def clear(self, collection: str) -> int:
        check_collection(collection)
        sql = f"{_CLEAR} RETURNING 1"
        return await self._executor.write(lambda connection: len(connection.execute(sql, (collection,)).fetchall()))

    async def rename(self, collection: str, to: str) -> int:
        check_rename(collection, to)

        def work(connection: Connection) -> int:
            connection.execute(_CLEAR, (to,))
            connection.execute(_RENAME, (to, collection))
            moved: int = connection.execute("SELECT changes()").fetchall()[0][0]
            return moved

        return await self._executor.write(work)

    async def collections(self) -> list[str]:
        def work(connection: Connection) -> list[str]:
            names = [""]  # one look into the index for each collection, however many records it has
            while rows := connection.execute(_NEXT, (names[-1],)).fetchall():
                names.append(rows[0][0])
            return names[1:]

        return await self._executor.read(work)

    async def import_models(self, records: Iterable[ModelRecord]) -> None:
        found = check_records(records)

        def work(connection: Connection) -> None:
            for record in found:
                _check_json(connection, record.collection, record.id, record.data)
            connection.executemany(_IMPORT, [record._replace(data=_plain(record.data)) for record in found])

        await self._executor.write(work)


def _key(row: Row) -> Row:
    return row[1], row[4]


def _record(row: Row) -> ModelRecord:
    return ModelRecord._make(MODEL.check(row[:4]))


def _rows(connection: Connection, collection: str, written: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield the rows for the statement of `put_many`; invalid JSON raises, here or there."""
    for id, data in written:
        if type(data) is not str or "\0" in data or "\\u" in data:
            _check_json(connection, collection, id, data)
            yield collection, id, _plain(data)
        else:
            yield collection, id, data


def _check_json(connection: Connection, collection: str, id: str, data: str) -> None:
    if not _is_json(connection, data):
        parse_model(collection, id, data)  # raises with the details
        raise ModelError(collection, id, f"the data of the model {id!r:.80} is nested too deep: {data!r:.80}")


def _is_json(connection: Connection, data: object) -> bool:
    try:
        return (
            isinstance(data, str)
            and "\0" not in data  # where the text would end for SQLite
            and bool(connection.execute(_VALID, (data,)).fetchall()[0][0])
        )
    except UnicodeEncodeError:
        return False


def _check_version(connection: Connection, collection: str, id: str, expected: int | None) -> None:
    if expected is not None:
        rows = connection.execute(_VERSION, (collection, id)).fetchall()
        check_expected(collection, id, expected, rows[0][0] if rows else 0)


def _path(names: tuple[str, ...]) -> str:
    """Return a JSON path in which each name is quoted, so that none has a special meaning."""
    return "$" + "".join(f'."{name}"' for name in names)


def _comparable(value: Any) -> tuple[str, Any]:
    """Return the JSON types that can equal the value, and the value as json_extract returns it."""
    if value is None:
        return "", None
    if isinstance(value, bool):
        return f"'{str(value).lower()}'", int(value)
    return ("'text'", value) if isinstance(value, str) else ("'integer', 'real'", value)


def _is_brief(data: str | None) -> bool:
    """Whether checking and writing a model takes hardly any time: its letters may be escaped, one by one."""
    return data is None or (isinstance(data, str) and len(data) <= BRIEF)


def _plain(data: str) -> str:
    """Return the JSON without escaped letters: paths in older versions of SQLite do not find keys with them."""
    return _ESCAPE.sub(_unescaped, data) if "\\u" in data else data


def _unescaped(escape: re.Match[str]) -> str:
    text: str = json.loads(f'"{escape[0]}"')
    return text if text.isprintable() and text not in '"\\' else escape[0]
