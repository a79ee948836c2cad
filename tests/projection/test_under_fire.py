"""G10: projections whose processes are killed, at random moments and again and again, count every event once.

`--rounds 25` is 100,000 events and more than 50 kills in each test.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from goes_lite_conformance.harness import Processes

from tests.projection.fire_jobs import LEASE, Effects, Tallies, Tally, store

PATIENCE = 120.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


@pytest.fixture
def spawn() -> Iterator[Processes]:
    with Processes("tests.projection.fire_jobs") as spawn:
        yield spawn


def check(path: str, *, kills: int) -> None:
    """The read models are what a plain fold of the log makes, and every event has had its effect once."""
    with store(path) as db:
        events = db.events.query().list()
        fold: dict[str, Tally] = {}
        for event in events:
            assert event.aggregate is not None
            before = fold.get(event.aggregate.id, Tally())
            fold[event.aggregate.id] = Tally(before.events + 1, before.sum + event.data.number)
        records = db.models.query("tallies").list()
        models = db.models_of("tallies", Tally)
        assert {record.id: models.get(record.id) for record in records} == fold
        effects = Counter(position for (position,) in db.select("SELECT position FROM effects"))
        twice = [position for position, times in effects.items() if times > 1]
        missing = [event.position for event in events if event.position not in effects]
        assert (twice, missing) == ([], []), f"after {kills} kills"
        assert len(effects) == len(events)


def caught_up(path: str) -> bool:
    with store(path) as db:
        head = db.events.head()
        found = {checkpoint.name: checkpoint.position for checkpoint in db.checkpoints.all()}
        return all(found.get(one.name, 0) == head for one in (Tallies, Effects))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again(path: str, spawn: Processes, rounds: int) -> None:
    """Two writers append; the only process that projects is killed at random moments, and another one begins."""
    store(path).close()
    chance = random.Random(rounds)
    writers = [spawn("append", path=path, process=n, events=2000 * rounds, seed=n) for n in range(2)]
    kills = 0
    while kills < 2 + 2 * rounds or any(writer.process.poll() is None for writer in writers):
        worker = spawn("project", path=path, batch=chance.choice([1, 7, 100, 1000]))
        worker.expect("ready")
        time.sleep(chance.uniform(0, 1.5 * LEASE))  # the random moment: standing by, catching up, or following
        worker.kill()
        worker.close()
        kills += 1
    for writer in writers:
        writer.expect("done")
    worker = spawn("project", path=path, batch=500)
    worker.expect("ready")
    until(lambda: caught_up(path))
    worker.tell()
    worker.finish()
    check(path, kills=kills)
    print(f"{4000 * rounds} events, {kills} kills")


def test_three_workers_of_which_the_active_one_is_killed(path: str, spawn: Processes, rounds: int) -> None:
    """Whichever holds the lease is killed; another one takes over, and effects are counted once per event."""
    store(path).close()
    writers = [spawn("append", path=path, process=n, events=2000 * rounds, seed=10 + n) for n in range(2)]
    workers = [spawn("project", path=path, batch=100) for _ in range(3)]
    for worker in workers:
        worker.expect("ready")
    kills = 0
    waits: list[float] = []
    with store(path) as db:
        while kills < 2 + 2 * rounds or any(writer.process.poll() is None for writer in writers):
            until(lambda: db.leases.get("effects") is not None)
            lease = db.leases.get("effects")
            if lease is None:
                continue
            active = next((w for w in workers if f":{w.process.pid}:" in lease.owner), None)
            if active is None:  # of one that is dead already: its time has not run out yet
                time.sleep(0.01)
                continue
            active.kill()
            active.close()
            kills += 1
            begun = time.monotonic()
            workers.remove(active)
            workers.append(spawn("project", path=path, batch=100))
            token = lease.token
            until(lambda: (now := db.leases.get("effects")) is not None and now.token != token)  # noqa: B023
            waits.append(time.monotonic() - begun)
    for writer in writers:
        writer.expect("done")
    until(lambda: caught_up(path))
    for worker in workers:
        worker.tell()
    for worker in workers:
        worker.close()
    check(path, kills=kills)
    print(
        f"{4000 * rounds} events, {kills} kills, takeover after {min(waits):.2f} to {max(waits):.2f} s (lease {LEASE} s)"
    )
