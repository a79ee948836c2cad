"""A handle on a server that a program drops without close: a ResourceWarning, and nothing of it stays open."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import pytest

import goes_lite as goes
from tests.backends.sqlite_kit import note, registry
from tests.descriptors import needs_descriptors, open_files


def left() -> list[str]:
    """The sockets of this process, and its loop threads."""
    sockets = open_files()
    loops = [thread.name for thread in threading.enumerate() if thread.name == "goes_lite-loop"]
    return [name for name in sockets if name.startswith(("socket", "anon_inode"))] + loops


def drop(kept: list[Any]) -> None:
    kept.clear()
    gc.collect()


@needs_descriptors
@pytest.mark.parametrize(("server", "driver"), [("postgres", "asyncpg"), ("mongo", "pymongo")])
def test_a_forgotten_handle_on_a_loop_thread(server: str, driver: str) -> None:
    """The blocking face: the handle is closed, its thread ends. A store of the handle keeps it open."""
    pytest.importorskip(driver, reason=f"{driver} is not installed")
    if server == "postgres":
        from tests.backends.postgres_kit import needs_postgres as needs
        from tests.backends.postgres_kit import store_url
    else:
        from tests.backends.mongo_kit import needs_mongo as needs
        from tests.backends.mongo_kit import store_url
    needs()
    url = store_url()
    before = left()
    kept = [goes.blocking.connect(url, registry=registry).events]
    gc.collect()
    assert kept[0].append([note(1)]).positions == (1,)
    with pytest.warns(ResourceWarning, match="was not closed: use it in a with block"):
        drop(kept)
    deadline = time.monotonic() + 30
    while len(left()) > len(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(left()) <= len(before)
