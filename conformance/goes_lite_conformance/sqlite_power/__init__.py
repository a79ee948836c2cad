"""SQLite on a disk that loses power or refuses to work: what was acknowledged is stored, and nothing is half-written.

A worker process uses the store through a VFS that records what is written and synced. From that, the rules reconstruct
what a power cut at some moment leaves, as files that this process opens normally. Or the system calls of SQLite's VFS
are refused, one after another. Needs apsw (and POSIX for the latter); only for the driver `apsw`.

With one round there are 18 cuts, with `--rounds 12` 216; from `--rounds 20` on, every call that can be refused is refused
instead of a sample.

Belongs here: rules about SQLite's disk, and the layers between SQLite and it. Rules about killed processes are in `crash`.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import random
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS
from goes_lite.events.event import Event
from goes_lite_conformance import report
from goes_lite_conformance.crash.judges import Counts
from goes_lite_conformance.crash.writing import COUNTED, WRITTEN, plain, registry
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.soak import Soaking
from goes_lite_conformance.rule import Face, needs, only
from goes_lite_conformance.sqlite_power._disk import HOWS, How
from goes_lite_conformance.sqlite_power._jobs import IN_TRANSACTION, STEPS, at, record, refuse, step
from goes_lite_conformance.verify import verify

CUTS = 6
"""The number of cuts made of each worker's recording."""
TRIES = 12
"""The number of calls refused, one at a time, in each round."""

WRITES = ("write", "truncate")
CALLS = (*WRITES, "read", "open", "delete", "size", "map", "lock")
"""The kinds of system calls that are refused."""
TYPED = frozenset({"StoreUnavailable", "StoreFull", "StoreDamaged", "StoreLocked", "StoreReadOnly"})
"""What a refused call may raise: SQLite decides which. (It opens a file that it cannot write to for reading, and regards a
file that cannot be read as damaged.)"""


class SQLitePowerTests(Soaking):
    """Rules PW: what SQLite's disk does to a store."""

    @pytest.fixture(autouse=True)
    def _needs_apsw(self, place: Place, request: pytest.FixtureRequest) -> None:
        if importlib.util.find_spec("apsw") is None or os.name != "posix":
            request.node.user_properties.append((report.EXCUSE, "apsw on POSIX"))
            pytest.skip("not applicable: intercepting SQLite's file access needs apsw, on POSIX")

    # --- power cuts -----------------------------------------------------------------------------------------------------

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_what_was_acknowledged_survives_a_power_cut(self, place: Place) -> None:
        """PW-CUT-001: At durability "full", everything acknowledged before a power cut is there after it."""
        await self.cut(place, "full", lossless=True)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_what_is_lost_by_a_power_cut(self, place: Place) -> None:
        """PW-CUT-002: At durability "normal", a power cut loses at most the last batches; the rest is sound."""
        await self.cut(place, "normal", lossless=False)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_power_cut_while_a_store_is_created_opened_or_closed(self, place: Place) -> None:
        """PW-CUT-003: A power cut while a store is created, opened or closed loses nothing, and the store can be opened again."""
        await self.cut(place, "full", lossless=True, between=True)

    async def cut(self, place: Place, durability: str, *, lossless: bool, between: bool = False) -> None:
        """Record a worker's use of a store, cut it at some moments, and judge what is left, once for each round."""
        cuts = PowerCuts(lossless)
        for seed in range(place.rounds):
            await cuts.judge_one(at(place, f"seed{seed}"), seed, durability, between=between)
            self.tell(place, f"{durability}: {cuts}", last=seed + 1 == place.rounds)

    # --- refusals -------------------------------------------------------------------------------------------------------

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_call_that_fails(self, place: Place) -> None:
        """PW-ERROR-001: An append during which the disk refuses a call raises a typed error, and nothing of it is stored.

        Another handle can append at once, and the same handle can append the same events. A call that is needed only by the
        checkpoint after the append fails unnoticed.
        """
        await self.refuse(place, CALLS, errno.EIO)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_calls_that_fail_for_a_while(self, place: Place) -> None:
        """PW-ERROR-002: The same holds for a disk that refuses everything from some call on, until it works again."""
        await self.refuse(place, ("write", "truncate", "read", "open", "size"), errno.EIO, lasting=True)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_full_disk(self, place: Place) -> None:
        """PW-ERROR-003: While the disk is full, an append raises StoreFull; it succeeds once there is space."""
        await self.refuse(place, WRITES, errno.ENOSPC, lasting=True, typed=frozenset({"StoreFull"}))

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_a_sync_that_fails(self, place: Place) -> None:
        """PW-ERROR-004: An append whose sync the disk refuses is not acknowledged, and nothing of it is stored."""
        await self.refuse(place, ("sync",), errno.EIO)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES, TRANSACTIONS)
    async def test_opening_fails(self, place: Place) -> None:
        """PW-ERROR-005: Creating a store on a disk that refuses a call raises a typed error, and the next attempt succeeds."""
        await self.refuse(place, CALLS, errno.EIO, opening=True)

    async def refuse(
        self, place: Place, calls: Sequence[str], error: int, *, lasting: bool = False, opening: bool = False,
        typed: frozenset[str] = TYPED,
    ) -> None:  # fmt: skip
        """Count the calls that a use makes, then refuse them one at a time, each on a new store: a sample or all of them."""
        worker = place.spawn(refuse, calls=list(calls), error=error, lasting=lasting, opening=opening)
        worker.tell([0, "none"])
        use = worker.hear()
        assert use is not None, worker.errors
        assert use["told"] == [], f"nothing was refused: {use}"
        made, failed = use["made"], 0
        chance = random.Random(place.rounds)
        firsts = sorted(chance.sample(range(1, made + 1), min(made, TRIES * place.rounds)))
        for number, first in enumerate(firsts, 1):
            worker.tell([first, f"first{first}"])
            use = worker.hear()
            assert use is not None, worker.errors
            wrong = [told for told in use["told"] if told[0] not in ("open", "append", "read") or told[1] not in typed]
            assert not wrong, f"the call {first} of {made}, {use['refused']}, was refused: {use['told']}"
            failed += bool(use["told"])
            await _complete(at(place, f"first{first}"))
            self.tell(
                place,
                f"{number} of {made} calls were refused, {failed} of them with an effect",
                last=first == firsts[-1],
            )
        assert failed, "no refusal had any effect"
        worker.tell(None)
        worker.finish()


