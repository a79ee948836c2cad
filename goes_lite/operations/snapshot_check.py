"""Check snapshots: none is newer than the events, and each has the state that its events result in."""

from __future__ import annotations

from collections.abc import Mapping

from goes_lite.aggregate import Aggregate
from goes_lite.contract.backend import Backend
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import CodecError, StoreDamaged, UnknownEventError
from goes_lite.events.query import EventQuery
from goes_lite.operations.reporting import Report
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every

NEVER = Every(2**62)
"""A schedule that takes no snapshots, for a repository that reads them."""


async def check_snapshots(db: Backend, report: Report, classes: Mapping[str, type[Aggregate]]) -> None:
    """Check all of them; those of the classes are compared with a replay."""
    before: Snapshot | None = None
    async for snapshot in db.snapshots.query():
        ref, version = snapshot.aggregate, snapshot.version
        what = f"the snapshot of {ref} at version {version}"
        if before is not None:
            report.expect(
                (before.aggregate, before.version) < (ref, version),
                "snapshot-order",
                f"{what} is listed after that of {before.aggregate} at version {before.version}",
            )
            if before.aggregate != ref:
                await _newest(db, report, before)
        before = snapshot
        report.counts["snapshots"] += 1
        if not await db.events.count(EventQuery(aggregates=[ref], versions=[version])):
            report.wrong(
                "snapshot-ahead",
                f"{what} is of a version that the aggregate does not have",
                "delete the snapshot: it is a cache",
            )
        elif ref.name in classes:
            try:
                await _replayed(db, report, snapshot, classes[ref.name], what)
            except (StoreDamaged, CodecError, UnknownEventError) as error:
                report.wrong("snapshot-unchecked", f"{what} cannot be checked: {type(error).__name__}: {error}")
    if before is not None:
        await _newest(db, report, before)


async def _newest(db: Backend, report: Report, snapshot: Snapshot) -> None:
    found = await db.snapshots.latest(snapshot.aggregate)
    at = "none" if found is None else f"that at version {found.version}"
    report.expect(
        found == snapshot,
        "snapshot-lookup",
        f"the latest snapshot of {snapshot.aggregate} is at version {snapshot.version}, not {at}",
    )


async def _replayed(db: Backend, report: Report, snapshot: Snapshot, aggregate: type[Aggregate], what: str) -> None:
    misfits: list[str] = []

    def misfit(problem: str, error: Exception) -> None:
        misfits.append(f"{problem}: {error}")

    (_, id), version = snapshot.aggregate, snapshot.version
    replaying = Repository(db, aggregate)
    resuming = Repository(db, aggregate, snapshots=NEVER, on_error=misfit)
    replayed = await replaying.fetch_version(id, version, deleted=True)
    resumed = await resuming.fetch_version(id, version, deleted=True)
    for problem in misfits:
        report.wrong("snapshot-unreadable", problem, "delete the snapshot: it is a cache")
    ours, theirs = ((one.snapshot_state(), one.deleted) for one in (resumed, replayed))
    if ours != theirs:
        report.wrong(
            "snapshot-state",
            f"{what} has the state {ours[0]!r:.200}, but its events result in {theirs[0]!r:.200}",
            "delete the snapshot: it is a cache",
        )
