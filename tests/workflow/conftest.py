"""A store for the tests of workflows, whose clock they move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.testing import FakeClock
from tests.workflow.store_kit import Fragile, append, instance, place, settle
from tests.workflow.workflow_kit import NOON, Cancelled, registry


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def db(clock: FakeClock) -> Iterator[BlockingDatabase]:
    with connect("sqlite:///:memory:", registry=registry, clock=clock) as db:
        yield db


@pytest.fixture
def fragile() -> Fragile:
    return Fragile("1")


@pytest.fixture
def suspended(db: BlockingDatabase, clock: FakeClock, fragile: Fragile) -> Any:
    """A processor with a suspended instance, for which two inputs wait, and one that is well."""
    flow = db.workflow(fragile, patience=1)
    place(db, "1")
    place(db, "2")
    flow.catch_up()
    settle(db)
    append(db, Cancelled(), "1")
    flow.catch_up()
    clock.advance(60)
    flow.catch_up()
    assert instance(db).status == "suspended"
    return flow
