"""What the tests of SQLite files share: an event, worker processes that are told what to do over pipes, and a judge."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.events.event import Event
from goes_lite.events.registry import Registry
from goes_lite.sqlite import SQLiteBackend
from goes_lite.sqlite._writer import Writer

BIG = 5000
"""Bytes of text with which events fill pages."""

registry = Registry()


@registry.event("noted")
@dataclass(frozen=True)
class Noted:
    """Written by worker `process` as its `number`-th, in a batch of `size` events that share the id `batch`."""

    process: int
    number: int
    batch: str = ""
    size: int = 1
    text: str = ""


def note(
    number: int, *, process: int = 0, aggregate: tuple[str, str] | None = None, version: int = 0, text: str = ""
) -> Event[Noted]:
    """One event, not of a batch."""
    return Event(Noted(process, number, text=text), aggregate=aggregate, version=version, registry=registry)


def store(path: str | os.PathLike[str], driver: str, **options: Any) -> BlockingDatabase:
    """The blocking face of the store in a file."""
    return connect(path, registry=registry, driver=driver, **options)


def numbers(db: BlockingDatabase) -> list[int]:
    """The numbers of all events, in position order."""
    return [event.data.number for event in db.events.query()]


def files(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """What is on the disk: the database and what SQLite keeps beside it."""
    found = {suffix: Path(f"{path}{suffix}") for suffix in ("", "-wal", "-journal")}
    return {suffix: file.read_bytes() for suffix, file in found.items() if file.exists()}


def fill(path: str, driver: str, events: int = 200) -> None:
    """A store of a few hundred pages, closed."""
    with store(path, driver) as db:
        db.events.append([
            note(number, aggregate=("order", str(number % 7)), version=number // 7 + 1, text="x" * (number * 37 % BIG))
            for number in range(events)
        ])  # fmt: skip


def left(path: str) -> dict[str, bytes]:
    """What is on the disk, but for the empty log that SQLite makes for readers."""
    return {suffix: content for suffix, content in files(path).items() if content or not suffix}


def sql(path: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as another program does; the rows of the last."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


_ELSEWHERE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
sys.stdout.flush()
os._exit(0)  # as if killed: nothing is tidied up
"""


def sql_of_killed(path: str, *statements: str) -> None:
    """Run statements in another process, which then vanishes: what it has committed stays in the -wal."""
    subprocess.run([sys.executable, "-I", "-S", "-c", _ELSEWHERE, path, *statements], check=True)


def writer_of(db: BlockingDatabase) -> Writer:
    return cast(SQLiteBackend, db.backend).writer


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("goes_lite")]


# --- the judge ------------------------------------------------------------------------------------------------------


def check_file(path: str | os.PathLike[str]) -> list[Noted]:
    """Assert everything that must hold in a file whatever happened to its writers; answer its events, in order.

    It is read behind goes_lite's back, so no handle on it may be open in this process.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute
        assert rows("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert rows("PRAGMA foreign_key_check").fetchall() == []
        events = rows("SELECT position, aggregate_key, version, data, tags FROM events ORDER BY position").fetchall()
        aggregates = dict(rows("SELECT key, version FROM aggregates").fetchall())
        tagged = rows("SELECT position, tag FROM event_tags ORDER BY position, tag").fetchall()
        ((highest,),) = rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'").fetchall()
    assert [position for position, *_ in events] == list(range(1, highest + 1)), "positions have a gap"
    versions: defaultdict[int, list[int]] = defaultdict(list)
    for _, key, version, *_ in events:
        if key is not None:
            versions[key].append(version)
    assert {key: found[-1] for key, found in versions.items()} == aggregates, "aggregates and their events disagree"
    for found in versions.values():
        assert found == list(range(1, len(found) + 1)), "versions of an aggregate have a gap, or are out of order"
    listed = [(position, tag) for position, *_, tags in events if tags for tag in sorted(json.loads(tags))]
    assert tagged == listed, "the table of tags and the tags of the events disagree"
    notes = [Noted(**json.loads(data)) for *_, data, _ in events]
    sizes: defaultdict[str, int] = defaultdict(int)
    for noted in notes:
        sizes[noted.batch] += 1
    torn = {noted.batch for noted in notes if noted.batch and sizes[noted.batch] != noted.size}
    assert not torn, "batches are stored in part"
    return notes


# --- workers, seen from inside --------------------------------------------------------------------------------------

JOBS: dict[str, Callable[..., None]] = {}


def job(function: Callable[..., None]) -> Callable[..., None]:
    JOBS[function.__name__] = function
    return function
