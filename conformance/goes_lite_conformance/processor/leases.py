"""Leases: which instance of a processor is active, who takes over, and what happens to late writes."""

from __future__ import annotations

from typing import Any

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS
from goes_lite.contract.checkpoints import Lease
from goes_lite.database import Database
from goes_lite.errors import LeaseLost
from goes_lite.events.event import Event
from goes_lite.processor import Retry
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.processor._given import (
    LONG,
    NAME,
    SHORT,
    Ear,
    Held,
    Tally,
    bad,
    becomes,
    others_turn,
    reached,
    stands,
    steal,
    tallied,
)
from goes_lite_conformance.processor._jobs import process
from goes_lite_conformance.rule import needs


class LeaseRules(Contract):
    """Rules PR-LEASE."""

    async def test_the_active_one_holds_the_lease(self, place: Place, db: Database) -> None:
        """PR-LEASE-001: The active instance holds the lease of its name, renews it while it works, and releases it at the end."""
        held = Held(place)
        await db.events.append([note("1")])
        async with db.processor(NAME, held, lease=0.3):
            await held.entered.wait()
            seen: list[Lease] = []

            async def renewed() -> bool:
                lease = await db.leases.get(NAME)
                if lease is not None:
                    seen.append(lease)
                return bool(seen) and seen[-1].expires > seen[0].expires

            await until(place, renewed)
            assert len({(lease.owner, lease.token) for lease in seen}) == 1
            held.let.come()
        assert await db.leases.get(NAME) is None

    async def test_one_of_several_is_active(self, place: Place, db: Database) -> None:
        """PR-LEASE-002: Of the instances of one name, one is active; the others stand by and handle nothing."""
        ears = [Ear() for _ in range(3)]
        instances = [db.processor(NAME, ear) for ear in ears]
        running = [place.alongside(instance.run()) for instance in instances]

        async def states() -> list[str]:
            return sorted([(await instance.stats()).state for instance in instances])

        async def settled() -> bool:
            return await states() == ["active", "standby", "standby"]

        await until(place, settled)
        last = (await db.events.append([note(str(n)) for n in range(5)])).position
        await reached(place, db, last)
        assert sorted(ear.done for ear in ears) == [[], [], ["0", "1", "2", "3", "4"]]
        assert await settled()
        for instance, one in zip(instances, running, strict=True):
            await instance.stop()
            await one.result()

    @needs(PROCESSES)
    async def test_another_handle_takes_over(self, place: Place, db: Database) -> None:
        """PR-LEASE-003: When the active instance stops, one that stands by takes over at once, on any handle.

        It need not wait for the lease to expire, and resumes after the last handled event.
        """
        first, second = Ear(), Ear()
        async with place.open() as other:
            active, standby = db.processor(NAME, first, lease=LONG), other.processor(NAME, second, lease=LONG)
            active.start()
            await becomes(place, active, "active")
            async with standby:
                await reached(place, db, (await db.events.append([note("1")])).position)
                assert (await standby.stats()).state == "standby"
                assert (await standby.stats()).owner == (await active.stats()).owner
                await active.stop()
                await becomes(place, standby, "active")
                await reached(place, db, (await db.events.append([note("2")])).position)
        assert (first.done, second.done) == (["1"], ["2"])

    @needs(PROCESSES, PERSISTENT)
    async def test_another_process_takes_over(self, place: Place, db: Database) -> None:
        """PR-LEASE-004: An instance in one process takes over from one in another."""
        ear = Ear()
        other = place.spawn(process, name=NAME, lease=LONG)
        other.expect("started")
        await db.events.append([note("1")])
        other.expect("1")
        async with db.processor(NAME, ear) as processor:
            await becomes(place, processor, "standby")
            await reached(place, db, (await db.events.append([note("2")])).position)
            other.expect("2")
            other.tell("stop")
            other.expect("stopped")
            other.finish()
            await reached(place, db, (await db.events.append([note("3")])).position)
        assert ear.done == ["3"]

    async def test_a_lease_that_runs_out(self, place: Place, db: Database) -> None:
        """PR-LEASE-005: An instance stands by while another owner holds the lease, and takes over when it expires."""
        ear = Ear()
        dead = await db.leases.acquire(NAME, "dead", LONG)
        last = (await db.events.append([note("1")])).position
        async with db.processor(NAME, ear) as processor:
            await others_turn(place, db)  # by then it has found the lease taken, and stands by
            assert (ear.calls, (await processor.stats()).state) == ([], "standby")
            await db.leases.renew(dead, SHORT)
            await reached(place, db, last)
        assert ear.done == ["1"]


class FenceRules(Contract):
    """Rules PR-FENCE."""

    @needs(TRANSACTIONS)
    async def test_a_late_batch_is_not_stored(self, place: Place, db: Database) -> None:
        """PR-FENCE-001: An instance that has lost its lease stores nothing of its batch, neither checkpoint nor models.

        It then stands by; when it gets the lease again, it handles the events.
        """
        tally = Tally()
        first = (await db.events.append([note("1")])).position
        async with db.processor(NAME, tally, transactional=True, lease=LONG) as processor:
            await reached(place, db, first)
            thief = await steal(db)
            last = (await db.events.append([note("2"), note("3")])).position
            await becomes(place, processor, "standby")
            assert (await stands(db), await tallied(db)) == (first, ["1"])
            assert type((await processor.stats()).error) is LeaseLost
            await db.leases.release(thief)
            await reached(place, db, last)
        assert await tallied(db) == ["1", "2", "3"]

    async def test_a_late_checkpoint_is_not_saved(self, place: Place, db: Database) -> None:
        """PR-FENCE-002: An instance that has lost its lease saves no checkpoint; its successor repeats what was not saved."""
        ear, thieves = Ear(), list[Any]()

        async def handle(event: Event[Any]) -> None:
            ear(event)
            if event.data.text == "3" and not thieves:
                thieves.append(await steal(db))

        positions = (await db.events.append([note(text) for text in "1234"])).positions
        async with db.processor(NAME, handle, batch=2, lease=LONG) as processor:
            await until(place, lambda: bool(thieves))
            await becomes(place, processor, "standby")
            assert await stands(db) == positions[1]
            await db.leases.release(thieves[0])
            await reached(place, db, positions[3])
        assert ear.done == ["1", "2", "3", "4", "3", "4"]

    @needs(TRANSACTIONS)
    async def test_a_late_dead_letter_is_not_kept(self, place: Place, db: Database) -> None:
        """PR-FENCE-003: An instance that has lost its lease parks nothing."""
        thieves = list[Any]()

        async def handle(event: Event[Any]) -> None:
            if bad(event) and not thieves:
                thieves.append(await steal(db))
                raise ValueError

        last = (await db.events.append([note("1"), note("bad"), note("2")])).position
        async with db.processor(NAME, handle, retry=Retry(1, then="park"), lease=LONG) as processor:
            await until(place, lambda: bool(thieves))
            await becomes(place, processor, "standby")
            assert await processor.parked() == []
            await db.leases.release(thieves[0])
            await reached(place, db, last)
            assert await processor.parked() == []

    async def test_it_finds_out_by_itself(self, place: Place, db: Database) -> None:
        """PR-FENCE-004: An idle instance also notices that its lease is lost, and stands by."""
        last = (await db.events.append([note("1")])).position
        async with db.processor(NAME, Ear(), lease=0.3) as processor:
            await reached(place, db, last)
            await others_turn(place, db)
            thief = await steal(db)
            await becomes(place, processor, "standby")
            assert await db.leases.get(NAME) == thief
