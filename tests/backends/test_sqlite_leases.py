"""Checkpoints and leases to the microsecond, by a clock that stands still; the rest of what they do is in the suites."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import LeaseHeld
from tests.conftest_kit import SQLitePlace

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


async def test_a_checkpoint_has_the_time_of_the_clock(place: SQLitePlace) -> None:
    """Of each save anew."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        await db.checkpoints.save("p", 7)
        clock.advance(1)
        await db.checkpoints.save("a", 0)
        assert [one.time for one in await db.checkpoints.all()] == [NOON + timedelta(seconds=1), NOON]
        await db.checkpoints.save("p", 3)
        assert [one.time for one in await db.checkpoints.all()] == [NOON + timedelta(seconds=1)] * 2


async def test_a_lease_ends_when_it_should(place: SQLitePlace) -> None:
    """After exactly its time, counted anew from each acquire and renew: held a microsecond before, free at its end."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        first = await db.leases.acquire("job", "ann", 10)
        assert first == Lease("job", "ann", first.token, NOON + timedelta(seconds=10))
        clock.advance(5)
        assert (await db.leases.acquire("job", "ann", 10)).expires == NOON + timedelta(seconds=15)
        renewed = await db.leases.renew(first, 20)
        assert renewed == first._replace(expires=NOON + timedelta(seconds=25))
        clock.advance(19.999_999)
        assert await db.leases.get("job") == renewed
        with pytest.raises(LeaseHeld):
            await db.leases.acquire("job", "bob", 10)
        clock.advance(0.000_001)
        assert await db.leases.get("job") is None
        assert (await db.leases.acquire("job", "bob", 10)).expires == NOON + timedelta(seconds=35)


async def test_an_expired_lease_of_its_own_is_taken_anew(place: SQLitePlace) -> None:
    """With a greater token, while a renewed one keeps its token however late it comes."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        first = await db.leases.acquire("job", "ann", 10)
        clock.advance(60)
        assert (await db.leases.renew(first, 10)).token == first.token
        clock.advance(60)
        assert (await db.leases.acquire("job", "ann", 10)).token > first.token
