"""examples/custom_backend keeps the contract: what every author of a backend writes, in full."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime, timezone
from pathlib import Path

import goes_lite_conformance as suites
import pytest

import goes_lite as goes
from goes_lite import errors
from goes_lite.snapshot import Snapshot

# The example is no installed package: it is loaded by its path; worker processes import this file, and so load it, too.
_path = Path(__file__).resolve().parents[1] / "examples" / "custom_backend" / "__init__.py"
_spec = importlib.util.spec_from_file_location("custom_backend", _path, submodule_search_locations=[str(_path.parent)])
assert _spec is not None
assert _spec.loader is not None
custom_backend = sys.modules["custom_backend"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(custom_backend)


class Journal(suites.Contract):
    def url(self, storage: suites.Storage) -> str:
        return f"journal:///{storage.folder}/app.journal"


class TestEventStore(Journal, suites.EventStoreTests): ...


class TestSnapshotStore(Journal, suites.SnapshotStoreTests): ...


class TestModelStore(Journal, suites.ModelStoreTests): ...


class TestCheckpointsAndLeases(Journal, suites.CheckpointAndLeaseTests): ...


class TestEventBus(Journal, suites.EventBusTests): ...


class TestBackend(Journal, suites.BackendTests): ...


class TestParity(Journal, suites.ParityTests): ...


class TestConcurrency(Journal, suites.ConcurrencyTests): ...


class TestStateful(Journal, suites.StatefulTests): ...


class TestCrash(Journal, suites.CrashTests): ...


# --- what is the journal's own ----------------------------------------------------------------------------------------


def test_a_torn_line_was_never_written(tmp_path: Path) -> None:
    """However much of the last line a crash has left: what was acknowledged is there, and the next append cuts it off."""
    path = tmp_path / "app.journal"
    with goes.blocking.connect(f"journal:///{path}") as db:
        db.models.put("c", "1", "1")
        whole = path.read_bytes()
        db.models.put("c", "1", "2")
    torn = path.read_bytes()
    for size in range(len(whole), len(torn)):
        path.write_bytes(torn[:size])
        with goes.blocking.connect(f"journal:///{path}") as db:
            assert [record.version for record in db.models.query("c")] == [1]
            assert db.models.put("c", "1", "3") == 2
        with goes.blocking.connect(f"journal:///{path}") as db:
            assert [record.data for record in db.models.query("c")] == ["3"]


def test_a_damaged_line_is_not_passed_over(tmp_path: Path) -> None:
    """A line that others follow was acknowledged once: the file is damaged, and is left as it is."""
    path = tmp_path / "app.journal"
    with goes.blocking.connect(f"journal:///{path}") as db:
        for number in range(3):
            db.models.put("c", "1", str(number))
    damaged = path.read_bytes().replace(b'"1",2,"1"', b'"1",2,"7"')
    path.write_bytes(damaged)
    with pytest.raises(errors.StoreDamaged):
        goes.blocking.connect(f"journal:///{path}")
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"", b"text", b"text\nmore\n", b"\0\xff" * 100])
def test_a_foreign_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(errors.ForeignFile):
        goes.blocking.connect(f"journal:///{path}")
    assert path.read_bytes() == content


def test_what_is_deleted_is_not_in_the_file(tmp_path: Path) -> None:
    """Nor is what was overwritten, once something was deleted; other handles go on with the new file."""
    path = tmp_path / "app.journal"
    with goes.blocking.connect(f"journal:///{path}") as db, goes.blocking.connect(f"journal:///{path}") as other:
        for id in ("secret", "open"):
            db.snapshots.save(
                Snapshot(goes.AggregateRef("order", id), 1, datetime.now(timezone.utc), 1, "json", f"state of {id}")
            )
        db.events.delete(goes.AggregateRef("order", "secret"))
        assert b"secret" not in path.read_bytes()
        assert [snapshot.state for snapshot in other.snapshots.query()] == ["state of open"]