class PowerCuts:
    """Judges what power cuts leave. `lossless`: nothing acknowledged may be missing."""

    def __init__(self, lossless: bool) -> None:
        self._lossless = lossless
        self.cuts = self.acknowledged = self.events = self.lost = 0

    def __str__(self) -> str:
        return f"{self.cuts} cuts, {self.acknowledged} acknowledged and {self.events} stored events checked, {self.lost} lost"

    async def judge_one(
        self,
        place: Place,
        seed: int,
        durability: str,
        *,
        between: bool = False,
        cuts: int = CUTS,
        hows: Sequence[How] = HOWS,
        sql: str = "",
    ) -> None:
        """Record one use of a store in a worker, and cut it at some moments.

        `sql` runs on its writing connection, to show that a misconfigured store is detected.
        """
        face: Face = "async" if seed % 2 == 0 else "blocking"
        worker = place.spawn(record, seed=seed, face=face, durability=durability, sql=sql)
        recorded = worker.hear()
        assert recorded is not None, worker.errors
        async with place.open(registry=registry) as db:
            log = await db.events.query().list()  # everything ever committed, since the store was closed properly
        chance = random.Random(seed)
        for number, moment in enumerate(_moments(recorded, chance, cuts, between=between)):
            left = at(place, f"cut{number}")
            how = chance.choice(hows)
            worker.tell([moment, how, str(left.storage.folder), seed * 1000 + number])
            said = worker.hear()
            assert said is not None, worker.errors
            try:
                await self._judge(left, log, said)
            except Exception as error:
                error.add_note(
                    f"seed {seed}, cut {number}: at {moment} of {recorded['moments']}, {how!r}, {durability!r}"
                )
                raise
            shutil.rmtree(left.storage.folder)
        worker.tell(None)
        worker.finish()
        place.end()

    async def _judge(self, place: Place, log: Sequence[Event[Any]], said: Sequence[Any]) -> None:
        acknowledged = max((words[3][-1] for words in said if words[0] == "done"), default=0)
        counts = Counts()
        async with place.open(registry=registry) as db:
            stored = await db.events.query().list()
            number = len(stored)
            self.cuts += 1
            self.acknowledged += acknowledged
            self.events += number
            self.lost += max(0, acknowledged - number)
            assert stored == list(log[:number]), "what is left is not what was committed first"
            assert [event.position for event in stored] == list(range(1, number + 1))
            assert not stored or stored[-1].data.index == stored[-1].data.size - 1, f"a batch is torn: {stored[-1]}"
            if self._lossless:
                assert number >= acknowledged, f"{acknowledged} events were acknowledged, {number} are there"
                for words in said:
                    if words[0] == "counted":
                        counts.hear(words[1])
            await counts.judge(db)
            findings = await verify(db, collections=[COUNTED])
            assert not findings.problems, "\n".join(map(str, findings.problems))
            again = [event for event in stored if (event.data.writer, event.data.number) == _key(stored[-1])]
            if again:  # the last batch
                assert (await db.events.append(again)).already_committed
            assert await db.events.append([plain("judge", 1)]) == ((number + 1,), False)
        with closing(sqlite3.connect(db.location)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def _key(event: Event[Any]) -> tuple[str, int]:
    return event.data.writer, event.data.number


def _moments(recorded: dict[str, Any], chance: random.Random, number: int, *, between: bool) -> list[int]:
    """Return the moments of the cuts: any, or near a sync and the like; or while the store is opened or closed."""
    last = recorded["moments"]
    if between:
        moments = [chance.randint(first, end) for first, end in chance.choices(recorded["between"], k=number)]
    else:
        moments = [chance.randint(0, last) for _ in range(number // 2)]
        moments += [chance.choice(recorded["turns"]) + chance.randint(-1, 2) for _ in range(number - number // 2)]
    return sorted(min(max(moment, 0), last) for moment in moments)


async def _complete(place: Place) -> None:
    """Check that every step is stored once, whole, and that the store is sound."""
    async with place.open(registry=registry) as db:
        stored = await db.events.query(WRITTEN).list()
        steps = [event for number in range(STEPS + 1) for event in step(number)]
        assert sorted(stored, key=lambda event: event.id) == steps
        record = await db.models.get(COUNTED, "steps")
        checkpoint = await db.checkpoints.get("steps")
        assert record is not None
        assert record.data == str(IN_TRANSACTION)
        assert checkpoint is not None
        last = next(event for event in stored if event == step(IN_TRANSACTION)[-1])
        assert checkpoint.position == last.position
        findings = await verify(db, collections=[COUNTED])
        assert not findings.problems, "\n".join(map(str, findings.problems))
