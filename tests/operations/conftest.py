"""What tests of operations share: an empty store on each backend, and the end of the servers behind them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.conftest_kit import url

__all__ = ["url"]


@pytest.fixture(scope="session", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    """Servers that tests share are started by the first that asks, and end with the run."""
    yield
    for name in ("postgres", "mongo"):
        if server := sys.modules.get(f"goes_lite_conformance.servers.{name}"):
            server.close_shared()
