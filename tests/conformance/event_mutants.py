"""Event stores with a fault each. See `mutants`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from goes_lite.contract.event_store import AppendCondition, Appended, EventStore, Pages
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, DuplicateEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.ids import new_id
from goes_lite.events.query import EVERYTHING, EventQuery
from tests.conformance.mutants import changed, each, events_mutant, mutant

# --- appending ------------------------------------------------------------------------------------------------------


@events_mutant("ES-APPEND-001", "ES-APPEND-022")
class LosesTheLastOfABatch(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = list(events)
        if len(batch) < 2:
            return await self.store.append(batch, condition=condition)
        appended = await self.store.append(batch[:-1], condition=condition)
        return appended._replace(positions=(*appended.positions, appended.position + 1))


@events_mutant("ES-APPEND-018", "ES-APPEND-009")
class StoresBatchesOneByOne(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        parts = [await self.store.append([event], condition=condition) for event in events]
        return Appended(
            tuple(part.position for part in parts), bool(parts) and all(part.already_committed for part in parts)
        )


@events_mutant("ES-APPEND-011", "ES-APPEND-012")
class IgnoresVersions(WrappedStore):
    """Puts an event that comes too late behind those that are there."""

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        try:
            return await self.store.append(events, condition=condition)
        except ConcurrencyError as conflict:
            shift = conflict.actual - conflict.expected
            moved = [
                changed(event, version=event.version + shift) if event.aggregate == conflict.aggregate else event
                for event in events
            ]
            return await self.append(moved, condition=condition)


@events_mutant("ES-APPEND-011", "ES-APPEND-012")
class SwapsTheVersionsOfAConflict(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        try:
            return await self.store.append(events, condition=condition)
        except ConcurrencyError as conflict:
            raise ConcurrencyError(conflict.aggregate, conflict.actual, conflict.expected) from None


@events_mutant("CC-CONTEND-002")
class LooksBeforeItLocks(WrappedStore):
    """Judges the version, lets others in, and stores without looking again."""

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = list(events)
        for event in batch[:1]:
            if event.aggregate is not None and not await self.store.find(event.id):
                stored = len(await self.store.load(event.aggregate))
                if stored == event.version - 1:
                    await asyncio_yield()
                    with suppress(ConcurrencyError):
                        return await self.store.append(batch, condition=condition)
                    return Appended((await self.store.head(),))  # "stored", over what somebody else had stored
        return await self.store.append(batch, condition=condition)


async def asyncio_yield() -> None:
    """Let others run, where there is a loop."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        await asyncio.sleep(0)


