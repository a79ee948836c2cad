"""Verify that a store is sound: what must hold for any store, whatever happened to its writers.

async with goes_lite.connect("app.db") as db:
    found = await operations.verify(db, aggregates=[Order])
for problem in found.problems:
    print(problem.code, problem)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from goes_lite.contract.backend import Backend, View
from goes_lite.contract.findings import Finding
from goes_lite.contract.own_collections import RESERVED
from goes_lite.events.query import EventQuery
from goes_lite.operations.log_pass import NAMES, LogPass
from goes_lite.operations.lookups import Lookups
from goes_lite.operations.record_check import RecordCheck
from goes_lite.operations.reporting import Enough, Report
from goes_lite.operations.workflow_check import check_workflows

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.operations.receipts import Receipt


class Findings(NamedTuple):
    """The result of `verify`."""

    problems: tuple[Finding, ...]
    """Each with a code, a sentence and a way out; empty for a sound store."""
    events: int = 0
    aggregates: int = 0
    snapshots: int = 0
    checkpoints: int = 0
    models: int = 0
    leases: int = 0
    parked: int = 0
    commands: int = 0
    receipts: int = 0
    notes: tuple[str, ...] = ()
    """What could not be checked, and why."""


async def verify(
    db: Backend,
    *,
    aggregates: Iterable[type[Aggregate]] = (),
    collections: Iterable[str] | None = None,
    receipt: Receipt | None = None,
    strict: bool = False,
    thorough: int = 1000,
    limit: int = 100,
    progress: Callable[[int], object] | None = None,
) -> Findings:
    """Check everything that a store holds; problems are returned, not raised. It writes nothing.

    Each payload is decoded: into today's type, with its upcasters, if the handle's registry knows the name, else as plain
    data. What cannot be told from the store alone is that a payload was changed into another sound one: a receipt of `digest`
    tells that. Memory does not grow with the store. Others may write meanwhile: the log, the snapshots, the checkpoints and the
    read models are each checked in a view, as of one moment (see `Backend.view`), so what is written later is left out.

    Arguments
      aggregates   classes whose snapshots are compared with a replay of the events.
      collections  the names of the collections of read models to check; all of them by default.
      receipt      of this store, from `digest`: every event must still be as it was.
      strict       whether a name that the registry does not know is a finding.
      thorough     how many events are looked up one by one, by id, by each of their tags and by aggregate; of the others, a few.
                   Everything else is always checked completely.
      limit        after how many problems to stop.
      progress     called from time to time with the number of events checked so far.

    Raises StoreClosed, StoreLocked or StoreUnavailable if the store cannot be reached, or a server ends a view early.
    """
    report = Report(limit, progress)
    try:
        await _verify(db, report, [*aggregates], collections, receipt, strict, thorough)
    except Enough:
        report.problems.append(Finding("stopped", f"stopped after {limit} problems; the rest was not checked"))
    counts = {what: report.counts[what] for what in Findings._fields[1:-1]}
    return Findings(tuple(report.problems), **counts, notes=tuple(report.notes))


async def _verify(
    db: Backend,
    report: Report,
    classes: list[type[Aggregate]],
    collections: Iterable[str] | None,
    receipt: Receipt | None,
    strict: bool,
    thorough: int,
) -> None:
    await report.part("the store", _integrity(db, report))
    await report.part("the log", _log(db, report, strict, thorough))
    if receipt is not None:
        await report.part("the log", _compare(db, report, receipt))
    await report.part("the snapshots", _snapshots(db, report, classes))
    async with db.view() as view:
        records = RecordCheck(view, report, await view.events.head())
        await report.part("the checkpoints", records.consumers(db.leases))
        await report.part("the records of goes_lite", records.own())
        await report.part("the workflows", check_workflows(view, report))
        for collection in await _of_programs(view) if collections is None else collections:
            await report.part(f"the collection {collection!r}", records.models(collection))


async def _of_programs(view: View) -> list[str]:
    return [name for name in await view.models.collections() if not name.startswith(RESERVED)]


async def _integrity(db: Backend, report: Report) -> None:
    for finding in await db.integrity():
        report.wrong(*finding)


async def _log(db: Backend, report: Report, strict: bool, thorough: int) -> None:
    async with db.view() as view:
        head = await view.events.head()
        log = LogPass(view.events, db.registry, report, strict=strict)
        lookups = Lookups(view.events, report, thorough)
        await log.read(head, lookups.of_page)
        if beyond := await view.events.stored(after=head).next_page():
            report.wrong("head-behind", f"the head is {head}, but there is an event at position {beyond[0].position}")
        agrees = await lookups.aggregates(log)
        await _counts(view, report, log)
        if not agrees and not log.unreadable:
            await _disagrees(report, log, lookups)


async def _counts(view: View, report: Report, log: LogPass) -> None:
    unreadable = log.unreadable
    counted, total = await view.events.count(), report.counts["events"] + unreadable
    report.expect(counted == total, "count", f"{counted} events are counted, but the log has {total}")
    for name, number in [*log.names.items()][:NAMES]:
        counted = await view.events.count(EventQuery([name]))
        report.expect(
            number <= counted <= number + unreadable,
            "count",
            f"{counted} events named {name!r} are counted, but the log has {number}",
        )


async def _disagrees(report: Report, log: LogPass, lookups: Lookups) -> None:
    """Name the aggregates because of which the list of them is not what the log says."""
    before = len(report.problems)
    await lookups.each()
    if len(report.problems) == before:
        report.wrong(
            "aggregates-differ",
            f"the log has {log.of_aggregates} events of aggregates, and what is listed of them differs: an aggregate is "
            "missing, or one that is listed has other events",
        )


async def _compare(db: Backend, report: Report, receipt: Receipt) -> None:
    from goes_lite.operations.digests import check

    compared = await check(db, receipt)
    if not compared.holds:
        report.wrong(f"receipt-{compared.relation}", str(compared))
    elif not compared.same_store:
        report.note("the receipt is of another store, or of another epoch of this one, with the same events")


async def _snapshots(db: Backend, report: Report, classes: list[type[Aggregate]]) -> None:
    from goes_lite.operations.snapshot_check import check_snapshots

    named = {one("any").ref.name: one for one in classes}
    async with db.view() as view:
        await check_snapshots(view, db, report, named)
