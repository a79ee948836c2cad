"""Processes that project, and processes that append, until they are killed or have done their work.

python -m tests.projection.fire_jobs JOB {"path": …}
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from goes_lite_conformance.harness.workers import listen, say

import goes_lite as goes

registry = goes.Registry()
AGGREGATES = 50
LEASE = 0.5


@registry.event("fire.counted")
@dataclass(frozen=True)
class Counted:
    number: int


@dataclass(frozen=True)
class Tally:
    events: int = 0
    sum: int = 0


class Tallies(goes.ModelProjection[Tally], name="tallies"):
    @goes.projects(Counted)
    def counted(self, tally: Tally, event: goes.Event[Counted]) -> Tally:
        return replace(tally, events=tally.events + 1, sum=tally.sum + event.data.number)


class Effects(goes.Projection, name="effects"):
    """A row for each time that an event is handled: nothing but the transaction keeps one from being there twice."""

    def create(self, tx: Any) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS effects (position INTEGER NOT NULL, owner TEXT NOT NULL)")

    @goes.projects(Counted)
    def counted(self, event: goes.Event[Counted], tx: Any) -> None:
        tx.execute("INSERT INTO effects VALUES (?, ?)", (event.position, self.owner))

    owner = ""


def store(path: str) -> goes.blocking.BlockingDatabase:
    return goes.blocking.connect(path, registry=registry)


def project(path: str, batch: int) -> None:
    """Run both projections until killed; say when each of them has become the active one."""
    effects = Effects()
    with store(path) as db:
        processors = [db.projection(one, batch=batch, lease=LEASE) for one in (Tallies(), effects)]
        effects.owner = processors[1].processor.owner
        for processor in processors:
            processor.start()
        say("ready")
        listen()
        for processor in processors:
            processor.stop()
            assert processor.error is None, processor.error


def append(path: str, process: int, events: int, seed: int) -> None:
    """Append so many events, in batches of some, to aggregates that the other writers append to as well."""
    chance = random.Random(seed)
    with store(path) as db:
        number = 0
        while number < events:
            size = min(chance.randint(1, 20), events - number)
            ref = goes.AggregateRef("fire", str(chance.randrange(AGGREGATES)))
            version = sum(1 for _ in db.events.load(ref))
            batch = [
                goes.Event(Counted(number + n), aggregate=ref, version=version + n + 1, registry=registry)
                for n in range(size)
            ]
            try:
                db.events.append(batch)
            except goes.errors.ConcurrencyError:
                continue
            number += size
    say("done")


JOBS: dict[str, Callable[..., None]] = {"project": project, "append": append}

if __name__ == "__main__":
    JOBS[sys.argv[1]](**json.loads(sys.argv[2]))
