"""The SnapshotStore of PostgreSQL; `goes_lite.contract.snapshot_store.SnapshotStore` is the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

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
from goes_lite_postgres._driver import Connection, Row
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._rows import packed, unpacked
from goes_lite_postgres._session import AnyExecutor

PAGE = 128
"""The maximum number of snapshots in a page; a state may be large."""

_COLUMNS = "name, id, version, time, schema, encoding, state, binary_state, deleted"


_KEY: Callable[[tuple[Any, ...]], Any] = itemgetter(0, 1, 2)


def _row(snapshot: Snapshot) -> tuple[Any, ...]:
    ref, version, time, schema, encoding, state, deleted = snapshot
    return (*ref, version, to_micros(time), schema, encoding, *packed(state), deleted)


class SnapshotSql:
    """The statements for the tables of one store."""

    def __init__(self, address: ServerAddress) -> None:
        table = address.table("snapshots")
        self.save = (
            f"INSERT INTO {table} ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
            "ON CONFLICT (name, id, version) DO UPDATE SET time = excluded.time, schema = excluded.schema, "
            "encoding = excluded.encoding, state = excluded.state, binary_state = excluded.binary_state, "
            "deleted = excluded.deleted"
        )
        one = "WHERE name = $1 AND id = $2"
        self.latest = f"SELECT {_COLUMNS} FROM {table} {one} AND version <= $3 ORDER BY version DESC LIMIT 1"
        self.query = (
            f"SELECT {_COLUMNS} FROM {table} WHERE (name, id, version) > ($2, $3, $4)",
            "ORDER BY name, id, version LIMIT $1",
        )
        self.delete = _counted(f"DELETE FROM {table} {one}")
        self.delete_one = _counted(f"DELETE FROM {table} {one} AND version = $3")
        self.prune = _prune(table, "")
        self.prune_one = _prune(table, "WHERE name = $2 AND id = $3")


def _counted(delete: str) -> str:
    return f"WITH gone AS ({delete} RETURNING 1) SELECT count(*) FROM gone"


def _prune(table: str, where: str) -> str:
    rank = "row_number() OVER (PARTITION BY name, id ORDER BY version DESC)"
    ranked = f"SELECT name, id, version, {rank} AS rank FROM {table} {where}"
    old = f"SELECT name, id, version FROM ({ranked}) AS ranked WHERE rank > $1"
    return _counted(f"DELETE FROM {table} WHERE (name, id, version) IN ({old})")


class PostgresSnapshots:
    """Snapshots in the table of that name."""

    def __init__(self, executor: AnyExecutor, sql: SnapshotSql) -> None:
        self._executor = executor
        self._sql = sql

    async def save(self, snapshot: Snapshot) -> None:
        row = _row(check_snapshot(snapshot))
        await self._executor.write(lambda connection: connection.execute(self._sql.save, *row))

    async def save_many(self, snapshots: Iterable[Snapshot]) -> None:
        # by key, so that two such writes cannot deadlock
        rows = sorted(map(_row, check_snapshots(snapshots)), key=_KEY)
        await self._executor.write(lambda connection: connection.executemany(self._sql.save, rows), exclusive=True)

    async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        key = (*aggregate_ref(aggregate), upper_bound("upto", upto))
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.latest, *key))
        return _snapshot(rows[0]) if rows else None

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        wanted, owner = check_snapshot_query(names, aggregate)
        where, fixed = "", list[Any]()
        if wanted:
            fixed.append([*wanted])
            where += f" AND name = ANY (${4 + len(fixed)}::text[])"
        if owner:
            fixed += owner
            where += f" AND name = ${3 + len(fixed)} AND id = ${4 + len(fixed)}"
        select, order = self._sql.query
        sql = f"{select}{where} {order}"

        def page(last: Sequence[Any] | None, number: int) -> Awaitable[list[Row]]:
            values = (number, *(last or ("", "", 0)), *fixed)
            return self._executor.read(lambda connection: connection.fetch(sql, *values))

        return keyset_pages(page, _key, _snapshot, most=PAGE)

    async def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        sql = self._sql.delete if version is None else self._sql.delete_one
        key = (*aggregate_ref(aggregate), *(() if version is None else (upper_bound("version", version),)))
        return await self._erase(sql, *key)

    async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        check_keep(keep)
        sql = self._sql.prune if aggregate is None else self._sql.prune_one
        return await self._erase(sql, min(keep, MAX_INTEGER), *(() if aggregate is None else aggregate_ref(aggregate)))

    async def _erase(self, sql: str, *parameters: Any) -> int:
        async def work(connection: Connection) -> int:
            number: int = await connection.fetchval(sql, *parameters)
            return number

        return await self._executor.write(work, exclusive=True)


def _key(row: Row) -> Sequence[Any]:
    name, id, version = row[:3]
    return name, id, version


def _snapshot(row: Row) -> Snapshot:
    name, id, version, time, schema, encoding, text, binary, deleted = row
    state = unpacked(text, binary)
    SNAPSHOT.check((name, id, version, time, schema, encoding, state, deleted))
    return Snapshot(AggregateRef._make((name, id)), version, from_micros(time), schema, encoding, state, deleted)
