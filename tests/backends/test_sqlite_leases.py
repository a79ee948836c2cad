"""Checkpoints and leases, in memory and in a file, on every face and driver."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite.backend import Backend
from goes_lite.checkpoint import Lease
from goes_lite.errors import InvalidQueryError, LeaseHeld, LeaseLost

if TYPE_CHECKING:
    from tests.backends.faces import Place
    from tests.backends.stores_kit import NOON, raises
else:
    from stores_kit import NOON, raises


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


async def test_a_checkpoint_is_remembered(place: Place) -> None:
    """With position, time and the identity of its store; each name has its own; all are listed by name."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        assert await db.checkpoints.get("p") is None
        await db.checkpoints.save("p", 7)
        clock.advance(1)
        await db.checkpoints.save("a", 0)
        first = await db.checkpoints.get("p")
        assert first is not None
        assert (first.name, first.position, first.time) == ("p", 7, NOON)
        await db.checkpoints.save("p", 3)
        listed = await db.checkpoints.all()
        assert [(one.name, one.position, one.time) for one in listed] == [
            ("a", 0, NOON + timedelta(seconds=1)),
            ("p", 3, NOON + timedelta(seconds=1)),
        ]
        assert {one.store for one in listed} == {first.store}
        assert await db.checkpoints.delete("p")
        assert not await db.checkpoints.delete("p")
        assert await db.checkpoints.get("p") is None


async def test_the_identity_of_a_store_outlives_its_handles(file: Place) -> None:
    """A checkpoint of the same file names the same store, another file is another."""
    async with file.open() as db:
        await db.checkpoints.save("p", 1)
        before = await db.checkpoints.get("p")
    async with file.open() as db:
        await db.checkpoints.save("q", 1)
        after = await db.checkpoints.get("q")
    async with file._replace(path=file.path + ".other").open() as db:
        await db.checkpoints.save("p", 1)
        other = await db.checkpoints.get("p")
    assert before is not None
    assert after is not None
    assert other is not None
    assert before.store == after.store != other.store


async def test_a_lease_has_one_owner(place: Place) -> None:
    """LeaseHeld for others until it expires or is released; the owner keeps it, with the same token."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        assert await db.leases.get("job") is None
        first = await db.leases.acquire("job", "ann", 10)
        assert first == Lease("job", "ann", first.token, NOON + timedelta(seconds=10))
        assert await db.leases.get("job") == first
        with pytest.raises(LeaseHeld) as caught:
            await db.leases.acquire("job", "bob", 10)
        assert (caught.value.name, caught.value.owner, caught.value.expires) == ("job", "ann", first.expires)
        assert (await db.leases.acquire("other", "bob", 10)).owner == "bob"
        clock.advance(5)
        again = await db.leases.acquire("job", "ann", 10)
        assert (again.token, again.expires) == (first.token, NOON + timedelta(seconds=15))
        assert await db.leases.renew(first, 20) == again._replace(expires=NOON + timedelta(seconds=25))
        clock.advance(20)  # to the very moment of its end
        assert await db.leases.get("job") is None
        second = await db.leases.acquire("job", "bob", 10)
        assert second.token > first.token
        with pytest.raises(LeaseLost) as lost:
            await db.leases.renew(first, 10)
        assert (lost.value.token, lost.value.current, lost.value.owner) == (first.token, second.token, "bob")
        assert not await db.leases.release(first)
        assert await db.leases.get("job") == second


async def test_a_released_lease_is_free(place: Place) -> None:
    """At once; it cannot be renewed, and the next token is higher, also for the same owner."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        first = await db.leases.acquire("job", "ann", 10)
        assert await db.leases.release(first)
        assert not await db.leases.release(first)
        assert await db.leases.get("job") is None
        with pytest.raises(LeaseLost):
            await db.leases.renew(first, 10)
        second = await db.leases.acquire("job", "ann", 10)
        assert second.token > first.token
        clock.advance(60)
        assert (await db.leases.renew(second, 10)).token == second.token  # expired, but nobody took it
        clock.advance(60)
        assert (await db.leases.acquire("job", "ann", 10)).token > second.token  # taken anew


async def test_a_checkpoint_under_a_lost_lease_is_refused(place: Place) -> None:
    """Fencing: LeaseLost, and the checkpoint of the successor stays as it is."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        old = await db.leases.acquire("job", "ann", 10)
        await db.checkpoints.save("p", 1, lease=old)
        clock.advance(11)
        await db.checkpoints.save("p", 2, lease=old)  # expired, but nobody took it
        new = await db.leases.acquire("job", "bob", 10)
        await db.checkpoints.save("p", 9, lease=new)
        with pytest.raises(LeaseLost):
            await db.checkpoints.save("p", 3, lease=old)
        await db.leases.release(new)
        with pytest.raises(LeaseLost):
            await db.checkpoints.save("p", 3, lease=new)
        checkpoint = await db.checkpoints.get("p")
        assert checkpoint is not None
        assert checkpoint.position == 9


async def test_bad_arguments_of_checkpoints_and_leases(db: Backend) -> None:
    """Typed errors, and nothing changes; nobody can pose as the empty owner of a released lease."""
    lease = await db.leases.acquire("job", "ann", 10)
    c, leases = db.checkpoints, db.leases
    await raises(
        InvalidQueryError,
        {
            "position -1": lambda: c.save("p", -1),
            "position a string": lambda: c.save("p", cast(Any, "1")),
            "position a bool": lambda: c.save("p", True),
            "no name": lambda: c.save("", 1),
            "name a number": lambda: c.save(cast(Any, 5), 1),
            "name of surrogates": lambda: c.save("\ud800", 1),
            "lease a name": lambda: c.save("p", 1, lease=cast(Any, "job")),
            "get None": lambda: c.get(cast(Any, None)),
            "delete bytes": lambda: c.delete(cast(Any, b"p")),
            "lease of nothing": lambda: leases.acquire("", "ann", 1),
            "owner empty": lambda: leases.acquire("job2", "", 1),
            "owner None": lambda: leases.acquire("job2", cast(Any, None), 1),
            "ttl 0": lambda: leases.acquire("job2", "ann", 0),
            "ttl negative": lambda: leases.acquire("job2", "ann", -1),
            "ttl nan": lambda: leases.acquire("job2", "ann", float("nan")),
            "ttl inf": lambda: leases.acquire("job2", "ann", float("inf")),
            "ttl a string": lambda: leases.acquire("job2", "ann", cast(Any, "1")),
            "renew a string": lambda: leases.renew(cast(Any, "job"), 1),
            "renew for nothing": lambda: leases.renew(lease, 0),
            "release None": lambda: leases.release(cast(Any, None)),
            "get a number": lambda: leases.get(cast(Any, 5)),
        },
    )
    assert await c.all() == []
    assert await leases.get("job2") is None
    assert (await leases.renew(lease, 5)).token == lease.token
