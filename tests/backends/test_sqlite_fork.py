"""Forks: what a child may do with its parent's stores."""

from __future__ import annotations

import os
import subprocess
import sys

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


FORKED = """
import os, sys
import goes_lite as goes

goes.default_registry.register("n", int)
with goes.blocking.connect(sys.argv[1], driver=sys.argv[2]) as db:
    db.events.append([goes.Event(1, name="n")])
    with db.processor("p", lambda event: None) as processor:
        processor.wait_for(1, 60)
        child = os.fork()
        if child:
            print("child:", os.waitpid(child, 0)[1], flush=True)
            db.events.append([goes.Event(2, name="n")])
            processor.wait_for(2, 60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_may_leave_the_blocks_of_its_parent(path: str, driver: str) -> None:
    """A child that is forked while a processor runs ends like any other, and the processor of its parent goes on."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", FORKED, path, driver], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "child: 0\n"), ran.stderr
    with store(path, driver) as db:
        assert db.events.head() == 2
