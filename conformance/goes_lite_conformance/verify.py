"""Is a store sound? What must hold in any store, whatever happened to its writers, asked through its public protocol.

    async with goes_lite.connect("app.db") as db:
        findings = await verify(db, aggregates=[Order], collections=["order-summary"])
    for problem in findings.problems:
        print(problem)

It reads everything and writes nothing, in memory that does not grow with the store.
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
"""For how many event names the events are counted."""
NEVER = Every(2**62)
"""A schedule that takes no snapshots, of a repository that reads them."""

Key = tuple[int, UUID]


class Findings(NamedTuple):
    """What `verify` has seen."""

    problems: tuple[str, ...]
    """A sentence for each thing that is wrong; none for a sound store."""
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
    """Look at everything that a store holds; what is wrong is an answer, not an error. Nobody may write meanwhile.

    The handle has to know the types of all events, or to be opened with `unknown="raw"`.

    Arguments
      aggregates   classes whose snapshots are compared with a replay of the events.
      collections  the names of the collections of read models to look at: no store tells which it has.
      thorough     so many events are looked up one by one, by id and by each of their tags; of the others, one in `IDS`
                   and a few tags in each page. Everything else is always complete.
      limit        how many problems are enough.
      progress     called now and then with the number of events that are done.
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
        verification.problems.append(f"that is enough: after {limit} problems the rest was not looked at")
    counts = verification.counts
    return Findings(tuple(verification.problems), *(counts[what] for what in Findings._fields[1:]))


class _Enough(Exception):
    """So many problems that nobody wants to read more."""


