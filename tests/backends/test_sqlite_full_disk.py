"""No room on the disk: an error that says so, and nothing that was stored is harmed."""

from __future__ import annotations

from pathlib import Path

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.errors import StoreFull
from tests.backends.sqlite_kit import check_file


def test_a_file_size_limit(path: str, driver: str, spawn: Processes) -> None:
    """An event for which there is no room is StoreFull; smaller ones still fit, and later there is room again."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    sizes = [1000, 4_000_000, 1000, 400_000, 1000]
    worker = spawn("fill", path=path, driver=driver, room=400_000, sizes=sizes)
    worker.expect("stored")
    kind, message = worker.hear()
    assert kind == "StoreFull"
    assert path in message
    assert "make room and retry" in message
    worker.expect("stored")
    assert worker.hear()[0] == "StoreFull"
    worker.expect("stored")
    worker.expect([0, 1, 3, 5])
    worker.expect([0, 1, 3, 5, -1])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == [0, 1, 3, 5, -1]


@pytest.mark.parametrize("big", [400_000, 4_000_000], ids=["at commit", "half-way"])
def test_no_room_for_one_of_a_group(path: str, driver: str, big: int, spawn: Processes) -> None:
    """Those who are committed together with an event for which there is no room are stored nevertheless."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    worker = spawn("fill_group", path=path, driver=driver, room=400_000, big=big)
    worker.expect(["Appended", "Appended", "StoreFull", "Appended", "Appended"])
    worker.expect([0, 1, 2, 4, 5])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == [0, 1, 2, 4, 5]


def test_a_full_disk(tmp_path: Path, driver: str, spawn: Processes) -> None:
    """A disk that is really full: StoreFull, everything before it is intact, and with more room the store goes on."""
    worker = spawn("fill_disk", path=str(tmp_path / "app.db"), driver=driver, size=3_000_000)
    if (said := worker.hear()) != "mounted":
        pytest.skip(f"mounting a disk for a process is {said}")
    assert worker.hear()[0] == "StoreFull"
    assert worker.hear() > 10
    worker.expect("goes on")
    worker.finish()


def test_a_transaction_that_a_full_disk_ended(path: str, driver: str, spawn: Processes) -> None:
    """SQLite rolls back by itself then. The rest of the block must not be committed piece by piece."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    worker = spawn("fill_transaction", path=path, driver=driver, room=400_000, big=8_000_000)
    assert worker.hear()[0] == "StoreFull"
    assert worker.hear() in ("stored", ["TransactionError"])  # whether SQLite had to roll back is its own business
    together = worker.hear()
    assert together in ([0], [0, 1, 3])
    worker.finish()
    assert [noted.number for noted in check_file(path)] == together


def test_full_is_a_typed_error() -> None:
    """StoreFull is the OSError that people expect."""
    assert isinstance(StoreFull("app.db"), OSError)
