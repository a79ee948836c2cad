"""The simulated disk keeps what was synced, and of the rest only what a real one could keep."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from goes_lite_conformance.sqlite_power._disk import (
    SECTOR,
    Created,
    Deleted,
    Disk,
    How,
    Image,
    Operation,
    Said,
    Synced,
    Truncated,
    Written,
)

OLD, NEW = b"o" * (4 * SECTOR), b"n" * (4 * SECTOR)
KEPT: list[Operation] = [Created(1, "app.db"), Written(1, 0, OLD), Synced(1, folder=True)]


def left(log: Sequence[Operation], how: How, seed: int = 0) -> dict[str, bytes]:
    image = Image(log)
    image.advance(len(log))
    return image.cut(how, random.Random(seed))


@pytest.mark.parametrize("how", ["kept", "lost", "torn", "mixed"])
def test_what_is_synced_is_there(how: How) -> None:
    for seed in range(20):
        assert left(KEPT, how, seed)["app.db"] == OLD


def test_what_is_not_synced_is_kept_or_lost() -> None:
    log = [*KEPT, Written(1, 0, NEW)]
    assert left(log, "kept") == {"app.db": NEW}
    assert left(log, "lost") == {"app.db": OLD}


def test_a_sync_is_of_one_file() -> None:
    log = [*KEPT, Created(2, "app.db-wal"), Written(2, 0, NEW), Written(1, 0, NEW), Synced(2, folder=True)]
    assert left(log, "lost") == {"app.db": OLD, "app.db-wal": NEW}


def test_a_name_is_kept_by_a_sync_of_its_folder() -> None:
    log = [*KEPT, Created(2, "app.db-wal"), Written(2, 0, NEW), Synced(2, folder=False)]
    assert left(log, "lost") == {"app.db": OLD}
    assert left(log, "kept") == {"app.db": OLD, "app.db-wal": NEW}
    assert {len(left(log, "torn", seed)) for seed in range(20)} == {1, 2}


def test_a_file_whose_deletion_was_not_synced_may_come_back() -> None:
    log = [*KEPT, Deleted("app.db", folder=False)]
    assert left(log, "lost") == {"app.db": OLD}
    assert left(log, "kept") == {}
    assert left([*KEPT, Deleted("app.db", folder=True)], "lost") == {}


def test_a_new_file_of_the_same_name_is_another() -> None:
    log = [*KEPT, Deleted("app.db", folder=False), Created(2, "app.db"), Written(2, 0, b"new"), Synced(2, folder=False)]
    assert left(log, "lost") == {"app.db": OLD}
    assert left(log, "kept") == {"app.db": b"new"}
    assert {left(log, "torn", seed)["app.db"] for seed in range(20)} == {OLD, b"new"}


def test_torn_is_the_first_part_of_what_was_done() -> None:
    log = [*KEPT, Written(1, 0, NEW[:SECTOR]), Written(1, SECTOR, NEW[SECTOR:])]
    for seed in range(20):
        content = left(log, "torn", seed)["app.db"]
        new = len(content) - len(content.lstrip(b"n"))
        assert content == NEW[:new] + OLD[new:]


def test_mixed_is_any_of_the_sectors() -> None:
    log = [*KEPT, Written(1, 100, NEW[: 3 * SECTOR])]
    found: set[str] = set()
    for seed in range(200):
        content = left(log, "mixed", seed)["app.db"]
        # the write begins within a sector, and ends within one: what lies outside it is as it was
        assert content[:100] == OLD[:100]
        assert content[100 + 3 * SECTOR :] == OLD[100 + 3 * SECTOR :]
        borders = [100, SECTOR, 2 * SECTOR, 3 * SECTOR, 100 + 3 * SECTOR]
        parts = [content[a:b] for a, b in pairwise(borders)]
        assert all(part in (len(part) * b"n", len(part) * b"o") for part in parts)
        found.add("".join(chr(part[0]) for part in parts))
    assert len(found) > 10


def test_a_file_that_grew_may_hold_rubbish() -> None:
    log: list[Operation] = [*KEPT, Written(1, len(OLD), NEW)]
    sizes = {len(left(log, "mixed", seed)["app.db"]) for seed in range(100)}
    assert min(sizes) == len(OLD)
    assert max(sizes) == len(OLD) + len(NEW)
    assert any(
        set(left(log, "mixed", seed)["app.db"][len(OLD) :]) - {0, ord("n")} for seed in range(100)
    )  # neither written nor zero


def test_truncating_and_growing() -> None:
    assert left([*KEPT, Truncated(1, 10)], "kept")["app.db"] == OLD[:10]
    assert left([*KEPT, Truncated(1, len(OLD) + 2)], "kept")["app.db"] == OLD + b"\0\0"
    assert left([*KEPT, Truncated(1, 10)], "lost")["app.db"] == OLD


def test_shared_memory_means_nothing_afterwards() -> None:
    found = [left(KEPT, "mixed", seed) for seed in range(20)]
    assert {frozenset(files) for files in found} == {frozenset({"app.db"}), frozenset({"app.db", "app.db-shm"})}


def test_what_was_told_by_then() -> None:
    image = Image([*KEPT, Said("one"), Written(1, 0, NEW), Said("two")])
    image.advance(4)
    assert image.said == ["one"]
    image.advance(6)
    assert image.said == ["one", "two"]


def test_a_disk_gives_names_to_files() -> None:
    disk = Disk()
    first = disk.open("a", new=True)
    assert disk.open("a", new=False) == first
    disk.delete("a", folder=True)
    disk.delete("a", folder=True)  # it was gone
    second = disk.open("a", new=True)
    assert second != first
    assert disk.log == [Created(first, "a"), Deleted("a", folder=True), Created(second, "a")]
    assert disk.turns == [0, 1, 2]
