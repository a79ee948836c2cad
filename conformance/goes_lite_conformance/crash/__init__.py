"""Killed at any moment: what was acknowledged is there, nothing is half-written, and nobody else is disturbed.

Processes are killed with SIGKILL (or what ends a process at once on this system), after a random number of words and
microseconds, and what they leave is judged in this process. With one round 16 are killed at random moments; with 100
(`--rounds 100`) 1,600 are, for each variant of the backend that several processes can use. (Where pytest is told to end
tests that seem to hang, such a run needs `-o faulthandler_timeout=0`.)
"""

from __future__ import annotations

import random
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from goes_lite.contract.backend import PERSISTENT, PROCESSES, SQL, TRANSACTIONS
from goes_lite.contract.checkpoints import Lease
from goes_lite.database import Database
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, LeaseHeld
from goes_lite_conformance import report
from goes_lite_conformance.crash._jobs import (
    COUNTED,
    WRITTEN,
    Doomed,
    append,
    condition,
    count,
    counting,
    doom,
    follow,
    hold,
    lease,
    plain,
    process,
    registry,
    write,
)
from goes_lite_conformance.crash._judges import Counts, Judge, Ledger, Lives
from goes_lite_conformance.harness.place import PATIENCE, Place, until
from goes_lite_conformance.harness.soak import Soaking
from goes_lite_conformance.harness.workers import Worker
from goes_lite_conformance.rule import Face, needs, only
from goes_lite_conformance.verify import verify

WORDS = 25
"""The most that a process says before it is killed …"""
MOMENT = 0.004
"""… and the most seconds that it lives on then."""
SILENCE = 0.2
"""Seconds in which nothing is written by the living or the dead."""
LARGE = (40, 200)
"""How many events are in batches that a kill is likely to cut off."""
TTL = 0.1
"""For how many seconds a lease is held that nobody will release."""
CHUNK = 10
"""After so many kills the survivors are killed, too, so that what is left to be judged stays small."""


