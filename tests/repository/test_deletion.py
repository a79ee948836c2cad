"""Deleting aggregates: by an event, which can be taken back, and for good."""

from __future__ import annotations

import pytest

from goes_lite.errors import AggregateDeleted, AggregateNotFound
from goes_lite.events.fields import AggregateRef
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, Closed, Reopened, filled, memory, state

# --- deleting by an event ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snapshots", [None, Every(1)])
async def test_soft_deletion_is_seen_by_every_way_of_reading(snapshots: Every | None) -> None:
    """Also where a snapshot covers the event that deleted it: fetch, exists, use, query and fetch_version agree."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=snapshots)
        await filled(accounts, "a", 2)
        await accounts.use("a", lambda account: account.record(Closed()))
        with pytest.raises(AggregateDeleted) as caught:
            await accounts.fetch("a")
        assert (caught.value.aggregate, caught.value.version) == (AggregateRef("account", "a"), 4)
        with pytest.raises(AggregateDeleted):
            await accounts.fetch("a", create=True)
        with pytest.raises(AggregateDeleted):
            await accounts.use("a", lambda account: account.move(1))
        with pytest.raises(AggregateDeleted):
            await accounts.fetch_version("a", 4)
        assert not await accounts.exists("a")
        assert await accounts.exists("a", deleted=True)
        assert await accounts.query().list() == []
        assert [account.deleted for account in await accounts.query(deleted=True).list()] == [True]
        assert state(await accounts.fetch_version("a", 3)) == (3, False, 3, [], "Ann")
        assert state(await accounts.fetch("a", deleted=True)) == (4, True, 3, [], "Ann")
        await accounts.use("a", lambda account: account.record(Reopened()), deleted=True)
        assert state(await accounts.fetch("a")) == (5, False, 3, [], "Ann")


# --- deleting for good ------------------------------------------------------------------------------------------------


async def test_hard_deletion_takes_everything_along() -> None:
    """Events, snapshots, the cached instance; afterwards the id begins again at version 1. Unknown ids are 0."""
    told: list[tuple[AggregateRef, int]] = []
    async with memory() as db:
        accounts = Repository(
            db, Account, snapshots=Every(1), cache=5, after_delete=lambda ref, events: told.append((ref, events))
        )
        account = await filled(accounts, "a", 2)
        assert await accounts.delete("a") == 3
        assert await accounts.delete("unknown") == 0
        assert told == [(account.ref, 3), (AggregateRef("account", "unknown"), 0)]
        assert "0 of at most 5" in repr(accounts)
        with pytest.raises(AggregateNotFound):
            await accounts.fetch("a")
        assert await db.snapshots.latest(account.ref) is None
        await accounts.use("a", lambda account: account.open("Zoe"), create=True)
        assert state(await accounts.fetch("a")) == (1, False, 0, [], "Zoe")


@pytest.mark.parametrize("versions", [0, 1, 3, 5])
@pytest.mark.parametrize("way", ["cache", "snapshot"])
async def test_an_aggregate_that_began_again_shows_nothing_of_its_former_life(way: str, versions: int) -> None:
    """Somebody else began it anew, with fewer, as many or more versions than this repository remembers.

    A snapshot of its former life even survived: it was written after the deletion.
    """
    async with memory() as db:
        others = Repository(db, Account)
        accounts = Repository(db, Account, cache=5) if way == "cache" else Repository(db, Account, snapshots=Every(1))
        account = await filled(accounts, "a", 2)
        survivor = await db.snapshots.latest(account.ref)
        await others.delete("a")
        for _ in range(versions):
            await others.use("a", lambda account: account.move(1000), create=True)
        if survivor is not None:
            await db.snapshots.save(survivor)
        for _ in range(2):
            if not versions:
                with pytest.raises(AggregateNotFound):
                    await accounts.fetch("a")
            else:
                assert state(await accounts.fetch("a")) == (versions, False, versions * 1000, [], None)
