"""Fencing: a checkpoint that is saved under a lease is refused once another owner has the lease."""

from __future__ import annotations

from datetime import timedelta

from goes_lite.contract.backend import Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import LeaseLost
from goes_lite_conformance.checkpoints.keeping import saved
from goes_lite_conformance.checkpoints.leases import LONG, SHORT, taken_over, until_free
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON


class FenceRules(Contract):
    """Rules CP-FENCE."""

    async def test_the_holder_of_a_lease_may_save(self, db: Backend) -> None:
        """CP-FENCE-001: Under the current lease the position is saved; checkpoint and lease may have different names."""
        lease = await db.leases.acquire("job", "ann", LONG)
        await db.checkpoints.save("p", 7, lease=lease)
        assert (await saved(db, "p")).position == 7

    async def test_a_lease_that_was_taken_over_saves_nothing(self, place: Place, db: Backend) -> None:
        """CP-FENCE-002: After another owner took over the lease, LeaseLost has both tokens, and nothing is saved."""
        old, new = await taken_over(place, db)
        await db.checkpoints.save("p", 9, lease=new)
        before = await db.checkpoints.all()
        for name in ("p", "q"):
            with refused(LeaseLost, name="job", owner="bob", token=old.token, current=new.token):
                await db.checkpoints.save(name, 3, lease=old)
        assert await db.checkpoints.all() == before

    async def test_a_released_lease_saves_nothing(self, db: Backend) -> None:
        """CP-FENCE-003: Once its own owner has released it, the lease is lost, and nobody holds it."""
        lease = await db.leases.acquire("job", "ann", LONG)
        await db.leases.release(lease)
        with refused(LeaseLost, name="job", owner=None, token=lease.token):
            await db.checkpoints.save("p", 3, lease=lease)
        assert await db.checkpoints.get("p") is None

    async def test_an_earlier_lease_of_the_same_owner_saves_nothing(self, db: Backend) -> None:
        """CP-FENCE-004: A lease that its owner has since acquired again is lost, too: the token decides.

        Two runs of one program may have the same owner name.
        """
        old = await db.leases.acquire("job", "ann", LONG)
        await db.leases.release(old)
        new = await db.leases.acquire("job", "ann", LONG)
        with refused(LeaseLost, name="job", owner="ann", token=old.token, current=new.token):
            await db.checkpoints.save("p", 3, lease=old)
        assert await db.checkpoints.get("p") is None

    async def test_a_lease_that_was_never_taken_saves_nothing(self, db: Backend) -> None:
        """CP-FENCE-005: A lease that the store never granted is lost from the beginning."""
        real = await db.leases.acquire("job", "ann", LONG)
        for lease in (Lease("other", "ann", 1, NOON), real._replace(owner="bob"), real._replace(token=real.token + 1)):
            with refused(LeaseLost, name=lease.name, token=lease.token):
                await db.checkpoints.save("p", 3, lease=lease)
        assert await db.checkpoints.get("p") is None

    async def test_an_expired_lease_that_nobody_took_still_saves(self, place: Place, db: Backend) -> None:
        """CP-FENCE-006: An expired lease stays the current one until another owner takes it.

        Its holder was slow, but nobody has done its work in the meantime.
        """
        lease = await db.leases.acquire("job", "ann", SHORT)
        await until_free(place, db)
        await db.checkpoints.save("p", 3, lease=lease)
        assert (await saved(db, "p")).position == 3

    async def test_the_token_is_what_counts(self, db: Backend) -> None:
        """CP-FENCE-007: A lease can still save after it was renewed: only the token is compared, not the expiry."""
        lease = await db.leases.acquire("job", "ann", LONG)
        await db.leases.renew(lease, 2 * LONG)
        await db.checkpoints.save("p", 3, lease=lease)
        await db.checkpoints.save("p", 4, lease=lease._replace(expires=NOON - timedelta(days=1)))
        assert (await saved(db, "p")).position == 4
