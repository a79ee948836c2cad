"""Snapshots are a discardable cache: a repository ignores those that do not fit the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goes_lite.aggregate import Aggregate, applies
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.database import Database
from goes_lite.errors import AggregateDeleted
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.repository.schedule import Every
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import Closed, Counted, registry


class Ledger(Aggregate, name="sample.ledger", registry=registry, deleted_by=Closed):
    """Adds up numbers."""

    total: int = 0

    def add(self, number: int) -> None:
        self.record(Counted(number))

    def close(self) -> None:
        self.record(Closed())

    @applies(Counted)
    def _counted(self, event: Event[Counted]) -> None:
        self.total += event.data.number


REF = AggregateRef("sample.ledger", "1")


def _ledgers(db: Database, every: int = 2, problems: list[str] | None = None) -> Any:
    def report(what: str, error: Exception) -> None:
        if problems is not None:
            problems.append(what)

    return db.repository(Ledger, snapshots=Every(every), on_error=report)


def _adding(*numbers: int) -> Callable[[Ledger], None]:
    def change(ledger: Ledger) -> None:
        for number in numbers:
            ledger.add(number)

    return change


async def _fetched(db: Database, problems: list[str] | None = None) -> tuple[int, int]:
    ledger = await _ledgers(db, problems=problems).fetch("1")
    return ledger.version, ledger.total


async def _taken(db: Database) -> Snapshot:
    found = await db.snapshots.latest(REF)
    assert found is not None
    return found


class FittingRules(Contract):
    """Rules SS-FIT."""

    async def test_a_snapshot_and_later_events_make_the_state(self, db: Database) -> None:
        """SS-FIT-001: A snapshot and the events after it result in the same state as all events."""
        ledgers = _ledgers(db)
        await ledgers.use("1", _adding(1, 2), create=True)
        await ledgers.use("1", _adding(4))
        assert (await _taken(db)).version == 2
        assert await _fetched(db) == (3, 7)

    async def test_a_fitting_snapshot_is_believed(self, db: Database) -> None:
        """SS-FIT-002: A repository starts from the state of a fitting snapshot, exactly as the store returns it."""
        await _ledgers(db).use("1", _adding(1, 2), create=True)
        snapshot = await _taken(db)
        assert isinstance(snapshot.state, str)
        await db.snapshots.save(snapshot._replace(state=snapshot.state.replace('"total":3', '"total":30')))
        await _ledgers(db).use("1", _adding(4))
        assert await _fetched(db) == (3, 34)

    async def test_a_snapshot_of_another_schema_is_ignored(self, db: Database) -> None:
        """SS-FIT-003: A snapshot whose schema is not that of the current class is ignored, never an error."""
        await _ledgers(db).use("1", _adding(1, 2), create=True)
        problems: list[str] = []
        await db.snapshots.save((await _taken(db))._replace(schema=2, state="of another program"))
        assert await _fetched(db, problems) == (2, 3)
        assert problems == []

    async def test_a_damaged_snapshot_is_ignored(self, db: Database) -> None:
        """SS-FIT-004: A snapshot that cannot be decoded is ignored and reported, and the state comes from the events."""
        await _ledgers(db).use("1", _adding(1, 2), create=True)
        problems: list[str] = []
        await db.snapshots.save((await _taken(db))._replace(state=b"\xff\0"))
        assert await _fetched(db, problems) == (2, 3)
        assert len(problems) == 1

    async def test_an_older_snapshot_serves_where_the_newest_does_not_fit(self, db: Database) -> None:
        """SS-FIT-005: If the newest snapshot does not fit, an older one is used, with all events after it."""
        ledgers = _ledgers(db)
        await ledgers.use("1", _adding(1, 2), create=True)
        await ledgers.use("1", _adding(4, 8))
        await db.snapshots.save((await _taken(db))._replace(schema=2))
        assert await _fetched(db) == (4, 15)

    async def test_a_snapshot_newer_than_the_history_is_ignored(self, db: Database) -> None:
        """SS-FIT-006: A snapshot of a version that the aggregate has never reached is ignored.

        This happens after an older copy of the events was restored while newer snapshots stayed.
        """
        await _ledgers(db).use("1", _adding(1, 2), create=True)
        snapshot = await _taken(db)
        await db.snapshots.delete(REF)
        await db.snapshots.save(snapshot._replace(version=9))
        assert await _fetched(db) == (2, 3)

    async def test_a_snapshot_of_an_earlier_life_is_ignored(self, db: Database) -> None:
        """SS-FIT-007: A snapshot taken before the aggregate was deleted and begun again is ignored."""
        ledgers = _ledgers(db)
        await ledgers.use("1", _adding(1, 2), create=True)
        snapshot = await _taken(db)
        await ledgers.delete("1")
        await db.repository(Ledger).use("1", _adding(10, 20, 30), create=True)
        await db.snapshots.save(snapshot)
        assert await _fetched(db) == (3, 60)

    async def test_a_deletion_shows_through_a_snapshot(self, db: Database) -> None:
        """SS-FIT-008: An aggregate that was soft-deleted at its snapshot is still reported as deleted."""
        ledgers = _ledgers(db)
        await ledgers.use("1", _adding(1), create=True)
        await ledgers.use("1", Ledger.close)
        assert (await _taken(db)).deleted
        with refused(AggregateDeleted, aggregate=REF, version=2):
            await _ledgers(db).fetch("1")

    async def test_time_travel_passes_newer_snapshots_by(self, db: Database) -> None:
        """SS-FIT-009: The state at an earlier version is that version's, whatever later snapshots there are."""
        ledgers = _ledgers(db)
        for number in (1, 2, 4, 8, 16):
            await ledgers.use("1", _adding(number), create=True)
        totals = [(await ledgers.fetch_version("1", version)).total for version in range(1, 6)]
        assert totals == [1, 3, 7, 15, 31]
