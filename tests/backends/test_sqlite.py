"""SQLite, in memory and in a file, with both drivers, judged by the suites that judge every backend."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

from goes_lite_conformance import (
    BackendTests,
    CheckpointAndLeaseTests,
    ConcurrencyTests,
    Contract,
    CrashTests,
    EventBusTests,
    EventStoreTests,
    ModelStoreTests,
    ParityTests,
    ProcessorTests,
    SnapshotStoreTests,
    StatefulTests,
    Storage,
    WorkflowTests,
)

DRIVERS = [driver for driver in ("apsw", "sqlite3") if importlib.util.find_spec(driver)]


class SQLite(Contract):
    # In memory with the first driver alone: what is different there is ours. Without apsw, that is the other one.
    variants: ClassVar = (*(f"memory-{driver}" for driver in DRIVERS[:1]), *(f"file-{driver}" for driver in DRIVERS))

    def url(self, storage: Storage) -> str:
        place, driver = storage.variant.split("-")
        path = ":memory:" if place == "memory" else f"{storage.folder}/app.db"
        return f"sqlite:///{path}?driver={driver}"


class OnALoopThread(SQLite):
    """As a network backend is used by blocking programs: what is different then is in our own code, not in SQLite."""

    faces: ClassVar = ("loop",)
    variants: ClassVar = tuple(f"file-{driver}" for driver in DRIVERS[:1])


class TestEventStore(SQLite, EventStoreTests): ...


class TestSnapshotStore(SQLite, SnapshotStoreTests): ...


class TestModelStore(SQLite, ModelStoreTests): ...


class TestCheckpointsAndLeases(SQLite, CheckpointAndLeaseTests): ...


class TestEventBus(SQLite, EventBusTests): ...


class TestBackend(SQLite, BackendTests): ...


class TestProcessor(SQLite, ProcessorTests): ...


class TestWorkflow(SQLite, WorkflowTests): ...


class TestParity(SQLite, ParityTests): ...


class TestConcurrency(SQLite, ConcurrencyTests): ...


class TestStateful(SQLite, StatefulTests): ...


class TestCrash(SQLite, CrashTests): ...


class TestEventStoreOnALoop(OnALoopThread, EventStoreTests): ...


class TestSnapshotStoreOnALoop(OnALoopThread, SnapshotStoreTests): ...


class TestModelStoreOnALoop(OnALoopThread, ModelStoreTests): ...


class TestCheckpointsAndLeasesOnALoop(OnALoopThread, CheckpointAndLeaseTests): ...


class TestEventBusOnALoop(OnALoopThread, EventBusTests): ...


class TestBackendOnALoop(OnALoopThread, BackendTests): ...


class TestProcessorOnALoop(OnALoopThread, ProcessorTests): ...


class TestConcurrencyOnALoop(OnALoopThread, ConcurrencyTests): ...
