"""A handle on PostgreSQL in a child process that inherited it: it says so, and the parent's goes on."""

from __future__ import annotations

import os
import sys
import warnings

import pytest
from goes_lite_conformance.harness.samples import note, registry

from goes_lite import blocking
from goes_lite.errors import StoreForked
from goes_lite.runtime import drive
from tests.backends.postgres_kit import needs_postgres, store_url

needs_postgres()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_is_told() -> None:
    """Two processes that speak over one connection would ruin it for both."""
    with blocking.connect(store_url(), registry=registry) as db:
        db.events.append([note("1")])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # later Pythons warn of forking beside threads: that is what this is about
            child = os.fork()
        if not child:
            try:
                drive(db.backend.events.head())  # the loop thread is not there in the child, so it is driven by hand
            except StoreForked:
                os._exit(7)
            except BaseException:
                os._exit(1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        db.events.append([note("2")])
        assert db.events.count() == 2
