"""Check snapshots: none is newer than the events, and each has the state that its events result in.

They are listed in a view. Events are replayed as the handle reads them, which finds those of the view unless the aggregate was
deleted meanwhile: then nothing is said of its snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping

from goes_lite.aggregate import Aggregate
from goes_lite.contract.backend import Backend, View
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import AggregateNotFound, CodecError, StoreDamaged, UnknownEventError, VersionNotFound
from goes_lite.events.query import EventQuery
from goes_lite.operations.reporting import Report
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every

NEVER = Every(2**62)
"""A schedule that takes no snapshots, for a repository that reads them."""


async def check_snapshots(view: View, db: Backend, report: Report, classes: Mapping[str, type[Aggregate]]) -> None:
    """Check all of them; those of the classes are compared with a replay."""
    before: Snapshot | None = None
    async for snapshot in view.snapshots.query():
        ref, version = snapshot.aggregate, snapshot.version
        what = f"the snapshot of {ref} at version {version}"
        if before is not None:
            report.expect(
                (before.aggregate, before.version) < (ref, version),
                "snapshot-order",
                f"{what} is listed after that of {before.aggregate} at version {before.version}",
            )
            if before.aggregate != ref:
                await _newest(view, report, before)
        before = snapshot
        report.counts["snapshots"] += 1
        if not await view.events.count(_event(snapshot)):
            report.wrong(
                "snapshot-ahead",
                f"{what} is of a version that the aggregate does not have",
                "delete the snapshot: it is a cache",
            )
        elif ref.name in classes:
            try:
                await _replayed(view, db, report, snapshot, classes[ref.name], what)
            except (StoreDamaged, CodecError, UnknownEventError) as error:
                report.wrong("snapshot-unchecked", f"{what} cannot be checked: {type(error).__name__}: {error}")
    if before is not None:
        await _newest(view, report, before)


def _event(snapshot: Snapshot) -> EventQuery:
    """Return the query for the event that the snapshot was taken after."""
    return EventQuery(aggregates=[snapshot.aggregate], versions=[snapshot.version])


async def _newest(view: View, report: Report, snapshot: Snapshot) -> None:
    found = await view.snapshots.latest(snapshot.aggregate)
    at = "none" if found is None else f"that at version {found.version}"
    report.expect(
        found == snapshot,
        "snapshot-lookup",
        f"the latest snapshot of {snapshot.aggregate} is at version {snapshot.version}, not {at}",
    )


async def _replayed(
    view: View, db: Backend, report: Report, snapshot: Snapshot, aggregate: type[Aggregate], what: str
) -> None:
    misfits: list[str] = []

    def misfit(problem: str, error: Exception) -> None:
        misfits.append(f"{problem}: {error}")

    (_, id), version = snapshot.aggregate, snapshot.version
    replaying = Repository(db, aggregate)
    resuming = Repository(db, aggregate, snapshots=NEVER, on_error=misfit)
    try:
        replayed = await replaying.fetch_version(id, version, deleted=True)
        resumed = await resuming.fetch_version(id, version, deleted=True)
    except (AggregateNotFound, VersionNotFound):
        if await _deleted(view, db, snapshot):
            return
        raise
    for problem in misfits:
        report.wrong("snapshot-unreadable", problem, "delete the snapshot: it is a cache")
    ours, theirs = ((one.snapshot_state(), one.deleted) for one in (resumed, replayed))
    if ours != theirs and not await _deleted(view, db, snapshot):
        report.wrong(
            "snapshot-state",
            f"{what} has the state {ours[0]!r:.200}, but its events result in {theirs[0]!r:.200}",
            "delete the snapshot: it is a cache",
        )


async def _deleted(view: View, db: Backend, snapshot: Snapshot) -> bool:
    """Whether the aggregate was deleted after the view began; it may have started again since."""
    before, now = [[event.id async for event in events.query(_event(snapshot))] for events in (view.events, db.events)]
    return before != now
