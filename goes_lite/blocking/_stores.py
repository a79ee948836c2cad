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
from goes_lite.events.registry import Raw
from goes_lite.runtime import Signal
from goes_lite.runtime.portal import Portal


class BlockingEventStore:
    """The blocking face of `goes_lite.contract.event_store.EventStore`."""

    def __init__(self, store: EventStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        """Store the events, all or none, in the order given, and return their positions.

        - Once it returns, the events are as durable as the store's `durability` says, and visible to every reader.
        - The version of an aggregate's first event in the batch must be its stored version + 1, the rest contiguous;
          else ConcurrencyError with the stored version as `actual`, and nothing is written.
        - Versions that are not contiguous within the batch raise InvalidEventError.
        - One batch may hold events of any number of aggregates, and of none.
        - Appending the very same events again (same ids, everything else the same) succeeds and returns the original
          positions with `already_committed=True`, whatever happened to the aggregate since, and whatever the condition.
        - If an id is stored with anything else different, or only a part of the batch is stored, or an id occurs twice in
          the batch, it raises DuplicateEventError and nothing is written. Data is the same if it is encoded the same.
          Ids are checked first: before versions, and before the condition.
        - An empty batch succeeds, changes nothing and does not check the condition. Inside a transaction it waits for its
          turn among all appends to the store: until the transaction ends nobody else appends, so what is read stays true.
        - With a condition: if an event that matches `condition.query` is stored at a position > `condition.after`, it
          raises AppendConditionFailed and nothing is written. The check is atomic with the write and does not see this
          batch; a query that matched nothing is still a boundary.
        - A lost acknowledgement is retried internally; only a store that stays unreachable ends in AppendInDoubtError.
        - A cancelled append is stored completely or not at all.
        """
        return self._portal.run(self._store.append(events, condition=condition))

    def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        """Return the events of an aggregate with after < version ≤ upto, in version order; none if it is unknown.

        Raise StoreDamaged if what is stored shows that one of them is missing: nothing is decided on part of an aggregate.
        """
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
        """Return the matching events with after < position ≤ upto, in position order (or reversed), at most `limit`.

        - It ends at the head as of the first page; events that are appended later are not included.
        - It fetches pages, in constant memory, and holds nothing open in between.
        - Nothing is fetched before the first item is requested.
        """
        return BlockingPages(
            self._store.query(query, after=after, upto=upto, limit=limit, reverse=reverse), self._portal
        )

    def find(self, event_id: UUID) -> Event[Any] | None:
        """Return the event with this id, or None if there is none."""
        return self._portal.run(self._store.find(event_id))

    def head(self) -> int:
        """Return the position of the last visible event, 0 for an empty store. It is a high-water mark: it never decreases."""
        return self._portal.run(self._store.head())

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> BlockingPages[AggregateInfo]:
        """Return the aggregates (of one name, or all) that follow `after`, ordered by name and id (by code point)."""
        return BlockingPages(self._store.aggregates(name, after=after, limit=limit), self._portal)

    def count(self, query: EventQuery = EVERYTHING) -> int:
        """Return the number of events that match."""
        return self._portal.run(self._store.count(query))

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> BlockingPages[Event[Any]]:
        """Yield the matching events with position > after: first those stored, then each as it is committed, forever.

        - It never misses or repeats one, keeps position order, and wakes on commits of this process and of others.
        - `after=store.head()` starts from now.
        - It ends with StoreClosed when the store is closed.
        """
        return BlockingPages(self._store.follow(query, after=after), self._portal)

    def delete(self, aggregate: AggregateRef) -> int:
        """Erase the events and snapshots of an aggregate for good, in one transaction; return the number of events.

        - Positions are never reused, the ids become free, and the aggregate can begin again at version 1.
        - An unknown aggregate returns 0, not an error.
        """
        return self._portal.run(self._store.delete(aggregate))

    def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        """Store events of another store at the positions that they have, all or none, and return the new head.

        - Every field is stored as it is: id, name, version, time, metadata, tags, encoding and payload. Nothing is decoded,
          and no name has to be registered.
        - Positions are kept, with the gaps between them. They increase, and the head becomes the last of them, or `head` if
          that is higher: positions up to there are never used by another event.
        - Events at positions up to the head of this store must be stored here already, exactly the same: then they are
          left as they are, so that an import can be repeated. Otherwise ImportConflict, and nothing is written.
        - Versions continue those of this store, else ConcurrencyError; a used id raises DuplicateEventError.
        - Events without positions, or in another order, raise InvalidEventError.
        - Readers, followers and subscribers see the events as they see those that another process has appended.
        """
        return self._portal.run(self._store.import_events(events, head=head))

    def stored(self, *, after: int = 0, upto: int | None = None) -> BlockingPages[Event[Raw]]:
        """Return the events with after < position ≤ upto as they are stored, in position order. Nothing is decoded.

        - Each has the name under which it was stored, not a newer one, and `Raw` data, whatever the registry knows and
          however the handle treats unknown names. `event.encoded` is the payload, byte for byte.
        - Otherwise it is like `query()`. An event that cannot be read raises StoreDamaged or DecodeError, after all events
          before it; the ones after it can be read with another call.
        """
        return BlockingPages(self._store.stored(after=after, upto=upto), self._portal)


class BlockingSnapshotStore:
    """The blocking face of `goes_lite.contract.snapshot_store.SnapshotStore`."""

    def __init__(self, store: SnapshotStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def save(self, snapshot: Snapshot) -> None:
        """Store the snapshot; it replaces one of the same aggregate and version."""
        self._portal.run(self._store.save(snapshot))

    def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        """Return the one with the highest version (≤ upto, if given), or None if there is none."""
        return self._portal.run(self._store.latest(aggregate, upto=upto))

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> BlockingPages[Snapshot]:
        """Return the snapshots of aggregates with these names, or of one aggregate, or all; by name, id and version."""
        return BlockingPages(self._store.query(names=names, aggregate=aggregate), self._portal)

    def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        """Delete one version, or all of the aggregate's, and return their number."""
        return self._portal.run(self._store.delete(aggregate, version=version))

    def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        """Delete all but the newest `keep` (≥ 1) of each aggregate, or of one, and return their number; never the newest."""
        return self._portal.run(self._store.prune(keep=keep, aggregate=aggregate))

    def save_many(self, snapshots: Iterable[Snapshot]) -> None:
        """Store many snapshots as `save` does, all or none."""
        self._portal.run(self._store.save_many(snapshots))


class BlockingModelStore:
    """The blocking face of `goes_lite.contract.model_store.ModelStore`."""

    def __init__(self, store: ModelStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def get(self, collection: str, id: str) -> ModelRecord | None:
        """Return the record, or None if there is none."""
        return self._portal.run(self._store.get(collection, id))

    def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        """Return the existing records by id, in the order of the ids, as of one moment. There may be thousands of ids."""
        return self._portal.run(self._store.get_many(collection, ids))

    def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        """Write JSON text and return the new version (1 for a new record, else one more than before).

        With `expected`, the record must be at that version (0: must not exist), else ModelConflict and no write.
        """
        return self._portal.run(self._store.put(collection, id, data, expected=expected))

    def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        """Write the JSON text of each id as `put` does, and remove the records whose value is None.

        All or none: if `put` would refuse any of them, the same error is raised and nothing is written.
        """
        self._portal.run(self._store.put_many(collection, models))

    def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        """Remove the record if it is at the expected version (else ModelConflict); return False if there was none."""
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
        """Return the records of a collection whose fields equal those of `where`, ordered by a field (and id) or by id.

        A field is a dotted path into the JSON, such as `customer.city`. Values compare as JSON: str, int (of 64 bits),
        float, bool or None (which also stands for a missing field). None sorts first, then numbers (false as 0, true as 1)
        by value, then text and ids by code point; lists and objects come among the text, at no defined place. A store
        knows no types: a Decimal or a datetime is text here, and sorts as such. `Models.query` sorts by their values.
        `ModelQuery` is the definition in pure Python.
        """
        pages = self._store.query(collection, where=where, order_by=order_by, reverse=reverse, limit=limit)
        return BlockingPages(pages, self._portal)

    def clear(self, collection: str) -> int:
        """Remove every record of the collection and return their number."""
        return self._portal.run(self._store.clear(collection))

    def rename(self, collection: str, to: str) -> int:
        """Move every record of the collection to the collection `to`, and return their number.

        They keep their ids, versions and data. What `to` held before is removed, even if the collection is empty. Readers
        see either all of it done or nothing. Raises InvalidQueryError if `to` is the collection itself.
        """
        return self._portal.run(self._store.rename(collection, to))

    def collections(self) -> list[str]:
        """Return the names of all collections that have a record, by code point, those of goes_lite included."""
        return self._portal.run(self._store.collections())

    def import_models(self, records: Iterable[ModelRecord]) -> None:
        """Write records of another store as they are, with their versions, all or none; they replace existing ones.

        Raises ModelError for data that is not JSON, InvalidQueryError for names or versions that cannot be.
        """
        self._portal.run(self._store.import_models(records))


class BlockingCheckpointStore:
    """The blocking face of `goes_lite.contract.checkpoints.CheckpointStore`."""

    def __init__(self, store: CheckpointStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def get(self, name: str) -> Checkpoint | None:
        """Return the checkpoint of this name, or None if there is none."""
        return self._portal.run(self._store.get(name))

    def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        """Save the position; with a lease, only while that lease is the current one, else LeaseLost."""
        self._portal.run(self._store.save(name, position, lease=lease))

    def delete(self, name: str) -> bool:
        """Delete the checkpoint; return False if there was none."""
        return self._portal.run(self._store.delete(name))

    def all(self) -> list[Checkpoint]:
        """Return all checkpoints, ordered by name."""
        return self._portal.run(self._store.all())

    def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Write checkpoints of another store as they are, all or none; they replace existing ones.

        Positions, times and the store that they belong to are kept: pass them with the `identity` of this store if they are
        to be valid here. Raises InvalidQueryError for values that cannot be.
        """
        self._portal.run(self._store.import_checkpoints(checkpoints))


class BlockingLeaseStore:
    """The blocking face of `goes_lite.contract.checkpoints.LeaseStore`."""

    def __init__(self, store: LeaseStore, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        """Acquire the lease for `ttl` seconds; LeaseHeld while another owner has it and it has not expired.

        The owner that already has it keeps it, with the same token and a new expiry.
        """
        return self._portal.run(self._store.acquire(name, owner, ttl))

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Extend the lease; LeaseLost if it was released or another owner has it. An expired one that nobody took is kept."""
        return self._portal.run(self._store.renew(lease, ttl))

    def release(self, lease: Lease) -> bool:
        """Release the lease before it expires; return False if it was no longer held."""
        return self._portal.run(self._store.release(lease))

    def get(self, name: str) -> Lease | None:
        """Return the lease, or None if nobody holds it (never acquired, released or expired)."""
        return self._portal.run(self._store.get(name))

    def import_tokens(self, tokens: Mapping[str, int]) -> None:
        """Continue the fencing tokens of another store, all or none: the next token of each name is higher than the given one.

        - A lease whose token is as high already stays as it is. Any other is free afterwards: who held it has lost it.
        - Raises InvalidQueryError for names and tokens that cannot be.
        """
        return self._portal.run(self._store.import_tokens(tokens))

    def tokens(self) -> dict[str, int]:
        """Return the last fencing token of each lease that was ever acquired, whether it is held or not, ordered by name."""
        return self._portal.run(self._store.tokens())


class BlockingCommits:
    """The blocking face of `goes_lite.contract.commits.Commits`."""

    def __init__(self, commits: Commits, portal: Portal) -> None:
        self._commits = commits
        self._portal = portal

    @property
    def count(self) -> int:
        """A number that grows whenever the handle learns of a commit that changed anything.

        Events, snapshots, read models, checkpoints, leases and your own SQL alike; the handle's own commits are counted
        when they are acknowledged. It belongs to this handle in this process: it is not the number of commits, and not
        worth storing.
        """
        return self._commits.count

    def wait(self, seen: int, timeout: float | None = None, *, ended: Signal | None = None) -> bool:
        """Wait until `count` differs from `seen` (True), or until `timeout` seconds have passed (False).

        It also ends (False) once `ended` is notified, or if it was, for those who may be told to wait no longer.
        Closing the backend wakes all waiters: they get True, and any further operation or wait raises StoreClosed.
        Raises InvalidQueryError unless `seen` is an int and `timeout` a number ≥ 0.
        """
        return self._portal.run(self._commits.wait(seen, timeout, ended=ended))

    def watch(self, signal: Signal, /) -> AbstractContextManager[None]:
        """Notify a signal, too, while the block runs: for callers who also wait for something else.

        Read the signal's `count` before looking at the store, and nothing is missed, as with `wait`. Closing the backend
        notifies it as well; entering the block from then on raises StoreClosed. Any thread may enter and leave it.
        """
        return self._commits.watch(signal)
