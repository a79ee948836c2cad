"""Opening a storage: its contents, what a handle says of itself, and what is refused."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from goes_lite.contract.backend import PERSISTENT
from goes_lite.database import Database
from goes_lite.errors import ConfigError, StoreClosed
from goes_lite.events.registry import default_registry
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, B, contents, fill, note, registry, story
from goes_lite_conformance.rule import needs, only


class OpeningRules(Contract):
    """Rules BE-OPEN."""

    async def test_a_fresh_storage_is_empty(self, db: Database) -> None:
        """BE-OPEN-001: A storage that was never used is empty: its head is 0, and every store returns nothing."""
        assert await contents(db) == {"events": ([], [], 0, 0, []), "snapshots": [], "models": [], "checkpoints": []}
        assert await db.leases.get("reader") is None
        assert await db.bus.dead_letters() == []

    @needs(PERSISTENT)
    async def test_reopened_it_is_all_there(self, place: Place) -> None:
        """BE-OPEN-002: What was in the stores when a handle was closed is there when the storage is reopened."""
        async with place.open() as db:
            await fill(db)
            lease = await db.leases.acquire("reader", "me", 60)
            left = await contents(db)
        async with place.open() as db:
            assert await contents(db) == left
            assert await db.leases.get("reader") == lease

    @needs(PERSISTENT)
    async def test_positions_and_versions_continue_after_reopening(self, place: Place) -> None:
        """BE-OPEN-003: A reopened store continues its positions and versions, even if its newest events were deleted."""
        async with place.open() as db:
            await db.events.append(story(A, 2))
            newest = (await db.events.append(story(B, 3))).position
            await db.events.delete(B)
        async with place.open() as db:
            assert await db.events.head() == newest
            assert (await db.events.append(story(A, 1, after=2))).position > newest

    @needs(PERSISTENT)
    async def test_a_store_keeps_its_identity(self, place: Place) -> None:
        """BE-OPEN-004: Every handle on a storage writes checkpoints of the same store, whenever it was opened."""
        identities = set[str]()
        for name in ("first", "second"):
            async with place.open() as db:
                await db.checkpoints.save(name, 0)
                identities |= {checkpoint.store for checkpoint in await db.checkpoints.all()}
        assert len(identities) == 1
        assert all(identities)

    async def test_two_storages_are_two_stores(self, place: Place, db: Database) -> None:
        """BE-OPEN-005: Two storages share neither content nor the identity that checkpoints carry."""
        await fill(db)
        with place.another() as elsewhere:
            async with elsewhere.open() as other:
                assert (await contents(other))["events"] == ([], [], 0, 0, [])
                await other.checkpoints.save("reader", 3)
                own, others = await db.checkpoints.get("reader"), await other.checkpoints.get("reader")
                assert own is not None
                assert others is not None
                assert own.store != others.store
                await other.events.append(story(A, 1))
        assert await db.events.count() == 3

    async def test_the_registry_is_the_one_that_was_given(self, place: Place) -> None:
        """BE-OPEN-006: A handle has the registry that it was opened with, by default the default registry."""
        async with place.open() as db:
            assert db.registry is registry
        async with place.open(registry=None) as db:
            assert db.registry is default_registry

    async def test_a_wrong_policy_for_unknown_events_is_refused(self, place: Place) -> None:
        """BE-OPEN-007: `unknown` accepts only "error", "skip" and "raw"."""
        for wrong in ("ignore", "", None):
            with refused(ConfigError) as caught:
                async with place.open(unknown=wrong):
                    raise AssertionError("opened")
            assert "unknown=" in str(caught.value)

    async def test_an_option_that_nobody_knows_is_refused(self, place: Place) -> None:
        """BE-OPEN-008: An unknown option is refused by name, so a misspelt one is not ignored."""
        with refused(ConfigError) as caught:
            async with place.open(no_such_option=1):
                raise AssertionError("opened")
        assert "no_such_option" in str(caught.value)

    async def test_a_handle_says_where_it_is(self, place: Place) -> None:
        """BE-OPEN-009: The location, the repr and the errors of a handle name the storage, and never a password.

        They end up in logs.
        """
        password = urlsplit(place.url).password
        async with place.open() as db:
            location = db.location
            shown = [location, repr(db)]
        with refused(StoreClosed, location=location) as caught:
            await db.events.head()
        shown.append(str(caught.value))
        assert location
        for text in shown:
            assert location in text
            assert password is None or password not in text

    async def test_the_repr_says_whether_it_is_closed(self, place: Place) -> None:
        """BE-OPEN-010: The repr of a handle shows whether it is open."""
        async with place.open() as db:
            before = repr(db)
            assert "closed" not in before.replace(db.location, "")
        assert "closed" in repr(db).replace(db.location, "")

    @only("async")
    async def test_connect_can_be_awaited(self, place: Place) -> None:
        """BE-OPEN-011: `await connect(…)` returns an open handle, which is itself a context manager that closes it."""
        handle: Database = await cast("Any", place.open())
        await handle.events.append([note("x")])
        async with handle as db:
            assert db is handle
            assert await db.events.count() == 1
        with refused(StoreClosed, location=handle.location):
            await handle.events.head()

    async def test_an_exception_leaves_the_block_and_closes_the_handle(self, place: Place) -> None:
        """BE-OPEN-012: An exception raised in the block of a handle propagates unchanged, and the handle is closed."""
        kept: list[Database] = []
        with pytest.raises(ZeroDivisionError):
            async with place.open() as db:
                kept.append(db)
                raise ZeroDivisionError
        with refused(StoreClosed):
            await kept[0].events.head()
