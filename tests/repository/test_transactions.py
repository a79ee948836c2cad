"""A repository within a transaction: it commits with it, or leaves no trace."""

from __future__ import annotations

import pytest

from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed
from goes_lite.events.query import EventQuery
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, filled, memory, state


async def test_a_repository_within_a_transaction_commits_with_it() -> None:
    """Until the commit the events are pending and nobody is told; hooks and snapshots come behind it."""
    told: list[int] = []
    async with memory() as db:
        accounts = Repository(
            db, Account, snapshots=Every(2), after_save=lambda account, events, appended: told.append(len(events))
        )
        account = await filled(accounts, "a", 0)
        told.clear()

        def moved(other: Account) -> Account:
            other.move(7)
            return other

        async with db.transaction() as tx:
            inside = accounts.within(tx)
            account.move(1)
            await inside.save(account)
            assert (await inside.fetch("a")).balance == 1
            account.move(2)
            await accounts.within(tx).save(account)
            assert (await inside.fetch("a")).balance == 3
            await inside.save(account)
            used = await inside.use("b", moved, create=True)
            assert (len(account.pending), len(used.pending), told) == (2, 1, [])
        assert (account.pending, used.pending, account.committed_version) == ((), (), 3)
        assert told == [1, 1, 1]
        assert state(await accounts.fetch("a")) == (3, False, 3, [], "Ann")
        snapshot = await db.snapshots.latest(account.ref)
        assert snapshot is not None
        assert snapshot.version == 3


async def test_a_rollback_leaves_the_aggregate_as_if_it_was_never_saved() -> None:
    """Its events are pending still, nobody was told, nothing is cached, and it can be saved again."""
    told: list[int] = []
    async with memory() as db:
        accounts = Repository(
            db,
            Account,
            cache=5,
            after_save=lambda account, events, appended: told.append(len(events)),
            after_delete=lambda ref, events: told.append(-events),
        )
        account = await filled(accounts, "a", 0)
        await filled(accounts, "b", 0)
        told.clear()
        account.move(1)
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                inside = accounts.within(tx)
                await inside.save(account)
                assert (await inside.fetch("a")).balance == 1
                assert await inside.delete("b") == 1
                account.move(2)
                raise ZeroDivisionError
        assert (len(account.pending), account.committed_version, told) == (2, 1, [])
        assert (await accounts.fetch("a")).balance == 0
        assert (await accounts.fetch("b")).version == 1
        async with db.transaction() as tx:
            await accounts.within(tx).save(account)
        assert (account.pending, told) == ((), [2])
        assert (await accounts.fetch("a")).balance == 3


async def test_a_conflict_within_a_transaction_is_not_tried_again() -> None:
    """What would have to be tried again is the whole transaction."""
    calls: list[int] = []
    async with memory() as db:
        accounts = Repository(db, Account)

        def change(account: Account) -> AppendCondition:
            calls.append(1)
            account.open("Ann")
            return AppendCondition(EventQuery(), 0)

        await filled(accounts, "a", 0)
        async with db.transaction() as tx:
            with pytest.raises(AppendConditionFailed):
                await accounts.within(tx).use("b", change, create=True)
        assert calls == [1]
        assert not await accounts.exists("b")
