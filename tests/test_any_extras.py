"""The same program makes the same store, byte for byte, whichever optional packages are installed."""

from __future__ import annotations

import enum
import itertools
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import pytest

import goes_lite as goes
from goes_lite import codec as codecs
from goes_lite.codec import Codec, StdlibJson, json_of
from goes_lite.events import event as events
from goes_lite.events import ids
from goes_lite.testing import FakeClock

NOON = datetime(2026, 10, 25, 12, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "réd"


class Point(NamedTuple):
    x: float
    y: int = 0


class Note(TypedDict):
    text: str


@dataclass(frozen=True)
class Everything:
    name: str = 'é"\\/\x7f\u2028😀'
    numbers: tuple[float, ...] = (1.0, -0.0, 1e16, 1.5e-5, 5e-324, 3)
    large: int = 2**70
    raw: bytes = b"\x00\xff"
    at: datetime = NOON.astimezone(timezone(timedelta(hours=2)))  # noqa: RUF009
    day: date = date(1, 2, 3)
    clock: time = time(3, 4, 5, 6)
    took: timedelta = timedelta(days=-1, microseconds=1)
    key: UUID = UUID(int=5)  # noqa: RUF009
    price: Decimal = Decimal("1.10")
    colour: Colour = Colour.RED
    point: Point | None = Point(1.5)  # noqa: RUF009
    tags: frozenset[str] = frozenset(("b", "a"))
    notes: dict[UUID, Note] = field(default_factory=lambda: {UUID(int=1): {"text": "x"}})
    extra: Any = field(default_factory=lambda: {"b": [1, None, {"c": 1e22}], "a": True})


@dataclass
class Sum:
    total: Decimal = Decimal(0)


def id_bytes(number: int) -> bytes:
    return number.to_bytes(16, "big")


def program(path: Path, driver: str, codec: Codec) -> None:
    registry = goes.Registry(codec=codec)
    registry.event("everything")(Everything)

    class Account(goes.Aggregate, name="account", registry=registry):
        total: Decimal = Decimal(0)

        def add(self, price: str) -> None:
            self.record(Everything(price=Decimal(price)), tags=["price:é"])

        @goes.applies(Everything)
        def _added(self, event: goes.Event[Everything]) -> None:
            self.total += event.data.price

    class Sums(goes.ModelProjection[Sum], name="sums"):
        @goes.projects(Everything)
        def added(self, model: Sum, event: goes.Event[Everything]) -> None:
            model.total += event.data.price

    with goes.blocking.connect(path, driver=driver, registry=registry, clock=FakeClock(NOON)) as plain:
        db = plain.inline(Sums())
        accounts = db.repository(Account, snapshots=goes.Every(2))
        with goes.Context.bind(actor="ädä", request="r-1"):
            for price in ("1.10", "2.20", "3.300"):
                accounts.use("a", partial(Account.add, price=price), create=True)
        db.events.append([goes.Event(Everything(), registry=registry, metadata={"é": "😀"})])
        db.models_of("mine", Everything).put("é", Everything())
        with db.transaction() as tx:
            tx.execute("CREATE TABLE mine_a (a, b)")
            tx.execute("INSERT INTO mine_a VALUES (?, ?)", (bytearray(b"x"), 1.5))
        db.checkpoints.save("reader", 3)
        db.leases.acquire("reader", "me", 60)


def contents(path: Path) -> dict[str, list[Any]]:
    """Everything in the file, except for what tells this file from others."""
    connection = sqlite3.connect(path)
    try:
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
        tables = [name for kind, name, _, _ in schema if kind == "table"]
        identity = dict(connection.execute("SELECT * FROM store").fetchall())
        unlike = [value for value in identity.values() if isinstance(value, str) and len(value) > 20]
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "store"}
    finally:
        connection.close()
    text = repr({"schema": schema, "store": sorted(identity), **rows})
    for value in unlike:
        text = text.replace(value, "…")
    found: dict[str, list[Any]] = eval(text)
    return found


def test_the_same_program_makes_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With apsw or sqlite3, with msgspec or without it: schema, rows, and the bytes of every payload."""
    made: list[Codec] = [StdlibJson(), *([codecs.codec("json")] if find_spec("msgspec") else [])]
    drivers = ["sqlite3", *(["apsw"] if find_spec("apsw") else [])]
    stores: list[dict[str, list[Any]]] = []
    for number, (driver, codec) in enumerate(itertools.product(drivers, made)):
        numbers = itertools.count(1)
        micros = itertools.count(1_800_000_000_000_000_000, 1000)
        for module in (ids, events):
            monkeypatch.setattr(module, "new_id_bytes", map(id_bytes, numbers).__next__)
        monkeypatch.setattr(events, "time_ns", micros.__next__, raising=False)
        monkeypatch.setitem(codecs._known, "json", codec)
        json_of._kept.cache_clear()
        program(tmp_path / f"{number}.db", driver, codec)
        stores.append(contents(tmp_path / f"{number}.db"))
    json_of._kept.cache_clear()
    assert len(stores[0]["events"]) == 4
    assert all(store == stores[0] for store in stores)
