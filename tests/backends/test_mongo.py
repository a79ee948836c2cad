"""MongoDB, judged by the suites that judge every backend: a real replica set of one member."""

from __future__ import annotations

import importlib.util
import os

import pytest

if importlib.util.find_spec("pymongo") is None:
    pytest.skip("pymongo is not installed", allow_module_level=True)

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
from goes_lite_conformance.servers import ServerMissing, mongo
from goes_lite_mongo import MongoBackend

try:
    mongo.program()
except ServerMissing as _missing:
    if os.environ.get("CI"):
        raise
    pytest.skip(str(_missing), allow_module_level=True)


class Mongo(Contract):
    def url(self, storage: Storage) -> str:
        return MongoBackend.scratch(mongo.shared_url(), storage.name)

    async def erase(self, storage: Storage) -> None:
        await MongoBackend.erase(self.url(storage))


class TestEventStore(Mongo, EventStoreTests): ...


class TestSnapshotStore(Mongo, SnapshotStoreTests): ...


class TestCheckpointsAndLeases(Mongo, CheckpointAndLeaseTests): ...


class TestBackend(Mongo, BackendTests): ...


class TestParity(Mongo, ParityTests): ...


class TestCrash(Mongo, CrashTests): ...


class TestModelStore(Mongo, ModelStoreTests): ...


class TestEventBus(Mongo, EventBusTests): ...


class TestProcessor(Mongo, ProcessorTests): ...


class TestWorkflow(Mongo, WorkflowTests): ...


class TestConcurrency(Mongo, ConcurrencyTests): ...


class TestStateful(Mongo, StatefulTests): ...
