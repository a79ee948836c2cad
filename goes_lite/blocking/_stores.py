"""The blocking faces of the stores: the same names and promises, without `await`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from goes_lite.blocking._pages import BlockingPages
from goes_lite.contract.checkpoints import Checkpoint, CheckpointStore, Lease, LeaseStore
from goes_lite.contract.commits import Commits
from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, EventStore
from goes_lite.contract.model_store import ModelRecord, ModelStore
from goes_lite.contract.snapshot_store import Snapshot, SnapshotStore
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.runtime import Signal
from goes_lite.runtime.portal import Portal


class BlockingEventStore:
    """See `goes_lite.contract.event_store.EventStore`."""

    def __init__(self, store: EventStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        """Store the events, all or none, in the order given, and answer their positions.

        - Once it returns, the events are as durable as the store's `durability` says, and visible to every reader.
        - The version of an aggregate's first event in the batch must be its stored version + 1, the rest contiguous;
          else ConcurrencyError with the stored version as `actual`, and nothing is written.
        - Versions that are not contiguous within the batch are InvalidEventError.
        - Any number of aggregates, and events of none, may be in one batch.
        - Appending the very same events again (same ids, everything else the same) succeeds, answers the original
          positions and `already_committed=True`, whatever happened to the aggregate since, and whatever the condition.
        - An id that is stored with anything else different, or only a part of the batch being stored, is
          DuplicateEventError, and nothing is written; so is one id twice in a batch. Data is the same if it is encoded
          the same. Whether an id is stored is decided first: before versions, and before the condition.
        - An empty batch succeeds, changes nothing and does not look at the condition.
        - With a condition: if an event that matches `condition.query` is stored at a position > `condition.after`,
          AppendConditionFailed, and nothing is written. It is judged together with the write, before anything of
          this batch is stored; a query that matched nothing is still a boundary.
        - A lost acknowledgement is retried inside; only a store that stays unreachable ends in AppendInDoubtError.
        - A cancelled append is stored wholly or not at all.
        """
        return self._portal.run(self._store.append(events, condition=condition))

    def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        """The events of one aggregate with after < version ≤ upto, in version order; none for an unknown aggregate."""
        return self._portal.run(self._store.load(aggregate, after=after, upto=upto))

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> BlockingPages[Event[Any]]:
        """The events that match, with after < position ≤ upto, in position order (or reversed), at most `limit`.

        - It ends at what is the head when the first page is fetched; events appended later are not in it.
        - Fetched in pages, in constant memory, holding nothing open in between.
        - Nothing is fetched before the first item is asked for.
        """
        return BlockingPages(
            self._store.query(query, after=after, upto=upto, limit=limit, reverse=reverse), self._portal
        )

    def find(self, event_id: UUID) -> Event[Any] | None:
        """The event with this id, None if there is none."""
        return self._portal.run(self._store.find(event_id))

    def head(self) -> int:
        """The position of the last visible event, 0 for an empty store. A high-water mark; it never goes back."""
        return self._portal.run(self._store.head())

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> BlockingPages[AggregateInfo]:
        """The aggregates (of one name, or all), ordered by name and id (by code point), those behind `after`."""
        return BlockingPages(self._store.aggregates(name, after=after, limit=limit), self._portal)

    def count(self, query: EventQuery = EVERYTHING) -> int:
        """How many events match."""
        return self._portal.run(self._store.count(query))

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> BlockingPages[Event[Any]]:
        """The events that match with position > after: first those stored, then each as it is committed, for ever.

        - Never misses one, never repeats one, in position order; wakes on commits of this process and of others.
        - `after=store.head()` starts from now.
        - Ends with StoreClosed when the store is closed.
        """
        return BlockingPages(self._store.follow(query, after=after), self._portal)

    def delete(self, aggregate: AggregateRef) -> int:
        """Erase the events and snapshots of an aggregate for good, in one transaction; answer how many events.

        - Positions are never reused; the ids become free; the aggregate can begin again at version 1.
        - An unknown aggregate is 0, not an error.
        """
        return self._portal.run(self._store.delete(aggregate))


class BlockingSnapshotStore:
    """See `goes_lite.contract.snapshot_store.SnapshotStore`."""

    def __init__(self, store: SnapshotStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def save(self, snapshot: Snapshot) -> None:
        """Keep it; one of the same aggregate and version is replaced."""
        self._portal.run(self._store.save(snapshot))

    def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        """The one with the highest version (≤ upto, if given), None if there is none."""
        return self._portal.run(self._store.latest(aggregate, upto=upto))

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> BlockingPages[Snapshot]:
        """Those of the aggregates so named, or of one aggregate, or all; by name, id and version."""
        return BlockingPages(self._store.query(names=names, aggregate=aggregate), self._portal)

    def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        """Drop one version, or all of the aggregate's; answer how many there were."""
        return self._portal.run(self._store.delete(aggregate, version=version))

    def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        """Drop all but the newest `keep` (≥ 1) of each aggregate, or of one; answer how many. Never the newest."""
        return self._portal.run(self._store.prune(keep=keep, aggregate=aggregate))


