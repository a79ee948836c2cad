"""What the tests of MongoDB share: servers, stores of their own, worker processes."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance._workers import Process
from goes_lite_conformance.servers import ServerMissing, mongo


def needs_mongo() -> None:
    """Skip the module where MongoDB or its driver is not installed; in CI a server that is missing is a failure."""
    if importlib.util.find_spec("pymongo") is None:
        pytest.skip("pymongo is not installed", allow_module_level=True)
    try:
        mongo.program()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing), allow_module_level=True)


def store_url(url: str | None = None, **options: Any) -> str:
    """Of a store that nobody has used, on a server that tests share unless there is another one."""
    query = "".join(f"&{name}={value}" for name, value in options.items())
    return f"{url or mongo.shared_url()}&prefix=t{uuid4().hex[:16]}_{query}"


class Worker(Process):
    """A process that does a job of mongo_jobs."""

    def __init__(self, job: str, **arguments: Any) -> None:
        super().__init__(job, str(Path(__file__).with_name("mongo_jobs.py")), job, json.dumps(arguments))


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
