"""What a repository promises on any backend, as far as it depends on the stores."""

from __future__ import annotations

from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.contract.backend import TRANSACTIONS
from goes_lite.database import Database
from goes_lite.errors import (
    AggregateDeleted,
    AggregateNotFound,
    ConcurrencyError,
    VersionNotFound,
)
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import Closed, Counted, Noted, everything, registry
from goes_lite_conformance.rule import needs


class Tally(goes.Aggregate, name="tally", registry=registry, deleted_by=Closed, restored_by=Noted):
    """Adds numbers; closing it soft-deletes it, a note restores it."""

    sum: int = 0

    def add(self, number: int) -> None:
        self.record(Counted(number))

    @goes.applies(Counted)
    def _counted(self, event: Event[Counted]) -> None:
        self.sum += event.data.number


class Newer(goes.Aggregate, name="tally", schema=2, registry=registry):
    """The same aggregates in a later program, whose state has another meaning."""

    sum: int = 0

    @goes.applies(Counted)
    def _counted(self, event: Event[Counted]) -> None:
        self.sum += 1000 * event.data.number


class Unkeepable(goes.Aggregate, name="unkeepable", registry=registry):
    """An aggregate whose state does not match its annotation, so no snapshot of it can be encoded."""

    sum: int = 0

    @goes.applies(Counted)
    def _counted(self, event: Event[Counted]) -> None:
        self.sum = cast("int", object())


TALLY = AggregateRef("tally", "t")


async def tally(repository: Repository[Tally], *numbers: int) -> Tally:
    """Return a tally of these numbers, saved one after another."""
    for number in numbers:
        await repository.use("t", lambda one, number=number: one.add(number), create=True)  # type: ignore[misc]
    return await repository.fetch("t")


