"""Leases: one owner at a time, for a limited time, with a token that only grows. The times are real, and short."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import InvalidQueryError, LeaseHeld, LeaseLost
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs

LONG = 1000.0
"""Longer than any rule takes (seconds)."""
SHORT = 0.05
"""Over soon (seconds)."""
PATIENCE = 20.0


async def until_free(place: Place, db: Backend, name: str = "job") -> None:
    """Wait until the lease has expired and nobody holds it."""

    async def free() -> bool:
        return await db.leases.get(name) is None

    await until(place, free)


async def taken_over(place: Place, db: Backend) -> tuple[Lease, Lease]:
    """Return an expired lease of ann, and that of bob, who took it over."""
    old = await db.leases.acquire("job", "ann", SHORT)
    await until_free(place, db)
    return old, await db.leases.acquire("job", "bob", LONG)


def hold(place: Place, owner: str) -> None:
    """Acquire the lease and report its token, then wait, release it and report the result."""
    with place.blocking() as db:
        lease = db.leases.acquire("job", owner, LONG)
        say(lease.token)
        listen()
        say(db.leases.release(lease))


class AcquireRules(Contract):
    """Rules LE-ACQUIRE."""

    async def test_a_lease_is_taken(self, db: Backend) -> None:
        """LE-ACQUIRE-001: A free lease is granted, with its name, its owner, a token ≥ 1, and its expiry in UTC."""
        lease = await db.leases.acquire("job", "ann", LONG)
        assert (type(lease), lease.name, lease.owner, type(lease.token)) == (Lease, "job", "ann", int)
        assert lease.token >= 1
        assert lease.expires.utcoffset() == timedelta(0)

    async def test_everybody_can_see_who_holds_it(self, db: Backend) -> None:
        """LE-ACQUIRE-002: `get` returns the lease as it was granted, to everyone; None if it was never acquired."""
        assert await db.leases.get("job") is None
        lease = await db.leases.acquire("job", "ann", LONG)
        assert await db.leases.get("job") == lease
        assert await db.leases.get("other") is None

    async def test_a_held_lease_is_refused(self, db: Backend) -> None:
        """LE-ACQUIRE-003: While a lease is held, LeaseHeld tells another owner who holds it and until when; nothing changes."""
        lease = await db.leases.acquire("job", "ann", LONG)
        for owner in ("bob", "Ann", "ann ", "an"):
            with refused(LeaseHeld, name="job", owner="ann", expires=lease.expires):
                await db.leases.acquire("job", owner, 5 * LONG)
        assert await db.leases.get("job") == lease

    async def test_its_owner_keeps_it(self, db: Backend) -> None:
        """LE-ACQUIRE-004: The owner that holds a lease may acquire it again, with the same token and a new expiry."""
        first = await db.leases.acquire("job", "ann", LONG)
        again = await db.leases.acquire("job", "ann", 3 * LONG)
        assert again == first._replace(expires=again.expires)
        assert again.expires > first.expires
        assert await db.leases.get("job") == again

    async def test_it_lasts_as_long_as_was_asked(self, db: Backend) -> None:
        """LE-ACQUIRE-005: A lease expires that many seconds after it was acquired, by the clock of the store."""
        first = await db.leases.acquire("job", "ann", 1000)
        second = await db.leases.acquire("other", "ann", 5000.5)
        third = await db.leases.acquire("job", "ann", 1000)
        assert second.expires - third.expires <= timedelta(seconds=4000.5) <= second.expires - first.expires

    async def test_names_of_leases_are_told_from_each_other(self, db: Backend) -> None:
        """LE-ACQUIRE-006: Names that differ at all are different leases, each with its own owner, whatever the collation."""
        for number, name in enumerate(CONFUSABLE):
            await db.leases.acquire(name, f"owner-{number}", LONG)
        found = [await db.leases.get(name) for name in CONFUSABLE]
        assert [one and (one.name, one.owner) for one in found] == [(n, f"owner-{i}") for i, n in enumerate(CONFUSABLE)]

    async def test_an_expired_lease_is_free(self, place: Place, db: Backend) -> None:
        """LE-ACQUIRE-007: Once a lease has expired, `get` returns None, and another owner can acquire it with a greater token."""
        old, new = await taken_over(place, db)
        assert new.owner == "bob"
        assert new.token > old.token
        assert await db.leases.get("job") == new

    async def test_a_lease_is_acquired_again(self, place: Place, db: Backend) -> None:
        """LE-ACQUIRE-008: An owner that acquires its own expired lease again gets a greater token, too."""
        old = await db.leases.acquire("job", "ann", SHORT)
        await until_free(place, db)
        new = await db.leases.acquire("job", "ann", LONG)
        assert new.token > old.token

    async def test_one_of_several_contenders_wins(self, place: Place, db: Backend) -> None:
        """LE-ACQUIRE-009: Of owners that acquire concurrently, one gets the lease; the others raise LeaseHeld with that owner."""
        outcomes = await place.together(*(db.leases.acquire("job", f"owner-{n}", LONG) for n in range(12)))
        winners = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
        assert len(winners) == 1, outcomes
        assert [(type(other), other.owner) for other in outcomes if other is not winners[0]] == [
            (LeaseHeld, winners[0].owner)
        ] * 11
        assert await db.leases.get("job") == winners[0]

    async def test_one_of_several_contenders_takes_over(self, place: Place, db: Backend) -> None:
        """LE-ACQUIRE-010: Of owners that concurrently take over an expired lease, one gets it; the others raise LeaseHeld."""
        old = await db.leases.acquire("job", "ann", SHORT)
        await until_free(place, db)
        outcomes = await place.together(*(db.leases.acquire("job", f"owner-{n}", LONG) for n in range(12)))
        winners = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
        assert len(winners) == 1, outcomes
        assert winners[0].token > old.token
        assert sum(type(outcome) is LeaseHeld for outcome in outcomes) == 11, outcomes

    @needs(PROCESSES)
    async def test_one_of_several_handles_wins(self, place: Place, db: Backend) -> None:
        """LE-ACQUIRE-011: Of owners on several handles that acquire concurrently, one gets the lease, and all handles see it."""
        async with place.open() as second, place.open() as third:
            handles = [db, second, third] * 4
            outcomes = await place.together(
                *(one.leases.acquire("job", f"owner-{n}", LONG) for n, one in enumerate(handles))
            )
            winners = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
            assert len(winners) == 1, outcomes
            assert [await one.leases.get("job") for one in handles[:3]] == winners * 3

    @needs(PROCESSES)
    async def test_another_process_holds_it(self, place: Place, db: Backend) -> None:
        """LE-ACQUIRE-012: A lease that another process holds is refused, and is free once that process has released it."""
        other = place.spawn(hold, owner="bob")
        token = other.hear()
        with refused(LeaseHeld, name="job", owner="bob"):
            await db.leases.acquire("job", "ann", LONG)
        other.tell()
        other.expect(said=True)
        assert (await db.leases.acquire("job", "ann", LONG)).token > token
        other.finish()

    @needs(PERSISTENT)
    async def test_leases_survive_closing(self, place: Place) -> None:
        """LE-ACQUIRE-013: A lease is still held after closing and reopening, as if the process had been restarted."""
        async with place.open() as db:
            lease = await db.leases.acquire("job", "ann", LONG)
        async with place.open() as db:
            assert await db.leases.get("job") == lease
            with refused(LeaseHeld, name="job", owner="ann", expires=lease.expires):
                await db.leases.acquire("job", "bob", LONG)


class RenewRules(Contract):
    """Rules LE-RENEW."""

    async def test_a_lease_is_extended(self, db: Backend) -> None:
        """LE-RENEW-001: Renewing returns the same lease with a later expiry, which everyone sees."""
        lease = await db.leases.acquire("job", "ann", LONG)
        renewed = await db.leases.renew(lease, 3 * LONG)
        assert renewed == lease._replace(expires=renewed.expires)
        assert renewed.expires - lease.expires >= timedelta(seconds=2 * LONG)
        assert await db.leases.get("job") == renewed

    async def test_the_end_is_counted_from_now(self, db: Backend) -> None:
        """LE-RENEW-002: The new expiry counts from now, not from the old expiry."""
        lease = await db.leases.acquire("job", "ann", LONG)
        await db.leases.renew(lease, 2 * LONG)
        renewed = await db.leases.renew(lease, 2 * LONG)
        later = await db.leases.acquire("other", "ann", 2 * LONG)
        assert renewed.expires <= later.expires

    async def test_a_lease_that_was_taken_over_is_lost(self, place: Place, db: Backend) -> None:
        """LE-RENEW-003: After another owner took over the lease, LeaseLost has both tokens, and that owner keeps it."""
        old, new = await taken_over(place, db)
        with refused(LeaseLost, name="job", owner="bob", token=old.token, current=new.token):
            await db.leases.renew(old, LONG)
        assert await db.leases.get("job") == new

    async def test_a_released_lease_is_lost(self, db: Backend) -> None:
        """LE-RENEW-004: A released lease cannot be renewed, and nobody holds it."""
        lease = await db.leases.acquire("job", "ann", LONG)
        await db.leases.release(lease)
        with refused(LeaseLost, name="job", owner=None, token=lease.token):
            await db.leases.renew(lease, LONG)
        assert await db.leases.get("job") is None

    async def test_an_expired_lease_that_nobody_took_is_kept(self, place: Place, db: Backend) -> None:
        """LE-RENEW-005: An expired lease that nobody has taken is renewed all the same, with the same token."""
        lease = await db.leases.acquire("job", "ann", SHORT)
        await until_free(place, db)
        renewed = await db.leases.renew(lease, LONG)
        assert renewed == lease._replace(expires=renewed.expires)
        with refused(LeaseHeld, name="job", owner="ann", expires=renewed.expires):
            await db.leases.acquire("job", "bob", LONG)

    async def test_an_earlier_lease_of_the_same_owner_is_lost(self, db: Backend) -> None:
        """LE-RENEW-006: A lease that its owner has since acquired again is lost: the token decides, not the name."""
        old = await db.leases.acquire("job", "ann", LONG)
        await db.leases.release(old)
        new = await db.leases.acquire("job", "ann", LONG)
        with refused(LeaseLost, name="job", owner="ann", token=old.token, current=new.token):
            await db.leases.renew(old, LONG)
        assert await db.leases.get("job") == new

    async def test_a_lease_that_was_never_taken_is_lost(self, db: Backend) -> None:
        """LE-RENEW-007: A lease that the store never granted is lost, and renewing it does not acquire it."""
        with refused(LeaseLost, name="job", owner=None, token=1):
            await db.leases.renew(Lease("job", "ann", 1, NOON), LONG)
        assert await db.leases.get("job") is None


class ReleaseRules(Contract):
    """Rules LE-RELEASE."""

    async def test_a_released_lease_is_free(self, db: Backend) -> None:
        """LE-RELEASE-001: Releasing a held lease returns True, and another owner can acquire it at once."""
        lease = await db.leases.acquire("job", "ann", LONG)
        other = await db.leases.acquire("other", "ann", LONG)
        assert await db.leases.release(lease) is True
        assert await db.leases.get("job") is None
        assert (await db.leases.acquire("job", "bob", LONG)).owner == "bob"
        assert await db.leases.get("other") == other

    async def test_tokens_never_go_back(self, db: Backend) -> None:
        """LE-RELEASE-002: After a release, the next token is greater, for any owner, every time."""
        tokens: list[int] = []
        for owner in ("ann", "ann", "bob", "ann"):
            lease = await db.leases.acquire("job", owner, LONG)
            tokens.append(lease.token)
            await db.leases.release(lease)
        assert tokens == sorted(set(tokens))

    async def test_what_is_not_held_is_not_released(self, db: Backend) -> None:
        """LE-RELEASE-003: Releasing a lease that was released, never acquired, or taken over by another owner returns False."""
        lease = await db.leases.acquire("job", "ann", LONG)
        assert await db.leases.release(lease) is True
        assert await db.leases.release(lease) is False
        assert await db.leases.release(Lease("other", "ann", 1, NOON)) is False

    async def test_the_lease_of_a_successor_is_not_released(self, place: Place, db: Backend) -> None:
        """LE-RELEASE-004: Releasing a lease that was taken over returns False and leaves the successor's lease alone."""
        old, new = await taken_over(place, db)
        assert await db.leases.release(old) is False
        assert await db.leases.release(new._replace(owner="ann")) is False
        assert await db.leases.get("job") == new

    async def test_a_renewed_lease_is_released(self, db: Backend) -> None:
        """LE-RELEASE-005: A lease as it was before its renewal can still be released: the token is the same."""
        lease = await db.leases.acquire("job", "ann", LONG)
        await db.leases.renew(lease, 2 * LONG)
        assert await db.leases.release(lease) is True
        assert await db.leases.get("job") is None

    @needs(PERSISTENT)
    async def test_tokens_survive_closing(self, place: Place) -> None:
        """LE-RELEASE-006: Tokens continue after closing and reopening, even of a released lease."""
        async with place.open() as db:
            first = await db.leases.acquire("job", "ann", LONG)
            await db.leases.release(first)
        async with place.open() as db:
            assert (await db.leases.acquire("job", "ann", LONG)).token > first.token


