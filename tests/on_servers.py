"""The same test on a file and on servers: which backends a run takes, and new stores on them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from uuid import uuid4

import pytest
from goes_lite_conformance.servers import ServerMissing, mongo, postgres

BACKENDS = ("sqlite", "postgresql", "mongodb")


def backends_of(config: pytest.Config) -> tuple[str, ...]:
    """Return those of a share of the tests (see tests/shares.py): the second takes the servers, the others the file."""
    if config.getoption("--all"):
        return BACKENDS
    return BACKENDS[1:] if config.getoption("--share") == 1 else BACKENDS[:1]


def marks_of(backend: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a test on a backend."""
    return [] if backend == "sqlite" else [pytest.mark.server]


@contextlib.contextmanager
def a_server_is_there() -> Generator[None]:
    """Skip the test without a server, but not in CI."""
    try:
        yield
    except ServerMissing as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(exc))


def new_stores(backend: str) -> str:
    """Return how the URLs of stores begin that nobody has used; a name of letters and digits ends each."""
    with a_server_is_there():
        if backend == "postgresql":
            pytest.importorskip("asyncpg", reason="asyncpg is not installed")
            versions = postgres.versions()
            if not versions:
                raise ServerMissing("no PostgreSQL is installed")
            return f"{postgres.shared_url(versions[0])}?schema=t{uuid4().hex[:12]}_"
        pytest.importorskip("pymongo", reason="pymongo is not installed")
        return f"{mongo.shared_url()}&prefix=t{uuid4().hex[:12]}_"
