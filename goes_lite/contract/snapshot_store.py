"""Snapshots: discardable caches of an aggregate's state, and when to take one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from goes_lite.contract.event_store import Pages
from goes_lite.errors import InvalidEventError, InvalidQueryError
from goes_lite.events.fields import AggregateRef, aggregate_ref, check_text, from_micros, to_micros
from goes_lite.events.query import check_for_query

MAX_NUMBER = 2**63 - 1
"""The highest version and schema that every backend can store."""


class Snapshot(NamedTuple):
    """The state of an aggregate at a version. It holds nothing that the events do not; losing it costs only time."""

    aggregate: AggregateRef
    version: int
    """The version (≥ 1) at which the aggregate has this state."""
    time: datetime
    """When it was taken (aware, UTC)."""
    schema: int
    """The schema version of the state; a snapshot whose schema differs from the class's is ignored."""
    encoding: str
    state: str | bytes
    deleted: bool = False
    """Whether the aggregate was soft-deleted at that version."""


def check_snapshot(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with its time in UTC; InvalidEventError says why if not every backend can store it."""
    if not isinstance(snapshot, Snapshot):
        raise InvalidEventError(f"save takes a Snapshot, not {snapshot!r:.80}")
    for what, number in (("version", snapshot.version), ("schema", snapshot.schema)):
        if type(number) is not int or not 1 <= number <= MAX_NUMBER:
            raise InvalidEventError(f"the {what} of a snapshot is an int from 1 to 2**63 - 1, not {number!r:.80}")
    if type(snapshot.deleted) is not bool:
        raise InvalidEventError(f"the deletion of a snapshot is True or False, not {snapshot.deleted!r:.80}")
    if not isinstance(snapshot.state, (str, bytes)):
        raise InvalidEventError(f"the state of a snapshot is str or bytes, not {type(snapshot.state).__name__}")
    if isinstance(snapshot.state, str):
        try:
            snapshot.state.encode()
        except UnicodeEncodeError as exc:
            raise InvalidEventError(f"the state of a snapshot must be valid Unicode, or bytes: {exc!s:.120}") from None
    check_text(snapshot.encoding, "the encoding of a snapshot")
    time = from_micros(to_micros(snapshot.time))
    return snapshot._replace(aggregate=aggregate_ref(snapshot.aggregate), time=time)


def check_snapshots(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Return the snapshots of a `save_many`; InvalidEventError unless every backend can store all of them."""
    if isinstance(snapshots, (str, bytes, Snapshot)) or not isinstance(snapshots, Iterable):
        raise InvalidEventError(f"save_many takes a collection of snapshots, not {snapshots!r:.80}")
    return [check_snapshot(snapshot) for snapshot in snapshots]


def check_snapshot_query(
    names: Iterable[str], aggregate: AggregateRef | None
) -> tuple[tuple[str, ...], AggregateRef | None]:
    """Return the arguments of `SnapshotStore.query`, iterated once; InvalidQueryError unless they can name aggregates."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise InvalidQueryError(f"names is a collection of aggregate names, not {names!r:.80}")
    wanted = tuple(check_for_query(check_text, name, "an aggregate name") for name in names)
    return wanted, None if aggregate is None else check_for_query(aggregate_ref, aggregate)


def check_keep(keep: int) -> int:
    """Return the number of snapshots that `SnapshotStore.prune` keeps; InvalidQueryError if it is less than one."""
    if type(keep) is not int or keep < 1:
        raise InvalidQueryError(
            f"prune keeps at least the newest snapshot of each aggregate: keep is ≥ 1, not {keep!r:.80}"
        )
    return keep


class SnapshotStore(Protocol):
    """Keeps snapshots, several per aggregate."""

    async def save(self, snapshot: Snapshot) -> None:
        """Store the snapshot; it replaces one of the same aggregate and version."""
        ...

    async def save_many(self, snapshots: Iterable[Snapshot]) -> None:
        """Store many snapshots as `save` does, all or none."""
        ...

    async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        """Return the one with the highest version (≤ upto, if given), or None if there is none."""
        ...

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        """Return the snapshots of aggregates with these names, or of one aggregate, or all; by name, id and version."""
        ...

    async def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        """Delete one version, or all of the aggregate's, and return their number."""
        ...

    async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        """Delete all but the newest `keep` (≥ 1) of each aggregate, or of one, and return their number; never the newest."""
        ...