class RepositoryRules(Contract):
    """Rules BE-REPO."""

    async def test_a_conflict_is_decided_again_on_a_fresh_instance(self, db: Database) -> None:
        """BE-REPO-001: After a conflict, `use` calls the function again with a fresh instance that has the stored changes."""
        repository = db.repository(Tally)
        await tally(repository, 1)
        seen: list[tuple[Tally, int]] = []

        def decide(one: Tally) -> list[Event[Any]]:
            seen.append((one, one.sum))
            faster = Event(Counted(10), aggregate=TALLY, version=one.version + 1, registry=registry)
            one.add(100)
            return [faster] if len(seen) < 3 else []  # another writer is faster, twice

        async def change(one: Tally) -> Tally:
            await db.events.append(decide(one))
            return one

        def change_without_await(one: Tally) -> Tally:
            cast("Any", db).target.events.append(decide(one))
            return one

        here: Any = change_without_await if hasattr(db, "target") else change
        result: Tally = await repository.use("t", here)
        assert [total for _, total in seen] == [1, 11, 21]
        assert len({id(one) for one, _ in seen}) == 3
        assert (result.sum, result.version, result.pending) == (121, 4, ())
        assert (await repository.fetch("t")).sum == 121

    async def test_users_side_by_side_lose_nothing(self, place: Place, db: Database) -> None:
        """BE-REPO-002: However many callers use one aggregate concurrently, each change is stored once."""
        repository = db.repository(Tally, tries=100)
        outcomes = await place.together(
            *(repository.use("t", lambda one: one.add(1), create=True) for _ in range(12)),
        )
        assert not [one for one in outcomes if isinstance(one, BaseException)]
        final = await repository.fetch("t")
        assert (final.sum, final.version) == (12, 12)

    async def test_a_refused_save_leaves_store_and_instance(self, db: Database) -> None:
        """BE-REPO-003: A save that comes too late raises ConcurrencyError; its events stay pending on that instance only.

        The next fetch returns what is stored.
        """
        repository = db.repository(Tally, cache=10)
        await tally(repository, 1)
        late = await repository.fetch("t")
        await repository.use("t", lambda one: one.add(2))
        late.add(10)
        with refused(ConcurrencyError, aggregate=TALLY, expected=1, actual=2):
            await repository.save(late)
        assert (late.sum, [event.data for event in late.pending]) == (11, [Counted(10)])
        assert (await repository.fetch("t")).sum == 3

    async def test_a_change_that_fails_is_seen_by_nobody(self, db: Database) -> None:
        """BE-REPO-004: What `change` did before it raised is neither stored nor visible in later fetches."""
        repository = db.repository(Tally, cache=10)
        await tally(repository, 1)

        def change(one: Tally) -> None:
            one.add(10)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await repository.use("t", change)
        assert (await repository.fetch("t")).sum == 1
        assert await db.events.count() == 1

    async def test_nobody_shares_an_instance(self, db: Database) -> None:
        """BE-REPO-005: No two callers get the same instance, not even with a cache, and both are current."""
        repository = db.repository(Tally, cache=10)
        await tally(repository, 1)
        one, other = await repository.fetch("t"), await repository.fetch("t")
        one.add(10)
        assert (one.sum, other.sum) == (11, 1)
        await db.events.append([Event(Counted(5), aggregate=TALLY, version=2, registry=registry)])
        assert (await repository.fetch("t")).sum == 6

    async def test_several_aggregates_are_saved_together(self, db: Database) -> None:
        """BE-REPO-006: Aggregates that are saved together are all saved or none."""
        repository = db.repository(Tally)
        await tally(repository, 1)
        late, new = await repository.fetch("t"), Tally("new")
        await repository.use("t", lambda one: one.add(2))
        late.add(10)
        new.add(10)
        before = await everything(db)
        with refused(ConcurrencyError, aggregate=TALLY, expected=1, actual=2):
            await repository.save(new, late)
        assert await everything(db) == before
        current = await repository.fetch("t")
        current.add(3)
        appended = await repository.save(new, current)
        assert len(appended.positions) == 2
        assert ((await repository.fetch("new")).sum, (await repository.fetch("t")).sum) == (10, 6)

    async def test_a_failure_after_the_commit_fails_no_save(self, db: Database) -> None:
        """BE-REPO-007: A snapshot that cannot be taken and a hook that raises are reported; the save succeeds."""
        reported: list[str] = []

        def after_save(*_: object) -> None:
            raise ZeroDivisionError

        def report(_: str, error: Exception) -> None:
            reported.append(type(error).__name__)

        repository = db.repository(
            Unkeepable,
            snapshots=Every(1),
            after_save=after_save,
            on_error=report,
        )
        one = Unkeepable("u")
        one.record(Counted(1))
        appended = await repository.save(one)
        assert len(appended.positions) == 1
        assert one.pending == ()
        assert reported == ["EncodeError", "ZeroDivisionError"]
        assert await db.snapshots.query().list() == []
        assert await db.events.count() == 1

    async def test_a_snapshot_changes_no_answer(self, db: Database) -> None:
        """BE-REPO-008: With snapshots at every other version, a fetch returns what the events say, at any version."""
        repository, plain = db.repository(Tally, snapshots=Every(2)), db.repository(Tally)
        await tally(repository, 1, 2, 3, 4, 5)
        assert [snapshot.version for snapshot in await db.snapshots.query().list()] == [2, 4]
        for version in range(1, 6):
            one, other = await repository.fetch_version("t", version), await plain.fetch_version("t", version)
            assert (one.version, one.sum, one.last_event_id) == (other.version, other.sum, other.last_event_id)
        await db.snapshots.delete(TALLY)
        assert (await repository.fetch("t")).sum == 15

    @pytest.mark.parametrize("every", [1, 2, 3])
    async def test_a_deleted_aggregate_is_deleted_in_its_snapshot(self, db: Database, every: int) -> None:
        """BE-REPO-009: Fetching a soft-deleted aggregate raises AggregateDeleted until it is restored.

        This holds whether a snapshot was taken before the deletion, at it, or not at all.
        """
        repository = db.repository(Tally, snapshots=Every(every))
        await tally(repository, 1, 2)
        await repository.use("t", lambda one: one.record(Closed()))
        with refused(AggregateDeleted, aggregate=TALLY, version=3):
            await repository.fetch("t")
        assert (await repository.fetch("t", deleted=True)).sum == 3
        assert not await repository.exists("t")
        assert await repository.query().list() == []
        await repository.use("t", lambda one: one.record(Noted("back")), deleted=True)
        assert (await repository.fetch("t")).sum == 3

    async def test_a_snapshot_of_another_schema_is_ignored(self, db: Database) -> None:
        """BE-REPO-010: A snapshot that an older class took is silently ignored in favour of the events."""
        await tally(db.repository(Tally, snapshots=Every(1)), 1, 2)
        reported: list[str] = []

        def report(what: str, _: Exception) -> None:
            reported.append(what)

        newer = db.repository(Newer, snapshots=Every(1), on_error=report)
        assert (await newer.fetch("t")).sum == 3000
        assert reported == []

    async def test_time_travel(self, db: Database) -> None:
        """BE-REPO-011: An aggregate is fetched as of any version or time that it has reached; others raise an error."""
        repository = db.repository(Tally)
        with refused(AggregateNotFound, aggregate=TALLY):
            await repository.fetch_version("t", 1)
        await tally(repository, 1, 2, 3)
        times = [event.time for event in await db.events.load(TALLY)]
        assert [(await repository.fetch_version("t", version)).sum for version in (1, 2, 3)] == [1, 3, 6]
        assert (await repository.fetch_version("t", times[-1])).sum == 6
        with refused(VersionNotFound, aggregate=TALLY, wanted=4, version=3):
            await repository.fetch_version("t", 4)
        earlier = times[0].replace(year=times[0].year - 1)
        with refused(VersionNotFound, aggregate=TALLY, wanted=earlier, version=3):
            await repository.fetch_version("t", earlier)

    async def test_deleting_for_good_removes_everything(self, db: Database) -> None:
        """BE-REPO-012: A deleted aggregate has no events and no snapshots, and can begin again as if it had never existed."""
        repository = db.repository(Tally, snapshots=Every(1), cache=10)
        await tally(repository, 1, 2)
        assert await repository.delete("t") == 2
        assert await db.snapshots.query().list() == []
        with refused(AggregateNotFound, aggregate=TALLY):
            await repository.fetch("t")
        assert await repository.delete("t") == 0
        await repository.use("t", lambda one: one.add(5), create=True)
        again = await repository.fetch("t")
        assert (again.version, again.sum) == (1, 5)

    async def test_a_stray_snapshot_of_a_former_life_is_not_believed(self, db: Database) -> None:
        """BE-REPO-013: A snapshot from before the aggregate was deleted is ignored, even if its version fits.

        A program that was about to save it may do so after the deletion.
        """
        repository = db.repository(Tally, snapshots=Every(2))
        await tally(repository, 1, 2)
        stray = await db.snapshots.latest(TALLY)
        assert stray is not None
        await repository.delete("t")
        await tally(db.repository(Tally), 10, 20, 30)
        await db.snapshots.save(stray)
        assert (await repository.fetch("t")).sum == 60

    async def test_aggregates_are_listed(self, db: Database) -> None:
        """BE-REPO-014: `query` returns the aggregates of its class by id, in their current state, all or a selection."""
        repository = db.repository(Tally)
        for number, id in enumerate("cab"):
            await repository.use(id, lambda one, number=number: one.add(number), create=True)  # type: ignore[misc]
        stranger = Unkeepable("b")
        stranger.record(Counted(1))
        await db.repository(Unkeepable).save(stranger)
        assert [(one.id, one.sum) for one in await repository.query().list()] == [("a", 1), ("b", 2), ("c", 0)]
        assert [one.id for one in await repository.query(after="a", limit=1).list()] == ["b"]
        assert [one.id for one in await repository.query(ids=["c", "x", "a"]).list()] == ["a", "c"]

    @needs(TRANSACTIONS)
    async def test_saving_within_a_transaction(self, db: Database) -> None:
        """BE-REPO-015: What is saved within a transaction is stored with it; after a rollback it is pending as before."""
        repository = db.repository(Tally, snapshots=Every(1))
        one = Tally("t")
        one.add(1)
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                inside = repository.within(tx)
                await inside.save(one)
                assert (await inside.fetch("t")).sum == 1
                raise ZeroDivisionError
        assert [event.data for event in one.pending] == [Counted(1)]
        assert await db.snapshots.query().list() == []
        async with db.transaction() as tx:
            await repository.within(tx).save(one)
            await tx.models.put("c", "1", "{}")
        assert one.pending == ()
        assert (await repository.fetch("t")).sum == 1
        assert [snapshot.version for snapshot in await db.snapshots.query().list()] == [1]