@events_mutant("ES-RETRY-003")
class StoresARetryAgain(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = list(events)
        appended = await self.store.append(batch, condition=condition)
        if appended.already_committed and all(event.aggregate is None for event in batch):
            await self.store.append([changed(event, id=new_id()) for event in batch])
        return appended


@events_mutant("ES-RETRY-015", "ES-RETRY-022")
class TakesAnyEventOfAUsedIdForARetry(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        try:
            return await self.store.append(events, condition=condition)
        except DuplicateEventError as error:
            return Appended((error.position,) * len(events), already_committed=True)


@events_mutant("ES-RETRY-007", "ES-RETRY-008")
class JudgesTheConditionOfARetry(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        appended = await self.store.append(events, condition=condition)
        if condition is not None and appended.already_committed:
            for found in await self.store.query(condition.query, after=condition.after, limit=1).list():
                raise AppendConditionFailed(condition, found.position)
        return appended


@events_mutant("ES-COND-003", "ES-COND-004")
class ForgetsBoundariesThatMatchedNothing(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        return await self.store.append(events, condition=condition if condition and condition.after else None)


@events_mutant("ES-COND-001")
class ReadsTheConditionOneTooFar(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        if condition is not None:
            condition = condition._replace(after=condition.after + 1)
        return await self.store.append(events, condition=condition)


@events_mutant("ES-COND-001", "ES-COND-022")
class JudgesTheConditionAfterwards(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        appended = await self.store.append(events)
        if condition is not None and not appended.already_committed and appended.positions:
            first = appended.positions[0]
            for found in await self.store.query(condition.query, after=condition.after, upto=first - 1, limit=1).list():
                raise AppendConditionFailed(condition, found.position)
        return appended


# --- reading --------------------------------------------------------------------------------------------------------


@events_mutant("ES-QUERY-013")
class TakesAnyOfTheTags(WrappedStore):
    def query(self, query: EventQuery = EVERYTHING, **options: Any) -> Pages[Event[Any]]:
        queries: list[EventQuery] = []
        for item in query.items:
            for tag in item.tags or (None,):
                one = EventQuery()
                object.__setattr__(one, "items", (item._replace(tags=() if tag is None else (tag,)),))
                queries.append(one)
        return self.store.query(EventQuery.any_of(*queries), **options)


@events_mutant("ES-QUERY-026", "WF-TELL-001")
class LeavesOutTheLastPosition(WrappedStore):
    def query(
        self, query: EventQuery = EVERYTHING, *, after: int = 0, upto: int | None = None, **options: Any
    ) -> Pages[Event[Any]]:
        return self.store.query(query, after=after, upto=upto and max(upto - 1, 0), **options)


@events_mutant("ES-QUERY-041")
class NeverEnds(WrappedStore):
    """A query goes on with what is appended while it is read."""

    def query(self, query: EventQuery = EVERYTHING, *, after: int = 0, **options: Any) -> Pages[Event[Any]]:
        if any(options.values()):
            return self.store.query(query, after=after, **options)
        last = after

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal last
            page = await self.store.query(query, after=last, limit=100).list()
            last = page[-1].position if page else last
            return page

        return Pages(fetch)


@events_mutant("ES-COUNT-002")
class CountsEverything(WrappedStore):
    async def count(self, query: EventQuery = EVERYTHING) -> int:
        return await self.store.count()


@events_mutant("ES-DATA-016")
class TruncatesTimesToMilliseconds(WrappedStore):
    def query(self, *args: Any, **options: Any) -> Pages[Event[Any]]:
        def truncated(event: Event[Any]) -> Event[Any]:
            return changed(event, time=event.time.replace(microsecond=event.time.microsecond // 1000 * 1000))

        return each(self.store.query(*args, **options), truncated)


@events_mutant("ES-DATA-026")
class FoldsTheCaseOfMetadata(WrappedStore):
    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        lower = [changed(e, metadata={k.lower(): v for k, v in e.metadata.items()} or None) for e in events]
        return await self.store.append(lower, condition=condition)


@events_mutant("ES-DELETE-013")
class HasAHeadThatGoesBack(WrappedStore):
    async def head(self) -> int:
        last = await self.store.query(reverse=True, limit=1).list()
        return last[0].position if last else 0


@events_mutant("ES-FOLLOW-004")
class MissesAWakeUp(WrappedStore):
    """Follows what is stored, and then falls asleep for good."""

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        awake = self.store.query(query, after=after)
        asleep = self.store.follow(EventQuery(names=["never.happens"]), after=after)

        async def fetch() -> Sequence[Event[Any]]:
            return await awake.next_page() or await asleep.next_page()

        return Pages(fetch)


@events_mutant("ES-FOLLOW-001", "ES-FOLLOW-009")
class RepeatsItselfAcrossAWakeUp(WrappedStore):
    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        pages = self.store.follow(query, after=after)
        last: list[Event[Any]] = []

        async def fetch() -> Sequence[Event[Any]]:
            page = await pages.next_page()
            again, last[:] = list(last), page[-1:]
            return [*again, *page]

        return Pages(fetch)


@events_mutant("ES-APPEND-008", "CC-READ-004")
class ShowsALowerPositionLater(WrappedStore):
    """Every third event is hidden from readers until the one behind it was read."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._seen = 0

    def over(self, pages: Pages[Any]) -> Pages[Any]:
        def visible(found: Any) -> Any:
            if not isinstance(found, Event):
                return found
            if found.position % 3 == 0 and self._seen <= found.position:
                return None
            self._seen = max(self._seen, found.position)
            return cast("Any", found)

        return each(pages, visible)


# --- deleting -------------------------------------------------------------------------------------------------------


@mutant("ES-DELETE-012")
def reuses_positions_after_a_delete(wrapped: WrappedBackend) -> None:
    class Store(WrappedStore):
        async def delete(self, aggregate: AggregateRef) -> int:
            count = await self.store.delete(aggregate)
            back = (
                "UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(position), 0) FROM events) WHERE name = 'events'"
            )
            async with wrapped.backend.transaction() as transaction:
                await transaction.execute(back)
            return count

    wrapped.events = Store(wrapped.backend.events)


@events_mutant("ES-DELETE-011")
class KeepsDeletedIdsForItself(WrappedStore):
    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._ids: dict[UUID, int] = {}

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        for event in events:
            if event.id in self._ids:
                raise DuplicateEventError(event.id, self._ids[event.id], "it is stored already")
        return await self.store.append(events, condition=condition)

    async def delete(self, aggregate: AggregateRef) -> int:
        self._ids.update({event.id: event.position for event in await self.store.load(aggregate)})
        return await self.store.delete(aggregate)
