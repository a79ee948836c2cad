"""The checkpoint and lease stores of SQLite; `goes_lite.contract.checkpoints` is the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from goes_lite.contract.checkpoints import (
    Checkpoint,
    Lease,
    check_checkpoint,
    check_checkpoints,
    check_lease,
    check_owned_name,
    check_tokens,
    check_ttl,
    is_instance,
)
from goes_lite.errors import GoesError
from goes_lite.events.fields import to_micros
from goes_lite.kit.leases import (
    NOBODY,
    Sightings,
    StoredLease,
    acquired,
    check_claim,
    check_current,
    checkpoint,
    held,
    renewed,
    stored_lease,
)
from goes_lite.runtime import Clock
from goes_lite.sqlite import _schema
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._executor import AnyExecutor
from goes_lite.sqlite._presence import Presence

_CHECKPOINTS = "SELECT name, position, store, time FROM checkpoints"
_SAVE = (
    "INSERT INTO checkpoints (name, position, store, time) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "position = excluded.position, store = excluded.store, time = excluded.time"
)
_LEASE = "SELECT owner, token, expires FROM leases WHERE name = ?"
_TOKENS = "SELECT name, owner, token, expires FROM leases ORDER BY name"
_CONTINUE = (
    "INSERT INTO leases (name, owner, token, expires) VALUES (?, '', ?, 0) ON CONFLICT (name) DO UPDATE SET "
    "owner = '', token = excluded.token, expires = 0 WHERE token < excluded.token"
)
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
        rows = await self._executor.read(lambda connection: connection.execute(sql, (name,)).fetchall(), brief=True)
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

    async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        rows = [(*one[:3], to_micros(one.time)) for one in check_checkpoints(checkpoints)]
        await self._executor.write(lambda connection: connection.executemany(_SAVE, rows))


class SQLiteLeases:
    """Leases in the table of that name, by the clock of the local machine.

    Instances of processors are present while their handle is open, as others can see: so nobody waits for one that was killed.
    """

    def __init__(self, executor: AnyExecutor, clock: Clock, presence: Presence) -> None:
        self._executor = executor
        self._clock = clock
        self._sightings = Sightings(clock)
        self._presence = presence

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        duration = check_claim(name, owner, ttl)

        def work(connection: Connection) -> Lease:
            now = to_micros(self._clock.now())
            stored = self._judged(name, _stored(connection, name), now)
            return _take(connection, acquired(name, owner, duration, stored, now))

        here = is_instance(owner) and self._presence.enter(owner)
        try:
            return self._sightings.note(await self._executor.write(work), duration)
        except GoesError:
            if here:
                self._presence.leave(owner)
            raise

    def _judged(self, name: str, stored: StoredLease, now: int) -> StoredLease:
        owner, token, _ = stored
        if is_instance(owner) and self._presence.gone(owner):
            return owner, token, 0
        return self._sightings.judged(name, stored, now)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        def work(connection: Connection) -> Lease:
            now = to_micros(self._clock.now())
            return _take(connection, renewed(lease, duration, _stored(connection, lease.name), now))

        return self._sightings.note(await self._executor.write(work), duration)

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)
        sql = "UPDATE leases SET owner = '', expires = 0 WHERE name = ? AND owner = ? AND token = ? RETURNING 1"
        key = (lease.name, lease.owner, lease.token)
        released = await self._executor.write(lambda connection: bool(connection.execute(sql, key).fetchall()))
        self._presence.leave(lease.owner)
        return released

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)
        stored = await self._executor.read(lambda connection: _stored(connection, name), brief=True)
        now = to_micros(self._clock.now())
        return held(name, self._judged(name, stored, now), now)

    async def tokens(self) -> dict[str, int]:
        rows = await self._executor.read(lambda connection: connection.execute(_TOKENS).fetchall())
        return {name: stored_lease(name, row)[1] for name, *row in rows}

    async def import_tokens(self, tokens: Mapping[str, int]) -> None:
        rows = check_tokens(tokens)
        await self._executor.write(lambda connection: connection.executemany(_CONTINUE, rows))


def _stored(connection: Connection, name: str) -> StoredLease:
    rows: Sequence[Any] = connection.execute(_LEASE, (name,)).fetchall()
    return stored_lease(name, rows[0]) if rows else NOBODY


def _take(connection: Connection, lease: Lease) -> Lease:
    connection.execute(_TAKE, (lease.name, lease.owner, lease.token, to_micros(lease.expires)))
    return lease