class BlockingModelStore:
    """See `goes_lite.contract.model_store.ModelStore`."""

    def __init__(self, store: ModelStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def get(self, collection: str, id: str) -> ModelRecord | None:
        """The record, None if there is none."""
        return self._portal.run(self._store.get(collection, id))

    def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        """The records that are there, by id, in the order of the ids; as of one moment. The ids may be thousands."""
        return self._portal.run(self._store.get_many(collection, ids))

    def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        """Write JSON text and answer the new version (1 for a new record, else one more than before).

        With `expected`, the record must be at that version (0: must not exist), else ModelConflict and no write.
        """
        return self._portal.run(self._store.put(collection, id, data, expected=expected))

    def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        """Write the JSON text of each id as `put` does, and remove the records of those whose value is None.

        All or none: what `put` would refuse of any of them is refused with the same error, and nothing is written.
        """
        self._portal.run(self._store.put_many(collection, models))

    def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        """Remove the record, if it is at the expected version (else ModelConflict); False if there was none."""
        return self._portal.run(self._store.delete(collection, id, expected=expected))

    def query(
        self,
        collection: str,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> BlockingPages[ModelRecord]:
        """Records of a collection whose fields equal those of `where`, ordered by a field (and id) or by id.

        A field is a dotted path into the JSON, such as `customer.city`. Values compare as JSON: str, int (of 64 bits),
        float, bool or None (which also stands for a field that is not there). Numbers sort before text, None first;
        text and ids sort by code point. `ModelQuery` is the meaning in pure Python.
        """
        pages = self._store.query(collection, where=where, order_by=order_by, reverse=reverse, limit=limit)
        return BlockingPages(pages, self._portal)

    def clear(self, collection: str) -> int:
        """Remove every record of the collection; answer how many."""
        return self._portal.run(self._store.clear(collection))

    def rename(self, collection: str, to: str) -> int:
        """Make every record of the collection one of the collection `to`, and answer how many.

        They keep their ids, versions and data. What `to` held before is gone, even if the collection is empty. Everybody
        sees either all of it done or nothing. InvalidQueryError if `to` is the collection itself.
        """
        return self._portal.run(self._store.rename(collection, to))


class BlockingCheckpointStore:
    """See `goes_lite.contract.checkpoints.CheckpointStore`."""

    def __init__(self, store: CheckpointStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def get(self, name: str) -> Checkpoint | None:
        """The checkpoint of this name, None if there is none."""
        return self._portal.run(self._store.get(name))

    def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        """Remember the position; with a lease, only while that lease is the current one, else LeaseLost."""
        self._portal.run(self._store.save(name, position, lease=lease))

    def delete(self, name: str) -> bool:
        """Forget it; False if there was none."""
        return self._portal.run(self._store.delete(name))

    def all(self) -> list[Checkpoint]:
        """All of them, by name."""
        return self._portal.run(self._store.all())


class BlockingLeaseStore:
    """See `goes_lite.contract.checkpoints.LeaseStore`."""

    def __init__(self, store: LeaseStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        """Take the lease for `ttl` seconds; LeaseHeld while another owner has it and it has not expired.

        The owner that has it already keeps it, with the same token and a new expiry.
        """
        return self._portal.run(self._store.acquire(name, owner, ttl))

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Extend it; LeaseLost if another took it, or if it was released. An expired one that nobody took is kept."""
        return self._portal.run(self._store.renew(lease, ttl))

    def release(self, lease: Lease) -> bool:
        """Give it up before it expires; False if it was not held any more."""
        return self._portal.run(self._store.release(lease))

    def get(self, name: str) -> Lease | None:
        """Who holds it, None if nobody does (never taken, released or expired)."""
        return self._portal.run(self._store.get(name))


class BlockingCommits:
    """See `goes_lite.contract.commits.Commits`."""

    def __init__(self, commits: Commits, portal: Portal) -> None:
        self._commits = commits
        self._portal = portal

    @property
    def count(self) -> int:
        """Grows whenever the handle learns of a commit that changed anything.

        Events, snapshots, read models, checkpoints, leases and the user's own SQL alike; what the handle commits itself
        is counted when it is acknowledged. It is a number of this handle in this process: not how many commits there
        were, and nothing to keep.
        """
        return self._commits.count

    def wait(self, seen: int, timeout: float | None = None) -> bool:
        """Until `count` differs from `seen`: True; or until `timeout` seconds have passed: False.

        Closing the backend wakes whoever waits: True, and the next operation is StoreClosed, as is waiting from then on.
        InvalidQueryError if `seen` is no int, or `timeout` no number ≥ 0.
        """
        return self._portal.run(self._commits.wait(seen, timeout))

    def watch(self, signal: Signal, /) -> AbstractContextManager[None]:
        """While the block runs, notify a signal as well: for those who wait for something else besides.

        Read the signal's `count` before looking at the store: so nothing is missed, as with `wait`. Closing the backend
        notifies it, too; entering the block from then on is StoreClosed. Any thread may enter and leave it.
        """
        return self._commits.watch(signal)
