"""The facts of a store as data: `db.info()` on every backend and both faces, seen by a handle that did none of it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.database import Database
from goes_lite.operations.info import MANY, CommandsInfo, ConsumerInfo, Info
from goes_lite.processor import Retry
from goes_lite.testing import FakeClock

NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)

registry = goes.Registry()


@registry.event("lamp.lit")
@dataclass(frozen=True)
class Lit:
    number: int


@registry.commands.event("lamp.light")
@dataclass(frozen=True)
class Light:
    number: int


def lit(number: int, name: str = "lamp") -> goes.Event[Lit]:
    time = NOON + number * SECOND
    return goes.Event(Lit(number), aggregate=(name, str(number)), version=1, time=time, registry=registry)


async def fill(db: Database) -> None:
    await db.events.append([lit(1), lit(2), lit(3, "torch"), lit(4)])
    await db.checkpoints.save("reader", 1)
    await db.checkpoints.save("up to date", 4)
    await db.leases.acquire("reader", "me", 600)


def check(info: Info, clock: FakeClock) -> None:
    """Check what `fill` has stored."""
    now = clock.now()
    assert (info.time, info.head, info.events) == (now, 4, 4)
    assert info.aggregates == {"lamp": 3, "torch": 1}
    assert (info.first_time, info.last_time) == (NOON + SECOND, NOON + 4 * SECOND)
    reader, done = info.consumers
    assert (reader.name, reader.position, reader.lag, reader.owner) == ("reader", 1, 3, "me")
    assert reader.lag_seconds == (now - NOON - 2 * SECOND).total_seconds()
    assert reader.expires is not None
    assert reader.expires > reader.saved
    assert (done.name, done.position, done.lag, done.lag_seconds) == ("up to date", 4, 0, 0.0)
    assert (done.owner, done.expires, done.parked, done.mismatched) == (None, None, 0, False)
    assert info.commands == CommandsInfo(0, 0, 0, 0, 0, None)


def test_on_each_backend(url: str) -> None:
    clock = FakeClock(NOON + 60 * SECOND)

    async def run() -> Info:
        async with goes.connect(url, registry=registry, clock=clock) as db:
            empty = await db.info()
            assert (empty.head, empty.events, empty.aggregates, empty.consumers) == (0, 0, {}, ())
            assert empty.first_time is empty.last_time is None
            await fill(db)
            info = await db.info()
            assert (info.location, info.identity) == (db.location, db.identity)
            assert (info.durability, info.abilities) == (db.durability, db.abilities)
            return info

    found = asyncio.run(run())
    check(found, clock)
    assert found.size == sum(found.sizes.values()) > 0
    with goes.blocking.connect(url, registry=registry, clock=clock) as db:
        again = db.info()
        assert db.sizes().keys() == again.sizes.keys() == found.sizes.keys()
    check(again, clock)
    assert again.consumers == found.consumers


def test_without_counts(tmp_path: Path) -> None:
    """Nothing is read whose cost grows with the log."""
    with goes.blocking.connect(str(tmp_path / "app.db"), registry=registry) as db:
        db.events.append([lit(1)])
        info = db.info(counts=False)
    assert (info.events, info.aggregates, info.head) == (None, None, 1)
    assert info.first_time == info.last_time == NOON + SECOND


def test_in_memory() -> None:
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        before = db.info()
        db.events.append([lit(number) for number in range(1000)])
        after = db.info()
    assert (before.durability, after.location) == ("memory", "sqlite:///:memory:")
    assert before.sizes.keys() == {"memory"}
    assert 0 < before.sizes["memory"] < after.sizes["memory"]


def test_sizes_of_a_file(tmp_path: Path) -> None:
    """They are those that the file system tells: of the file, and of the -wal while there is one."""
    path = tmp_path / "app.db"
    with goes.blocking.connect(str(path), registry=registry) as db:
        db.events.append([lit(number) for number in range(1000)])
        wal = path.with_name("app.db-wal")
        assert db.info().sizes == {"file": path.stat().st_size, "wal": wal.stat().st_size}


def test_a_read_only_handle_that_knows_no_event(tmp_path: Path) -> None:
    """It tells what it can: the time of an event that it cannot read is unknown, not zero."""
    path = str(tmp_path / "app.db")
    clock = FakeClock(NOON + 60 * SECOND)
    with goes.blocking.connect(path, registry=registry, clock=clock) as db:
        db.events.append([lit(1), lit(2)])
        db.checkpoints.save("reader", 1)
    with goes.blocking.connect(path, registry=goes.Registry(), read_only=True, clock=clock) as db:
        info = db.info()
        assert (info.events, info.first_time, info.last_time) == (2, None, None)
        assert info.consumers[0].lag_seconds is None
    with goes.blocking.connect(path, registry=goes.Registry(), read_only=True, unknown="raw", clock=clock) as db:
        info = db.info()
        assert (info.first_time, info.last_time) == (NOON + SECOND, NOON + 2 * SECOND)
        assert info.consumers[0].lag_seconds == 58.0


def test_consumers_that_parked_events_or_fit_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    def fail(event: object) -> None:
        raise ValueError("never")

    with goes.blocking.connect(str(path), registry=registry) as db:
        db.events.append([lit(1), lit(2)])
        retry = Retry(attempts=1, then="park")
        with db.processor("failing", fail, retry=retry) as processor:
            processor.wait_for(2, timeout=30)
        (failing,) = db.info().consumers
        assert (failing.position, failing.lag, failing.parked, failing.mismatched) == (2, 0, 2, False)
        db.checkpoints.save("ahead", 3)
        db.checkpoints.save("n" * 1024, 2)  # too long for a processor
        assert [one.mismatched for one in db.info().consumers] == [True, False, False]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE checkpoints SET store = 'another/1' WHERE name = 'failing'")
    with goes.blocking.connect(str(path), registry=registry) as db:
        assert [one.mismatched for one in db.info().consumers] == [True, True, False]


def test_commands_that_wait(tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    with goes.blocking.connect(str(tmp_path / "app.db"), registry=registry, clock=clock) as db:
        db.commands.dispatch_async(Light(1))
        db.commands.schedule(Light(2), at=NOON + 60 * SECOND)
        db.commands.schedule(Light(3), at=NOON + 90 * SECOND)
        assert db.info().commands == CommandsInfo(3, 1, 0, 0, 0, NOON)
        clock.advance(60)
        assert db.info().commands == CommandsInfo(3, 2, 0, 0, 0, NOON)
        for number, broken in enumerate(['"text"', "[]", "{}", '{"due": "soon"}', f'{{"due": {10**30}}}', "[" * 900]):
            db.models.put(COMMANDS, f"broken {number}", broken if broken[-1] != "[" else broken + "]" * 900)
        info = db.info().commands
        assert (info.waiting, info.due, info.unreadable) == (3, 2, 6)


def test_it_stays_cheap_when_commands_pile_up(tmp_path: Path) -> None:
    with goes.blocking.connect(str(tmp_path / "app.db"), registry=registry, durability="memory") as db:
        db.models.put_many(COMMANDS, {str(number): '{"due": 0}' for number in range(MANY + 5)})
        assert db.info().commands.waiting == MANY


@pytest.mark.parametrize("kind", [Info, ConsumerInfo, CommandsInfo])
def test_the_facts_are_immutable(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen


def test_a_closed_handle(url: str) -> None:
    db: BlockingDatabase = goes.blocking.connect(url, registry=registry)
    db.close()
    with pytest.raises(goes.errors.StoreClosed):
        db.info()
    with pytest.raises(goes.errors.StoreClosed):
        db.sizes()
