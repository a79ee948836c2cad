"""Flip bits of a store's file: what changes an event is found, and nothing crashes or hangs.

A flip may hit a byte that nobody reads, a page that SQLite refuses, a row that cannot be read, or one digit of a payload,
which leaves a payload as sound as before: only a receipt tells that. So verify is given one.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from goes_lite_conformance.harness.samples import note, registry

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.errors import GoesError
from goes_lite.operations import Receipt

EVENTS = 2000
QUERY = (
    "SELECT e.position, e.id, n.name, a.name, a.id, e.version, e.time, e.encoding, e.schema, e.data, e.metadata, e.tags "
    "FROM events e LEFT JOIN event_names n ON n.key = e.name_key LEFT JOIN aggregates a ON a.key = e.aggregate_key"
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Receipt]:
    path = tmp_path_factory.mktemp("flips") / "sound.db"
    with blocking.connect(path, registry=registry, durability="memory") as db:
        db.events.append([
            note(f"text {n}", ("order", str(n // 5)), n % 5 + 1, metadata={"by": f"{n}"}, tags=[f"order:{n // 5}"])
            for n in range(EVENTS)
        ])  # fmt: skip
        receipt = operations.digest(db)
    return path, receipt


def contents(path: Path) -> object:
    """What the events are, according to SQLite alone."""
    raw = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        # by the table, not by an index, so that a damaged index does not look like a changed event
        return sorted(raw.execute(QUERY.replace("events e", "events e NOT INDEXED")).fetchall(), key=repr)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return repr(error)
    finally:
        raw.close()


def told(path: Path, receipt: Receipt) -> list[str]:
    """What somebody sees who opens the store and verifies it."""
    try:
        with blocking.connect(path, registry=goes.Registry(), unknown="raw", read_only=True) as db:
            found = operations.verify(db, receipt=receipt, thorough=50, limit=5)
            return [one.code for one in found.problems]
    except (GoesError, OSError) as error:
        return [type(error).__name__]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_flips_that_change_an_event_are_found(
    seed: int, sound: tuple[Path, Receipt], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Fifty for each seed, so that no single test takes long on a slow machine; more with --rounds."""
    rounds = int(pytestconfig.getoption("--rounds") or 1)
    _flips(sound, tmp_path, 50 * rounds, seed=seed)


def test_some_flips_that_change_an_event_are_found(sound: tuple[Path, Receipt], tmp_path: Path) -> None:
    _flips(sound, tmp_path, 25, seed=1)


def _flips(sound: tuple[Path, Receipt], folder: Path, number: int, *, seed: int) -> None:
    path, receipt = sound
    assert told(path, receipt) == []
    before, original = contents(path), path.read_bytes()
    chance = random.Random(seed)
    changed = harmless = 0
    for _ in range(number):
        at, bit = chance.randrange(len(original)), 1 << chance.randrange(8)
        flipped = bytearray(original)
        flipped[at] ^= bit
        copy = folder / "flipped.db"
        copy.write_bytes(flipped)
        problems = told(copy, receipt)
        if contents(copy) != before:
            changed += 1
            assert problems, f"the flip of bit {bit} at byte {at} changed an event, and nobody said so"
        else:
            harmless += not problems
        for left in folder.glob("flipped.db*"):
            left.unlink()
    print(f"{number} flips: {changed} changed an event, {harmless} changed nothing that anybody reads")
    assert changed
