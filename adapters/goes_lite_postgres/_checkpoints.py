"""The checkpoint and lease stores of PostgreSQL; `goes_lite.contract.checkpoints` is the contract.

A lease is a row, not a lock of a session, so it works through poolers and outlives the connection. Time is the server's,
unless the runtime has another clock than the system's, as in tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from goes_lite.contract.checkpoints import (
    Checkpoint,
    Lease,
    check_checkpoint,
    check_checkpoints,
    check_lease,
    check_owned_name,
    check_tokens,
    check_ttl,
)
from goes_lite.errors import LeaseHeld, LeaseLost
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.kit.leases import (
    NOBODY,
    Sightings,
    StoredLease,
    check_claim,
    check_current,
    checkpoint,
    held,
    stored_lease,
)
from goes_lite.kit.stored import LEASE
from goes_lite.runtime import Clock, SystemClock
from goes_lite_postgres._driver import Connection
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._session import AnyExecutor

_NOW = "coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"


class CheckpointSql:
    """The statements for the tables of one store."""

    def __init__(self, address: ServerAddress) -> None:
        checkpoints, leases, store = map(address.table, ("checkpoints", "leases", "store"))
        self.all = f"SELECT name, position, store, time FROM {checkpoints} ORDER BY name"
        self.get = f"SELECT name, position, store, time FROM {checkpoints} WHERE name = $1"
        self.save = (
            f"INSERT INTO {checkpoints} (time, name, position, store) "
            f"SELECT {_NOW}, $2::text, $3::bigint, id::text || '/' || epoch::text FROM {store} "
            "ON CONFLICT (name) DO UPDATE SET position = excluded.position, store = excluded.store, time = excluded.time"
        )
        self.import_many = (
            f"INSERT INTO {checkpoints} (name, position, store, time) "
            "SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) ON CONFLICT (name) DO UPDATE "
            "SET position = excluded.position, store = excluded.store, time = excluded.time"
        )
        self.delete = f"DELETE FROM {checkpoints} WHERE name = $1 RETURNING 1"
        self.lease = f"SELECT owner, token, expires FROM {leases} WHERE name = $1"
        self.tokens = f'SELECT name, owner, token, expires FROM {leases} ORDER BY name COLLATE "C"'
        self.import_tokens = (
            f"INSERT INTO {leases} AS l (name, owner, token, expires) "
            "SELECT name, '', token, 0 FROM unnest($1::text[], $2::bigint[]) AS given (name, token) ON CONFLICT (name) DO UPDATE "
            "SET owner = '', token = excluded.token, expires = 0 WHERE l.token < excluded.token"
        )
        # FOR SHARE, so that nobody can take over the lease before the write under it is committed.
        self.keep_lease = f"{self.lease} FOR SHARE"
        self.seen = f"SELECT owner, token, expires, {_NOW} FROM {leases} WHERE name = $2"
        self.take_over = (
            f"UPDATE {leases} SET owner = $2, token = token + 1, expires = {_NOW} + $3::bigint "
            "WHERE name = $4 AND owner = $5 AND token = $6 AND expires = $7 RETURNING token, expires"
        )
        self.acquire = (
            f"INSERT INTO {leases} AS l (name, owner, token, expires) "
            f"SELECT $2::text, $3::text, 1, now + $4::bigint FROM (SELECT {_NOW} AS now) AS clock "
            "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires = excluded.expires, "
            "token = l.token + CASE WHEN l.owner = excluded.owner AND l.expires > excluded.expires - $4::bigint "
            "THEN 0 ELSE 1 END "
            "WHERE l.owner = excluded.owner OR l.expires <= excluded.expires - $4::bigint RETURNING token, expires"
        )
        self.renew = (
            f"UPDATE {leases} SET expires = {_NOW} + $5::bigint "
            "WHERE name = $2 AND owner = $3 AND token = $4 RETURNING expires"
        )
        self.release = (
            f"UPDATE {leases} SET owner = '', expires = 0 WHERE name = $1 AND owner = $2 AND token = $3 RETURNING 1"
        )


def micros(clock: Clock) -> int | None:
    """Return the time of a custom clock, or None for the system's, which the server's replaces."""
    return None if isinstance(clock, SystemClock) else to_micros(clock.now())


class PostgresCheckpoints:
    """Checkpoints in the table of that name."""

    def __init__(self, executor: AnyExecutor, sql: CheckpointSql, clock: Clock) -> None:
        self._executor = executor
        self._sql = sql
        self._clock = clock

    async def get(self, name: str) -> Checkpoint | None:
        check_owned_name(name)
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.get, name))
        return checkpoint(*rows[0]) if rows else None

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        check_checkpoint(name, position, lease)

        async def work(connection: Connection) -> None:
            if lease is not None:
                check_current(lease, await _stored(connection, self._sql.keep_lease, lease.name))
            await connection.execute(self._sql.save, micros(self._clock), name, position)

        await self._executor.write(work)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)
        return bool(await self._executor.write(lambda connection: connection.fetch(self._sql.delete, name)))

    async def all(self) -> list[Checkpoint]:
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.all))
        return [checkpoint(*row) for row in rows]

    async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        rows = [(*one[:3], to_micros(one.time)) for one in check_checkpoints(checkpoints)]
        if rows:
            columns = [*map(list, zip(*rows, strict=True))]
            await self._executor.write(
                lambda connection: connection.execute(self._sql.import_many, *columns), exclusive=True
            )


class PostgresLeases:
    """Leases in the table of that name."""

    def __init__(self, executor: AnyExecutor, sql: CheckpointSql, clock: Clock) -> None:
        self._executor = executor
        self._sql = sql
        self._clock = clock
        self._sightings = Sightings(clock)

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        duration = check_claim(name, owner, ttl)

        async def work(connection: Connection) -> Lease:
            row = await connection.fetchrow(self._sql.acquire, micros(self._clock), name, owner, duration)
            if row is None:
                now = micros(self._clock)
                stored, at = await _seen(connection, self._sql.seen, now, name)
                if self._sightings.judged(name, stored, at)[2] <= at:  # its clock was set back since it was acquired
                    row = await connection.fetchrow(self._sql.take_over, now, owner, duration, name, *stored)
                if row is None:
                    raise LeaseHeld(name, stored[0], from_micros(stored[2]))
            token, until = row
            return Lease(name, owner, token, from_micros(until))

        return self._sightings.note(await self._executor.write(work), duration)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        async def work(connection: Connection) -> Lease:
            until: int | None = await connection.fetchval(
                self._sql.renew, micros(self._clock), lease.name, lease.owner, lease.token, duration
            )
            if until is None:
                check_current(lease, await _stored(connection, self._sql.lease, lease.name))
                raise LeaseLost(lease.name, None, lease.token, lease.token)  # it became current again just now
            return lease._replace(expires=from_micros(until))

        return self._sightings.note(await self._executor.write(work), duration)

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)
        key = (lease.name, lease.owner, lease.token)
        return bool(await self._executor.write(lambda connection: connection.fetch(self._sql.release, *key)))

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)
        now = micros(self._clock)
        stored, at = await self._executor.read(lambda connection: _seen(connection, self._sql.seen, now, name))
        return held(name, self._sightings.judged(name, stored, at), at)

    async def tokens(self) -> dict[str, int]:
        rows = await self._executor.read(lambda connection: connection.fetch(self._sql.tokens))
        return {name: stored_lease(name, row)[1] for name, *row in rows}

    async def import_tokens(self, tokens: Mapping[str, int]) -> None:
        rows = check_tokens(tokens)
        names, numbers = [name for name, _ in rows], [number for _, number in rows]
        await self._executor.write(lambda connection: connection.execute(self._sql.import_tokens, names, numbers))


async def _seen(connection: Connection, sql: str, now: int | None, name: str) -> tuple[StoredLease, int]:
    """Return what is stored of a lease, and the time."""
    row = await connection.fetchrow(sql, now, name)
    if row is None:
        return NOBODY, 0
    *stored, at = row
    owner, token, expires = LEASE.check(stored, name)
    return (owner, token, expires), at


async def _stored(connection: Connection, sql: str, name: str) -> StoredLease:
    row = await connection.fetchrow(sql, name)
    if row is None:
        return NOBODY
    owner, token, expires = row
    return owner, token, expires
