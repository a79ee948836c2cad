"""Checkpoints and leases over SQLite; see `goes_lite.contract.checkpoints` for what is promised.

A released or expired lease keeps its row, so that the fencing token only ever grows.
"""

from __future__ import annotations

from goes_lite.contract.checkpoints import Checkpoint, Lease, check_checkpoint, check_lease, check_owned_name, check_ttl
from goes_lite.errors import LeaseHeld, LeaseLost
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.runtime import Clock
from goes_lite.sqlite import _schema
from goes_lite.sqlite._driver import Connection, Row
from goes_lite.sqlite._events import Executor

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

    def __init__(self, executor: Executor, clock: Clock) -> None:
        self._executor = executor
        self._clock = clock

    async def get(self, name: str) -> Checkpoint | None:
        check_owned_name(name)
        sql = f"{_CHECKPOINTS} WHERE name = ?"
        rows = await self._executor.read(lambda connection: connection.execute(sql, (name,)).fetchall())
        return _checkpoint(rows[0]) if rows else None

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        check_checkpoint(name, position, lease)
        now = to_micros(self._clock.now())

        def work(connection: Connection) -> None:
            if lease is not None:
                _check_current(connection, lease)
            connection.execute(_SAVE, (name, position, _schema.identity(connection), now))

        await self._executor.write(work)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)
        sql = "DELETE FROM checkpoints WHERE name = ? RETURNING 1"
        return await self._executor.write(lambda connection: bool(connection.execute(sql, (name,)).fetchall()))

    async def all(self) -> list[Checkpoint]:
        sql = f"{_CHECKPOINTS} ORDER BY name"
        rows = await self._executor.read(lambda connection: connection.execute(sql).fetchall())
        return [_checkpoint(row) for row in rows]


class SQLiteLeases:
    """Leases in the table of that name, by the clock of the machine that has the file."""

    def __init__(self, executor: Executor, clock: Clock) -> None:
        self._executor = executor
        self._clock = clock

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        check_owned_name(name)
        check_owned_name(owner, "the owner of a lease")  # an empty one marks a released lease
        duration = check_ttl(ttl)

        def work(connection: Connection) -> Lease:
            now = to_micros(self._clock.now())
            rows = connection.execute(_LEASE, (name,)).fetchall()
            held, token, expires = rows[0] if rows else ("", 0, 0)
            if expires > now and held != owner:
                raise LeaseHeld(name, held, from_micros(expires))
            if expires <= now or held != owner:
                token += 1
            until = now + duration
            connection.execute(_TAKE, (name, owner, token, until))
            return Lease(name, owner, token, from_micros(until))

        return await self._executor.write(work)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        def work(connection: Connection) -> Lease:
            _check_current(connection, lease)
            until = to_micros(self._clock.now()) + duration
            connection.execute(_TAKE, (lease.name, lease.owner, lease.token, until))
            return lease._replace(expires=from_micros(until))

        return await self._executor.write(work)

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)
        # an empty owner marks a released lease: nobody can renew it, and the token stays
        sql = "UPDATE leases SET owner = '', expires = 0 WHERE name = ? AND owner = ? AND token = ? RETURNING 1"
        key = (lease.name, lease.owner, lease.token)
        return await self._executor.write(lambda connection: bool(connection.execute(sql, key).fetchall()))

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)
        rows = await self._executor.read(lambda connection: connection.execute(_LEASE, (name,)).fetchall())
        if not rows or rows[0][2] <= to_micros(self._clock.now()):
            return None
        owner, token, expires = rows[0]
        return Lease(name, owner, token, from_micros(expires))


def _check_current(connection: Connection, lease: Lease) -> None:
    rows = connection.execute(_LEASE, (lease.name,)).fetchall()
    owner, token, _ = rows[0] if rows else ("", 0, 0)
    if (owner, token) != (lease.owner, lease.token):
        raise LeaseLost(lease.name, owner or None, lease.token, token)


def _checkpoint(row: Row) -> Checkpoint:
    name, position, store, time = row
    return Checkpoint(name, position, store, from_micros(time))
