"""Queries: which part of the matching events is returned, and in which order."""

from __future__ import annotations

from itertools import product
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.event_store.query_fields import letters
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import count, note

NOTED = EventQuery(["sample.noted"])


async def lettered(db: Backend, texts: str) -> list[int]:
    """Store an event for each letter and return their positions."""
    return list((await db.events.append([note(text) for text in texts])).positions)


class WindowRules(Contract):
    """Rules ES-QUERY about windows, limits and order."""

    async def test_query_within_a_window(self, db: Backend) -> None:
        """ES-QUERY-026: `after` and `upto` select after < position ≤ upto."""
        at = await lettered(db, "abcdef")
        assert await letters(db, after=at[1]) == "cdef"
        assert await letters(db, upto=at[1]) == "ab"
        assert await letters(db, after=at[1], upto=at[3]) == "cd"
        assert await letters(db, NOTED, after=at[2], upto=at[3]) == "d"

    async def test_query_windows_beyond_the_log(self, db: Backend) -> None:
        """ES-QUERY-027: A window may be empty or lie beyond the log, however far; it selects what there is."""
        at = await lettered(db, "abc")
        empty: list[dict[str, Any]] = [
            {"after": at[2]}, {"after": at[2] + 5}, {"after": 2**70}, {"upto": 0}, {"after": at[1], "upto": at[1]},
            {"after": at[1], "upto": at[0]},
        ]  # fmt: skip
        for window, reverse in product(empty, (False, True)):
            assert await letters(db, **window, reverse=reverse) == "", window
        assert await letters(db, upto=2**70) == "abc"
        assert await letters(db, upto=2**70, reverse=True) == "cba"

    async def test_a_limited_query(self, db: Backend) -> None:
        """ES-QUERY-028: `limit` returns at most that many events, from the first; 0 returns none."""
        await lettered(db, "abcde")
        for limit in range(7):
            assert await letters(db, limit=limit) == "abcde"[:limit]
        assert await letters(db, limit=2**70) == "abcde"

    async def test_a_limit_counts_what_matches(self, db: Backend) -> None:
        """ES-QUERY-029: `limit` counts matching events, and those that match several alternatives once."""
        await db.events.append(
            [count(1), note("a", tags=["t:1"]), count(2), note("b"), count(3), note("c", tags=["t:1"])]
        )
        assert await letters(db, NOTED, limit=2) == "ab"
        assert await letters(db, NOTED | EventQuery(tags=["t:1"]), limit=2) == "ab"
        assert await letters(db, EventQuery(tags=["t:1"]) | NOTED, limit=3) == "abc"

    async def test_a_reversed_query(self, db: Backend) -> None:
        """ES-QUERY-030: `reverse` returns the same events, the last one first."""
        await db.events.append([note("a"), count(1), note("b"), note("c")])
        assert await letters(db, reverse=True) == "cb1a"
        assert await letters(db, NOTED, reverse=True) == "cba"

    async def test_a_reversed_and_limited_query(self, db: Backend) -> None:
        """ES-QUERY-031: With `reverse`, `limit` returns the last events, not the first ones backwards."""
        await lettered(db, "abcde")
        assert await letters(db, reverse=True, limit=2) == "ed"
        assert await letters(db, NOTED, reverse=True, limit=3) == "edc"

    async def test_a_window_reversed(self, db: Backend) -> None:
        """ES-QUERY-032: With `reverse`, `after` and `upto` select the same window as without it."""
        at = await lettered(db, "abcdef")
        assert await letters(db, after=at[1], reverse=True) == "fedc"
        assert await letters(db, upto=at[1], reverse=True) == "ba"
        assert await letters(db, after=at[1], upto=at[3], reverse=True) == "dc"

    async def test_window_limit_and_order_combined(self, db: Backend) -> None:
        """ES-QUERY-033: The window applies first, then the query, the order and the limit, in every combination."""
        events = [
            note("a", tags=["t:1"]), count(1), note("b", ("order", "1"), 1), count(2, tags=["t:1"]),
            note("c", ("order", "1"), 2, tags=["t:1"]), note("d"), note("e", ("order", "1"), 3), count(3),
        ]  # fmt: skip
        await db.events.append(events)
        log = await db.events.query().list()
        at = [0, *(event.position for event in log)]
        order, tagged = EventQuery(aggregates=[("order", "1")]), EventQuery(tags=["t:1"])
        for query in (EventQuery(), NOTED, order, tagged, tagged | order, EventQuery(ids=[e.id for e in events[::2]])):
            for low, high, limit, reverse in product((0, 2, 3), (None, 5, 7), (None, 1, 2), (False, True)):
                window: dict[str, Any] = {"after": at[low], "upto": None if high is None else at[high]}
                expected = [event for event in log[low:high] if query.matches(event)]
                expected = (expected[::-1] if reverse else expected)[:limit]
                found = await db.events.query(query, **window, limit=limit, reverse=reverse).list()
                assert found == expected, (query, low, high, limit, reverse)

    async def test_windows_are_of_positions(self, db: Backend) -> None:
        """ES-QUERY-034: After deletions, `after` and `upto` still mean positions, and `limit` counts the remaining events."""
        at = (await db.events.append([
            note("a"), note("b"), note("x", ("order", "1"), 1), note("y", ("order", "1"), 2), note("c"), note("d"),
        ])).positions  # fmt: skip
        await db.events.delete(AggregateRef("order", "1"))
        assert await letters(db, after=at[1]) == "cd"
        assert await letters(db, after=at[2]) == "cd"
        assert await letters(db, upto=at[3]) == "ab"
        assert await letters(db, upto=at[4]) == "abc"
        assert await letters(db, after=at[0], limit=2) == "bc"
        assert await letters(db, limit=3, reverse=True) == "dcb"
