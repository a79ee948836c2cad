"""How an aggregate is loaded: from the cache or a snapshot where one fits, and always from its events.

Only the events decide. A cached or snapshotted state is used only if the store still has the very event that it was taken
after; so it does not matter whether the aggregate was changed, deleted or recreated elsewhere in the meantime.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from goes_lite.aggregate import Aggregate, last_event, resume
from goes_lite.aggregate.snapshots import unpack
from goes_lite.contract.event_store import EventStore
from goes_lite.contract.snapshot_store import Snapshot, SnapshotStore
from goes_lite.errors import AggregateNotFound, VersionNotFound
from goes_lite.errors.functions import failure
from goes_lite.events.event import Event, id_bytes
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.repository._cache import Cache

A = TypeVar("A", bound=Aggregate)

Report = Callable[[str, Exception], Awaitable[None]]
"""Reports an error that cannot be raised: a sentence, and the error."""

SNAPSHOTS_TRIED = 3
"""How many snapshots of one aggregate are tried, the newest first."""

PAGE = 1024
"""How many events of one aggregate are in memory at once."""


class Loader(Generic[A]):
    """Loads aggregates of one class, with a snapshot store and a cache if it is given them."""

    def __init__(
        self,
        aggregate: type[A],
        events: EventStore,
        snapshots: SnapshotStore | None,
        cache: Cache[A] | None,
        report: Report,
    ) -> None:
        self._class = aggregate
        self._events = events
        self._snapshots = snapshots
        self._cache = cache
        self._report = report
        self._uncopyable = False

    async def load(self, aggregate: A, upto: int | None = None) -> A:
        """Return the aggregate at its current version, or at most at `upto`; at version 0 if it has no events.

        `aggregate` is a new instance; it may or may not be the one that is returned.
        """
        found: A | None = None
        cache = self._cache if upto is None else None
        if cache is not None:
            found = await self._from_cache(cache, aggregate.ref)
        if found is None and self._snapshots is not None:
            found = await self._from_snapshot(self._snapshots, aggregate.ref, upto)
            if found is not None and cache is not None:
                await self._keep(cache, found)
        if found is None:
            events = await self._events.load(aggregate.ref, upto=PAGE if upto is None or upto > PAGE else upto)
            aggregate.replay(events)
            found, full = aggregate, len(events) == PAGE
            del events  # or it would be in memory with the next page
            if full and not await self._continued(aggregate, upto):
                found = self._class(aggregate.id)  # it was erased meanwhile, and perhaps started again
                found.replay(await self._events.load(found.ref, upto=upto))
            if cache is not None:
                await self._keep(cache, found)
        return found

    def _page(self, ref: AggregateRef, version: int, upto: int | None) -> Awaitable[list[Event[Any]]]:
        """Load the event of a version, by which one knows the aggregate again, and a page of those after it."""
        end = version + PAGE
        return self._events.load(ref, after=version - 1, upto=end if upto is None else min(end, upto))

    async def _continued(self, aggregate: A, upto: int | None) -> bool:
        """Replay what follows a full page, in pages; False if the aggregate was erased between two of them."""
        while upto is None or aggregate.version < upto:
            last = last_event(aggregate)
            events = await self._page(aggregate.ref, aggregate.version, upto)
            if not events or last is None or id_bytes(events[0]) != id_bytes(last):
                return False
            aggregate.replay(events[1:])
            if len(events) <= PAGE:
                break
            del events
        return True

    async def load_as_of(self, aggregate: A, time: datetime) -> A:
        """Return the aggregate before its first event later than `time`. AggregateNotFound, VersionNotFound."""
        ref = aggregate.ref
        while events := await self._events.load(ref, after=aggregate.version, upto=aggregate.version + PAGE):
            later = next((index for index, event in enumerate(events) if event.time > time), len(events))
            aggregate.replay(events[:later])
            if later < len(events):
                if not aggregate.version:
                    raise VersionNotFound(ref, time, await self._events.count(EventQuery(aggregates=[ref])))
                return aggregate
        if not aggregate.version:
            raise AggregateNotFound(ref, past=True)
        return aggregate

    async def _from_cache(self, cache: Cache[A], ref: AggregateRef) -> A | None:
        entry = cache.get(ref.id)
        if entry is None:
            return None
        events = await self._events.load(ref, after=entry.version - 1)  # few, usually none
        if not events or id_bytes(events[0]) != entry.id_bytes:
            cache.drop(ref.id)
            return None
        aggregate = entry.copy()
        if len(events) > 1:
            aggregate.replay(events[1:])
            await self._keep(cache, aggregate)
        return aggregate

    async def _keep(self, cache: Cache[A], aggregate: A) -> None:
        try:
            cache.put(aggregate)
        except BaseException as exc:  # noqa: BLE001  (from a custom __deepcopy__)
            error = failure(exc)
            if not self._uncopyable:
                self._uncopyable = True  # reported once, not at every fetch
                await self._report(f"{aggregate.ref} cannot be cached because it cannot be copied", error)

    async def _from_snapshot(self, snapshots: SnapshotStore, ref: AggregateRef, upto: int | None) -> A | None:
        limit = upto
        for _ in range(SNAPSHOTS_TRIED):
            snapshot = await snapshots.latest(ref, upto=limit)
            if snapshot is None:
                break
            found = await self._resumed(snapshot, upto)
            if found is not None:
                return found
            limit = snapshot.version - 1
        return None

    async def _resumed(self, snapshot: Snapshot, upto: int | None) -> A | None:
        """Return the aggregate from a snapshot and the events after it; None if the snapshot does not fit."""
        ref = snapshot.aggregate
        try:
            unpacked = unpack(snapshot, self._class)
            if unpacked is None:
                return None
            aggregate = self._class(ref.id)
            aggregate.restore_state(unpacked.state)
        except BaseException as exc:  # noqa: BLE001  (from a custom restore_state)
            await self._report(
                f"the snapshot of {ref} at version {snapshot.version} does not fit and is ignored", failure(exc)
            )
            return None
        # The event of the snapshot is loaded with those after it: it is missing or another one if the aggregate was deleted.
        events = await self._page(ref, snapshot.version, upto)
        if not events or events[0].id != unpacked.event or events[0].version != snapshot.version:
            return None
        resume(aggregate, events[0], snapshot.deleted)
        aggregate.replay(events[1:])
        full = len(events) > PAGE
        del events
        return aggregate if not full or await self._continued(aggregate, upto) else None
