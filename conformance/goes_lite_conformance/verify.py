"""Verify that a store is sound: what must hold for any store, whatever happened to its writers.

    async with goes_lite.connect("app.db") as db:
        findings = await verify(db, aggregates=[Order], collections=["order-summary"])
    for problem in findings.problems:
        print(problem)

It uses the public protocol only, reads everything and writes nothing, in memory that does not grow with the store.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import AggregateInfo
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import StoreDamaged
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every

WINDOW = 1000
"""How many versions of one aggregate are loaded at once."""
IDS = 100
"""How many ids are looked up at once."""
NAMES = 1000
"""The maximum number of event names whose events are counted."""
NEVER = Every(2**62)
"""A schedule that takes no snapshots, for a repository that reads them."""

Key = tuple[int, UUID]


class Findings(NamedTuple):
    """The result of `verify`."""

    problems: tuple[str, ...]
    """A sentence for each problem; empty for a sound store."""
    events: int
    aggregates: int
    snapshots: int
    checkpoints: int
    models: int


async def verify(
    db: Backend,
    *,
    aggregates: Iterable[type[Aggregate]] = (),
    collections: Iterable[str] = (),
    thorough: int = 10_000,
    limit: int = 100,
    progress: Callable[[int], object] | None = None,
) -> Findings:
    """Check everything that a store holds; problems are returned, not raised. Nothing may write meanwhile.

    The handle must know the types of all events, or be opened with `unknown="raw"`.

    Arguments
      aggregates   classes whose snapshots are compared with a replay of the events.
      collections  the names of the collections of read models to check: no store can list them.
      thorough     how many events are looked up one by one, by id and by each of their tags; of the others, one in `IDS`
                   and a few tags in each page. Everything else is always checked completely.
      limit        after how many problems to stop.
      progress     called from time to time with the number of events checked so far.
    """
    verification = _Verification(db, thorough, limit, progress)
    try:
        await verification.part("the log", verification.log())
        await verification.part("the list of aggregates", verification.aggregates())
        await verification.part(
            "the snapshots", verification.snapshots({one("any").ref.name: one for one in aggregates})
        )
        await verification.part("the checkpoints", verification.checkpoints())
        for collection in collections:
            await verification.part(f"the collection {collection!r}", verification.models(collection))
    except _Enough:
        verification.problems.append(f"stopped after {limit} problems; the rest was not checked")
    counts = verification.counts
    return Findings(tuple(verification.problems), *(counts[what] for what in Findings._fields[1:]))


class _Enough(Exception):
    """Enough problems were found."""


class _Verification:
    def __init__(self, db: Backend, thorough: int, limit: int, progress: Callable[[int], object] | None) -> None:
        self.db = db
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._thorough = thorough
        self._limit = limit
        self._progress = progress
        self._head = 0
        self._of_aggregates = -1  # how many events of the log belong to aggregates, once it was read to its end

    def wrong(self, problem: str) -> None:
        self.problems.append(problem)
        if len(self.problems) >= self._limit:
            raise _Enough

    def expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.wrong(problem)

    async def part(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Do a part of the work; anything that cannot be read is a problem like any other."""
        try:
            await work
        except _Enough:
            raise
        except Exception as error:
            self.wrong(f"{what} cannot be read to the end: {type(error).__name__}: {error}")

    # --- the log ------------------------------------------------------------------------------------------------------

    async def log(self) -> None:
        """Check positions, ids, tags and counts, in one pass over all events."""
        store = self.db.events
        self._head = await store.head()
        seen: Counter[str] = Counter()
        last = of_aggregates = 0
        pages = store.query()
        while page := await pages.next_page():
            for event in page:
                if event.position <= last:
                    self.wrong(f"position {event.position} follows position {last}")
                last = max(last, event.position)
                self._event(event)
                of_aggregates += event.aggregate is not None
                if event.name in seen or len(seen) < NAMES:
                    seen[event.name] += 1
            await self._ids(page)
            await self._tags(page)
            self.counts["events"] += len(page)
            if self._progress is not None:
                self._progress(self.counts["events"])
        self.expect(last <= self._head, f"the head is {self._head}, but there is an event at position {last}")
        counted = await store.count()
        total = self.counts["events"]
        self.expect(counted == total, f"{counted} events are counted, but the log has {total}")
        for name, number in seen.items():
            counted = await store.count(EventQuery([name]))
            self.expect(counted == number, f"{counted} events named {name!r} are counted, but the log has {number}")
        self._of_aggregates = of_aggregates

    def _event(self, event: Event[Any]) -> None:
        if (event.version >= 1) != (event.aggregate is not None):
            of = event.aggregate or "no aggregate"
            self.wrong(f"the event at position {event.position} has version {event.version} of {of}")
        try:  # fields that are converted on access
            _ = event.id, event.time, event.metadata, event.tags
        except Exception as error:
            self.wrong(f"the event at position {event.position} cannot be read: {type(error).__name__}: {error}")

    async def _ids(self, page: Sequence[Event[Any]]) -> None:
        store = self.db.events
        for start in range(0, len(page), IDS):
            part = page[start : start + IDS]
            known: dict[UUID, int] = {}
            for event in part:
                first = known.setdefault(event.id, event.position)
                if first != event.position:
                    self.wrong(f"the events at positions {first} and {event.position} have the same id {event.id}")
            found = await _keys(self.db, EventQuery(ids=known))
            self._agree("by their ids", found, _keys_of(part))
            for event in part if self.counts["events"] < self._thorough else part[:1]:
                one = await store.find(event.id)
                if one != event or one is None or one.position != event.position:
                    self.wrong(f"the event at position {event.position} is found by its id {event.id} as {one!r:.200}")

    async def _tags(self, page: Sequence[Event[Any]]) -> None:
        """Check that a tag finds the events that carry it and no others on the page, which reveals wrong index entries, too."""
        tags = sorted({tag for event in page for tag in event.tags})
        if self.counts["events"] >= self._thorough:
            tags = tags[:: max(1, len(tags) // 4)]
        after, upto = page[0].position - 1, page[-1].position
        for tag in tags:
            found = await _keys(self.db, EventQuery(tags=[tag]), after=after, upto=upto)
            tagged = [(event.position, event.id) for event in page if tag in event.tags]
            self._agree(f"by the tag {tag!r}", found, tagged)

    def _agree(self, how: str, found: Sequence[Key], expected: Sequence[Key]) -> None:
        if found == expected:
            return
        missing = [position for position, id in expected if (position, id) not in found]
        extra = [position for position, id in found if (position, id) not in expected]
        about = f"missing at positions {missing[:10]}" if missing else ""
        about += " and " if missing and extra else ""
        about += f"wrong at positions {extra[:10]}" if extra else ""
        self.wrong(f"events found {how} differ from the log: {about or 'their order differs'}")

    # --- aggregates -----------------------------------------------------------------------------------------------------

    async def aggregates(self) -> None:
        """Check versions, and what the store lists of each aggregate, in one pass."""
        before: AggregateRef | None = None
        loaded = 0
        damaged = False
        async for info in self.db.events.aggregates():
            ref = info.aggregate
            self.expect(before is None or before < ref, f"{ref} is listed after {before}")
            before = ref
            self.counts["aggregates"] += 1
            try:
                loaded += await self._aggregate(info)
            except StoreDamaged as error:  # the other aggregates may be sound
                self.wrong(f"{ref}: {error}")
                damaged = True
        self.expect(
            damaged or loaded == self._of_aggregates or self._of_aggregates < 0,
            f"the log has {self._of_aggregates} events of aggregates, but those listed have {loaded}",
        )

    async def _aggregate(self, info: AggregateInfo) -> int:
        """Check one aggregate and return how many events it has."""
        ref = info.aggregate
        number = version = position = 0
        first: Event[Any] | None = None
        event: Event[Any] | None = None
        while True:
            events = await self.db.events.load(ref, after=version, upto=version + WINDOW)
            for event in events:
                if event.aggregate != ref:
                    self.wrong(f"version {event.version} of {ref} is loaded as an event of {event.aggregate}")
                if event.version != version + 1:
                    self.wrong(f"version {event.version} of {ref} follows version {version}")
                if not position < event.position <= self._head:
                    at = f"{event.position}, after {position}, and the head is {self._head}"
                    self.wrong(f"version {event.version} of {ref} is at position {at}")
                version, position = max(version, event.version), max(position, event.position)
                first = first or event
            if events:
                number += len(events)
                query = EventQuery(aggregates=[ref], min_version=events[0].version, max_version=version)
                self._agree(f"by their aggregate {ref}", await _keys(self.db, query), _keys_of(events))
            if len(events) < WINDOW:
                break
        self.expect(
            info.version == version, f"{ref} is listed with version {info.version}, but its events reach {version}"
        )
        if first is not None and event is not None:
            for what, listed, found in (("first", info.first_time, first.time), ("last", info.last_time, event.time)):
                self.expect(
                    listed == found,
                    f"{ref} is listed with {listed} as its {what} time, but that of its event is {found}",
                )
        return number

    # --- snapshots, checkpoints, read models ------------------------------------------------------------------------------

    async def snapshots(self, classes: dict[str, type[Aggregate]]) -> None:
        """Check that no snapshot is newer than the events, and that each state results from its aggregate's events."""
        before: Snapshot | None = None
        async for snapshot in self.db.snapshots.query():
            ref, version = snapshot.aggregate, snapshot.version
            what = f"the snapshot of {ref} at version {version}"
            if before is not None:
                order = (before.aggregate, before.version) < (ref, version)
                self.expect(order, f"{what} is listed after that of {before.aggregate} at version {before.version}")
                if before.aggregate != ref:
                    await self._newest(before)
            before = snapshot
            self.counts["snapshots"] += 1
            try:
                if not await self.db.events.load(ref, after=version - 1, upto=version):
                    self.wrong(f"{what} is of a version that the aggregate does not have")
                elif ref.name in classes:
                    await self._replayed(snapshot, classes[ref.name], what)
            except StoreDamaged as error:
                self.wrong(f"{what} cannot be checked: {error}")
        if before is not None:
            await self._newest(before)

    async def _newest(self, snapshot: Snapshot) -> None:
        found = await self.db.snapshots.latest(snapshot.aggregate)
        at = "none" if found is None else f"that at version {found.version}"
        self.expect(
            found == snapshot, f"the latest snapshot of {snapshot.aggregate} is at version {snapshot.version}, not {at}"
        )

    async def _replayed(self, snapshot: Snapshot, aggregate: type[Aggregate], what: str) -> None:
        misfits: list[str] = []

        def misfit(problem: str, error: Exception) -> None:
            misfits.append(f"{problem}: {error}")

        (_, id), version = snapshot.aggregate, snapshot.version
        replaying = Repository(self.db, aggregate)
        resuming = Repository(self.db, aggregate, snapshots=NEVER, on_error=misfit)
        replayed = await replaying.fetch_version(id, version, deleted=True)
        resumed = await resuming.fetch_version(id, version, deleted=True)
        for problem in misfits:
            self.wrong(problem)
        ours, theirs = ((one.snapshot_state(), one.deleted) for one in (resumed, replayed))
        self.expect(
            ours == theirs, f"{what} has the state {ours[0]!r:.200}, but its events result in {theirs[0]!r:.200}"
        )

    async def checkpoints(self) -> None:
        """Check that no checkpoint is ahead of the log, and that all belong to this store."""
        identity = self.db.identity
        for checkpoint in await self.db.checkpoints.all():
            name, position, store, _ = checkpoint
            self.counts["checkpoints"] += 1
            self.expect(
                position <= self._head, f"the checkpoint {name!r} is at {position}, but the head is {self._head}"
            )
            self.expect(
                store == identity,
                f"the checkpoint {name!r} belongs to the store {store}, but this one is {identity}",
            )
            found = await self.db.checkpoints.get(name)
            self.expect(
                found == checkpoint, f"the checkpoint {name!r} is listed as {checkpoint}, but get() returns {found}"
            )

    async def models(self, collection: str) -> None:
        """Check that each record is valid JSON, with a unique id and a version."""
        before: str | None = None
        async for record in self.db.models.query(collection):
            what = f"the model {record.id!r} of {collection!r}"
            self.counts["models"] += 1
            self.expect(before is None or before < record.id, f"{what} is listed after {before!r}")
            before = record.id
            self.expect(record.version >= 1, f"{what} has version {record.version}")
            self.expect(await self.db.models.get(collection, record.id) == record, f"{what} is not what get() returns")
            try:
                json.loads(record.data)
            except ValueError as error:
                self.wrong(f"{what} is not valid JSON: {error}")


async def _keys(db: Backend, query: EventQuery, after: int = 0, upto: int | None = None) -> list[Key]:
    return _keys_of(await db.events.query(query, after=after, upto=upto).list())


def _keys_of(events: Iterable[Event[Any]]) -> list[Key]:
    return [(event.position, event.id) for event in events]
