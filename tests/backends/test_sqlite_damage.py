"""What can be wrong inside a file: damage, and a schema that somebody else has made.

Each has an error that says what, where and what to do, and nothing that was stored is harmed.
"""

from __future__ import annotations

import functools
import os
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import CodecError, ForeignFile, GoesError, StoreDamaged, StoreError
from goes_lite.events.fields import AggregateRef
from goes_lite.sqlite import SQLiteBackend
from tests.backends.sqlite_kit import BIG, check_file, files, fill, left, note, numbers, sql, store

# --- damage ---------------------------------------------------------------------------------------------------------


def use_everything(path: str, driver: str) -> list[GoesError]:
    """Open, read in all ways, append, close. The errors that it met, which must be of ours."""
    met: list[GoesError] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except GoesError as error:
            met.append(error)

    def read_all() -> None:
        for event in db.events.query():
            assert (event.id, event.time, event.metadata, event.tags) is not None

    try:
        db = store(path, driver)
    except GoesError as error:
        return [error]
    with db:
        attempt(read_all)
        for number in range(7):
            ref = AggregateRef("order", str(number))
            attempt(functools.partial(db.events.load, ref))
        attempt(lambda: db.events.aggregates().list())
        attempt(db.events.count)
        attempt(lambda: db.events.append([note(-1, text="x" * BIG)]))
        attempt(lambda: db.events.append([note(-2, aggregate=("order", "0"), version=30)]))
    return met


def test_a_damaged_first_page(path: str, driver: str) -> None:
    """A file whose first bytes are gone is refused, and left for those who rescue it."""
    fill(path, driver)
    with open(path, "r+b") as file:
        file.write(bytes(100))
    before = files(path)
    with pytest.raises(ForeignFile, match="first page is damaged"):
        store(path, driver)
    assert left(path) == before


@pytest.mark.parametrize("seed", range(25))
def test_damaged_pages(path: str, driver: str, seed: int) -> None:
    """G13: whatever page is damaged, reading and appending either work or raise an error of ours.

    StoreDamaged if SQLite notices; nothing hangs, crashes or raises what only SQLite's authors understand.
    """
    fill(path, driver)
    chance = random.Random(seed)
    data = bytearray(files(path)[""])
    (size,) = struct.unpack_from(">H", data, 16)
    for _ in range(chance.choice((1, 1, 3))):
        page = chance.randrange(len(data) // size)
        length = chance.choice((1, 8, 200, size))
        begin = max(100, page * size + chance.choice((0, chance.randrange(size))))  # the header has its own test
        length = min(length, len(data) - begin)
        data[begin : begin + length] = chance.randbytes(length)
    Path(path).write_bytes(data)
    for error in use_everything(path, driver):
        assert isinstance(error, (StoreError, CodecError)), repr(error)
        assert type(error) is not StoreError, f"not classified: {error}"


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.99])
def test_a_truncated_file(path: str, driver: str, keep: float) -> None:
    """G13: a copy that broke off is StoreDamaged, which says how to save what is left, and is not changed."""
    fill(path, driver)
    before = files(path)[""]
    os.truncate(path, int(len(before) * keep))
    with pytest.raises(StoreDamaged, match=r"restore a backup.*\.dump"):
        store(path, driver)
    assert left(path) == {"": before[: int(len(before) * keep)]}


def test_a_damaged_log(path: str, driver: str, spawn: Processes) -> None:
    """The -wal of a killed writer, cut in the middle of a frame: what lies before the cut is there, whole batches only."""
    worker = spawn("crash", path=path, driver=driver, process=1, seed=1)
    worker.expect("ready")
    for _ in range(30):
        worker.hear()
    worker.kill()
    worker.rest()
    worker.close()
    log = path + "-wal"
    os.truncate(log, os.path.getsize(log) * 2 // 3)
    os.remove(path + "-shm")
    with store(path, driver) as db:
        db.events.append([note(1)])
    assert len(check_file(path)) > 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 shell is not installed")
def test_the_advice_for_a_damaged_file(path: str, driver: str, tmp_path: Path) -> None:
    """The steps of docs/sqlite.md make a store of what is readable; an aggregate that has lost events says so."""
    fill(path, driver)
    pages = Path(path).stat().st_size // 4096
    os.truncate(path, pages * 7 // 10 * 4096)
    with pytest.raises(StoreDamaged, match=r"\.dump"):
        store(path, driver)
    docs = Path(__file__, "../../../docs/sqlite.md").resolve().read_text()
    script = docs.partition("### A damaged file")[2].partition("```sh\n")[2].partition("```")[0]
    script = re.sub(r"python3 -m goes_lite info .*\n", "", script)
    assert ".dump" in script
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True)
    with store(tmp_path / "rescued.db", driver) as db:
        rescued = numbers(db)
        assert rescued
        lost = next(number for number in range(200) if number not in rescued)
        with pytest.raises(StoreDamaged, match="order"):
            db.events.load(AggregateRef("order", str(lost % 7)))
        db.events.append([note(1000)])
        assert numbers(db) == [*rescued, 1000]


# --- hostile schemas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["load_extension('/tmp/evil')", "danger()"])
def test_a_hostile_trigger_is_not_trusted(path: str, driver: str, call: str) -> None:
    """A schema comes with the file, from anybody: what it names must not reach outside the database.

    Nor must it call what the program has defined for its own statements. A trigger on a table of the user's own may be
    there, and so runs.
    """
    fill(path, driver, 3)
    called: list[int] = []
    sql(path, "CREATE TABLE mine (a)", f"CREATE TRIGGER evil AFTER INSERT ON mine BEGIN SELECT {call}; END")
    with store(path, driver) as db:
        connection: Any = cast(SQLiteBackend, db.backend).writer.transactions.connection
        define = connection.create_scalar_function if driver == "apsw" else connection.create_function
        define(
            *(("danger", lambda: called.append(1), 0) if driver == "apsw" else ("danger", 0, lambda: called.append(1)))
        )
        with pytest.raises(StoreError, match="unsafe use of"), db.transaction() as tx:
            tx.execute("INSERT INTO mine VALUES (1)")
        assert numbers(db) == [0, 1, 2]
    assert not called
    check_file(path)
