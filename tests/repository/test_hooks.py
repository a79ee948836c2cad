"""Hooks of a repository: when they are called, and what an error in one of them does."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from goes_lite.contract.event_store import Appended
from goes_lite.errors import ConcurrencyError
from goes_lite.events.fields import AggregateRef
from goes_lite.repository import Repository
from tests.repository.repository_kit import Account, filled, memory, state


async def test_hooks_are_told_at_their_turn() -> None:
    """before_save sees pending events, after_save settled ones and their positions; coroutine functions are awaited."""
    told: list[tuple[str, int, int]] = []

    async def before(account: Account, events: Any) -> None:
        await asyncio.sleep(0)
        told.append(("before", len(events), len(account.pending)))

    async def after(account: Account, events: Any, appended: Appended) -> None:
        await asyncio.sleep(0)
        told.append(("after", len(appended.positions), len(account.pending)))

    async with memory() as db:
        accounts = Repository(db, Account, before_save=before, after_save=after)
        account = accounts.new("a")
        account.open("Ann")
        account.move(1)
        await accounts.save(account)
        assert told == [("before", 2, 2), ("after", 2, 0)]


async def test_a_hook_before_the_save_can_stop_it_or_add_to_it() -> None:
    """What it raises comes through, even a ConcurrencyError, once, and nothing is written; what it records is saved."""
    calls: list[int] = []
    other = ConcurrencyError(AggregateRef("other", "x"), 1, 2)

    def refuse(account: Account, events: Any) -> None:
        calls.append(1)
        raise other

    async with memory() as db:
        accounts = Repository(db, Account, before_save=refuse)
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.use("a", lambda account: account.open("Ann"), create=True)
        assert caught.value is other
        assert (calls, await db.events.head()) == ([1], 0)
        adding = Repository(db, Account, before_save=lambda account, events: account.move(9))
        await adding.use("a", lambda account: account.open("Ann"), create=True)
        assert state(await adding.fetch("a")) == (2, False, 9, [], "Ann")


@pytest.mark.parametrize("on_error", ["told", "silent", "failing"])
async def test_a_hook_that_fails_after_the_commit_does_not_fail_the_save(
    on_error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported to on_error; without that, or if that fails, too, to the log "goes_lite"; deleting likewise."""
    reports: list[str] = []

    def report(what: str, error: Exception) -> None:
        if on_error == "failing":
            raise RuntimeError("on_error is broken, too")
        reports.append(f"{what}: {error}")

    def fail(*args: object) -> None:
        raise ValueError("after the fact")

    async with memory() as db:
        accounts = Repository(
            db, Account, after_save=fail, after_delete=fail, on_error=None if on_error == "silent" else report
        )
        with caplog.at_level(logging.ERROR, "goes_lite"):
            account = accounts.new("a")
            account.open("Ann")
            await accounts.save(account)
            assert (account.pending, account.committed_version) == ((), 1)
            assert await accounts.delete("a") == 1
    logged = [record.getMessage() for record in caplog.records if record.name == "goes_lite"]
    told = reports if on_error == "told" else logged
    assert (len(told), len(logged)) == (2, 0 if on_error == "told" else 2)
    assert "after_save" in told[0]
    assert "account(a)" in told[0]
    assert "after_delete" in told[1]


async def test_a_failing_conflict_hook_does_not_hide_the_conflict() -> None:
    reports: list[str] = []

    def fail(*args: object) -> None:
        raise ValueError("in the hook")

    async with memory() as db:
        accounts = Repository(db, Account, on_conflict=fail, on_error=lambda what, error: reports.append(what))
        await filled(accounts, "a", 0)
        late = accounts.new("a")
        late.open("Bob")
        with pytest.raises(ConcurrencyError):
            await accounts.save(late)
        assert reports == ["the hook on_conflict failed for account(a)"]
