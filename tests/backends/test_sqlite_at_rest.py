"""What a handle costs while nothing happens, and that it wakes all the same when something does."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from goes_lite_conformance.harness.workers import Processes

from goes_lite.runtime import Signal
from goes_lite.sqlite import _lookout, _wakeup
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._inotify import Inotify
from tests.backends.sqlite_kit import store

PATIENCE = 60

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that a file was written, so far")


def watchers() -> int:
    return sum(thread.name == "goes_lite-watcher" for thread in threading.enumerate())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When somebody looked at a file."""
    found, look = list[float](), _wakeup._data_version

    def counted(connection: Connection) -> int:
        found.append(time.monotonic())
        return look(connection)

    monkeypatch.setattr(_wakeup, "_data_version", counted)
    return found


@linux
def test_nobody_looks_at_a_file_at_rest(path: str, driver: str, looks: list[float]) -> None:
    signal = Signal()
    with store(path, driver) as db, db.commits.watch(signal):
        assert signal.block(0, PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while True:
            before = len(looks)
            time.sleep(0.3)  # the measurement itself: what looks all the time does so in each
            if len(looks) - before <= 1:
                break
            assert time.monotonic() < deadline, "it never settles"


def test_one_thread_looks_out_for_all_files(tmp_path: Path, driver: str, spawn: Processes) -> None:
    """And each handle hears of the commits to its own."""
    signals = [Signal() for _ in range(5)]
    paths = [str(tmp_path / f"{number}.db") for number in range(5)]
    with ExitStack() as stack:
        for path, signal in zip(paths, signals, strict=True):
            db = stack.enter_context(store(path, driver))
            stack.enter_context(db.commits.watch(signal))
        assert watchers() == 1
        for signal in signals:
            assert signal.block(0, PATIENCE)
        time.sleep(0.05)
        seen = [signal.count for signal in signals]
        other = spawn("commit", path=paths[3], driver=driver)
        other.expect("ready")
        other.tell(1)
        assert signals[3].block(seen[3], PATIENCE)
        other.tell(None)
        other.finish()
    assert watchers() == 0


@linux
def test_a_lost_notification_costs_time_and_no_event(
    path: str, driver: str, spawn: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file system that tells nothing of what others write, as of a queue that ran over."""

    class Deaf(Inotify):
        def read(self) -> set[tuple[int, str]]:
            super().read()
            return set()

    monkeypatch.setattr(_lookout, "Inotify", Deaf)
    monkeypatch.setattr(_wakeup, "SAFETY", 0.05)
    signal = Signal()
    with store(path, driver) as db, db.commits.watch(signal):
        assert signal.block(0, PATIENCE)
        other = spawn("commit", path=path, driver=driver)
        other.expect("ready")
        for number in range(3):
            time.sleep(0.05)
            seen = signal.count
            other.tell(number)
            assert signal.block(seen, PATIENCE)
        other.tell(None)
        other.finish()
