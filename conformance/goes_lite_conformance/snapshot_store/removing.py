"""Removing snapshots: one, all of an aggregate, along with its events, or all but the newest."""

from __future__ import annotations

from datetime import timedelta

from goes_lite.contract.backend import Backend
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import NOON, A, B, C, everything, snapshot, story


async def _left(db: Backend) -> list[tuple[str, int]]:
    return [(one.aggregate.id, one.version) for one in await db.snapshots.query().list()]


class SnapshotDeleteRules(Contract):
    """Rules SS-DELETE."""

    async def test_one_version_is_deleted(self, db: Backend) -> None:
        """SS-DELETE-001: With a version, `delete` removes that snapshot and returns 1; the others stay."""
        for ref in (A, B):
            for version in (1, 2, 3):
                await db.snapshots.save(snapshot(ref, version))
        assert await db.snapshots.delete(A, version=2) == 1
        assert await _left(db) == [("a", 1), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]

    async def test_all_of_an_aggregate_are_deleted(self, db: Backend) -> None:
        """SS-DELETE-002: Without a version, `delete` removes all snapshots of the aggregate and returns their number."""
        for ref in (A, B):
            for version in (1, 2, 3):
                await db.snapshots.save(snapshot(ref, version))
        assert await db.snapshots.delete(A) == 3
        assert await _left(db) == [("b", 1), ("b", 2), ("b", 3)]

    async def test_nothing_to_delete_is_no_error(self, db: Backend) -> None:
        """SS-DELETE-003: Deleting what does not exist returns 0 and changes nothing."""
        await db.snapshots.save(snapshot(A, 1))
        assert await db.snapshots.delete(A, version=2) == 0
        assert await db.snapshots.delete(A, version=0) == 0
        assert await db.snapshots.delete(A, version=2**70) == 0
        assert await db.snapshots.delete(B) == 0
        assert await _left(db) == [("a", 1)]

    async def test_a_deleted_snapshot_can_be_saved_again(self, db: Backend) -> None:
        """SS-DELETE-004: After a deletion, the same version can be saved as if it had never existed."""
        await db.snapshots.save(snapshot(A, 1, "old"))
        await db.snapshots.delete(A, version=1)
        await db.snapshots.save(snapshot(A, 1, "new"))
        assert await db.snapshots.query().list() == [snapshot(A, 1, "new")]

    async def test_events_stay_when_snapshots_go(self, db: Backend) -> None:
        """SS-DELETE-005: Deleting and pruning snapshots leaves the events as they are."""
        await db.events.append(story(A, 3))
        for version in (1, 2, 3):
            await db.snapshots.save(snapshot(A, version))
        before = await everything(db)
        await db.snapshots.prune()
        await db.snapshots.delete(A)
        assert await everything(db) == before

    async def test_an_aggregate_takes_its_snapshots_with_it(self, db: Backend) -> None:
        """SS-DELETE-006: Deleting the events of an aggregate deletes its snapshots, and no others."""
        await db.events.append([*story(A, 3), *story(B, 3)])
        for ref in (A, B):
            for version in (1, 3):
                await db.snapshots.save(snapshot(ref, version))
        await db.events.delete(A)
        assert await _left(db) == [("b", 1), ("b", 3)]

    async def test_snapshots_without_events_go_too(self, db: Backend) -> None:
        """SS-DELETE-007: Deleting an aggregate without events deletes its snapshots, too; the result counts events only: 0."""
        await db.snapshots.save(snapshot(A, 1))
        assert await db.events.delete(A) == 0
        assert await _left(db) == []


class PruneRules(Contract):
    """Rules SS-PRUNE."""

    async def test_pruning_keeps_the_newest(self, db: Backend) -> None:
        """SS-PRUNE-001: `prune` removes all but the newest snapshot of each aggregate and returns the number removed."""
        for ref in (A, B):
            for version in (1, 2, 3):
                await db.snapshots.save(snapshot(ref, version))
        await db.snapshots.save(snapshot(C, 1))
        assert await db.snapshots.prune() == 4
        assert await _left(db) == [("a", 3), ("b", 3), ("c", 1)]

    async def test_pruning_keeps_so_many_of_each(self, db: Backend) -> None:
        """SS-PRUNE-002: With `keep`, that many of each aggregate stay; an aggregate with no more than that loses none."""
        for ref, versions in ((A, 5), (B, 3), (C, 2)):
            for version in range(1, versions + 1):
                await db.snapshots.save(snapshot(ref, version))
        assert await db.snapshots.prune(keep=3) == 2
        assert await _left(db) == [("a", 3), ("a", 4), ("a", 5), ("b", 1), ("b", 2), ("b", 3), ("c", 1), ("c", 2)]

    async def test_one_aggregate_is_pruned(self, db: Backend) -> None:
        """SS-PRUNE-003: With an aggregate, `prune` removes only its snapshots."""
        for ref in (A, B):
            for version in (1, 2, 3):
                await db.snapshots.save(snapshot(ref, version))
        assert await db.snapshots.prune(keep=2, aggregate=A) == 1
        assert await db.snapshots.prune(aggregate=C) == 0
        assert await _left(db) == [("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]

    async def test_the_newest_is_the_highest_version(self, db: Backend) -> None:
        """SS-PRUNE-004: The newest snapshots are those with the numerically highest versions, whenever taken or saved."""
        for version in (10, 100, 9):
            await db.snapshots.save(snapshot(A, version, time=NOON - timedelta(days=version)))
        assert await db.snapshots.prune(keep=2) == 1
        assert await _left(db) == [("a", 10), ("a", 100)]

    async def test_more_may_be_kept_than_there_are(self, db: Backend) -> None:
        """SS-PRUNE-005: A `keep` above their number, however large, removes none; nor does pruning an empty store."""
        assert await db.snapshots.prune() == 0
        for version in (1, 2):
            await db.snapshots.save(snapshot(A, version))
        assert await db.snapshots.prune(keep=2) == 0
        assert await db.snapshots.prune(keep=2**70) == 0
        assert await _left(db) == [("a", 1), ("a", 2)]
