"""Fetching and saving: what a repository writes, and what it leaves as it was."""

from __future__ import annotations

from typing import Any, cast

import pytest

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AggregateNotFound, ConcurrencyError, ConfigError
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, filled, memory, spied, state


async def test_what_is_saved_is_fetched() -> None:
    """Afterwards nothing is pending; the fetched one is another instance in the same state; positions are answered."""
    async with memory() as db:
        accounts = Repository(db, Account)
        account = accounts.new("a")
        account.open("Ann")
        account.move(5)
        pending = account.pending
        appended = await accounts.save(account)
        assert not account.pending
        assert (account.version, account.committed_version) == (2, 2)
        fetched = await accounts.fetch("a")
        assert fetched is not account
        assert state(fetched) == state(account) == (2, False, 5, [], "Ann")
        assert (fetched.pending, fetched.is_new) == ((), False)
        stored = await db.events.load(account.ref)
        assert tuple(stored) == pending
        assert tuple(event.position for event in stored) == appended.positions


async def test_saving_without_pending_events_does_nothing() -> None:
    """No append, no hook, an empty answer, whatever the condition says."""
    called: list[str] = []
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, before_save=lambda account, events: called.append("before"))
        spy.before_append = cast("Any", lambda: called.append("append"))
        impossible = AppendCondition(EventQuery(), 0)
        assert await accounts.save(accounts.new("a"), condition=impossible) == Appended(())
        assert await accounts.save() == Appended(())
        assert called == []


async def test_fetching_what_does_not_exist() -> None:
    """AggregateNotFound; with create=True a new one with that id, which exists only once it is saved with an event."""
    async with memory() as db:
        accounts = Repository(db, Account)
        with pytest.raises(AggregateNotFound) as caught:
            await accounts.fetch("a")
        assert caught.value.aggregate == AggregateRef("account", "a")
        created = await accounts.fetch("a", create=True)
        assert (created.id, created.version, created.is_new) == ("a", 0, True)
        await accounts.save(created)
        assert not await accounts.exists("a")
        created.open("Ann")
        await accounts.save(created)
        assert await accounts.exists("a")


async def test_a_conflict_leaves_the_aggregate_as_it_was() -> None:
    """ConcurrencyError says both versions; pending events, version and state stay, and nothing is written."""
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 0)
        slow, fast = await accounts.fetch("a"), await accounts.fetch("a")
        slow.move(1)
        fast.move(10)
        await accounts.save(fast)
        before = state(slow), slow.pending
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.save(slow)
        assert (caught.value.aggregate, caught.value.expected, caught.value.actual) == (slow.ref, 1, 2)
        assert (state(slow), slow.pending) == before
        assert (await accounts.fetch("a")).balance == 10


async def test_saving_the_same_events_again_is_safe() -> None:
    """A lost acknowledgement: the events are stored, the caller does not know, and saves the same instance again."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account)
        account = accounts.new("a")
        account.open("Ann")

        def lose() -> None:
            raise ConnectionResetError("the answer was lost")

        spy.after_append = lose
        with pytest.raises(ConnectionResetError):
            await accounts.save(account)
        assert len(account.pending) == 1
        spy.after_append = None
        assert (await accounts.save(account)).already_committed
        assert not account.pending
        assert len(await db.events.load(account.ref)) == 1


async def test_events_recorded_while_a_save_is_under_way_stay_pending() -> None:
    """They were not in the append, so they are not taken for saved, and no snapshot takes them for stored."""
    errors: list[str] = []
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(1), on_error=lambda what, error: errors.append(what))
        account = accounts.new("a")
        account.open("Ann")
        spy.after_append = lambda: account.move(7)
        await accounts.save(account)
        assert [event.version for event in account.pending] == [2]
        assert await db.snapshots.latest(account.ref) is None
        assert errors == []
        spy.after_append = None
        await accounts.save(account)
        assert state(await accounts.fetch("a")) == (2, False, 7, [], "Ann")


async def test_several_aggregates_are_saved_all_or_none() -> None:
    """One conflict among them, and none is written; each after_save is told its own events and positions."""
    told: list[tuple[str, int, tuple[int, ...]]] = []
    refused: list[str] = []
    async with memory() as db:
        accounts = Repository(
            db,
            Account,
            after_save=lambda account, events, appended: told.append((account.id, len(events), appended.positions)),
            on_conflict=lambda account, error: refused.append(account.id),
        )
        a, b = accounts.new("a"), accounts.new("b")
        a.open("Ann")
        b.open("Bob")
        b.move(3)
        appended = await accounts.save(a, b)
        assert told == [("a", 1, appended.positions[:1]), ("b", 2, appended.positions[1:])]
        await accounts.use("b", lambda account: account.move(1))
        a.move(-5)
        b.move(5)
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.save(a, b)
        assert caught.value.aggregate == b.ref
        assert refused == ["b"]
        assert (len(a.pending), len(b.pending)) == (1, 1)
        assert (await accounts.fetch("a")).balance == 0
        assert (await accounts.fetch("b")).balance == 4


async def test_an_aggregate_of_another_class_is_refused() -> None:
    """The snapshots and hooks here are those of one class; a subclass of another name is another aggregate."""

    class Special(Account, name="special"):
        pass

    async with memory() as db:
        special = Special("s")
        special.open("Ann")
        with pytest.raises(ConfigError, match="belong"):
            await Repository(db, Account).save(special)
        with pytest.raises(ConfigError, match="belong"):
            await Repository(cast("Any", db), Special).save(cast("Any", Account("a")))
