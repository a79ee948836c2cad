"""What a kill leaves to the survivors."""

from __future__ import annotations

import random

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import LeaseHeld
from goes_lite_conformance.crash._jobs import follow, lease, write
from goes_lite_conformance.crash.judges import Ledger
from goes_lite_conformance.crash.killing import TTL, Killing, end, face_of, reopened
from goes_lite_conformance.crash.writing import plain
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.rule import needs, only

CHUNK = 10
"""After this many kills the survivors are killed, too, so that what is left to judge stays small."""


class SurvivorRules(Killing):
    """Rules CR-OTHERS and CR-LEASE."""

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_the_others_continue(self, place: Place) -> None:
        """CR-OTHERS-001: Processes that write to the same aggregates as a killed one continue, and lose nothing."""
        chance, ledger = random.Random(7), Ledger()
        for first in range(0, place.rounds, CHUNK):
            survivors = [
                place.spawn(write, writer=f"s{first + number}", face=face_of(number), writers=2) for number in range(2)
            ]
            for survivor in survivors:
                survivor.expect("ready")
            last = min(first + CHUNK, place.rounds)
            for kill in range(first, last):
                self.kill(place.spawn(write, writer=f"w{kill}", face=face_of(kill), writers=2), chance, ledger)
                async with reopened(place) as db:
                    head = await db.events.head()
                for survivor in survivors:
                    while (said := survivor.hear()) is not None:
                        if ledger.hear(said) == "done" and said[3][-1] > head:
                            break
                    assert said is not None, survivor.errors
            for survivor in survivors:
                end(survivor, ledger)
            await self.judged(place, ledger, last, place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_a_follower_of_killed_writers(self, place: Place) -> None:
        """CR-OTHERS-002: A follower in another process sees every event once, in order, whichever writers are killed."""
        chance, ledger = random.Random(8), Ledger()
        follower = place.spawn(follow, face="async")
        follower.expect("ready")
        followed: list[tuple[int, str]] = []
        for kill in range(place.rounds):
            self.kill(place.spawn(write, writer=f"w{kill}", face=face_of(kill), writers=2), chance, ledger)
            async with reopened(place) as db:
                position = (await db.events.append([plain("judge", kill)])).position
            while not followed or followed[-1][0] < position:
                said = follower.hear()
                assert said is not None, follower.errors
                followed.append(tuple(said))
            self.tell(place, f"{kill + 1} kills, {len(followed)} events followed", last=kill + 1 == place.rounds)
        async with reopened(place) as db:
            assert followed == [(event.position, str(event.id)) async for event in db.events.query()]

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_the_lease_of_a_killed_process(self, place: Place) -> None:
        """CR-LEASE-001: The lease of a killed process can be acquired by another once it has expired."""
        holder = place.spawn(lease, owner="dead", ttl=TTL, face="blocking")
        token = holder.hear()
        assert isinstance(token, int), holder.errors
        end(holder)
        async with reopened(place) as db:
            taken = await _acquired(place, db)
            assert taken.token > token


async def _acquired(place: Place, db: Backend) -> Lease:
    """Return the lease once the dead process no longer holds it."""
    taken: list[Lease] = []

    async def free() -> bool:
        try:
            taken.append(await db.leases.acquire("job", "alive", TTL))
        except LeaseHeld as held:
            assert held.owner == "dead"
        return bool(taken)

    await until(place, free)
    return taken[0]
