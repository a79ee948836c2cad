"""SIGKILL at any moment: what was acknowledged is there, what was not is there wholly or not at all."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.backends.conftest import Spawn
    from tests.backends.sqlite_kit import Noted, check_file, note, numbers, store
else:
    from sqlite_kit import check_file, note, numbers, store


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


def acknowledged_are_stored(stored: list[Noted], acknowledged: list[tuple[str, int, int]]) -> None:
    for batch, size, first in acknowledged:
        assert {noted.batch for noted in stored[first - 1 : first - 1 + size]} == {batch}
    # check_file has seen that no batch is torn, so one that is stored twice would be too long
    assert len({batch for batch, _, _ in acknowledged}) == len(acknowledged)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_acknowledged_survives_a_kill(path: str, driver: str, durability: str, spawn: Spawn, rounds: int) -> None:
    """G5: a writer is killed in the midst of its work, again and again on the same file.

    Every event that it acknowledged is there exactly once, at its position, no batch is torn, and the next writer goes
    on behind it. `--rounds 25` kills 100 times.
    """
    chance = random.Random(f"{driver} {durability}")
    acknowledged: list[tuple[str, int, int]] = []
    stored: list[Noted] = []
    begun = time.monotonic()
    for seed in range(4 * rounds):
        worker = spawn("crash", path=path, driver=driver, process=seed % 7, seed=seed, durability=durability)
        worker.expect("ready")
        acknowledged.append(worker.hear())
        time.sleep(chance.uniform(0.0, 0.15))  # the random moment
        worker.kill()
        acknowledged += [tuple(said) for said in worker.rest()]
        worker.close()
        stored = check_file(path)
        acknowledged_are_stored(stored, acknowledged)
    with store(path, driver) as db:
        assert db.events.append([note(-1)]).position == len(stored) + 1
    print(f"{driver}, {durability}: {4 * rounds} kills, {len(acknowledged)} acknowledgements and {len(stored)} events "
          f"checked in {time.monotonic() - begun:.1f} s")  # fmt: skip


def test_some_of_many_writers_are_killed(path: str, driver: str, spawn: Spawn, rounds: int) -> None:
    """G2, G5, G12: several processes write to the same aggregates, some of them are killed; the others never notice."""
    chance = random.Random(driver)
    with store(path, driver):
        pass
    acknowledged: list[tuple[str, int, int]] = []
    survivors = [spawn("crash", path=path, driver=driver, process=10 + n, seed=n) for n in range(2)]
    for survivor in survivors:
        survivor.expect("ready")
    for seed in range(3 * rounds):
        victim = spawn("crash", path=path, driver=driver, process=seed % 7, seed=100 + seed)
        victim.expect("ready")
        acknowledged.append(tuple(victim.hear()))
        time.sleep(chance.uniform(0.0, 0.1))  # the random moment
        victim.kill()
        acknowledged += [tuple(said) for said in victim.rest()]
        victim.close()
        for survivor in survivors:
            acknowledged.append(tuple(survivor.hear()))
    for survivor in survivors:
        survivor.kill()
        acknowledged += [tuple(said) for said in survivor.rest()]
        survivor.close()
    stored = check_file(path)
    acknowledged_are_stored(stored, acknowledged)
    print(f"{driver}: {3 * rounds} of {3 * rounds + 2} writers killed, {len(acknowledged)} acknowledgements checked")


def test_killed_while_it_has_its_turn(path: str, driver: str, spawn: Spawn) -> None:
    """A process that is killed inside the turnstile gives way at once, and nothing of its transaction is stored."""
    with store(path, driver, lock_timeout=60.0) as db:
        for number in range(3):
            holder = spawn("stay_inside", path=path, driver=driver)
            holder.expect("inside")
            holder.kill()
            assert holder.process.wait() == -9
            db.events.append([note(number)])
        assert numbers(db) == [0, 1, 2]
    check_file(path)


def test_killed_while_it_waits_for_its_turn(path: str, driver: str, spawn: Spawn) -> None:
    """A process that is killed in the queue, or at its head, leaves no gap that the others would wait for."""
    with store(path, driver) as db:
        with db.transaction() as transaction:
            waiting = [spawn("crash", path=path, driver=driver, process=n, seed=n) for n in range(3)]
            for worker in waiting:
                worker.expect("ready")  # from here on it wants to append
            waiting[0].kill()
            waiting[1].kill()
            transaction.events.append([note(1)])
        assert waiting[2].hear() is not None  # its first acknowledgement
        waiting[2].kill()
        waiting[2].rest()
        for worker in waiting:
            worker.close()
        assert db.events.append([note(2)]).position > 1
    check_file(path)
