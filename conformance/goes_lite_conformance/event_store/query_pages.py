"""Queries: reading in pages, as of a moment, and abandoning at any point."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import Pages
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import A, B, count, note, story, take, texts
from goes_lite_conformance.rule import only

TAGGED = EventQuery(tags=["all:1"])
EITHER = EventQuery(["sample.noted"]) | TAGGED


async def numbered(db: Backend, number: int, **fields: Any) -> list[str]:
    """Store this many events of no aggregate, with the texts `0`, `1`, `2` and so on."""
    events = [note(str(n), tags=["all:1"], **fields) for n in range(number)]
    await db.events.append(events)
    return [event.data.text for event in events]


class PageRules(Contract):
    """Rules ES-QUERY about pages."""

    async def test_a_query_goes_beyond_its_pages(self, db: Backend) -> None:
        """ES-QUERY-035: Any number of events is yielded in order, each once, in both directions, across all pages."""
        expected = await numbered(db, 2500)
        for query in (EventQuery(), TAGGED, EITHER):
            assert await texts(db, query) == expected
            assert await texts(db, query, reverse=True) == expected[::-1]
        assert [event.data.text async for event in db.events.query()] == expected

    async def test_a_query_for_a_long_history(self, db: Backend) -> None:
        """ES-QUERY-036: Any number of events of one aggregate is yielded in order, each once, among those of others."""
        for after in range(0, 1500, 500):
            await db.events.append([*story(A, 500, after=after), *story(B, 300, after=after * 3 // 5)])
        expected = [f"a-{version}" for version in range(1, 1501)]
        query = EventQuery(aggregates=[A])
        assert await texts(db, query) == expected
        assert await texts(db, query, reverse=True) == expected[::-1]
        assert await texts(db, query | EventQuery(aggregates=[("order", "z")]), limit=1400) == expected[:1400]

    async def test_windows_and_limits_over_pages(self, db: Backend) -> None:
        """ES-QUERY-037: Windows and limits hold across pages, whether they end at a page boundary or next to it."""
        expected, at = await numbered(db, 2100), [0]
        at += [event.position for event in await db.events.query().list()]
        borders = (10, 20, 50, 64, 100, 128, 200, 256, 320, 500, 512, 1000, 1024, 1344, 2000, 2048)
        for number in [border + step for border in borders for step in (-1, 0, 1)]:
            assert await texts(db, upto=at[number]) == expected[:number]
            assert await texts(db, TAGGED, after=at[2100 - number], reverse=True) == expected[: -number - 1 : -1]
            assert await texts(db, limit=number) == expected[:number]

    async def test_a_few_among_many(self, db: Backend) -> None:
        """ES-QUERY-038: Rare matches are found, however many other events lie in between."""
        for start in range(0, 3000, 1000):
            await db.events.append([*(count(n) for n in range(1000)), note(str(start))])
        noted, old = EventQuery(["sample.noted"]), EventQuery(["sample.noted"], max_version=0, versions=[0])
        for query in (noted, old, EventQuery(min_version=1) | noted):
            assert await texts(db, query) == ["0", "1000", "2000"]
            assert await texts(db, query, reverse=True) == ["2000", "1000", "0"]

    async def test_a_query_takes_constant_memory(self, db: Backend) -> None:
        """ES-QUERY-039: A query that is read event by event keeps no more than a few pages in memory."""
        for _ in range(8):
            await db.events.append([note("x" * 1000) for _ in range(1000)])
        tracemalloc.start()
        try:
            held = [event.data.text async for event in db.events.query(limit=1000)]  # the size of a thousand events
            some, _ = tracemalloc.get_traced_memory()
            del held
            tracemalloc.reset_peak()
            async for event in db.events.query():
                assert len(event.data.text) == 1000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 * some, f"1,000 events take {some:,} bytes, and reading 8,000 took {peak:,}"

    async def test_nothing_is_fetched_before_the_first_item(self, db: Backend) -> None:
        """ES-QUERY-040: Nothing is fetched before the first item is asked for: what is stored until then is included."""
        forwards, backwards = db.events.query(), db.events.query(reverse=True)
        await numbered(db, 2)
        assert await take(forwards, 2) == ["0", "1"]
        assert await take(backwards, 2) == ["1", "0"]

    async def test_a_query_ends_at_the_head_of_its_first_page(self, db: Backend) -> None:
        """ES-QUERY-041: A query ends at what was the head when its first page was fetched: later events are not included."""
        expected = await numbered(db, 1500)
        for reverse in (False, True):
            reading = db.events.query(TAGGED, reverse=reverse)
            seen = await take(reading, 1)
            await db.events.append([note("late", tags=["all:1"]) for _ in range(10)])
            async for event in reading:
                seen.append(event.data.text)
                if len(seen) == 1400:
                    await db.events.append([note("later", tags=["all:1"])])
            assert seen == (expected[::-1] if reverse else expected)
            expected = await texts(db)

    async def test_a_query_that_has_ended_stays_ended(self, db: Backend) -> None:
        """ES-QUERY-042: A query that has ended stays ended, whatever is appended later, with a limit and without."""
        await numbered(db, 3)
        whole, limited = db.events.query(), db.events.query(limit=2)
        assert (len(await whole.list()), len(await limited.list())) == (3, 2)
        await numbered(db, 3)
        for ended in (whole, limited):
            assert await anext(ended, None) is None
            assert list(await ended.next_page()) == await ended.list() == []

    async def test_pages_one_by_one(self, db: Backend) -> None:
        """ES-QUERY-043: `next_page` returns page after page, none of them empty, then empty pages only."""
        expected = await numbered(db, 1500)
        pages = db.events.query()
        seen: list[str] = []
        while page := await pages.next_page():
            seen += [event.data.text for event in page]
        assert seen == expected
        assert list(await pages.next_page()) == list(await pages.next_page()) == []

    @only("async")
    async def test_a_page_after_some_items(self, db: Backend) -> None:
        """ES-QUERY-044: `next_page` in the middle of a page returns the rest of it: nothing is lost or repeated."""
        expected = await numbered(db, 1500)
        pages = db.events.query()
        seen: list[str] = []
        while len(seen) < 1000:
            seen += await take(pages, 3)
            seen += [event.data.text for event in await pages.next_page()]
        assert seen + [event.data.text for event in await pages.list()] == expected

    async def test_the_rest_of_a_query(self, db: Backend) -> None:
        """ES-QUERY-045: `list` returns the rest: everything that has not been taken yet, across all pages."""
        expected = await numbered(db, 1500)
        pages = db.events.query()
        assert await take(pages, 70) == expected[:70]
        assert [event.data.text for event in await pages.list()] == expected[70:]

    async def test_two_queries_side_by_side(self, db: Backend) -> None:
        """ES-QUERY-046: Queries that are read alternately do not affect each other."""
        expected = await numbered(db, 1200)
        forwards, backwards = db.events.query(), db.events.query(TAGGED, reverse=True)
        seen = [(event.data.text, (await anext(backwards)).data.text) async for event in forwards]
        assert seen == list(zip(expected, expected[::-1], strict=True))

    async def test_a_query_keeps_nobody_waiting(self, db: Backend) -> None:
        """ES-QUERY-047: A half-read query holds nothing open: others append and delete, and it can continue."""
        await db.events.append(story(A, 1000))
        expected = await numbered(db, 1000)
        reading = db.events.query()
        assert await take(reading, 3) == ["a-1", "a-2", "a-3"]
        await db.events.append([note("late")])
        assert await db.events.delete(A) == 1000
        rest = [event.data.text async for event in reading]
        assert [text for text in rest if not text.startswith("a-")] == expected

    async def test_abandoned_queries_leak_nothing(self, db: Backend) -> None:
        """ES-QUERY-048: Any number of half-read queries may be abandoned: the store works as if they did not exist."""
        expected = await numbered(db, 300)
        left: list[Any] = []
        for number in range(100):
            reading = db.events.query(TAGGED, reverse=number % 2 == 1)
            await anext(reading)
            left.append(reading if number % 3 else None)  # some are garbage-collected, not just idle
        await db.events.append([note("after")])
        assert await texts(db) == [*expected, "after"]
        assert len(await left[1].list()) == 299

    @only("async")
    async def test_queries_can_be_closed(self, db: Backend) -> None:
        """ES-QUERY-049: Queries, listings and followers can be closed, begun or not, more than once, and with `aclosing`."""
        await db.events.append(story(A, 100))
        for make in (db.events.query, db.events.aggregates, lambda: db.events.follow(after=0)):
            async with contextlib.aclosing(make()):
                pass
            async with contextlib.aclosing(make()) as begun:
                await anext(begun)
                await begun.aclose()
        assert await db.events.count() == 100

    @only("async")
    async def test_a_cancelled_query_loses_nothing(self, db: Backend) -> None:
        """ES-QUERY-050: Cancelling a query loses no event: the next call returns the next one."""
        expected = await numbered(db, 20)
        seen: list[str] = []

        async def read(reading: Pages[Event[Any]]) -> None:
            async for event in reading:
                seen.append(event.data.text)

        turns = 1  # of the event loop before cancelling: about as many as fetching a page takes
        for _ in range(200):
            reading = db.events.query()
            seen.clear()
            attempt = asyncio.create_task(read(reading))
            for _ in range(turns):
                await asyncio.sleep(0)
            turns = max(1, turns - turns // 8 - 1 if seen else turns + turns // 8 + 1)
            attempt.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await attempt
            seen += [event.data.text for event in await reading.list()]
            assert seen == expected
