"""Check that every way to an event leads to the same: by position, by id, by tag, by aggregate, and by the list of aggregates.

Each look-up is a request to the store, so of a large store only the first events are looked up one by one, then a few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from goes_lite.contract.event_store import AggregateInfo, EventStore
from goes_lite.errors import CodecError, StoreDamaged
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, to_micros
from goes_lite.events.query import EventQuery
from goes_lite.operations.log_pass import IDS, LogPass
from goes_lite.operations.reporting import Report

WINDOW = 1000
"""How many versions of one aggregate are loaded at once."""
EACH = 500
"""Of the aggregates after the first ones, one in so many is loaded."""

PAGES = 25
"""Of the pages after the first ones, events of one in so many are looked up."""

Key = tuple[int, UUID]


class Lookups:
    """Look-ups of some events, for a check that reads them anyway; `events` is that of a view."""

    def __init__(self, events: EventStore, report: Report, thorough: int) -> None:
        self._events = events
        self._report = report
        self._thorough = thorough
        self._pages = 0

    @property
    def _each(self) -> bool:
        return self._report.counts["events"] < self._thorough

    # --- by id and tag ------------------------------------------------------------------------------------------------

    async def of_page(self, page: Sequence[Event[Any]]) -> None:
        """Look up events of a page of the log: each of the first pages, then a few of one page in `PAGES`."""
        self._pages += 1
        if not self._each and self._pages % PAGES:
            return
        try:
            await self._ids(page)
            await self._tags(page)
        except (CodecError, StoreDamaged):
            # One of them cannot be read, which the pass over the log says; the others may be looked up one by one.
            self._report.note("events next to those that cannot be read were not looked up")

    async def _ids(self, page: Sequence[Event[Any]]) -> None:
        for start in range(0, len(page), IDS) if self._each else (0,):
            part = page[start : start + IDS]
            found = await self._keys(EventQuery(ids={event.id for event in part}))
            self._agree("by their ids", found, _keys_of(part))
            for event in part if self._each else part[:1]:
                one = await self._events.find(event.id)
                if one is None or (one.id, one.position) != (event.id, event.position):
                    self._report.wrong(
                        "id-lookup",
                        f"the event at position {event.position} is found by its id {event.id} as {one!r:.200}",
                    )

    async def _tags(self, page: Sequence[Event[Any]]) -> None:
        """Check that a tag finds the events that carry it and no others on the page, which reveals wrong index entries, too."""
        tags = sorted({tag for event in page for tag in event.tags})
        if not self._each:
            tags = tags[:: max(1, len(tags) // 2)]
        after, upto = page[0].position - 1, page[-1].position
        for tag in tags:
            found = await self._keys(EventQuery(tags=[tag]), after=after, upto=upto)
            tagged = [(event.position, event.id) for event in page if tag in event.tags]
            self._agree(f"by the tag {tag!r}", found, tagged, "tag-lookup")

    def _agree(self, how: str, found: Sequence[Key], expected: Sequence[Key], code: str = "id-lookup") -> None:
        if found == expected:
            return
        missing = [position for position, id in expected if (position, id) not in found]
        extra = [position for position, id in found if (position, id) not in expected]
        about = f"missing at positions {missing[:10]}" if missing else ""
        about += " and " if missing and extra else ""
        about += f"wrong at positions {extra[:10]}" if extra else ""
        self._report.wrong(code, f"events found {how} differ from the log: {about or 'their order differs'}")

    async def _keys(self, query: EventQuery, after: int = 0, upto: int | None = None) -> list[Key]:
        return _keys_of(await self._events.query(query, after=after, upto=upto).list())

    # --- by aggregate -------------------------------------------------------------------------------------------------

    async def aggregates(self, log: LogPass) -> bool:
        """Check the list of aggregates against the log; return whether it agrees in every version and every first time."""
        before: AggregateRef | None = None
        versions = firsts = loaded = number = 0
        async for info in self._events.aggregates():
            ref = info.aggregate
            self._report.expect(before is None or before < ref, "aggregate-order", f"{ref} is listed after {before}")
            before = ref
            number += 1
            versions += hash((hash(ref), info.version))
            firsts += hash((hash(ref), to_micros(info.first_time)))
            if loaded < self._thorough or number % EACH == 0:
                loaded += await self.aggregate(info)
        self._report.counts["aggregates"] = number
        return versions == log.versions and firsts == log.firsts

    async def each(self) -> None:
        """Load every aggregate, to name those that are not as they are listed."""
        async for info in self._events.aggregates():
            await self.aggregate(info)

    async def aggregate(self, info: AggregateInfo) -> int:
        """Load one aggregate, compare it with what is listed of it, and return how many events it has."""
        try:
            return await self._aggregate(info)
        except StoreDamaged as error:  # the other aggregates may be sound
            self._report.wrong("aggregate-damaged", f"{info.aggregate}: {error}")
        except CodecError:
            self._report.note("aggregates with events that cannot be read were not loaded")
        return info.version

    async def _aggregate(self, info: AggregateInfo) -> int:
        ref = info.aggregate
        wrong, expect = self._report.wrong, self._report.expect
        number = version = position = 0
        first: Event[Any] | None = None
        event: Event[Any] | None = None
        while version < info.version or not number:
            events = await self._events.load(ref, after=version, upto=version + WINDOW)
            for event in events:
                if event.aggregate != ref:
                    wrong(
                        "aggregate-lookup",
                        f"version {event.version} of {ref} is loaded as an event of {event.aggregate}",
                    )
                if event.version != version + 1:
                    wrong("version-order", f"version {event.version} of {ref} follows version {version}")
                if event.position <= position:
                    at = f"{event.position}, after {position}"
                    wrong("version-order", f"version {event.version} of {ref} is at position {at}")
                version, position = max(version, event.version), max(position, event.position)
                first = first or event
            if events:
                number += len(events)
                query = EventQuery(aggregates=[ref], min_version=events[0].version, max_version=version)
                self._agree(f"by their aggregate {ref}", await self._keys(query), _keys_of(events), "aggregate-lookup")
            if len(events) < WINDOW:
                break
        expect(
            info.version == version,
            "aggregate-version",
            f"{ref} is listed with version {info.version}, but its events reach {version}",
        )
        if first is not None and event is not None:
            for what, listed, found in (("first", info.first_time, first.time), ("last", info.last_time, event.time)):
                expect(
                    listed == found,
                    "aggregate-time",
                    f"{ref} is listed with {listed} as its {what} time, but that of its event is {found}",
                )
        return number


def _keys_of(events: Iterable[Event[Any]]) -> list[Key]:
    return [(event.position, event.id) for event in events]