class CrashTests(Soaking):
    """Rules CR: what a process that is killed leaves to others."""

    @pytest.fixture(autouse=True)
    def _survives_a_kill(self, place: Place, request: pytest.FixtureRequest) -> None:
        if place.durability == "memory":
            request.node.user_properties.append((report.EXCUSE, "a durability beyond that of memory"))
            pytest.skip("not applicable: what this backend acknowledges lives no longer than its process")

    # --- appends ------------------------------------------------------------------------------------------------------

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_what_was_acknowledged_survives_a_kill(self, place: Place) -> None:
        """CR-APPEND-001: What was acknowledged before a kill is stored once, as it was made, at the positions told.

        Whatever its process was doing: appending one event or many, to one aggregate or several, with a condition or
        without one, alone or together with others on an event loop.
        """
        chance, ledger = random.Random(1), Ledger()
        for kill in range(2 * place.rounds):
            self.kill(place.spawn(write, writer=f"w{kill}", face=_face(kill), writers=4), chance, ledger)
            await self.judged(place, ledger, kill + 1, 2 * place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_a_batch_that_a_kill_cut_off(self, place: Place) -> None:
        """CR-APPEND-002: A batch that a kill cut off is stored wholly or not at all."""
        chance, ledger = random.Random(2), Ledger(LARGE)
        for kill in range(2 * place.rounds):
            victim = place.spawn(write, writer=f"w{kill}", face=_face(kill), sizes=LARGE)
            self.kill(victim, chance, ledger, words=5, about="try")
            await self.judged(place, ledger, kill + 1, 2 * place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_retrying_what_a_kill_cut_off(self, place: Place) -> None:
        """CR-APPEND-003: Appending the very same events again after a kill succeeds, and leaves one copy of them."""
        chance, ledger = random.Random(3), Ledger()
        for kill in range(place.rounds):
            self.kill(place.spawn(write, writer=f"w{kill}", face=_face(kill)), chance, ledger)
            async with _reopened(place) as db:
                for events in ledger.in_doubt:
                    stored = [await db.events.find(event.id) for event in events]
                    writer, number = events[0].data.writer, events[0].data.number
                    try:
                        appended = await db.events.append(events, condition=condition(events))
                    except (AppendConditionFailed, ConcurrencyError):  # it was refused, and could not say so any more
                        assert not any(stored)
                        ledger.hear(["refused", writer, number, []])
                        continue
                    if stored[0] is not None:
                        assert appended == (tuple(event.position for event in stored if event is not None), True)
                    ledger.hear(["done", writer, number, list(appended.positions)])
            await self.judged(place, ledger, kill + 1, place.rounds)

    # --- other writes ---------------------------------------------------------------------------------------------------

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_read_model_counts_each_event_once(self, place: Place) -> None:
        """CR-TX-001: A read model that commits with its checkpoint has counted each event once, whoever was killed."""
        chance, counts = random.Random(4), Counts()
        for kill in range(place.rounds):
            self.kill(place.spawn(count, writer=f"w{kill}", face=_face(kill)), chance, counts)
            await self.judged(place, counts, kill + 1, place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_transaction_that_a_kill_cut_off(self, place: Place) -> None:
        """CR-TX-002: Of a transaction that a kill cut off nothing is stored."""
        holder = place.spawn(hold, face="async")
        holder.expect("inside")
        _end(holder)
        async with _reopened(place) as db:
            assert await db.events.query().list() == []
            assert await db.events.aggregates().list() == []
            assert await db.snapshots.query().list() == []
            assert await db.models.query(COUNTED).list() == []
            assert await db.checkpoints.all() == []

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_a_delete_that_a_kill_cut_off(self, place: Place) -> None:
        """CR-DELETE-001: A delete that a kill cut off has erased an aggregate with its snapshots, or nothing of it."""
        chance, lives = random.Random(5), Lives()
        for kill in range(2 * place.rounds):
            lives.begin(f"d{kill}")
            self.kill(place.spawn(doom, id=f"d{kill}", face=_face(kill)), chance, lives, about="erasing")
            await self.judged(place, lives, kill + 1, 2 * place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_several_processes_are_killed_at_once(self, place: Place) -> None:
        """CR-SOUND-001: However many processes are killed at once, whatever each was doing, what they leave is sound."""
        chance = random.Random(6)
        for kill in range(place.rounds):
            victims = [
                place.spawn(write, writer=f"w{kill}", face=_face(kill), writers=2),
                place.spawn(count, writer=f"c{kill}", face=_face(kill + 1)),
                place.spawn(doom, id=f"d{kill}", face=_face(kill)),
            ]
            for victim in victims:
                victim.expect("ready")
            for _ in range(chance.randint(1, WORDS)):
                for victim in victims:
                    assert victim.hear() is not None, victim.errors
            _pause(chance.uniform(0, MOMENT))
            for victim in victims:
                victim.kill()
            for victim in victims:
                _end(victim)
            await self.sound(place, kill + 1, place.rounds)

    # --- processors -----------------------------------------------------------------------------------------------------

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_processor_is_killed(self, place: Place) -> None:
        """CR-PROC-001: What a transactional processor writes counts each event once, whenever its process is killed."""
        chance, counts, table = random.Random(9), Counts(), await _table(place)
        appender = place.spawn(append, writer="a")
        appender.expect("ready")
        for kill in range(2 * place.rounds):
            appender.tell(WORDS)  # while they are handled
            options = {"face": _face(kill), "batch": chance.choice((1, 3, 20)), "lease": TTL}
            self.kill(place.spawn(process, table=table, **options), chance, counts)
            await self.judged(place, counts, kill + 1, 2 * place.rounds)
        _end(appender)
        await _all_counted(place, counts, table)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_the_active_one_is_killed(self, place: Place) -> None:
        """CR-PROC-002: When the active one of two processes is killed, the other goes on, and each event counts once."""
        chance, counts, table = random.Random(10), Counts(), await _table(place)
        appender = place.spawn(append, writer="a")
        appender.expect("ready")
        options = {"lease": 10 * TTL, "table": table}
        active = place.spawn(process, face=_face(0), batch=1, **options)
        active.expect("ready")
        for kill in range(place.rounds):
            standby = place.spawn(process, face=_face(kill + 1), batch=chance.choice((1, 3, 20)), **options)
            standby.expect("ready")
            appender.tell(WORDS)
            counts.hear(active.hear())
            _pause(chance.uniform(0, 5 * MOMENT))
            _end(active, counts)
            appender.tell(1)
            counts.hear(standby.hear())
            active = standby
            self.tell(place, f"{kill + 1} kills, {counts}", last=kill + 1 == place.rounds)
        _end(active, counts)
        _end(appender)
        await _all_counted(place, counts, table)

    # --- others -----------------------------------------------------------------------------------------------------------

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_killed_inside_a_transaction(self, place: Place) -> None:
        """CR-LOCK-001: A process that is killed inside a transaction gives way to those who want to write."""
        async with _reopened(place) as db:
            holder = place.spawn(hold, face="blocking")
            holder.expect("inside")
            _end(holder)
            await db.events.append([plain("judge", 1)])

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_killed_while_it_waits(self, place: Place) -> None:
        """CR-LOCK-002: A process that is killed while it waits to write leaves no gap in which the others wait for it."""
        async with _reopened(place) as db:
            async with db.transaction() as transaction:
                await transaction.events.append([plain("judge", 0)])
                waiting = [place.spawn(write, writer=f"w{number}", face="blocking") for number in range(2)]
                for one in waiting:
                    one.expect("ready")
                    assert one.hear()[0] == "try"  # from here on it wants to append
                _end(waiting[0])
            while (said := waiting[1].hear())[0] != "done":
                assert said[0] == "try", said
            await db.events.append([plain("judge", 1)])

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_the_others_go_on(self, place: Place) -> None:
        """CR-OTHERS-001: Those who write to the same aggregates as a process that is killed go on, and lose nothing."""
        chance, ledger = random.Random(7), Ledger()
        for first in range(0, place.rounds, CHUNK):
            survivors = [
                place.spawn(write, writer=f"s{first + number}", face=_face(number), writers=2) for number in range(2)
            ]
            for survivor in survivors:
                survivor.expect("ready")
            last = min(first + CHUNK, place.rounds)
            for kill in range(first, last):
                self.kill(place.spawn(write, writer=f"w{kill}", face=_face(kill), writers=2), chance, ledger)
                async with _reopened(place) as db:
                    head = await db.events.head()
                for survivor in survivors:
                    while (said := survivor.hear()) is not None:
                        if ledger.hear(said) == "done" and said[3][-1] > head:
                            break
                    assert said is not None, survivor.errors
            for survivor in survivors:
                _end(survivor, ledger)
            await self.judged(place, ledger, last, place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_a_follower_of_killed_writers(self, place: Place) -> None:
        """CR-OTHERS-002: A follower in another process sees every event once, in order, whoever of the writers is killed."""
        chance, ledger = random.Random(8), Ledger()
        follower = place.spawn(follow, face="async")
        follower.expect("ready")
        followed: list[tuple[int, str]] = []
        for kill in range(place.rounds):
            self.kill(place.spawn(write, writer=f"w{kill}", face=_face(kill), writers=2), chance, ledger)
            async with _reopened(place) as db:
                position = (await db.events.append([plain("judge", kill)])).position
            while not followed or followed[-1][0] < position:
                said = follower.hear()
                assert said is not None, follower.errors
                followed.append(tuple(said))
            self.tell(place, f"{kill + 1} kills, {len(followed)} events followed", last=kill + 1 == place.rounds)
        async with _reopened(place) as db:
            assert followed == [(event.position, str(event.id)) async for event in db.events.query()]

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_the_lease_of_a_killed_process(self, place: Place) -> None:
        """CR-LEASE-001: The lease of a killed process can be taken by another when its time is over."""
        holder = place.spawn(lease, owner="dead", ttl=TTL, face="blocking")
        token = holder.hear()
        assert isinstance(token, int), holder.errors
        _end(holder)
        async with _reopened(place) as db:
            taken = await _acquired(place, db)
            assert taken.token > token

    # --- what they share ------------------------------------------------------------------------------------------------

    def kill(
        self, victim: Worker, chance: random.Random, judge: Judge, *, words: int = WORDS, about: str | None = None
    ) -> None:
        """Listen to a process for a while, and until it speaks about what it is to be killed at; then kill it."""
        victim.expect("ready")
        left, heard = chance.randint(2, words), ""
        while left > 0 or heard != (about or heard):
            said = victim.hear()
            assert said is not None, victim.errors
            heard = judge.hear(said)
            left -= 1
        _pause(chance.uniform(0, MOMENT))
        victim.kill()
        _end(victim, judge)

    async def judged(self, place: Place, judge: Judge, kills: int, of: int) -> None:
        """Judge what they have left."""
        async with _reopened(place) as db:
            await judge.judge(db)
        self.tell(place, f"{kills} kills, {judge}; none lost", last=kills == of)
        if kills == of:
            await self.sound(place, kills, of)

    async def sound(self, place: Place, kills: int, of: int) -> None:
        """Nothing that they have left is damaged: looked at now and then, and at the end."""
        if kills % 25 and kills < of:
            return
        async with _reopened(place) as db:
            await _silence(db)
            findings = await verify(db, aggregates=[Doomed], collections=[COUNTED])
        assert not findings.problems, "\n".join(findings.problems)
        self.tell(place, f"{kills} × killed, sound: {findings}", last=kills == of)


async def _silence(db: Database) -> None:
    """Until nothing is written any more: a server may still do what the dead have asked of it."""
    seen, head = -1, await db.events.head()
    while seen != head:
        _pause(SILENCE)
        seen, head = head, await db.events.head()


def _reopened(place: Place) -> AbstractAsyncContextManager[Database]:
    return place.open(registry=registry)


def _face(number: int) -> Face:
    return "async" if number % 2 == 0 else "blocking"


def _end(victim: Worker, judge: Judge | None = None) -> None:
    """Kill a process, and hear what it still had to say."""
    victim.kill()
    said = victim.rest()
    victim.close()
    if judge is not None:
        for words in said:
            judge.hear(words)


async def _acquired(place: Place, db: Database) -> Lease:
    """The lease, once it can be had from the dead."""
    taken: list[Lease] = []

    async def free() -> bool:
        try:
            taken.append(await db.leases.acquire("job", "alive", TTL))
        except LeaseHeld as held:
            assert held.owner == "dead"
        return bool(taken)

    await until(place, free)
    return taken[0]


async def _table(place: Place) -> str | None:
    """A table of the user's own for the positions of events that count; None where there is no SQL."""
    if SQL not in place.abilities:
        return None
    table = f"counted_{place.storage.name}"
    async with _reopened(place) as db, db.transaction() as transaction:
        await transaction.execute(f"CREATE TABLE {table} (position BIGINT NOT NULL)")
    return table


async def _all_counted(place: Place, counts: Counts, table: str | None) -> None:
    """A processor here brings it to an end: then every event has counted, once."""
    async with _reopened(place) as db:
        options: dict[str, Any] = {"transactional": True, "lease": TTL}
        async with db.processor(COUNTED, counting(table, counts.hear), query=WRITTEN, **options) as processor:
            await processor.wait_for(await db.events.head(), PATIENCE)
        await counts.judge(db)
        positions = [event.position async for event in db.events.query(WRITTEN)]
        assert counts.counted == len(positions)
        if table is not None:
            assert await db.select(f"SELECT position FROM {table} ORDER BY position") == [(p,) for p in positions]


def _pause(seconds: float) -> None:
    time.sleep(seconds)
