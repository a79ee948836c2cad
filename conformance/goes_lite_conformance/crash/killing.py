"""How the rules kill: listen to a process for a while, kill it, and judge what it leaves."""

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
"""The maximum number of messages from a process before it is killed …"""
MOMENT = 0.004
"""… and the maximum number of seconds after the last of them."""
SILENCE = 0.2
"""Seconds without any write, after which nothing is considered in progress."""
TTL = 0.1
"""The duration of a lease that its holder will never release, in seconds."""


class Killing(Soaking):
    """A suite whose rules kill processes."""

    @pytest.fixture(autouse=True)
    def _survives_a_kill(self, place: Place, request: pytest.FixtureRequest) -> None:
        if place.durability == "memory":
            request.node.user_properties.append((report.EXCUSE, "a durability beyond that of memory"))
            pytest.skip("not applicable: what this backend acknowledges does not outlive its process")

    def kill(
        self, victim: Worker, chance: random.Random, judge: Judge, *, words: int = WORDS, about: str | None = None
    ) -> None:
        """Listen to a process for a while, and until it says what it is to be killed at; then kill it."""
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
        """Judge what the killed processes have left."""
        async with reopened(place) as db:
            await judge.judge(db)
        self.tell(place, f"{kills} kills, {judge}; none lost", last=kills == of)
        if kills == of:
            await self.sound(place, kills, of)

    async def sound(self, place: Place, kills: int, of: int) -> None:
        """Check that nothing they have left is damaged: from time to time, and at the end."""
        if kills % 25 and kills < of:
            return
        async with reopened(place) as db:
            await _silence(db)
            findings = await verify(db, aggregates=[Doomed], collections=[COUNTED])
        assert not findings.problems, "\n".join(map(str, findings.problems))
        self.tell(place, f"{kills} × killed, sound: {findings}", last=kills == of)


async def _silence(db: Backend) -> None:
    """Wait until nothing is written any more: a server may still carry out requests of killed processes."""
    seen, head = -1, await db.events.head()
    while seen != head:
        pause(SILENCE)
        seen, head = head, await db.events.head()


def reopened(place: Place) -> AbstractAsyncContextManager[Database]:
    """Open a handle on what the killed processes have left."""
    return place.open(registry=registry)


def face_of(number: int) -> Face:
    """Return each face in turn."""
    return "async" if number % 2 == 0 else "blocking"


def end(victim: Worker, judge: Judge | None = None) -> None:
    """Kill a process and pass on what it still had to say."""
    victim.kill()
    said = victim.rest()
    victim.close()
    if judge is not None:
        for words in said:
            judge.hear(words)


def pause(seconds: float) -> None:
    """Let the other processes continue, whatever the face."""
    time.sleep(seconds)
