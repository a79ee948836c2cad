"""Whatever is in a file: each read of the public API returns, or raises an error of goes_lite that says what is wrong."""

from __future__ import annotations

import functools
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import GoesError, StoreError
from tests.backends.sqlite_kit import Noted, note, registry

DRIVERS = [
    name for name in ("apsw", "sqlite3") if name == "sqlite3" or __import__("importlib.util").util.find_spec(name)
]
FIRST = UUID(int=7)
ORDER = goes.AggregateRef("order", "1")


@dataclass(frozen=True)
class Sum:
    total: int = 0


@registry.event("other")
@dataclass(frozen=True)
class Other:
    number: int


FIELDS = "id name time aggregate version metadata tags position data encoded".split()


def make(path: str) -> None:
    """A store with a row or two in each table."""
    with goes.blocking.connect(path, registry=registry, driver="sqlite3", durability="memory") as db:
        fields: dict[str, Any] = {"metadata": {"actor": "ada"}, "tags": ["k:v", "k:w"], "registry": registry}
        db.events.append([goes.Event(Noted(0, 1), id=FIRST, **fields), goes.Event(Other(2), registry=registry)])
        db.events.append([note(version, aggregate=ORDER, version=version) for version in (1, 2, 3)])
        time = datetime(2026, 1, 1, tzinfo=timezone.utc)
        db.snapshots.save(Snapshot(ORDER, 2, time, 1, "json", "{}"))
        db.models.put_many("sums", {"a": '{"total":1}', "b": '{"total":2}'})
        db.checkpoints.save("reader", 3)
        db.leases.acquire("reader", "me", 60)


def loosened(path: str) -> bytes:
    """The same file with columns that take values of any type; `set_cell` makes them strict again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '      ') WHERE type = 'table'")
    return Path(path).read_bytes()


@functools.cache
def templates() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "app.db")
        make(path)
        return Path(path).read_bytes(), loosened(path)


def read_everything(path: str, driver: str) -> list[GoesError]:
    """Call every read, and a few writes; return the errors. Any other exception is a fault."""
    met: list[GoesError] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except GoesError as error:
            str(error).encode()
            met.append(error)

    def fields(events: Any) -> None:
        for event in events:
            for field in FIELDS:
                attempt(functools.partial(getattr, event, field))
            repr(event)

    try:
        db = goes.blocking.connect(path, registry=registry, driver=driver, durability="memory")
    except GoesError as error:
        return [error]

    def follow() -> None:
        with db.transaction() as tx:  # where it ends with an error instead of waiting
            fields(tx.events.follow(after=0))

    with db:
        query = goes.EventQuery
        reads: list[Callable[[], object]] = [
            lambda: fields(db.events.query()),
            lambda: fields(db.events.query(reverse=True)),
            lambda: fields(db.events.query(query(["noted"], tags=["k:v"]))),
            lambda: fields(db.events.query(query(aggregates=[ORDER]))),
            lambda: fields(db.events.load(ORDER)),
            lambda: fields(db.events.load(ORDER, after=2)),
            lambda: fields([db.events.find(FIRST)] * bool(db.events.find(FIRST))),
            db.events.head,
            db.events.count,
            lambda: db.events.count(query(aggregate_names=["order"])),
            lambda: db.events.aggregates().list(),
            lambda: db.snapshots.latest(ORDER),
            lambda: db.snapshots.query().list(),
            lambda: db.models.get("sums", "a"),
            lambda: db.models.get_many("sums", ["a", "b"]),
            lambda: db.models.query("sums").list(),
            lambda: db.models.query("sums", where={"total": 1}, order_by="total").list(),
            lambda: db.models_of("sums", Sum).get("a"),
            lambda: db.models_of("sums", Sum).query().list(),
            lambda: db.checkpoints.get("reader"),
            db.checkpoints.all,
            db.processors,
            lambda: db.leases.get("reader"),
            lambda: db.leases.acquire("reader", "other", 1),
            db.commands.accepted,
            lambda: db.select("SELECT * FROM event_log"),
            lambda: db.events.append([note(9, aggregate=ORDER, version=4)]),
            lambda: db.events.append([goes.Event(Noted(0, 1), id=FIRST, registry=registry)]),
            lambda: db.checkpoints.save("reader", 4),
            lambda: db.models.put("sums", "a", "{}"),
            lambda: db.events.delete(ORDER),
        ]
        for work in reads:
            attempt(work)
        attempt(follow)
        attempt(db.close)
    return met


CELLS = [
    *(("events", column) for column in ("id", "name_key", "aggregate_key", "version", "time", "encoding", "schema", "data")),
    *(("events", column) for column in ("metadata", "tags")),
    *(("aggregates", column) for column in ("name", "id", "version", "first_time", "last_time")),
    *(("snapshots", column) for column in ("version", "time", "schema", "encoding", "state", "deleted")),
    *(("models", column) for column in ("version", "data")),
    *(("checkpoints", column) for column in ("position", "store", "time")),
    *(("leases", column) for column in ("owner", "token", "expires")),
    ("store", "value"), ("event_names", "name"), ("sqlite_sequence", "seq"), ("event_tags", "position"),
]  # fmt: skip

values = (
    st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([0, -1, 2**63 - 1, 1.5, "", "x", "{", "[1]", '{"a":5}', "[" * 5000, b"", b"\xff\xfe", "\x1b[2J"])
    | st.text(max_size=5)
    | st.binary(max_size=20)
)
changes = st.lists(st.tuples(st.sampled_from(CELLS), values), min_size=1, max_size=2)
flips = st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


def damaged_cells(path: str, cells: list[tuple[tuple[str, str], Any]]) -> None:
    Path(path).write_bytes(templates()[1])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for (table, column), value in cells:
            try:
                connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,))
            except sqlite3.IntegrityError:
                pass
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(replace(sql, ')       ,', ') STRICT,'), ')       ', ') STRICT') "
            "WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )


@given(changes, st.sampled_from(DRIVERS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cells_of_any_value(cells: list[tuple[tuple[str, str], Any]], driver: str) -> None:
    """G13: a value of any type in any column."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "app.db")
        damaged_cells(path, cells)
        read_everything(path, driver)


@given(flips, st.sampled_from(DRIVERS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_of_any_value(places: list[tuple[int, bytes]], driver: str) -> None:
    """G13: any bytes anywhere behind the first hundred, which have a test of their own."""
    content = bytearray(templates()[0])
    for at, new in places:
        at = 100 + at % (len(content) - 120)
        content[at : at + len(new)] = new
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "app.db")
        Path(path).write_bytes(content)
        for error in read_everything(path, driver):
            assert type(error) is not StoreError, f"not classified: {error}"
