"""Finding snapshots: the latest of one aggregate, and lists."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import A, B, C, snapshot


class LatestRules(Contract):
    """Rules SS-LATEST."""

    async def test_the_latest_has_the_highest_version(self, db: Backend) -> None:
        """SS-LATEST-001: `latest` returns the snapshot with the numerically highest version, whatever the order of saving."""
        for version in (9, 10, 2):
            await db.snapshots.save(snapshot(A, version))
        await db.snapshots.save(snapshot(B, 11))
        assert await db.snapshots.latest(A) == snapshot(A, 10)

    async def test_the_latest_up_to_a_version(self, db: Backend) -> None:
        """SS-LATEST-002: With `upto`, `latest` returns the highest version that does not exceed it."""
        for version in (2, 4, 6):
            await db.snapshots.save(snapshot(A, version))
        found = [await db.snapshots.latest(A, upto=upto) for upto in range(8)]
        assert [one and one.version for one in found] == [None, None, 2, 2, 4, 4, 6, 6]

    async def test_there_may_be_none(self, db: Backend) -> None:
        """SS-LATEST-003: `latest` returns None for an aggregate without snapshots, even if its name or id resembles another's."""
        await db.snapshots.save(snapshot(A, 1))
        others = [B, AggregateRef("order", "A"), AggregateRef("orders", "a"), AggregateRef("order", "a ")]
        assert [await db.snapshots.latest(ref) for ref in others] == [None] * 4

    async def test_a_bound_may_be_any_number(self, db: Backend) -> None:
        """SS-LATEST-004: An `upto` above every possible version does not restrict the result."""
        await db.snapshots.save(snapshot(A, 2**63 - 1))
        assert await db.snapshots.latest(A, upto=2**70) == snapshot(A, 2**63 - 1)


class SnapshotQueryRules(Contract):
    """Rules SS-QUERY."""

    async def test_all_come_by_name_id_and_version(self, db: Backend) -> None:
        """SS-QUERY-001: Snapshots are ordered by name and id, by code point, then numerically by version."""
        refs = [AggregateRef("Z", "1")]
        refs += [AggregateRef("order", id) for id in ("10", "9", "Z", "a", "é", "\ufb00", "😀")]
        refs += [AggregateRef("order.line", "0")]
        saved = [snapshot(ref, version) for ref in refs for version in (9, 10, 100)]
        for one in (*saved[1::2], *saved[::-2]):
            await db.snapshots.save(one)
        assert await db.snapshots.query().list() == saved

    async def test_those_of_some_names(self, db: Backend) -> None:
        """SS-QUERY-002: With names, only snapshots of aggregates with these names are returned, in the same order, each once."""
        for name in ("order", "invoice", "orders"):
            await db.snapshots.save(snapshot(AggregateRef(name, "1"), 1))

        async def found(*names: str) -> list[str]:
            return [one.aggregate.name for one in await db.snapshots.query(names=names).list()]

        assert await found("order") == ["order"]
        assert await found("orders", "invoice", "orders") == ["invoice", "orders"]
        assert await found("Order", "ord", "order.") == []

    async def test_those_of_one_aggregate(self, db: Backend) -> None:
        """SS-QUERY-003: With an aggregate, only its own snapshots are returned, by version."""
        for ref in (A, B, AggregateRef("invoice", "a")):
            for version in (3, 1, 2):
                await db.snapshots.save(snapshot(ref, version))
        assert await db.snapshots.query(aggregate=A).list() == [snapshot(A, version) for version in (1, 2, 3)]
        assert await db.snapshots.query(aggregate=C).list() == []

    async def test_names_and_an_aggregate_both_hold(self, db: Backend) -> None:
        """SS-QUERY-004: With names and an aggregate, a snapshot has to match both."""
        for ref in (A, B):
            await db.snapshots.save(snapshot(ref, 1))
        assert await db.snapshots.query(names=["order"], aggregate=A).list() == [snapshot(A, 1)]
        assert await db.snapshots.query(names=["invoice"], aggregate=A).list() == []

    async def test_a_long_list_is_whole(self, db: Backend) -> None:
        """SS-QUERY-005: Any number of snapshots is returned in order, each once, even if one aggregate has very many."""
        refs = [AggregateRef("order", f"{number:03}") for number in range(150)]
        saved = [snapshot(ref, version) for ref in refs for version in (range(1, 201) if ref.id == "100" else (1,))]
        for one in saved:
            await db.snapshots.save(one)
        assert await db.snapshots.query().list() == saved
        assert await db.snapshots.query(aggregate=refs[100]).list() == saved[100:300]

    async def test_names_may_come_from_an_iterator(self, db: Backend) -> None:
        """SS-QUERY-006: The names may be a one-shot iterator: they apply to every page all the same."""
        for number in range(150):
            for name in ("invoice", "order"):
                await db.snapshots.save(snapshot(AggregateRef(name, f"{number:03}"), 1))
        names: Any = iter(["order"])
        found = [one.aggregate async for one in db.snapshots.query(names=names)]
        assert found == [AggregateRef("order", f"{number:03}") for number in range(150)]

    async def test_an_empty_store_has_none(self, db: Backend) -> None:
        """SS-QUERY-007: An empty store has no snapshots, and a listing that has ended stays ended."""
        pages = db.snapshots.query()
        assert await pages.list() == []
        assert await pages.next_page() in ([], ())
