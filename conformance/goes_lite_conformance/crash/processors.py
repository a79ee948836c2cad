"""Processors whose processes are killed."""

from __future__ import annotations

import random
from typing import Any

from goes_lite.contract.backend import PERSISTENT, PROCESSES, SQL, TRANSACTIONS
from goes_lite_conformance.crash._jobs import append, process
from goes_lite_conformance.crash.judges import Counts
from goes_lite_conformance.crash.killing import MOMENT, TTL, WORDS, Killing, end, face_of, pause, reopened
from goes_lite_conformance.crash.writing import COUNTED, WRITTEN, counting
from goes_lite_conformance.harness.place import PATIENCE, Place
from goes_lite_conformance.rule import needs, only


class ProcessorRules(Killing):
    """Rules CR-PROC."""

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_processor_is_killed(self, place: Place) -> None:
        """CR-PROC-001: What a transactional processor writes counts each event once, whenever its process is killed."""
        chance, counts, table = random.Random(9), Counts(), await _table(place)
        appender = place.spawn(append, writer="a")
        appender.expect("ready")
        for kill in range(2 * place.rounds):
            appender.tell(WORDS)  # while earlier events are handled
            options = {"face": face_of(kill), "batch": chance.choice((1, 3, 20)), "lease": TTL}
            self.kill(place.spawn(process, table=table, **options), chance, counts)
            await self.judged(place, counts, kill + 1, 2 * place.rounds)
        end(appender)
        await _all_counted(place, counts, table)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_the_active_one_is_killed(self, place: Place) -> None:
        """CR-PROC-002: When the active one of two processes is killed, the other takes over, and each event counts once."""
        chance, counts, table = random.Random(10), Counts(), await _table(place)
        appender = place.spawn(append, writer="a")
        appender.expect("ready")
        options = {"lease": 10 * TTL, "table": table}
        active = place.spawn(process, face=face_of(0), batch=1, **options)
        active.expect("ready")
        for kill in range(place.rounds):
            standby = place.spawn(process, face=face_of(kill + 1), batch=chance.choice((1, 3, 20)), **options)
            standby.expect("ready")
            appender.tell(WORDS)
            counts.hear(active.hear())
            pause(chance.uniform(0, 5 * MOMENT))
            end(active, counts)
            appender.tell(1)
            counts.hear(standby.hear())
            active = standby
            self.tell(place, f"{kill + 1} kills, {counts}", last=kill + 1 == place.rounds)
        end(active, counts)
        end(appender)
        await _all_counted(place, counts, table)


async def _table(place: Place) -> str | None:
    """Create a table of the user's own for the positions of counted events; None without SQL."""
    if SQL not in place.abilities:
        return None
    table = f"counted_{place.storage.name}"
    async with reopened(place) as db, db.transaction() as transaction:
        await transaction.execute(f"CREATE TABLE {table} (position BIGINT NOT NULL)")
    return table


async def _all_counted(place: Place, counts: Counts, table: str | None) -> None:
    """Finish the processor's work here, and check that every event has counted once."""
    async with reopened(place) as db:
        options: dict[str, Any] = {"transactional": True, "lease": TTL}
        async with db.processor(COUNTED, counting(table, counts.hear), query=WRITTEN, **options) as processor:
            await processor.wait_for(await db.events.head(), PATIENCE)
        await counts.judge(db)
        positions = [event.position async for event in db.events.query(WRITTEN)]
        assert counts.counted == len(positions)
        if table is not None:
            assert await db.select(f"SELECT position FROM {table} ORDER BY position") == [(p,) for p in positions]
