"""Listing aggregates: their order, versions and times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import AggregateInfo
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, A, B, note, story

MANY = 1500
"""More than any backend is expected to hold in one page."""


async def listed(db: Backend, name: str | None = None, **options: Any) -> list[tuple[str, str]]:
    """List aggregates as (name, id) pairs."""
    return [(info.aggregate.name, info.aggregate.id) for info in await db.events.aggregates(name, **options).list()]


async def begin(db: Backend, aggregates: Iterable[tuple[str, str]]) -> None:
    """Store the first event of each aggregate."""
    await db.events.append([note("first", aggregate, 1) for aggregate in aggregates])


class AggregateRules(Contract):
    """Rules ES-AGG."""

    async def test_an_aggregate_is_listed_with_its_version_and_times(self, db: Backend) -> None:
        """ES-AGG-001: Each listed aggregate has its version and the times of its first and its newest event.

        First and newest are meant by version, even if the times in between are earlier or later: clocks run back.
        """
        hour = timedelta(hours=1)
        await db.events.append([
            note("1", A, 1, time=NOON), note("1", B, 1, time=NOON + hour), note("2", A, 2, time=NOON + 9 * hour),
        ])  # fmt: skip
        await db.events.append([note("3", A, 3, time=NOON - 2 * hour)])
        assert await db.events.aggregates().list() == [
            AggregateInfo(A, 3, NOON, NOON - 2 * hour),
            AggregateInfo(B, 1, NOON + hour, NOON + hour),
        ]

    async def test_only_aggregates_are_listed(self, db: Backend) -> None:
        """ES-AGG-002: Each aggregate is listed once; events of no aggregate are not listed; an empty store lists none."""
        assert await listed(db) == []
        await db.events.append([note("of none"), *story(A, 3), note("of none")])
        await db.events.append(story(A, 2, after=3))
        assert await listed(db) == [("order", "a")]

    async def test_aggregates_are_listed_by_name_and_id(self, db: Backend) -> None:
        """ES-AGG-003: Aggregates are sorted by name, then by id, both by code point, whatever the collation of the database.

        Upper case precedes lower case, accents follow all of ASCII, and characters beyond the BMP come last.
        """
        refs = [
            (name, id)
            for name in ("Order", "Z", "order", "order-2", "zeta", "é", "ﬀ", "😀")
            for id in ("10", "9", "B", "a", "a b", "b", "é", "ﬀ", "😀")
        ]
        await begin(db, refs[::-1])
        assert await listed(db) == refs

    async def test_aggregates_of_one_name(self, db: Backend) -> None:
        """ES-AGG-004: With a name, only aggregates of exactly this name are listed; an unknown name lists none."""
        refs = [(name, "1") for name in ("Order", "order", "order-2", "orders", "órder", "%", "o_der")]
        await begin(db, refs)
        for ref in refs:
            assert await listed(db, ref[0]) == [ref]
        for unknown in ("orde", "ORDER", "o%", "nothing"):
            assert await listed(db, unknown) == []

    async def test_aggregates_behind_one(self, db: Backend) -> None:
        """ES-AGG-005: `after` lists the aggregates after a (name, id), excluding that one, whether it exists or not."""
        refs = [("invoice", "b"), ("invoice", "c"), ("order", "a"), ("order", "b"), ("zeta", "a")]
        await begin(db, refs)
        for number, ref in enumerate(refs, 1):
            assert await listed(db, after=AggregateRef(*ref)) == refs[number:], ref
        assert await listed(db, after=AggregateRef("invoice", "bb")) == refs[1:]
        assert await listed(db, after=AggregateRef("inv", "z")) == refs
        assert await listed(db, after=AggregateRef("zz", "a")) == []

    async def test_aggregates_of_one_name_behind_one(self, db: Backend) -> None:
        """ES-AGG-006: A name and `after` apply together, even if `after` has another name."""
        refs = [("invoice", "z"), ("order", "a"), ("order", "b"), ("order", "c"), ("zeta", "a")]
        await begin(db, refs)
        assert await listed(db, "order", after=AggregateRef("order", "a")) == refs[2:4]
        assert await listed(db, "order", after=AggregateRef("invoice", "z")) == refs[1:4]
        assert await listed(db, "order", after=AggregateRef("zeta", "a")) == []

    async def test_a_limited_list_of_aggregates(self, db: Backend) -> None:
        """ES-AGG-007: `limit` lists at most that many of the aggregates that the other arguments select; 0 lists none."""
        refs = [("invoice", "a"), ("order", "a"), ("order", "b"), ("order", "c")]
        await begin(db, refs)
        for limit in range(5):
            assert await listed(db, limit=limit) == refs[:limit]
        assert await listed(db, limit=2**70) == refs
        assert await listed(db, "order", limit=2) == refs[1:3]
        assert await listed(db, after=AggregateRef("order", "a"), limit=1) == refs[2:3]

    async def test_aggregates_are_listed_beyond_a_page(self, db: Backend) -> None:
        """ES-AGG-008: Any number of aggregates is listed in order, each once, across names and pages, limited or not."""
        refs = sorted((f"name-{number % 7}", str(number)) for number in range(MANY))
        await begin(db, refs)
        assert [tuple(info.aggregate) async for info in db.events.aggregates()] == refs
        assert await listed(db, limit=MANY - 200) == refs[: MANY - 200]
        assert await listed(db, "name-3") == [ref for ref in refs if ref[0] == "name-3"]

    async def test_no_aggregate_is_fetched_before_it_is_asked_for(self, db: Backend) -> None:
        """ES-AGG-009: Nothing is fetched before the first item is asked for: what is stored until then is listed."""
        aggregates = db.events.aggregates()
        await begin(db, [("order", "a")])
        assert [info.aggregate for info in await aggregates.list()] == [A]

    async def test_aggregates_that_look_alike_are_listed_each(self, db: Backend) -> None:
        """ES-AGG-010: Ids that differ only in case, accents, width or spaces are different aggregates."""
        await begin(db, [("order", id) for id in CONFUSABLE])
        assert await listed(db) == [("order", id) for id in sorted(CONFUSABLE)]
        for id in CONFUSABLE:
            await db.events.append(story(AggregateRef("order", id), 1, after=1))
        assert {info.version async for info in db.events.aggregates()} == {2}
