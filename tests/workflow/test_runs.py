"""Several runs of one key, and several versions of one definition: each is told what is meant for it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.events.outcome import CommandOutcome
from goes_lite.testing import FakeClock
from goes_lite.workflow import Instance
from tests.workflow.flow_kit import Placed as FlowPlaced
from tests.workflow.flow_kit import world
from tests.workflow.test_engine import append, commands, instance, place, settle
from tests.workflow.workflow_kit import NOON, Cancelled, Delivered, Fulfilment, Placed, Progress, Recall, registry


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def db(clock: FakeClock) -> Iterator[BlockingDatabase]:
    with connect("sqlite:///:memory:", registry=registry, clock=clock) as db:
        yield db


def waiting(db: BlockingDatabase) -> int:
    return sum(len(list(db.models.query(name))) for name in db.models.collections() if name.startswith("goes:waiting:"))


def test_an_outcome_is_for_the_run_that_dispatched_its_command(db: BlockingDatabase) -> None:
    flow = db.workflow(Fulfilment(), on_second_start="new run")
    place(db)
    flow.catch_up()
    db.workflows.cancel("fulfilment", "1")
    place(db, total=7)
    flow.catch_up()
    first, second = sorted(db.commands.accepted(), key=lambda one: "workflow-run:2" in str(one.metadata))
    db.commands.withdraw(first.id)  # which is an outcome: failed
    flow.catch_up()
    assert (instance(db).run, instance(db).status, instance(db).inputs, flow.ignored) == (2, "running", 1, 1)

    settle(db)
    flow.catch_up()
    assert (instance(db).inputs, instance(db).state["seen"][-1]) == (2, "goes.command.outcome")
    assert second.id not in {one.id for one in db.commands.accepted()}


def test_a_step_of_an_earlier_run_answers_no_later_one() -> None:
    got: list[object] = []

    @goes.flow("fulfilment", starts_with=FlowPlaced)
    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[FlowPlaced]) -> None:
        total = placed.data.total
        got.append(flow.step("pack", lambda: total))

    with world() as w:
        flow = w.db.workflow(fulfil, on_second_start="new run")
        w.append(FlowPlaced(1))
        flow.catch_up()
        w.db.workflows.cancel("fulfilment", "1")
        w.append(FlowPlaced(2))
        w.go(flow, concurrency=1)  # the one after the other, as they were accepted
        assert (w.instance().status, w.instance().run, got) == ("completed", 2, [2])
