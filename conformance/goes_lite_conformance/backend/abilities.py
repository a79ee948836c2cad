"""A backend can do exactly what its abilities say (G14)."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from goes_lite.contract.backend import DENSE_POSITIONS, PERSISTENT, PROCESSES, SQL, TRANSACTIONS, Backend, Durability
from goes_lite.contract.event_bus import REPLAY
from goes_lite.contract.event_store import AppendCondition
from goes_lite.contract.upkeep import BACKUP
from goes_lite.errors import (
    AbilityMissing,
    AppendConditionFailed,
    ConcurrencyError,
    ConfigError,
    DuplicateEventError,
    StoreLocked,
)
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, note, story, take, texts
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs


def append_when_told(place: Place) -> None:
    """Say what is stored, then append one event for each text received, until "stop". Or say that the store is locked."""
    try:
        opened = place.blocking()
    except StoreLocked:
        say("locked")
        return
    with opened as db:
        say([event.data.text for event in db.events.query()])
        while (text := listen()) != "stop":
            say(db.events.append([note(text)]).position)


class AbilityRules(Contract):
    """Rules BE-ABILITY."""

    async def test_transactions(self, db: Backend) -> None:
        """BE-ABILITY-001: A transaction can be entered exactly if the backend has the ability "transactions"."""
        if TRANSACTIONS in db.abilities:
            async with db.transaction() as tx:
                await tx.events.append([note("x")])
            assert await texts(db) == ["x"]
            return
        with refused(AbilityMissing, ability=TRANSACTIONS):
            async with db.transaction():
                raise AssertionError("begun")

    async def test_sql_in_transactions(self, db: Backend) -> None:
        """BE-ABILITY-002: `execute` runs SQL exactly if the backend has the ability "sql"."""
        if SQL in db.abilities:
            async with db.transaction() as tx:
                assert await tx.execute("SELECT 1") == [(1,)]
        elif TRANSACTIONS in db.abilities:
            async with db.transaction() as tx:
                with refused(AbilityMissing, ability=SQL):
                    await tx.execute("SELECT 1")

    async def test_sql_outside_transactions(self, db: Backend) -> None:
        """BE-ABILITY-003: `select` runs SQL exactly if the backend has the ability "sql"."""
        if SQL in db.abilities:
            assert await db.select("SELECT 1") == [(1,)]
            return
        with refused(AbilityMissing, ability=SQL):
            await db.select("SELECT 1")

    async def test_backup(self, place: Place, db: Backend) -> None:
        """BE-ABILITY-004: `backup` writes a file exactly if the backend has the ability "backup"."""
        await db.events.append([note("x")])
        copy = place.storage.folder / "a copy"
        if BACKUP in db.abilities:
            await db.backup(copy)
            assert copy.stat().st_size > 0
            return
        with refused(AbilityMissing, ability=BACKUP):
            await db.backup(copy)
        assert not copy.exists()

    @needs(BACKUP)
    async def test_a_backup_replaces_nothing(self, place: Place, db: Backend) -> None:
        """BE-ABILITY-005: A backup is written to a new file: an existing file is refused and left unchanged."""
        taken = place.storage.folder / "taken"
        taken.write_text("mine")
        with refused(ConfigError):
            await db.backup(taken)
        assert taken.read_text() == "mine"

    async def test_persistence(self, place: Place) -> None:
        """BE-ABILITY-006: A reopened storage has its data exactly if the backend has the ability "persistent"."""
        async with place.open() as db:
            await db.events.append([note("x")])
            persistent = PERSISTENT in db.abilities
        async with place.open() as db:
            assert await texts(db) == (["x"] if persistent else [])

    async def test_processes(self, place: Place, db: Backend) -> None:
        """BE-ABILITY-007: Another process sees the same store exactly if the backend has the ability "processes"."""
        await db.events.append([note("x")])
        worker = place.spawn(append_when_told)
        said = worker.hear()
        if said == "locked" and PROCESSES not in db.abilities:  # locked for this process alone
            worker.finish()
            assert await texts(db) == ["x"]
            return
        assert said == (["x"] if PROCESSES in db.abilities else [])
        worker.tell("y")
        worker.hear()
        assert await texts(db) == (["x", "y"] if PROCESSES in db.abilities else ["x"])
        worker.tell("stop")
        worker.finish()

    @needs(PROCESSES)
    async def test_following_across_processes(self, place: Place, db: Backend) -> None:
        """BE-ABILITY-008: With "processes", commits of another process wake a waiting follower."""
        worker = place.spawn(append_when_told)
        worker.expect([])
        following = db.events.follow(after=0)
        for number in range(3):
            waiting = place.alongside(take(following, 1))
            worker.tell(str(number))
            assert await waiting.result() == [str(number)]
            worker.hear()
        worker.tell("stop")
        worker.finish()

    async def test_replay(self, db: Backend) -> None:
        """BE-ABILITY-009: A subscription can start at the beginning exactly if the backend has the ability "replay"."""
        await db.events.append([note("earlier")])
        if REPLAY in db.abilities:
            async with db.bus.subscribe(start="beginning") as subscription:
                assert (await anext(subscription)).event.data.text == "earlier"
            return
        with refused(AbilityMissing, ability=REPLAY):
            async with db.bus.subscribe(start="beginning"):
                raise AssertionError("subscribed")

    @needs(DENSE_POSITIONS)
    async def test_dense_positions(self, db: Backend) -> None:
        """BE-ABILITY-010: With "dense-positions", refused appends leave no gap: conflicts, conditions and duplicates."""
        first = note("first")
        await db.events.append([first])
        with refused(ConcurrencyError):
            await db.events.append([note("refused"), *story(A, 1, after=4)])
        with refused(AppendConditionFailed):
            await db.events.append([note("refused")], condition=AppendCondition(EventQuery()))
        with refused(DuplicateEventError):
            await db.events.append([note("refused"), note("altered", id=first.id)])
        assert (await db.events.append(story(A, 2))).positions == (2, 3)

    @needs(DENSE_POSITIONS, TRANSACTIONS)
    async def test_dense_positions_after_rollbacks(self, db: Backend) -> None:
        """BE-ABILITY-011: With "dense-positions", a rollback leaves no gap either, of a transaction or of one operation in it."""
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append(story(A, 3))
                raise ZeroDivisionError
        async with db.transaction() as tx:
            await tx.events.append(story(A, 1))
            with refused(ConcurrencyError):
                await tx.events.append([note("refused"), *story(A, 1, after=4)])
            await tx.events.append(story(A, 1, after=1))
        assert [event.position for event in await db.events.query().list()] == [1, 2]

    async def test_durability(self, db: Backend) -> None:
        """BE-ABILITY-012: `durability` says what an acknowledged append survives: "memory" exactly if not "persistent"."""
        assert db.durability in get_args(Durability)
        assert (db.durability == "memory") == (PERSISTENT not in db.abilities)

    async def test_sizes(self, db: Backend) -> None:
        """BE-ABILITY-013: `sizes` gives bytes by part, not all of them 0; or nothing, if the backend cannot tell."""
        await db.events.append([note("x")])
        sizes = await db.sizes()
        assert all(type(part) is str and part for part in sizes)
        assert all(type(size) is int and size >= 0 for size in sizes.values())
        assert not sizes or sum(sizes.values()) > 0

    async def test_integrity_of_a_sound_store(self, db: Backend) -> None:
        """BE-ABILITY-014: `integrity` finds nothing in a store that is sound, and changes nothing."""
        await db.events.append([note("x"), *story(A, 2)])
        before = await db.events.stored().list()
        assert await db.integrity() == []
        assert await db.events.stored().list() == before

    async def test_what_a_store_runs_on(self, db: Backend) -> None:
        """BE-ABILITY-015: Whatever `examine` finds has a code, a sentence and a way out; looking changes nothing."""
        await db.events.append([note("x")])
        before = await db.events.stored().list()
        for finding in await db.examine():
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", finding.code)
            assert len(finding.message.split()) > 3
            assert finding.fix
        assert await db.events.stored().list() == before
