"""Repository.fetch_version: aggregates as they were, by version and by time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from goes_lite.contract.backend import Backend
from goes_lite.errors import AggregateNotFound, ConcurrencyError, InvalidEventError, InvalidQueryError, VersionNotFound
from goes_lite.repository import Repository
from goes_lite.repository import _history as history
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import NOON, Account, Moved, filled, memory, state


async def _timed(db: Backend, *hours: int) -> Repository[Account]:
    accounts = Repository(db, Account)
    account = accounts.new("a")
    for hour in hours:
        account.record(Moved(10**hour), time=NOON + timedelta(hours=hour))
    await accounts.save(account)
    return accounts


@pytest.mark.parametrize("snapshots", [None, Every(2)])
async def test_fetch_version_gives_the_state_at_a_version(snapshots: Every | None) -> None:
    """Every version, with snapshots before, at and behind it; one behind it is not used."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=snapshots, cache=3)
        await filled(accounts, "a", 6)
        for version in range(1, 8):
            account = await accounts.fetch_version("a", version)
            assert state(account) == (version, False, sum(range(version)), [], "Ann")
        for version in (8, 1000):
            with pytest.raises(VersionNotFound) as caught:
                await accounts.fetch_version("a", version)
            assert (caught.value.wanted, caught.value.version) == (version, 7)
        with pytest.raises(AggregateNotFound):
            await accounts.fetch_version("b", 1)
        for wrong in (0, -1, True, "1", None):
            with pytest.raises(InvalidQueryError):
                await accounts.fetch_version("a", cast("Any", wrong))
        assert (await accounts.fetch("a")).version == 7


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_fetch_version_gives_the_state_at_a_time(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All events up to and including that time, in whatever zone it is given; also over several pages of events."""
    monkeypatch.setattr(history, "PAGE", page)
    async with memory() as db:
        accounts = await _timed(db, 0, 1, 2)
        expected = {0: 1, 1: 11, 2: 111, 50: 111}
        for hour, balance in expected.items():
            for zone in (timezone.utc, timezone(timedelta(hours=5, minutes=30))):
                time = (NOON + timedelta(hours=hour)).astimezone(zone)
                assert (await accounts.fetch_version("a", time)).balance == balance
        just_before = NOON + timedelta(hours=2, microseconds=-1)
        assert (await accounts.fetch_version("a", just_before)).balance == 11
        too_early = NOON - timedelta(microseconds=1)
        with pytest.raises(VersionNotFound) as caught:
            await accounts.fetch_version("a", too_early)
        assert (caught.value.wanted, caught.value.version) == (too_early, 3)
        with pytest.raises(AggregateNotFound):
            await accounts.fetch_version("b", NOON)
        with pytest.raises(InvalidEventError, match="zone"):
            await accounts.fetch_version("a", datetime(2026, 3, 1))


async def test_time_travel_stops_at_the_first_later_event() -> None:
    """Versions are the order, not times: a clock that ran back does not tear a hole into the history."""
    async with memory() as db:
        accounts = await _timed(db, 1, 5, 2, 6)
        assert state(await accounts.fetch_version("a", NOON + timedelta(hours=3)))[:3] == (1, False, 10)
        assert (await accounts.fetch_version("a", NOON + timedelta(hours=5))).version == 3


async def test_a_past_version_cannot_be_changed() -> None:
    """Saving it is a conflict, so history is never forked."""
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 2)
        past = await accounts.fetch_version("a", 2)
        past.move(100)
        with pytest.raises(ConcurrencyError):
            await accounts.save(past)
