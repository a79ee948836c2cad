"""Checkpoints and leases over MongoDB; see `goes_lite.contract.checkpoints` for what is promised.

A released or expired lease keeps its document, so that the fencing token only ever grows. Time is the server's, so
that programs on machines whose clocks differ agree about a lease, unless the handle has a clock of its own.
"""

from __future__ import annotations

from bson.int64 import Int64

from goes_lite.contract.checkpoints import Checkpoint, Lease, check_checkpoint, check_lease, check_owned_name, check_ttl
from goes_lite.errors import LeaseHeld, LeaseLost, StoreDamaged
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.runtime import Clock, SystemClock
from goes_lite_mongo._driver import Collection, Document, Session
from goes_lite_mongo._executor import Executor
from goes_lite_mongo._schema import STORE, Collections


class MongoCheckpoints:
    """Checkpoints in the collection of that name."""

    def __init__(self, executor: Executor, found: Collections, clock: Clock) -> None:
        self._executor = executor
        self._found = found
        self._clock = clock

    async def get(self, name: str) -> Checkpoint | None:
        check_owned_name(name)
        row = await self._executor.read(
            lambda session: self._found.checkpoints.find_one({"_id": name}, session=session)
        )
        return None if row is None else _checkpoint(row)

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        check_checkpoint(name, position, lease)

        async def work(session: Session) -> None:
            if lease is not None:
                # Written to, not only read: then nobody can take the lease over before this is committed.
                held = {"_id": lease.name, "owner": lease.owner, "token": Int64(lease.token)}
                kept = await self._found.leases.update_one(held, {"$inc": {"saves": 1}}, session=session)
                if not kept.matched_count:
                    _check_current(await self._found.leases.find_one({"_id": lease.name}, session=session), lease)
            identity, now = await _identity(self._found, self._clock, session)
            row: Document = {"position": Int64(position), "store": identity, "time": Int64(now)}
            await self._found.checkpoints.replace_one({"_id": name}, row, upsert=True, session=session)

        await self._executor.write(work)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)

        async def work(session: Session) -> bool:
            return (await self._found.checkpoints.delete_one({"_id": name}, session=session)).deleted_count > 0

        return await self._executor.write(work)

    async def all(self) -> list[Checkpoint]:
        async def work(session: Session) -> list[Document]:
            return await self._found.checkpoints.find({}, sort=[("_id", 1)], session=session).to_list()

        return [_checkpoint(row) for row in await self._executor.read(work)]


class MongoLeases:
    """Leases in the collection of that name."""

    def __init__(self, executor: Executor, found: Collections, clock: Clock) -> None:
        self._executor = executor
        self._found = found
        self._leases: Collection = found.leases
        self._clock = clock

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        check_owned_name(name)
        check_owned_name(owner, "the owner of a lease")  # an empty one marks a released lease
        duration = check_ttl(ttl)

        async def work(session: Session) -> Lease:
            _, now = await _identity(self._found, self._clock, session)
            held, token, expires = _parts(await self._leases.find_one({"_id": name}, session=session))
            if expires > now and held != owner:
                raise LeaseHeld(name, held, from_micros(expires))
            if expires <= now or held != owner:
                token += 1
            return await self._take(session, Lease(name, owner, token, from_micros(now + duration)))

        return await self._executor.write(work)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        async def work(session: Session) -> Lease:
            _check_current(await self._leases.find_one({"_id": lease.name}, session=session), lease)
            _, now = await _identity(self._found, self._clock, session)
            return await self._take(session, lease._replace(expires=from_micros(now + duration)))

        return await self._executor.write(work)

    async def _take(self, session: Session, lease: Lease) -> Lease:
        fields = {"owner": lease.owner, "token": Int64(lease.token), "expires": Int64(to_micros(lease.expires))}
        await self._leases.update_one({"_id": lease.name}, {"$set": fields}, upsert=True, session=session)
        return lease

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)
        # an empty owner marks a released lease: nobody can renew it, and the token stays
        held = {"_id": lease.name, "owner": lease.owner, "token": Int64(lease.token)}

        async def work(session: Session) -> bool:
            given = await self._leases.update_one(held, {"$set": {"owner": "", "expires": Int64(0)}}, session=session)
            return given.matched_count > 0

        return await self._executor.write(work)

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)

        async def work(session: Session) -> tuple[Document | None, int]:
            row = await self._leases.find_one({"_id": name}, session=session)
            return row, 0 if row is None else (await _identity(self._found, self._clock, session))[1]

        row, now = await self._executor.read(work)
        owner, token, expires = _parts(row)
        if expires <= now:
            return None
        return Lease(name, owner, token, from_micros(expires))


async def _identity(found: Collections, clock: Clock, session: Session) -> tuple[str, int]:
    """Which store it is, and the time: that of the server, unless the clock is one of the user's."""
    row = await found.store.find_one({"_id": STORE}, {"identity": 1, "now": "$$NOW"}, session=session)
    if row is None:
        raise StoreDamaged(found.store.full_name, "it does not say which store it is")
    return row["identity"], to_micros(row["now"] if isinstance(clock, SystemClock) else clock.now())


def _parts(row: Document | None) -> tuple[str, int, int]:
    return ("", 0, 0) if row is None else (row["owner"], int(row["token"]), int(row["expires"]))


def _check_current(row: Document | None, lease: Lease) -> None:
    owner, token, _ = _parts(row)
    if (owner, token) != (lease.owner, lease.token):
        raise LeaseLost(lease.name, owner or None, lease.token, token)


def _checkpoint(row: Document) -> Checkpoint:
    return Checkpoint(row["_id"], int(row["position"]), row["store"], from_micros(row["time"]))
