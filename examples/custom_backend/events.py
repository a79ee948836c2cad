"""The event store: what each operation reads, checks and writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from goes_lite import backend as api
from goes_lite.batch import check_batch
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    DuplicateEventError,
    InvalidEventError,
    InvalidQueryError,
    RegistrationError,
    UnknownEventError,
)  # fmt: skip
from goes_lite.event import AggregateRef, Event, aggregate_ref, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.query import EVERYTHING, EventQuery, check_query
from goes_lite.registry import Raw, Registry, check_name
from goes_lite.store import AggregateInfo, AppendCondition, Appended, Pages, check_condition, check_position

from .records import Change, Session, State, event_record

T = TypeVar("T")
PAGE = 500


def pages(session: Session, select: Callable[[State], list[T]]) -> Pages[T]:
    """What `select` finds when the first page is fetched, in pages."""
    rest: list[T] | None = None

    async def fetch() -> Sequence[T]:
        nonlocal rest
        # What is left is remembered here and not in `work`: whoever waits may be cancelled, and must lose nothing.
        found = await session.read(lambda state: select(state) if rest is None else rest)
        page, rest = found[:PAGE], found[PAGE:]
        return page

    return Pages(fetch)


class JournalEvents:
    def __init__(self, session: Session, registry: Registry, unknown: api.Unknown) -> None:
        self._session = session
        self._registry = registry
        self._unknown = unknown

    # An event is stored under the name that it had then, and read under today's.

    def _matches(self, query: EventQuery, event: Event[None]) -> bool:
        return query.is_everything or query.matches(self._named(event, None))

    def _named(self, event: Event[Any], data: object) -> Event[Any]:
        name = self._registry.canonical(event.name)
        return restore(
            id_bytes(event), name, data, time_micros(event), event.aggregate, event.version, metadata_json(event),
            tags_json(event), event.position, *event.encoded,
        )  # fmt: skip

    def _decoded(self, event: Event[None], *, whole: bool = False) -> Event[Any] | None:
        """The event with its data; None if it is to be left out. An aggregate is only ever read `whole`."""
        try:
            data = self._registry.decode(event.name, *event.encoded, event.position)
        except UnknownEventError:
            if self._unknown == "error":
                raise
            if self._unknown == "skip" and not whole:
                return None
            data = Raw(event.name, *event.encoded)
        return self._named(event, data)

    def _page(self, stored: list[Event[None]], query: EventQuery, limit: int) -> tuple[list[Event[Any]], int]:
        """Up to `limit` events that match, and how many of the stored ones were looked at for them."""
        page: list[Event[Any]] = []
        for number, event in enumerate(stored):
            if len(page) == limit:
                return page, number
            if self._matches(query, event):
                try:
                    found = self._decoded(event)
                except Exception:
                    if page:  # what lies before an event that cannot be read is given out first
                        return page, number
                    raise
                page += [] if found is None else [found]
        return page, len(stored)

    def _check(self, query: EventQuery) -> None:
        check_query(query)
        for item in query.items:
            for name in item.names:
                self._registry.spellings(name)  # InvalidQueryError for a former name

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events)
        check_condition(condition)
        if condition is not None:
            self._check(condition.query)

        def work(state: State) -> Change[Appended]:
            stored = [state.by_id.get(id_bytes(event)) for event in batch.events]
            if any(stored):
                return Change(self._repeated(batch.events, stored))
            for ref, step in batch.steps.items():
                if step.expected != (version := len(state.aggregates.get(ref, ()))):
                    raise ConcurrencyError(ref, step.expected, version)
            if condition is not None:
                for event in reversed(state.between(condition.after, None)):
                    if self._matches(condition.query, event):
                        raise AppendConditionFailed(condition, event.position)
            new = [event.at(position) for position, event in enumerate(batch.events, state.head + 1)]
            return Change(
                Appended(tuple(event.position for event in new)), [event_record(e, e.position) for e in new], new
            )

        if not batch.events:  # whatever the condition
            return await self._session.read(lambda state: Appended(()))
        return await self._session.write(work)

    def _repeated(self, events: Sequence[Event[Any]], stored: Sequence[Event[None] | None]) -> Appended:
        """A retry of the very same events is answered as it was the first time; any other use of an id is refused."""
        fields = ("name", "aggregate", "version", "time", "encoding", "schema", "data", "metadata", "tags")
        positions: list[int] = []
        for event, old in zip(events, stored, strict=True):
            if old is not None:
                ours, theirs = (event_record(self._named(one, None), 0)[3:] for one in (event, old))
                for field, a, b in zip(fields, ours, theirs, strict=True):
                    if a != b:
                        raise DuplicateEventError(event.id, old.position, f"its {field} differs")
                positions.append(old.position)
        if len(positions) < len(events):
            first = next(old for old in stored if old is not None)
            raise DuplicateEventError(first.id, first.position, "only a part of the batch is stored")
        return Appended(tuple(positions), already_committed=True)

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        ref, first = aggregate_ref(aggregate), check_position("after", after)
        last = None if upto is None else check_position("upto", upto)

        def work(state: State) -> list[Event[Any]]:
            found = (self._decoded(event, whole=True) for event in state.aggregates.get(ref, [])[first:last])
            return [event for event in found if event is not None]

        return await self._session.read(work)

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        self._check(query)
        first, last = check_position("after", after), None if upto is None else check_position("upto", upto)
        left = sys.maxsize if limit is None else check_position("limit", limit)
        rest: list[Event[None]] | None = None

        def work(state: State) -> tuple[list[Event[Any]], list[Event[None]]]:
            stored = state.between(first, last)[:: -1 if reverse else 1] if rest is None else rest
            page, seen = self._page(stored, query, min(PAGE, left))
            return page, stored[seen:]

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal rest, left
            page, rest = await self._session.read(work)
            left -= len(page)
            return page

        return Pages(fetch)

    async def find(self, event_id: UUID) -> Event[Any] | None:
        if not isinstance(event_id, UUID):
            raise InvalidQueryError(f"find takes an event id, which is a UUID, not {event_id!r:.80}")

        def work(state: State) -> Event[Any] | None:
            stored = state.by_id.get(event_id.bytes)
            return None if stored is None else self._decoded(stored)

        return await self._session.read(work)

    async def head(self) -> int:
        return await self._session.read(lambda state: state.head)

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        try:
            behind = ("", "") if after is None else aggregate_ref(after)
            if name is not None:
                check_name(name, "an aggregate name")
        except (InvalidEventError, RegistrationError) as exc:
            raise InvalidQueryError(str(exc)) from None
        most = None if limit is None else check_position("limit", limit)

        def select(state: State) -> list[AggregateInfo]:
            refs = sorted(ref for ref in state.aggregates if ref > behind and name in (None, ref.name))[:most]
            events = ((ref, state.aggregates[ref]) for ref in refs)
            return [AggregateInfo(ref, len(found), found[0].time, found[-1].time) for ref, found in events]

        return pages(self._session, select)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        self._check(query)
        return await self._session.read(lambda state: sum(self._matches(query, event) for event in state.log))

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        self._check(query)
        cursor = check_position("after", after)

        def work(state: State) -> tuple[list[Event[Any]], int]:
            stored = state.between(cursor, None)
            page, seen = self._page(stored, query, PAGE)
            return page, stored[seen - 1].position if seen else cursor

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal cursor
            while True:
                seen = self._session.changes()  # before looking, so that no change is missed
                page, cursor = await self._session.read(work)
                if page:
                    return page
                await self._session.wait(seen)

        return Pages(fetch)

    async def delete(self, aggregate: AggregateRef) -> int:
        ref = aggregate_ref(aggregate)

        def work(state: State) -> Change[int]:
            events = len(state.aggregates.get(ref, ()))
            return Change(events, [["delete", *ref]] if events or state.snapshots.get(ref) else ())

        return await self._session.write(work)
