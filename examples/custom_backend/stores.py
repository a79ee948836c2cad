"""The stores beside the events: snapshots, read models, checkpoints and leases."""

from __future__ import annotations

import json
import sys
from typing import Any

from goes_lite.checkpoint import Checkpoint, Lease, check_checkpoint, check_lease, check_owned_name, check_ttl
from goes_lite.errors import InvalidEventError, InvalidQueryError, LeaseHeld, LeaseLost
from goes_lite.event import AggregateRef, aggregate_ref, check_text, from_micros, to_micros
from goes_lite.model import ModelQuery, ModelRecord, check_collection, check_expected, check_model_key, parse_model
from goes_lite.runtime import Runtime
from goes_lite.snapshot import Snapshot, check_snapshot
from goes_lite.store import Pages, check_position

from .events import pages
from .records import Change, Session, State, snapshot_record


class JournalSnapshots:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def save(self, snapshot: Snapshot) -> None:
        record = snapshot_record(check_snapshot(snapshot))
        await self._session.write(lambda state: Change(None, [record]))

    async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        ref, last = aggregate_ref(aggregate), sys.maxsize if upto is None else check_position("upto", upto)

        def work(state: State) -> Snapshot | None:
            versions = state.snapshots.get(ref, {})
            return versions.get(max((version for version in versions if version <= last), default=0))

        return await self._session.read(work)

    def query(self, *, names: Any = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
            raise InvalidQueryError(f"names is a collection of aggregate names, not {names!r:.80}")
        try:
            wanted = {check_text(name, "an aggregate name") for name in names}
            only = None if aggregate is None else aggregate_ref(aggregate)
        except InvalidEventError as exc:
            raise InvalidQueryError(str(exc)) from None

        def select(state: State) -> list[Snapshot]:
            refs = sorted(r for r in state.snapshots if only in (None, r) and (not wanted or r.name in wanted))
            return [
                versions[version] for ref in refs for versions in [state.snapshots[ref]] for version in sorted(versions)
            ]

        return pages(self._session, select)

    async def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        ref, only = aggregate_ref(aggregate), None if version is None else check_position("version", version)

        def work(state: State) -> Change[int]:
            return _dropped([(ref, old) for old in state.snapshots.get(ref, ()) if only in (None, old)])

        return await self._session.write(work)

    async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        only = None if aggregate is None else aggregate_ref(aggregate)
        if not check_position("keep", keep):
            raise InvalidQueryError("prune keeps at least the newest snapshot of each aggregate: keep is ≥ 1, not 0")

        def work(state: State) -> Change[int]:
            kept = {ref: sorted(versions)[:-keep] for ref, versions in state.snapshots.items() if only in (None, ref)}
            return _dropped([(ref, version) for ref, versions in kept.items() for version in versions])

        return await self._session.write(work)


def _dropped(snapshots: list[tuple[AggregateRef, int]]) -> Change[int]:
    return Change(len(snapshots), [["no snapshot", *ref, version] for ref, version in snapshots])


class JournalModels:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        check_model_key(collection, id)
        return await self._session.read(lambda state: state.models.get(collection, {}).get(id))

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        check_model_key(collection, id)
        parse_model(collection, id, data)

        def work(state: State) -> Change[int]:
            stored = state.models.get(collection, {}).get(id)
            version = stored.version if stored else 0
            check_expected(collection, id, expected, version)
            return Change(version + 1, [["model", collection, id, version + 1, data]])

        return await self._session.write(work)

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        check_model_key(collection, id)

        def work(state: State) -> Change[bool]:
            stored = state.models.get(collection, {}).get(id)
            check_expected(collection, id, expected, stored.version if stored else 0)
            return Change(stored is not None, [["no model", collection, id]] if stored else ())

        return await self._session.write(work)

    def query(
        self,
        collection: str,
        *,
        where: Any = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[ModelRecord]:
        check_collection(collection)
        query = ModelQuery(where, order_by, limit, reverse=reverse)

        def select(state: State) -> list[ModelRecord]:
            records = [(record, json.loads(record.data)) for record in state.models.get(collection, {}).values()]
            found = [
                (query.key(record.id, document), record) for record, document in records if query.matches(document)
            ]
            return [record for _, record in sorted(found, reverse=reverse)][:limit]

        return pages(self._session, select)

    async def clear(self, collection: str) -> int:
        check_collection(collection)

        def work(state: State) -> Change[int]:
            ids = [*state.models.get(collection, ())]
            return Change(len(ids), [["no model", collection, id] for id in ids])

        return await self._session.write(work)


class JournalCheckpoints:
    def __init__(self, session: Session, runtime: Runtime) -> None:
        self._session = session
        self._clock = runtime.clock

    async def get(self, name: str) -> Checkpoint | None:
        check_owned_name(name)
        return await self._session.read(lambda state: state.checkpoints.get(name))

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        check_checkpoint(name, position, lease)

        def work(state: State) -> Change[None]:
            if lease is not None:
                _check_current(state, lease)
            return Change(None, [["checkpoint", name, position, to_micros(self._clock.now())]])

        await self._session.write(work)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)

        def work(state: State) -> Change[bool]:
            there = name in state.checkpoints
            return Change(there, [["no checkpoint", name]] if there else ())

        return await self._session.write(work)

    async def all(self) -> list[Checkpoint]:
        return await self._session.read(lambda state: [state.checkpoints[name] for name in sorted(state.checkpoints)])


FREE = ("", 0, 0)


def _check_current(state: State, lease: Lease) -> None:
    owner, token, _ = state.leases.get(lease.name, FREE)
    if (owner, token) != (lease.owner, lease.token):
        raise LeaseLost(lease.name, owner or None, lease.token, token)


class JournalLeases:
    """A released lease keeps its token, so that tokens only ever grow."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self._session = session
        self._clock = runtime.clock

    def _now(self) -> int:
        return to_micros(self._clock.now())

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        check_owned_name(name)
        check_owned_name(owner, "the owner of a lease")
        duration = check_ttl(ttl)

        def work(state: State) -> Change[Lease]:
            now = self._now()
            holder, token, end = state.leases.get(name, FREE)
            if end > now and holder != owner:
                raise LeaseHeld(name, holder, from_micros(end))
            token += end <= now
            return Change(
                Lease(name, owner, token, from_micros(now + duration)), [["lease", name, owner, token, now + duration]]
            )

        return await self._session.write(work)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        def work(state: State) -> Change[Lease]:
            _check_current(state, lease)
            end = self._now() + duration
            return Change(lease._replace(expires=from_micros(end)), [["lease", *lease[:3], end]])

        return await self._session.write(work)

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)

        def work(state: State) -> Change[bool]:
            held = state.leases.get(lease.name, FREE)[:2] == (lease.owner, lease.token)
            return Change(held, [["lease", lease.name, "", lease.token, 0]] if held else ())

        return await self._session.write(work)

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)

        def work(state: State) -> Lease | None:
            owner, token, end = state.leases.get(name, FREE)
            return Lease(name, owner, token, from_micros(end)) if end > self._now() else None

        return await self._session.read(work)
