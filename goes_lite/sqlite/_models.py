"""The ModelStore over SQLite; see `goes_lite.model.ModelStore` for what is promised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from goes_lite.errors import InvalidEventError, InvalidQueryError, ModelConflict, ModelError
from goes_lite.event import check_text
from goes_lite.model import ModelRecord
from goes_lite.sql import MAX_INTEGER
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._events import FIRST_PAGE, PAGE, Executor, check_position
from goes_lite.store import Pages

_VERSION = "SELECT version FROM models WHERE collection = ? AND id = ?"
_VALID = "SELECT json_valid(?)"
_PUT = (
    "INSERT INTO models (collection, id, version, data) VALUES (?, ?, 1, ?) ON CONFLICT (collection, id) DO UPDATE "
    "SET version = version + 1, data = excluded.data RETURNING version"
)


class SQLiteModels:
    """Read models in the table of that name, as JSON text."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        _check_key(collection, id)
        sql = "SELECT collection, id, version, data FROM models WHERE collection = ? AND id = ?"
        rows = await self._executor.read(lambda connection: connection.execute(sql, (collection, id)).fetchall())
        return ModelRecord(*rows[0]) if rows else None

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        _check_key(collection, id)
        if not isinstance(data, str):
            raise ModelError(collection, id, f"the data of a model is JSON text, not {type(data).__name__}")

        def work(connection: Connection) -> int:
            if not connection.execute(_VALID, (data,)).fetchall()[0][0]:
                raise ModelError(collection, id, f"the data of the model {id!r:.80} is not JSON: {data!r:.80}")
            _check_version(connection, collection, id, expected)
            version: int = connection.execute(_PUT, (collection, id, data)).fetchall()[0][0]
            return version

        return await self._executor.write(work)

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        _check_key(collection, id)

        def work(connection: Connection) -> bool:
            _check_version(connection, collection, id, expected)
            sql = "DELETE FROM models WHERE collection = ? AND id = ? RETURNING 1"
            return bool(connection.execute(sql, (collection, id)).fetchall())

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
        _check_key(collection)
        clauses, parameters = ["collection = ?"], [collection]
        for field, value in _equalities(where):
            path = _path(field)
            types, comparable = _comparable(field, value)
            clauses.append("json_extract(data, ?) IS ?")
            parameters += [path, comparable]
            if types:  # json_extract answers 1 for true, and the text of an array
                clauses.append(f"json_type(data, ?) IN ({types})")
                parameters.append(path)
        # the id makes the order total, so that a page can begin behind the last row of the one before
        direction, beyond = ("DESC", "<") if reverse else ("ASC", ">")
        ordered = "NULL" if order_by is None else "json_extract(data, ?)"
        sort = [] if order_by is None else [_path(order_by)]
        left = MAX_INTEGER if limit is None else check_position("limit", limit)
        size = FIRST_PAGE
        last: tuple[Any, str] | None = None

        async def fetch() -> Sequence[ModelRecord]:
            nonlocal left, size, last
            if left <= 0:
                return ()
            values: list[Any] = [*sort, *parameters]
            sql = f"SELECT collection, id, version, data, {ordered} AS field FROM models WHERE {' AND '.join(clauses)}"
            if last is not None and order_by is None:
                sql += f" AND id {beyond} ?"
                values.append(last[1])
            elif last is not None:
                # None sorts before every value, so `field IS NULL` takes part as a first, coarser key
                sql = f"SELECT * FROM ({sql}) WHERE (field IS NOT NULL, ifnull(field, 0), id) {beyond} (?, ?, ?)"
                values += [last[0] is not None, 0 if last[0] is None else last[0], last[1]]
            asked = min(size, left)
            sql += f" ORDER BY {'' if order_by is None else f'field {direction}, '}id {direction} LIMIT ?"
            rows = await self._executor.read(lambda connection: connection.execute(sql, (*values, asked)).fetchall())
            left = left - len(rows) if len(rows) == asked else 0
            size = min(size * 4, PAGE)
            if rows:
                last = (rows[-1][4], rows[-1][1])
            return [ModelRecord(*row[:4]) for row in rows]

        return Pages(fetch)

    async def clear(self, collection: str) -> int:
        _check_key(collection)
        sql = "DELETE FROM models WHERE collection = ? RETURNING 1"
        return await self._executor.write(lambda connection: len(connection.execute(sql, (collection,)).fetchall()))


def _check_version(connection: Connection, collection: str, id: str, expected: int | None) -> None:
    if expected is None:
        return
    if type(expected) is not int or expected < 0:
        raise InvalidQueryError(f"expected is a version, an int ≥ 0, not {expected!r:.80}")
    rows = connection.execute(_VERSION, (collection, id)).fetchall()
    actual: int = rows[0][0] if rows else 0
    if actual != expected:
        raise ModelConflict(collection, id, expected, actual)


def _path(field: str) -> str:
    """`customer.city` as a JSON path, each part quoted, so that any name is just a name."""
    parts = field.split(".") if isinstance(field, str) else [""]
    if not all(parts) or '"' in field or "\0" in field or any("\ud800" <= character <= "\udfff" for character in field):
        raise InvalidQueryError(f"a field is a dotted path of names, such as 'customer.city', not {field!r:.80}")
    return "$" + "".join(f'."{part}"' for part in parts)


def _equalities(where: Mapping[str, Any] | None) -> Iterable[tuple[str, Any]]:
    if where is None:
        return ()
    if not isinstance(where, Mapping):
        raise InvalidQueryError(f"where is a mapping of fields to values, not {where!r:.80}")
    return where.items()


def _comparable(field: str, value: Any) -> tuple[str, Any]:
    """The JSON types that equal the value at all, and the value as json_extract would answer it."""
    if value is None:
        return "", None
    if isinstance(value, bool):
        return f"'{str(value).lower()}'", int(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= MAX_INTEGER):
        return "'integer', 'real'", value
    if isinstance(value, str) and "\0" not in value:
        with contextlib.suppress(UnicodeEncodeError):
            value.encode()
            return "'text'", value
    raise InvalidQueryError(
        f"where {field} = {value!r:.80}: only str, int (64 bit), float, bool and None can be compared"
    )


def _check_key(collection: str, id: str | None = None) -> None:
    try:
        check_text(collection, "the name of a collection")
        if id is not None:
            check_text(id, "the id of a model")
    except InvalidEventError as exc:
        raise InvalidQueryError(str(exc)) from None
