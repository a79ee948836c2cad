"""How the rules kill: a process is listened to for a while, killed, and what it leaves is judged."""

from __future__ import annotations

import random
import time
from contextlib import AbstractAsyncContextManager

import pytest

from goes_lite.contract.backend import Backend
from goes_lite.database import Database
from goes_lite_conformance import report
from goes_lite_conformance.crash.judges import Judge
from goes_lite_conformance.crash.writing import COUNTED, Doomed, registry
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.soak import Soaking
from goes_lite_conformance.harness.workers import Worker
from goes_lite_conformance.rule import Face
from goes_lite_conformance.verify import verify

WORDS = 25
"""The most that a process says before it is killed …"""
MOMENT = 0.004
"""… and the most seconds that it lives on then."""
SILENCE = 0.2
"""Seconds in which nothing is written by the living or the dead."""
TTL = 0.1
"""For how many seconds a lease is held that nobody will release."""


class Killing(Soaking):
    """A suite whose rules kill processes."""

    @pytest.fixture(autouse=True)
    def _survives_a_kill(self, place: Place, request: pytest.FixtureRequest) -> None:
        if place.durability == "memory":
            request.node.user_properties.append((report.EXCUSE, "a durability beyond that of memory"))
            pytest.skip("not applicable: what this backend acknowledges lives no longer than its process")

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
        pause(chance.uniform(0, MOMENT))
        victim.kill()
        end(victim, judge)

    async def judged(self, place: Place, judge: Judge, kills: int, of: int) -> None:
        """Judge what they have left."""
        async with reopened(place) as db:
            await judge.judge(db)
        self.tell(place, f"{kills} kills, {judge}; none lost", last=kills == of)
        if kills == of:
            await self.sound(place, kills, of)

    async def sound(self, place: Place, kills: int, of: int) -> None:
        """Nothing that they have left is damaged: looked at now and then, and at the end."""
        if kills % 25 and kills < of:
            return
        async with reopened(place) as db:
            await _silence(db)
            findings = await verify(db, aggregates=[Doomed], collections=[COUNTED])
        assert not findings.problems, "\n".join(findings.problems)
        self.tell(place, f"{kills} × killed, sound: {findings}", last=kills == of)


async def _silence(db: Backend) -> None:
    """Until nothing is written any more: a server may still do what the dead have asked of it."""
    seen, head = -1, await db.events.head()
    while seen != head:
        pause(SILENCE)
        seen, head = head, await db.events.head()


def reopened(place: Place) -> AbstractAsyncContextManager[Database]:
    """A handle on what they have left."""
    return place.open(registry=registry)


def face_of(number: int) -> Face:
    """Either face in turn."""
    return "async" if number % 2 == 0 else "blocking"


def end(victim: Worker, judge: Judge | None = None) -> None:
    """Kill a process, and hear what it still had to say."""
    victim.kill()
    said = victim.rest()
    victim.close()
    if judge is not None:
        for words in said:
            judge.hear(words)


def pause(seconds: float) -> None:
    """Let the other processes go on, whatever the face."""
    time.sleep(seconds)
