"""Appends and deletions interrupted by a kill."""

from __future__ import annotations

import random

from goes_lite.contract.backend import PERSISTENT, PROCESSES
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite_conformance.crash._jobs import doom, write
from goes_lite_conformance.crash.judges import Ledger, Lives
from goes_lite_conformance.crash.killing import Killing, face_of, reopened
from goes_lite_conformance.crash.writing import condition
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.rule import needs, only

LARGE = (40, 200)
"""The sizes of batches that a kill is likely to interrupt."""


class AppendRules(Killing):
    """Rules CR-APPEND and CR-DELETE."""

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_what_was_acknowledged_survives_a_kill(self, place: Place) -> None:
        """CR-APPEND-001: What was acknowledged before a kill is stored once, unchanged, at the positions that were returned.

        This holds whatever the process was doing: appending one event or many, to one aggregate or several, with or without
        a condition, alone or concurrently with others on an event loop.
        """
        chance, ledger = random.Random(1), Ledger()
        for kill in range(2 * place.rounds):
            self.kill(place.spawn(write, writer=f"w{kill}", face=face_of(kill), writers=4), chance, ledger)
            await self.judged(place, ledger, kill + 1, 2 * place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_a_batch_that_a_kill_cut_off(self, place: Place) -> None:
        """CR-APPEND-002: A batch that is interrupted by a kill is stored whole or not at all."""
        chance, ledger = random.Random(2), Ledger(LARGE)
        for kill in range(2 * place.rounds):
            victim = place.spawn(write, writer=f"w{kill}", face=face_of(kill), sizes=LARGE)
            self.kill(victim, chance, ledger, words=5, about="try")
            await self.judged(place, ledger, kill + 1, 2 * place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_retrying_what_a_kill_cut_off(self, place: Place) -> None:
        """CR-APPEND-003: Appending the same events again after a kill succeeds and leaves one copy of them."""
        chance, ledger = random.Random(3), Ledger()
        for kill in range(place.rounds):
            self.kill(place.spawn(write, writer=f"w{kill}", face=face_of(kill)), chance, ledger)
            async with reopened(place) as db:
                for events in ledger.in_doubt:
                    stored = [await db.events.find(event.id) for event in events]
                    writer, number = events[0].data.writer, events[0].data.number
                    try:
                        appended = await db.events.append(events, condition=condition(events))
                    except (AppendConditionFailed, ConcurrencyError):  # refused, but killed before it could say so
                        assert not any(stored)
                        ledger.hear(["refused", writer, number, []])
                        continue
                    if stored[0] is not None:
                        assert appended == (tuple(event.position for event in stored if event is not None), True)
                    ledger.hear(["done", writer, number, list(appended.positions)])
            await self.judged(place, ledger, kill + 1, place.rounds)

    @only("blocking")
    @needs(PERSISTENT, PROCESSES)
    async def test_a_delete_that_a_kill_cut_off(self, place: Place) -> None:
        """CR-DELETE-001: A deletion interrupted by a kill has erased an aggregate with its snapshots, or nothing of it."""
        chance, lives = random.Random(5), Lives()
        for kill in range(2 * place.rounds):
            lives.begin(f"d{kill}")
            self.kill(place.spawn(doom, id=f"d{kill}", face=face_of(kill)), chance, lives, about="erasing")
            await self.judged(place, lives, kill + 1, 2 * place.rounds)
