"""The checkpoint and lease stores of MongoDB; `goes_lite.contract.checkpoints` is the contract.

Time is the server's, so that machines with different clocks agree about a lease, unless the runtime has another clock than
the system's, as in tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bson.int64 import Int64

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
from goes_lite.errors import StoreDamaged
from goes_lite.events.fields import from_micros, to_micros
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
from goes_lite.runtime import Clock, SystemClock
from goes_lite_mongo._documents import of_collection
from goes_lite_mongo._driver import ClientSession, Collection, Document
from goes_lite_mongo._schema import STORE, Collections
from goes_lite_mongo._session import AnyExecutor


class MongoCheckpoints:
    """Checkpoints in the collection of that name."""

    def __init__(self, executor: AnyExecutor, found: Collections, clock: Clock) -> None:
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

        async def work(session: ClientSession) -> None:
            if lease is not None:
                # A write, not only a read, so that nobody can take over the lease before this is committed.
                held = {"_id": lease.name, "owner": lease.owner, "token": Int64(lease.token)}
                kept = await self._found.leases.update_one(held, {"$inc": {"saves": 1}}, session=session)
                if not kept.matched_count:
                    check_current(
                        lease, _stored(await self._found.leases.find_one({"_id": lease.name}, session=session))
                    )
            identity, now = await _identity(self._found, self._clock, session)
            row: Document = {"position": Int64(position), "store": identity, "time": Int64(now)}
            await self._found.checkpoints.replace_one({"_id": name}, row, upsert=True, session=session)

        await self._executor.write(work)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)

        async def work(session: ClientSession) -> bool:
            return (await self._found.checkpoints.delete_one({"_id": name}, session=session)).deleted_count > 0

        return await self._executor.write(work)

    async def all(self) -> list[Checkpoint]:
        async def work(session: ClientSession) -> list[Document]:
            return await self._found.checkpoints.find({}, sort=[("_id", 1)], session=session).to_list()

        return [_checkpoint(row) for row in await self._executor.read(work)]

    async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        rows: list[Document] = [
            {"_id": name, "position": Int64(position), "store": store, "time": Int64(to_micros(time))}
            for name, position, store, time in check_checkpoints(checkpoints)
        ]

        async def work(session: ClientSession) -> None:
            for row in rows:
                await self._found.checkpoints.replace_one({"_id": row["_id"]}, row, upsert=True, session=session)

        await self._executor.write(work)


class MongoLeases:
    """Leases in the collection of that name."""

    def __init__(self, executor: AnyExecutor, found: Collections, clock: Clock) -> None:
        self._executor = executor
        self._found = found
        self._leases: Collection = found.leases
        self._clock = clock
        self._sightings = Sightings(clock)

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        duration = check_claim(name, owner, ttl)

        async def work(session: ClientSession) -> Lease:
            _, now = await _identity(self._found, self._clock, session)
            stored = _stored(await self._leases.find_one({"_id": name}, session=session))
            return await self._take(
                session, acquired(name, owner, duration, self._sightings.judged(name, stored, now), now)
            )

        return self._sightings.note(await self._executor.write(work), duration)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        async def work(session: ClientSession) -> Lease:
            stored = _stored(await self._leases.find_one({"_id": lease.name}, session=session))
            _, now = await _identity(self._found, self._clock, session)
            return await self._take(session, renewed(lease, duration, stored, now))

        return self._sightings.note(await self._executor.write(work), duration)

    async def _take(self, session: ClientSession, lease: Lease) -> Lease:
        fields = {"owner": lease.owner, "token": Int64(lease.token), "expires": Int64(to_micros(lease.expires))}
        await self._leases.update_one({"_id": lease.name}, {"$set": fields}, upsert=True, session=session)
        return lease

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)
        held = {"_id": lease.name, "owner": lease.owner, "token": Int64(lease.token)}

        async def work(session: ClientSession) -> bool:
            given = await self._leases.update_one(held, {"$set": {"owner": "", "expires": Int64(0)}}, session=session)
            return given.matched_count > 0

        return await self._executor.write(work)

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)

        async def work(session: ClientSession) -> tuple[Document | None, int]:
            row = await self._leases.find_one({"_id": name}, session=session)
            return row, 0 if row is None else (await _identity(self._found, self._clock, session))[1]

        row, now = await self._executor.read(work)
        return held(name, self._sightings.judged(name, _stored(row), now), now)

    async def tokens(self) -> dict[str, int]:
        async def work(session: ClientSession) -> list[Document]:
            return await self._leases.find({}, session=session).sort("_id").to_list()

        return {row["_id"]: _lease(row)[1] for row in await self._executor.read(work)}

    async def import_tokens(self, tokens: Mapping[str, int]) -> None:
        rows = check_tokens(tokens)

        async def work(session: ClientSession) -> None:
            there = {row["_id"]: _lease(row)[1] async for row in self._leases.find({}, session=session)}
            for name, token in rows:
                if there.get(name, 0) < token:
                    await self._take(session, Lease(name, "", token, from_micros(0)))

        await self._executor.write(work)


async def _identity(found: Collections, clock: Clock, session: ClientSession) -> tuple[str, int]:
    """Return the store's identity and the time: the server's, unless the clock is not the system's."""
    row = await found.store.find_one({"_id": STORE}, {"identity": 1, "now": "$$NOW"}, session=session)
    if row is None:
        raise StoreDamaged(found.store.full_name, "its document with the identity of the store is missing")
    return row["identity"], to_micros(row["now"] if isinstance(clock, SystemClock) else clock.now())


def _stored(row: Document | None) -> StoredLease:
    return NOBODY if row is None else _lease(row)


@of_collection("leases")
def _lease(row: Document) -> StoredLease:
    return stored_lease(row["_id"], (row["owner"], int(row["token"]), int(row["expires"])))


@of_collection("checkpoints")
def _checkpoint(row: Document) -> Checkpoint:
    return checkpoint(row["_id"], int(row["position"]), row["store"], row["time"])
