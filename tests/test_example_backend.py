"""examples/custom_backend.py keeps the contract: what every author of a backend writes, in full."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import goes_lite_conformance as suites
import pytest

import goes_lite as goes
from goes_lite import errors
from goes_lite.contract.snapshot_store import Snapshot

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "custom_backend.py"

# The example is not installed, so it is loaded by its path; worker processes import this file, and so load it, too.
_spec = importlib.util.spec_from_file_location("custom_backend", EXAMPLE)
assert _spec is not None
assert _spec.loader is not None
sys.modules["custom_backend"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["custom_backend"])


class Journal(suites.Contract):
    def url(self, storage: suites.Storage) -> str:
        return f"journal:///{storage.folder}/app.journal"


class TestEventStore(Journal, suites.EventStoreTests): ...


class TestSnapshotStore(Journal, suites.SnapshotStoreTests): ...


class TestModelStore(Journal, suites.ModelStoreTests): ...


class TestCheckpointsAndLeases(Journal, suites.CheckpointAndLeaseTests): ...


class TestEventBus(Journal, suites.EventBusTests): ...


class TestBackend(Journal, suites.BackendTests): ...


class TestProcessor(Journal, suites.ProcessorTests): ...


class TestParity(Journal, suites.ParityTests): ...


class TestConcurrency(Journal, suites.ConcurrencyTests): ...


class TestStateful(Journal, suites.StatefulTests): ...


class TestCrash(Journal, suites.CrashTests): ...


# --- what is the journal's own ----------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.journal"


def connect(path: Path) -> goes.blocking.BlockingDatabase:
    return goes.blocking.connect(f"journal:///{path}")


def test_a_torn_line_was_never_written(path: Path) -> None:
    """However much of the last line a crash left: acknowledged data is there, and the next commit cuts the rest off."""
    with connect(path) as db:
        db.models.put("c", "1", "1")
        whole = len(path.read_bytes())
        db.models.put("c", "1", "2" * 20)  # longer than what overwrites it later
    torn = path.read_bytes()
    for size in range(whole, len(torn)):
        path.write_bytes(torn[:size])
        with connect(path) as db:
            assert [record.version for record in db.models.query("c")] == [1]
            assert db.models.put("c", "1", "3") == 2
        with connect(path) as db:
            assert [record.data for record in db.models.query("c")] == ["3"]


def test_a_damaged_line_is_not_passed_over(path: Path) -> None:
    """A line that others follow was acknowledged: the file is damaged, and is not changed."""
    with connect(path) as db:
        for number in range(3):
            db.models.put("c", "1", str(number))
    damaged = path.read_bytes().replace(b'[2,"1"]', b'[2,"7"]')
    path.write_bytes(damaged)
    with pytest.raises(errors.StoreDamaged):
        connect(path)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"", b"text", b"text\nmore\n", b"\0\xff" * 100])
def test_a_foreign_file_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(errors.ForeignFile):
        connect(path)
    assert path.read_bytes() == content


def test_what_is_deleted_is_not_in_the_file(path: Path) -> None:
    with connect(path) as db:
        for id in ("secret", "open"):
            ref = goes.AggregateRef("order", id)
            db.snapshots.save(Snapshot(ref, 1, datetime.now(timezone.utc), 1, "json", f"state of {id}"))
        db.events.delete(goes.AggregateRef("order", "secret"))
        assert b"secret" not in path.read_bytes()
        db.models.put("c", "1", "1")
    with connect(path) as db:
        assert [snapshot.state for snapshot in db.snapshots.query()] == ["state of open"]
        assert db.models.get("c", "1") is not None


HOLD = """
import runpy, sys
runpy.run_path(sys.argv[1])
import goes_lite
with goes_lite.blocking.connect(sys.argv[2]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_one_handle_at_a_time(path: Path) -> None:
    with connect(path) as db:
        with pytest.raises(errors.StoreLocked):
            connect(path.parent / "." / path.name)
        assert db.models.put("c", "1", "1") == 1  # the first one still works
    connect(path).close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fcntl")
def test_one_process_at_a_time_and_a_killed_one_leaves_no_lock(path: Path) -> None:
    command = [sys.executable, "-P", "-c", HOLD, str(EXAMPLE), f"journal:///{path}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(errors.StoreLocked):
            connect(path)
        other.kill()
        other.wait()
        connect(path).close()


def test_it_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-P", str(EXAMPLE)], capture_output=True, text=True, check=True)
    assert done.stdout == "[<Event greeting.said at position 1: 'hello'>]\n"
