"""The SnapshotStore of SQLite; `goes_lite.contract.snapshot_store.SnapshotStore` is the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

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
from goes_lite.sqlite._driver import Connection, Row
from goes_lite.sqlite._executor import AnyExecutor

PAGE = 128
"""The maximum number of snapshots in a page; a state may be large."""

_COLUMNS = "name, id, version, time, schema, encoding, state, deleted"
_SAVE = (
    f"INSERT INTO snapshots ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, id, version) DO UPDATE SET "
    "time = excluded.time, schema = excluded.schema, encoding = excluded.encoding, state = excluded.state, "
    "deleted = excluded.deleted"
)
_LATEST = f"SELECT {_COLUMNS} FROM snapshots WHERE name = ? AND id = ? AND version <= ? ORDER BY version DESC LIMIT 1"
_PRUNE = (
    "DELETE FROM snapshots WHERE key IN (SELECT key FROM (SELECT key, row_number() OVER (PARTITION BY name, id "
    "ORDER BY version DESC) AS rank FROM snapshots {where}) WHERE rank > ?) RETURNING 1"
)


class SQLiteSnapshots:
    """Snapshots in the table of that name."""

    def __init__(self, executor: AnyExecutor) -> None:
        self._executor = executor

    async def save(self, snapshot: Snapshot) -> None:
        row = _row(check_snapshot(snapshot))
        await self._executor.write(lambda connection: connection.execute(_SAVE, row).fetchall())

    async def save_many(self, snapshots: Iterable[Snapshot]) -> None:
        rows = [_row(snapshot) for snapshot in check_snapshots(snapshots)]
        await self._executor.write(lambda connection: connection.executemany(_SAVE, rows))

    async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        key = (*aggregate_ref(aggregate), upper_bound("upto", upto))
        rows = await self._executor.read(lambda connection: connection.execute(_LATEST, key).fetchall(), brief=True)
        return _snapshot(rows[0]) if rows else None

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        wanted, owner = check_snapshot_query(names, aggregate)
        where, fixed = ["(name, id, version) > (?, ?, ?)"], list[str]()
        if wanted:
            where.append(f"name IN ({', '.join('?' * len(wanted))})")
            fixed += wanted
        if owner:
            where.append("name = ? AND id = ?")
            fixed += owner
        sql = f"SELECT {_COLUMNS} FROM snapshots WHERE {' AND '.join(where)} ORDER BY name, id, version LIMIT ?"

        def page(last: Row | None, number: int) -> Awaitable[list[Row]]:
            values = (*(last or ("", "", 0)), *fixed, number)
            return self._executor.read(lambda connection: connection.execute(sql, values).fetchall())

        return keyset_pages(page, _key, _snapshot, most=PAGE)

    async def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        one = "" if version is None else " AND version = ?"
        sql = f"DELETE FROM snapshots WHERE name = ? AND id = ?{one} RETURNING 1"
        key = (*aggregate_ref(aggregate), *(() if version is None else (upper_bound("version", version),)))

        def work(connection: Connection) -> int:
            return len(connection.execute(sql, key).fetchall())

        return await self._executor.write(work)

    async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        check_keep(keep)
        key = (*(() if aggregate is None else aggregate_ref(aggregate)), min(keep, MAX_INTEGER))
        sql = _PRUNE.format(where="" if aggregate is None else "WHERE name = ? AND id = ?")

        def work(connection: Connection) -> int:
            return len(connection.execute(sql, key).fetchall())

        return await self._executor.write(work)


def _row(snapshot: Snapshot) -> Row:
    ref, version, time, schema, encoding, state, deleted = snapshot
    return (*ref, version, to_micros(time), schema, encoding, state, int(deleted))


def _key(row: Row) -> Row:
    return row[:3]


def _snapshot(row: Row) -> Snapshot:
    name, id, version, time, schema, encoding, state, deleted = SNAPSHOT.check(row)
    return Snapshot(AggregateRef._make((name, id)), version, from_micros(time), schema, encoding, state, bool(deleted))
