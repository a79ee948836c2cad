"""SIGKILL at durability "normal", and what SQLite itself says of the file then. The suite of crashes has the rest."""

from __future__ import annotations

import random
import time

from goes_lite_conformance.harness import Processes

from tests.backends.sqlite_kit import Noted, check_file, note, store


def test_a_file_whose_writers_were_killed(path: str, driver: str, spawn: Processes, rounds: int) -> None:
    """G5: a writer is killed in the midst of its work, again and again on the same file; nothing waits for the disk.

    Every event that it acknowledged is there once, at its position, no batch is torn, the tables agree, SQLite finds
    nothing wrong, and the next writer goes on behind it. `--rounds 25` kills 100 times.
    """
    chance = random.Random(driver)
    acknowledged: list[tuple[str, int, int]] = []
    stored: list[Noted] = []
    for seed in range(4 * rounds):
        worker = spawn("crash", path=path, driver=driver, process=seed % 7, seed=seed, durability="normal")
        worker.expect("ready")
        acknowledged.append(worker.hear())
        time.sleep(chance.uniform(0.0, 0.15))  # the random moment
        worker.kill()
        acknowledged += [tuple(said) for said in worker.rest()]
        worker.close()
        stored = check_file(path)  # has seen that no batch is torn, so one that is stored twice would be too long
        for batch, size, first in acknowledged:
            assert {noted.batch for noted in stored[first - 1 : first - 1 + size]} == {batch}
        assert len({batch for batch, _, _ in acknowledged}) == len(acknowledged)
    with store(path, driver) as db:
        assert db.events.append([note(-1)]).position == len(stored) + 1
