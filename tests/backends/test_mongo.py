"""MongoDB, judged by the suites that judge every backend: a real replica set of one member.

The blocking face does the same on another thread, so the suites that take longest are run on it with `-m slow` alone.
"""

from __future__ import annotations

import importlib.util
import os
from typing import ClassVar

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


class Async(Mongo):
    faces: ClassVar = ("async",)


class Blocking(Mongo):
    faces: ClassVar = ("blocking",)


class TestEventStore(Mongo, EventStoreTests): ...


class TestSnapshotStore(Mongo, SnapshotStoreTests): ...


class TestCheckpointsAndLeases(Mongo, CheckpointAndLeaseTests): ...


class TestBackend(Mongo, BackendTests): ...


class TestParity(Mongo, ParityTests): ...


class TestCrash(Mongo, CrashTests): ...


class TestModelStore(Async, ModelStoreTests): ...


class TestEventBus(Async, EventBusTests): ...


class TestProcessor(Async, ProcessorTests): ...


class TestConcurrency(Async, ConcurrencyTests): ...


class TestStateful(Async, StatefulTests): ...


@pytest.mark.slow
class TestModelStoreBlocking(Blocking, ModelStoreTests): ...


@pytest.mark.slow
class TestEventBusBlocking(Blocking, EventBusTests): ...


@pytest.mark.slow
class TestProcessorBlocking(Blocking, ProcessorTests): ...


@pytest.mark.slow
class TestConcurrencyBlocking(Blocking, ConcurrencyTests): ...


@pytest.mark.slow
class TestStatefulBlocking(Blocking, StatefulTests): ...
