"""The checkpoint and lease stores of SQLite; `goes_lite.contract.checkpoints` is the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.contract.checkpoints import Checkpoint, Lease, check_checkpoint, check_lease, check_owned_name, check_ttl
from goes_lite.events.fields import to_micros
from goes_lite.kit.leases import NOBODY, StoredLease, acquired, check_claim, check_current, checkpoint, held, renewed
from goes_lite.runtime import Clock
from goes_lite.sqlite import _schema
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._executor import AnyExecutor

_CHECKPOINTS = "SELECT name, position, store, time FROM checkpoints"
_SAVE = (
    "INSERT INTO checkpoints (name, position, store, time) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "position = excluded.position, store = excluded.store, time = excluded.time"
)
_LEASE = "SELECT owner, token, expires FROM leases WHERE name = ?"
_TAKE = (
    "INSERT INTO leases (name, owner, token, expires) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "owner = excluded.owner, token = excluded.token, expires = excluded.expires"
)


class SQLiteCheckpoints:
    """Checkpoints in the table of that name."""

    def __init__(self, executor: AnyExecutor, clock: Clock) -> None:
        self._executor = executor
        self._clock = clock

    async def get(self, name: str) -> Checkpoint | None:
        check_owned_name(name)
        sql = f"{_CHECKPOINTS} WHERE name = ?"
        rows = await self._executor.read(lambda connection: connection.execute(sql, (name,)).fetchall())
        return checkpoint(*rows[0]) if rows else None

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        check_checkpoint(name, position, lease)
        now = to_micros(self._clock.now())

        def work(connection: Connection) -> None:
            if lease is not None:
                check_current(lease, _stored(connection, lease.name))
            connection.execute(_SAVE, (name, position, _schema.identity(connection), now))

        await self._executor.write(work, atomic=True)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)
        sql = "DELETE FROM checkpoints WHERE name = ? RETURNING 1"
        return await self._executor.write(lambda connection: bool(connection.execute(sql, (name,)).fetchall()))

    async def all(self) -> list[Checkpoint]:
        sql = f"{_CHECKPOINTS} ORDER BY name"
        rows = await self._executor.read(lambda connection: connection.execute(sql).fetchall())
        return [checkpoint(*row) for row in rows]


class SQLiteLeases:
    """Leases in the table of that name, by the clock of the local machine."""

    def __init__(self, executor: AnyExecutor, clock: Clock) -> None:
        self._executor = executor
        self._clock = clock

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        duration = check_claim(name, owner, ttl)

        def work(connection: Connection) -> Lease:
            now = to_micros(self._clock.now())
            return _take(connection, acquired(name, owner, duration, _stored(connection, name), now))

        return await self._executor.write(work)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        def work(connection: Connection) -> Lease:
            now = to_micros(self._clock.now())
            return _take(connection, renewed(lease, duration, _stored(connection, lease.name), now))

        return await self._executor.write(work)

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)
        sql = "UPDATE leases SET owner = '', expires = 0 WHERE name = ? AND owner = ? AND token = ? RETURNING 1"
        key = (lease.name, lease.owner, lease.token)
        return await self._executor.write(lambda connection: bool(connection.execute(sql, key).fetchall()))

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)
        stored = await self._executor.read(lambda connection: _stored(connection, name))
        return held(name, stored, to_micros(self._clock.now()))


def _stored(connection: Connection, name: str) -> StoredLease:
    rows: Sequence[Any] = connection.execute(_LEASE, (name,)).fetchall()
    return rows[0] if rows else NOBODY


def _take(connection: Connection, lease: Lease) -> Lease:
    connection.execute(_TAKE, (lease.name, lease.owner, lease.token, to_micros(lease.expires)))
    return lease
