"""Forks: what a child may do with its parent's stores."""

from __future__ import annotations

import os

import pytest
from goes_lite_conformance.harness import Processes

from tests.backends.sqlite_kit import check_file, note, numbers, store


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_cannot_harm_its_parent(path: str, driver: str, spawn: Processes) -> None:
    """Every use in the child is StoreForked; when it is gone the parent's locks are there and its work goes on.

    So is opening the same file anew: the SQLite in the child would take no locks, since it believes to have the parent's.
    """
    worker = spawn("fork", path=path, driver=driver)
    for name in ("append", "read", "transaction", "follow", "lease", "connect"):
        worker.expect([name, "StoreForked"])
    worker.expect("child is gone")
    lock = spawn("try_lock", path=path)
    lock.tell()
    lock.expect("locked")
    worker.tell()
    worker.expect([1, 2])
    worker.finish()
    lock.tell()
    lock.expect("free")
    assert [noted.number for noted in check_file(path)] == [1, 2]
    assert [noted.number for noted in check_file(path + ".other")] == [7]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_may_connect_if_the_parent_had_closed(path: str, driver: str) -> None:
    """Only what is open at the fork is out of bounds."""
    with store(path, driver) as db:
        db.events.append([note(1)])
    child = os.fork()
    if child == 0:
        try:
            with store(path, driver) as db:
                db.events.append([note(2)])
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with store(path, driver) as db:
        assert numbers(db) == [1, 2]
