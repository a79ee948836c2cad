"""SQLite on a disk that loses its power or refuses to work; and whether a store that is set up wrongly is caught there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from goes_lite_conformance import Contract, Place, Storage
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.harness.storage import Declared
from goes_lite_conformance.sqlite_power import PowerCuts, SQLitePowerTests

from goes_lite import blocking
from goes_lite.errors import GoesError, StoreLocked
from goes_lite.runtime import drive
from goes_lite.sqlite import checkpointer
from goes_lite.sqlite._driver import translate

apsw = pytest.importorskip(
    "apsw", reason="apsw is not installed, and nothing else can stand between SQLite and its files"
)


class SQLite(Contract):
    variants: ClassVar = ("apsw",)

    def url(self, storage: Storage) -> str:
        return f"sqlite:///{storage.folder}/app.db?driver={storage.variant}"


class TestPower(SQLite, SQLitePowerTests): ...


# --- the judge is judged --------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Place]:
    """Where cuts are made outside a suite."""
    place = Place(SQLite(), Storage(tmp_path, "t0123456789abcdef", "apsw"), "blocking", Declared(), 1)
    yield place
    place.end()


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_not_syncing_what_is_acknowledged_is_caught(disk: Place, synchronous: str) -> None:
    """A store that says "full" and does not sync each commit loses what it acknowledged, and the judge sees that."""
    cuts = PowerCuts(lossless=True)
    with pytest.raises(AssertionError, match=r"\d+ events were acknowledged, \d+ are there"):
        drive(cuts.judge_one(disk, 1, "full", cuts=20, hows=["lost"], sql=f"PRAGMA synchronous = {synchronous}"))
    assert cuts.lost


def test_not_syncing_at_all_is_caught(disk: Place) -> None:
    """A store that never syncs is damaged by a cut, not only shortened."""
    with pytest.raises((AssertionError, GoesError)) as caught:
        drive(
            PowerCuts(lossless=False).judge_one(
                disk, 1, "normal", cuts=40, hows=["mixed"], sql="PRAGMA synchronous = OFF"
            )
        )
    assert "seed 1, cut" in caught.value.__notes__[0]


@pytest.mark.slow
def test_the_judge_finds_nothing_where_nothing_is_lost(disk: Place) -> None:
    """The same cuts of a store that is set up as it should be."""
    cuts = PowerCuts(lossless=True)
    drive(cuts.judge_one(disk, 1, "full", cuts=20))
    assert (cuts.cuts, cuts.lost) == (20, 0)


# --- what they have found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "gauge", "look", "error"),
    [
        ("apsw", checkpointer.Checkpointer, "_run", apsw.IOError),
        ("sqlite3", checkpointer._Estimate, "due", sqlite3.OperationalError),
        ("sqlite3", checkpointer._Estimate, "_count_pages", sqlite3.OperationalError),
    ],
)
def test_a_checkpoint_that_cannot_even_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, gauge: type, look: str, error: type[Exception]
) -> None:
    """Whatever fails around a commit, the commit has happened: nobody may be told that it has not."""

    def fail(self: object, *arguments: object) -> int:
        raise error("the disk refuses to be read")

    monkeypatch.setattr(checkpointer, "PAGES", 1)
    with blocking.connect(tmp_path / "app.db", driver=driver, registry=registry) as db:
        monkeypatch.setattr(gauge, look, fail)
        assert db.events.append([note("1")]).position == 1
        with db.transaction() as transaction:
            transaction.events.append([note("2")])

        assert db.events.count() == 2


def test_giving_up_on_a_lock_is_a_lock() -> None:
    """SQLITE_PROTOCOL: SQLite has tried for ten seconds to begin reading, and others or the disk were always in the way."""
    error = translate(apsw.ProtocolError("locking protocol"), apsw.SQLITE_PROTOCOL, "app.db", waited=10.0)
    assert type(error) is StoreLocked