class _Verification:
    def __init__(self, db: Backend, thorough: int, limit: int, progress: Callable[[int], object] | None) -> None:
        self.db = db
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._thorough = thorough
        self._limit = limit
        self._progress = progress
        self._head = 0
        self._of_aggregates = -1  # how many events of the log are of aggregates, once it was read to its end

    def wrong(self, problem: str) -> None:
        self.problems.append(problem)
        if len(self.problems) >= self._limit:
            raise _Enough

    def expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.wrong(problem)

    async def part(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Do a part of the work: what cannot be read is a problem like any other."""
        try:
            await work
        except _Enough:
            raise
        except Exception as error:
            self.wrong(f"{what} cannot be read to the end: {type(error).__name__}: {error}")

    # --- the log ------------------------------------------------------------------------------------------------------

    async def log(self) -> None:
        """Positions, ids, tags and counts, in one pass over all events."""
        store = self.db.events
        self._head = await store.head()
        seen: Counter[str] = Counter()
        last = of_aggregates = 0
        pages = store.query()
        while page := await pages.next_page():
            for event in page:
                if event.position <= last:
                    self.wrong(f"position {event.position} comes behind position {last}")
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
        self.expect(last <= self._head, f"the head is {self._head}, and there is an event at position {last}")
        counted = await store.count()
        total = self.counts["events"]
        self.expect(counted == total, f"{counted} events are counted, {total} are there")
        for name, number in seen.items():
            counted = await store.count(EventQuery([name]))
            self.expect(counted == number, f"{counted} events of the name {name!r} are counted, {number} are there")
        self._of_aggregates = of_aggregates

    def _event(self, event: Event[Any]) -> None:
        if (event.version >= 1) != (event.aggregate is not None):
            of = event.aggregate or "no aggregate"
            self.wrong(f"the event at position {event.position} has version {event.version} of {of}")
        try:  # what is converted when it is looked at
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
                    self.wrong(f"the events at the positions {first} and {event.position} have the same id {event.id}")
            found = await _keys(self.db, EventQuery(ids=known))
            self._agree("by their ids", found, _keys_of(part))
            for event in part if self.counts["events"] < self._thorough else part[:1]:
                one = await store.find(event.id)
                if one != event or one is None or one.position != event.position:
                    self.wrong(f"the event at position {event.position} is found by its id {event.id} as {one!r:.200}")

    async def _tags(self, page: Sequence[Event[Any]]) -> None:
        """The other events of the page must not be found by a tag, so this sees a wrong entry of an index, too."""
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
        about = f"missing are those at the positions {missing[:10]}" if missing else ""
        about += " and " if missing and extra else ""
        about += f"wrong are those at the positions {extra[:10]}" if extra else ""
        self.wrong(f"events are not found {how} as the log has them: {about or 'their order differs'}")

    # --- aggregates -----------------------------------------------------------------------------------------------------

    async def aggregates(self) -> None:
        """Versions, and what the store knows of each aggregate, in one pass over them."""
        before: AggregateRef | None = None
        loaded = 0
        async for info in self.db.events.aggregates():
            ref = info.aggregate
            self.expect(before is None or before < ref, f"{ref} is listed behind {before}")
            before = ref
            self.counts["aggregates"] += 1
            loaded += await self._aggregate(info)
        self.expect(
            loaded == self._of_aggregates or self._of_aggregates < 0,
            f"the log holds {self._of_aggregates} events of aggregates, those that are listed have {loaded}",
        )

    async def _aggregate(self, info: AggregateInfo) -> int:
        """How many events it has."""
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
                    self.wrong(f"version {event.version} of {ref} comes behind version {version}")
                if not position < event.position <= self._head:
                    at = f"{event.position}, behind {position}, and the head is {self._head}"
                    self.wrong(f"version {event.version} of {ref} is at position {at}")
                version, position = max(version, event.version), max(position, event.position)
                first = first or event
            if events:
                number += len(events)
                query = EventQuery(aggregates=[ref], min_version=events[0].version, max_version=version)
                self._agree(f"by their aggregate {ref}", await _keys(self.db, query), _keys_of(events))
            if len(events) < WINDOW:
                break
        self.expect(info.version == version, f"{ref} is listed with version {info.version}, its events reach {version}")
        if first is not None and event is not None:
            for what, listed, found in (("first", info.first_time, first.time), ("last", info.last_time, event.time)):
                self.expect(
                    listed == found, f"{ref} is listed with {listed} as its {what} time, that of its event is {found}"
                )
        return number

    # --- snapshots, checkpoints, read models ------------------------------------------------------------------------------

    async def snapshots(self, classes: dict[str, type[Aggregate]]) -> None:
        """None knows more than the events, and the state of each is what its events made of the aggregate."""
        before: Snapshot | None = None
        async for snapshot in self.db.snapshots.query():
            ref, version = snapshot.aggregate, snapshot.version
            what = f"the snapshot of {ref} at version {version}"
            if before is not None:
                order = (before.aggregate, before.version) < (ref, version)
                self.expect(order, f"{what} is listed behind that of {before.aggregate} at version {before.version}")
                if before.aggregate != ref:
                    await self._newest(before)
            before = snapshot
            self.counts["snapshots"] += 1
            if not await self.db.events.load(ref, after=version - 1, upto=version):
                self.wrong(f"{what} is of a version that the aggregate does not have")
            elif ref.name in classes:
                await self._replayed(snapshot, classes[ref.name], what)
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
        self.expect(ours == theirs, f"{what} has the state {ours[0]!r:.200}, its events make it {theirs[0]!r:.200}")

    async def checkpoints(self) -> None:
        """None is ahead of the log, and all are of this store."""
        identity = self.db.identity
        for checkpoint in await self.db.checkpoints.all():
            name, position, store, _ = checkpoint
            self.counts["checkpoints"] += 1
            self.expect(
                position <= self._head, f"the checkpoint {name!r} is at {position}, and the head is {self._head}"
            )
            self.expect(
                store == identity,
                f"the checkpoint {name!r} is of the store {store}, this one is {identity}",
            )
            found = await self.db.checkpoints.get(name)
            self.expect(found == checkpoint, f"the checkpoint {name!r} is listed as {checkpoint}, and got as {found}")

    async def models(self, collection: str) -> None:
        """Each is valid JSON under an id of its own, with a version."""
        before: str | None = None
        async for record in self.db.models.query(collection):
            what = f"the model {record.id!r} of {collection!r}"
            self.counts["models"] += 1
            self.expect(before is None or before < record.id, f"{what} is listed behind {before!r}")
            before = record.id
            self.expect(record.version >= 1, f"{what} has version {record.version}")
            self.expect(await self.db.models.get(collection, record.id) == record, f"{what} is not what get() answers")
            try:
                json.loads(record.data)
            except ValueError as error:
                self.wrong(f"{what} is not valid JSON: {error}")


async def _keys(db: Backend, query: EventQuery, after: int = 0, upto: int | None = None) -> list[Key]:
    return _keys_of(await db.events.query(query, after=after, upto=upto).list())


def _keys_of(events: Iterable[Event[Any]]) -> list[Key]:
    return [(event.position, event.id) for event in events]
