"""Transactions interrupted by a kill, and the writers that wait for them."""

from __future__ import annotations

import random

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS
from goes_lite_conformance.crash._jobs import count, doom, hold, write
from goes_lite_conformance.crash.judges import Counts
from goes_lite_conformance.crash.killing import MOMENT, WORDS, Killing, end, face_of, pause, reopened
from goes_lite_conformance.crash.writing import COUNTED, plain
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.rule import needs, only


class TransactionRules(Killing):
    """Rules CR-TX, CR-LOCK and CR-SOUND."""

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_read_model_counts_each_event_once(self, place: Place) -> None:
        """CR-TX-001: A read model that commits with its checkpoint has counted each event once, whichever process is killed."""
        chance, counts = random.Random(4), Counts()
        for kill in range(place.rounds):
            self.kill(place.spawn(count, writer=f"w{kill}", face=face_of(kill)), chance, counts)
            await self.judged(place, counts, kill + 1, place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_transaction_that_a_kill_cut_off(self, place: Place) -> None:
        """CR-TX-002: Nothing of a transaction that is interrupted by a kill is stored."""
        holder = place.spawn(hold, face="async")
        holder.expect("inside")
        end(holder)
        async with reopened(place) as db:
            assert await db.events.query().list() == []
            assert await db.events.aggregates().list() == []
            assert await db.snapshots.query().list() == []
            assert await db.models.query(COUNTED).list() == []
            assert await db.checkpoints.all() == []

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_killed_inside_a_transaction(self, place: Place) -> None:
        """CR-LOCK-001: A process that is killed inside a transaction does not block other writers."""
        async with reopened(place) as db:
            holder = place.spawn(hold, face="blocking")
            holder.expect("inside")
            end(holder)
            await db.events.append([plain("judge", 1)])

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_killed_while_it_waits(self, place: Place) -> None:
        """CR-LOCK-002: A process that is killed while it waits to write does not hold up the others that wait."""
        async with reopened(place) as db:
            async with db.transaction() as transaction:
                await transaction.events.append([plain("judge", 0)])
                waiting = [place.spawn(write, writer=f"w{number}", face="blocking") for number in range(2)]
                for one in waiting:
                    one.expect("ready")
                    assert one.hear()[0] == "try"  # from now on it tries to append
                end(waiting[0])
            while (said := waiting[1].hear())[0] != "done":
                assert said[0] == "try", said
            await db.events.append([plain("judge", 1)])

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_several_processes_are_killed_at_once(self, place: Place) -> None:
        """CR-SOUND-001: However many processes are killed at once, and whatever they were doing, the store is sound."""
        chance = random.Random(6)
        for kill in range(place.rounds):
            victims = [
                place.spawn(write, writer=f"w{kill}", face=face_of(kill), writers=2),
                place.spawn(count, writer=f"c{kill}", face=face_of(kill + 1)),
                place.spawn(doom, id=f"d{kill}", face=face_of(kill)),
            ]
            for victim in victims:
                victim.expect("ready")
            for _ in range(chance.randint(1, WORDS)):
                for victim in victims:
                    assert victim.hear() is not None, victim.errors
            pause(chance.uniform(0, MOMENT))
            for victim in victims:
                victim.kill()
            for victim in victims:
                end(victim)
            await self.sound(place, kill + 1, place.rounds)