class LeaseRefusalRules(Contract):
    """Rules LE-BAD."""

    async def test_what_is_no_lease_is_refused(self, db: Backend) -> None:
        """LE-BAD-001: An invalid name, owner, duration or lease raises InvalidQueryError, and no lease changes."""
        lease = await db.leases.acquire("job", "ann", LONG)
        leases = db.leases
        calls: dict[str, Callable[[], Any]] = {}
        for name in cast("tuple[Any, ...]", ("", "a\0b", "\ud800", "x" * 1025, None, 5, b"p")):
            calls |= {
                f"name {name!r:.20}": partial(leases.acquire, name, "ann", 1),
                f"owner {name!r:.20}": partial(leases.acquire, "free", name, 1),
                f"get {name!r:.20}": partial(leases.get, name),
            }
        for ttl in cast("tuple[Any, ...]", (0, -1, float("nan"), float("inf"), 1e300, "1", None, True)):
            calls |= {
                f"acquire for {ttl!r}": partial(leases.acquire, "free", "ann", ttl),
                f"renew for {ttl!r}": partial(leases.renew, lease, ttl),
            }
        calls |= {
            "renew a name": lambda: leases.renew(cast("Any", "job"), 1),
            "renew None": lambda: leases.renew(cast("Any", None), 1),
            "release a name": lambda: leases.release(cast("Any", "job")),
            "release a tuple": lambda: leases.release(cast("Any", tuple(lease))),
        }
        await each_refused(InvalidQueryError, calls)
        assert await leases.get("free") is None
        assert await leases.get("job") == lease
