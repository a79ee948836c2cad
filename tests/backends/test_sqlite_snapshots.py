"""Snapshots, in memory and in a file, on every face and driver."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timezone
from typing import TYPE_CHECKING, Any, cast

from goes_lite.backend import Backend
from goes_lite.errors import InvalidEventError, InvalidQueryError
from goes_lite.event import AggregateRef

if TYPE_CHECKING:
    from tests.backends.stores_kit import NOON, A, B, raises, snapshot
else:
    from stores_kit import NOON, A, B, raises, snapshot


async def test_a_snapshot_comes_back_exactly(db: Backend) -> None:
    """Text as str, bytes as bytes, with the time to the microsecond, schema, encoding and deletion."""
    for version, one in enumerate(
        [
            snapshot(A, 1, '{"é": "\\u0000😀"}'),
            snapshot(A, 2, b"\x00\xff", encoding="msgpack", schema=2**63 - 1, deleted=True),
            snapshot(A, 3, ""),
            snapshot(A, 4, b""),
            snapshot(A, 5, "x" * 2_000_000),
        ],
        1,
    ):
        await db.snapshots.save(one)
        found = await db.snapshots.latest(A)
        assert found == one
        assert found is not None
        assert (type(found.state), found.version, found.time.tzinfo) == (type(one.state), version, timezone.utc)


async def test_the_latest_snapshot_has_the_highest_version(db: Backend) -> None:
    """Up to a version, if one is given; whatever the order of saving; one of the same version is replaced."""
    for version in (5, 1, 3):
        await db.snapshots.save(snapshot(A, version, f"{version}"))
    await db.snapshots.save(snapshot(B, 9))
    await db.snapshots.save(snapshot(A, 3, "again"))
    latest = db.snapshots.latest
    for upto, version in [(None, 5), (9, 5), (5, 5), (4, 3), (2, 1), (2**70, 5)]:
        found = await latest(A, upto=upto)
        assert found is not None
        assert found.version == version
    assert await latest(A, upto=0) is None
    assert await latest(AggregateRef("order", "c")) is None
    replaced = await latest(A, upto=3)
    assert replaced is not None
    assert replaced.state == "again"
    assert len(await db.snapshots.query(aggregate=A).list()) == 3


async def test_snapshots_are_listed_by_name_id_and_version(db: Backend) -> None:
    """All, of some names, or of one aggregate; across pages."""
    invoice = AggregateRef("invoice", "z")
    for ref, version in [(B, 1), (A, 10), (A, 9), (invoice, 2)]:
        await db.snapshots.save(snapshot(ref, version))
    for version in range(1, 200):
        await db.snapshots.save(snapshot(AggregateRef("many", "1"), version))

    async def listed(**which: Any) -> list[tuple[str, int]]:
        return [(one.aggregate.id, one.version) for one in await db.snapshots.query(**which).list()]

    assert await listed(names=["order"]) == [("a", 9), ("a", 10), ("b", 1)]
    assert await listed(names=["order", "invoice"]) == [("z", 2), ("a", 9), ("a", 10), ("b", 1)]
    assert await listed(aggregate=A) == [("a", 9), ("a", 10)]
    assert await listed(names=["invoice"], aggregate=A) == []
    assert await listed(names=["many"]) == [("1", version) for version in range(1, 200)]
    assert len(await listed()) == 203


async def test_snapshots_can_be_deleted(db: Backend) -> None:
    """One version, or all of an aggregate; the answer is how many there were."""
    for ref, version in [(A, 1), (A, 2), (A, 3), (B, 1)]:
        await db.snapshots.save(snapshot(ref, version))
    assert await db.snapshots.delete(A, version=2) == 1
    assert await db.snapshots.delete(A, version=2) == 0
    assert await db.snapshots.delete(A) == 2
    assert await db.snapshots.delete(A) == 0
    assert [one.aggregate for one in await db.snapshots.query().list()] == [B]


async def test_pruning_keeps_the_newest(db: Backend) -> None:
    """So many of each aggregate, or of one; never fewer than one."""
    for ref in (A, B):
        for version in (1, 2, 3, 4):
            await db.snapshots.save(snapshot(ref, version))
    assert await db.snapshots.prune(keep=3, aggregate=A) == 1
    assert await db.snapshots.prune(keep=2) == 3
    assert await db.snapshots.prune(keep=2**70) == 0
    assert await db.snapshots.prune() == 2
    assert [(one.aggregate.id, one.version) for one in await db.snapshots.query().list()] == [("a", 4), ("b", 4)]
    assert await db.snapshots.prune() == 0


async def test_bad_arguments_of_the_snapshot_store(db: Backend) -> None:
    """Typed errors, and nothing changes."""
    await db.snapshots.save(snapshot(A, 1))
    good = snapshot(A, 2)
    store = db.snapshots
    calls: dict[str, Callable[[], Any]] = {
        "no snapshot": lambda: store.save(cast(Any, "x")),
        "version 0": lambda: store.save(good._replace(version=0)),
        "version a string": lambda: store.save(good._replace(version=cast(Any, "1"))),
        "version too large": lambda: store.save(good._replace(version=2**63)),
        "schema a string": lambda: store.save(good._replace(schema=cast(Any, "1"))),
        "state an object": lambda: store.save(good._replace(state=cast(Any, {}))),
        "encoding None": lambda: store.save(good._replace(encoding=cast(Any, None))),
        "naive time": lambda: store.save(good._replace(time=NOON.replace(tzinfo=None))),
        "aggregate a string": lambda: store.save(good._replace(aggregate=cast(Any, "ab"))),
        "latest of a string": lambda: store.latest(cast(Any, "ab")),
        "latest upto a string": lambda: store.latest(A, upto=cast(Any, "1")),
        "latest upto -1": lambda: store.latest(A, upto=-1),
        "query names a string": lambda: store.query(names="order").list(),
        "query names of numbers": lambda: store.query(names=[cast(Any, 5)]).list(),
        "query of a string": lambda: store.query(aggregate=cast(Any, "ab")).list(),
        "delete of None": lambda: store.delete(cast(Any, None)),
        "delete version a string": lambda: store.delete(A, version=cast(Any, "1")),
        "prune to none": lambda: store.prune(keep=0),
        "prune to a string": lambda: store.prune(keep=cast(Any, "1")),
        "prune of a string": lambda: store.prune(aggregate=cast(Any, "ab")),
    }
    await raises((InvalidQueryError, InvalidEventError), calls)
    assert await db.snapshots.query().list() == [snapshot(A, 1)]
