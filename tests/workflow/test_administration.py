"""`db.workflows`: what is stuck, why, and how it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, BlockingWorkflowProcessor
from goes_lite.errors import ConfigError, InstanceNotFound, WorkflowError
from goes_lite.events.workflow import WorkflowEnded, WorkflowHandled, WorkflowResumed
from goes_lite.testing import FakeClock
from tests.workflow.store_kit import (
    Fragile,
    Second,
    append,
    commands,
    history,
    instance,
    place,
    settle,
    timers,
    waiting,
)
from tests.workflow.workflow_kit import Cancelled, Fulfilment, Placed, Progress, Recall, Refund, registry


def test_instances_are_listed_and_found(db: BlockingDatabase, suspended: Any) -> None:
    place(db, "3")
    append(db, Cancelled(), "3")
    suspended.catch_up()

    workflows = db.workflows
    assert workflows.names() == ["fulfilment"]
    assert [(one.workflow, one.key, one.status) for one in workflows.list()] == [
        ("fulfilment", "1", "suspended"),
        ("fulfilment", "2", "running"),
        ("fulfilment", "3", "failed"),
    ]
    assert [one.key for one in workflows.list(Fulfilment, live=True)] == ["1", "2"]
    assert [one.key for one in workflows.list("fulfilment", status="running")] == ["2"]
    assert [one.key for one in workflows.list(Fulfilment(), limit=1)] == ["1"]
    assert workflows.list("other") == []
    found = workflows.find("fulfilment", "2")
    assert found is not None
    assert found == instance(db, "2")
    assert workflows.find("fulfilment", "9") is None
    (stuck,) = workflows.stuck()
    assert stuck.key == "1"
    assert stuck.failing is not None
    assert stuck.failing.error == "RuntimeError: out of order"


def test_a_retry_continues_in_order_before_newer_inputs(
    db: BlockingDatabase, suspended: BlockingWorkflowProcessor, fragile: Fragile
) -> None:
    fragile.broken.clear()
    db.workflows.retry(Fulfilment, "1")
    assert (instance(db).status, db.workflows.stuck()[0].key) == ("running", "1")
    append(db, Placed(1), "1")  # it has not gone on yet
    suspended.catch_up()

    found = instance(db)
    assert (found.failing, found.status, waiting(db)) == (None, "compensating", 0)
    assert found.state["seen"] == ["order.placed", "goes.command.outcome", "order.cancelled"]
    assert Refund("1") in commands(db)
    assert any(data == WorkflowResumed("retry", 1) for data in history(db))


def test_a_retry_that_fails_again_has_all_its_patience(
    db: BlockingDatabase, suspended: BlockingWorkflowProcessor, clock: FakeClock
) -> None:
    clock.advance(1000)
    db.workflows.retry("fulfilment", "1")
    suspended.catch_up()
    assert instance(db).status == "running"
    clock.advance(60)
    suspended.catch_up()
    assert instance(db).status == "suspended"


def test_a_skip_leaves_one_input_out(db: BlockingDatabase, suspended: BlockingWorkflowProcessor) -> None:
    db.workflows.skip("fulfilment", "1")
    suspended.catch_up()

    found = instance(db)
    assert (found.failing, found.status, waiting(db)) == (None, "failed", 0)
    assert found.state["seen"] == ["order.placed", "order.cancelled"]
    (resumed,) = [data for data in history(db) if isinstance(data, WorkflowResumed)]
    assert resumed.skipped is not None
    assert (resumed.action, resumed.skipped.name) == ("skip", "goes.command.outcome")
    suspended.reset()
    suspended.catch_up()
    assert instance(db).inputs == found.inputs


def test_a_skip_of_a_timer(db: BlockingDatabase, clock: FakeClock, fragile: Fragile) -> None:
    flow = db.workflow(fragile)
    place(db)
    flow.catch_up()
    clock.advance(timedelta(days=2).total_seconds())
    flow.catch_up()
    (stuck,) = db.workflows.stuck("fulfilment")
    assert stuck.failing is not None
    assert stuck.failing.input == "payment"
    db.workflows.skip("fulfilment", "1")
    flow.catch_up()

    assert (instance(db).status, instance(db).timers, instance(db).failing, timers(db)) == ("running", {}, None, [])


def test_an_undo_that_failed_is_dispatched_again_or_skipped(db: BlockingDatabase) -> None:
    flow = db.workflow(Fulfilment())
    place(db)
    for _ in range(3):
        flow.catch_up()
        settle(db)
    append(db, Cancelled())
    flow.catch_up()
    (first,) = db.commands.accepted()
    settle(db, "failed", message="no connection")
    flow.catch_up()
    assert (instance(db).status, commands(db)) == ("suspended", [])

    db.workflows.retry("fulfilment", "1")
    flow.catch_up()
    assert (instance(db).status, commands(db)) == ("compensating", [Recall("1")])
    assert db.commands.accepted()[0].id != first.id
    settle(db, "rejected", message="delivered")
    flow.catch_up()
    db.workflows.skip("fulfilment", "1")
    flow.catch_up()
    assert (instance(db).status, commands(db)) == ("compensating", [Refund("1")])
    settle(db)
    flow.catch_up()
    assert instance(db).status == "failed"


def test_a_cancel_ends_it(db: BlockingDatabase, suspended: BlockingWorkflowProcessor) -> None:
    db.workflows.cancel("fulfilment", "1", reason="lost")
    db.workflows.cancel("fulfilment", "2")
    append(db, Cancelled(), "2")
    suspended.catch_up()

    assert (instance(db).status, instance(db).reason, instance(db, "2").status) == ("cancelled", "lost", "cancelled")
    assert (waiting(db), timers(db), suspended.ignored) == (0, [], 1)
    assert history(db)[-1] == WorkflowEnded("cancelled", "lost")
    with pytest.raises(InstanceNotFound, match="is cancelled"):
        db.workflows.cancel("fulfilment", "1")


def test_a_migration_changes_the_version_and_tries_again(
    db: BlockingDatabase, suspended: BlockingWorkflowProcessor, fragile: Fragile
) -> None:
    db.workflows.migrate(Second, "1")
    assert instance(db).version == 2
    suspended.catch_up()  # it does not have version 2
    assert instance(db).status == "suspended"
    assert "version 2" in history(db)[-1].error
    fragile.broken.clear()
    db.workflows.migrate("fulfilment", "1", 1)
    suspended.catch_up()
    assert instance(db).status == "compensating"


def test_the_history_shows_the_state_after_each_input(
    db: BlockingDatabase, suspended: BlockingWorkflowProcessor
) -> None:
    moments = db.workflows.show(Fulfilment(), "2")
    handled = [moment for moment in moments if isinstance(moment.data, WorkflowHandled)]
    assert [moment.state.seen for moment in handled] == [("order.placed",), ("order.placed", "goes.command.outcome")]
    assert moments[0].state == Progress("2")
    assert [moment.version for moment in moments] == [1, 2, 3]
    assert not any(moment.problem for moment in moments)
    assert [moment.state for moment in db.workflows.show("fulfilment", "2")] == [None] * 3
    assert "no definition of version 1" in db.workflows.show(Second(), "2")[1].problem
    assert db.workflows.show(Second(), "2", earlier=[Fulfilment()]) == moments
    assert db.workflows.show("fulfilment", "9") == []


def test_an_input_that_was_erased_is_said(db: BlockingDatabase, suspended: BlockingWorkflowProcessor) -> None:
    db.events.delete(goes.AggregateRef("order", "2"))
    moments = db.workflows.show(Fulfilment(), "2")
    assert [moment.problem for moment in moments[1:]] == ["an input was erased"] * 2


def test_what_cannot_be_done_is_refused(db: BlockingDatabase, suspended: BlockingWorkflowProcessor) -> None:
    workflows: Any = db.workflows
    for act in (workflows.retry, workflows.skip):
        with pytest.raises(InstanceNotFound, match="does not exist"):
            act("fulfilment", "9")
        with pytest.raises(WorkflowError, match="'2' of the workflow 'fulfilment' is running, and not stuck"):
            act("fulfilment", "2")
    wrongs: list[Callable[[], object]] = [
        lambda: workflows.retry(5, "1"),
        lambda: workflows.list(object()),
        lambda: workflows.cancel("fulfilment", "1", reason=5),
        lambda: workflows.migrate("fulfilment", "1"),
        lambda: workflows.migrate("fulfilment", "1", 0),
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            wrong()


def test_an_event_that_starts_it_cannot_be_skipped(db: BlockingDatabase, clock: FakeClock) -> None:
    class Unstartable(Fulfilment, name="fulfilment"):
        def placed(self, state: Progress, event: goes.Event[Placed]) -> Any:
            raise RuntimeError

    place(db)
    db.workflow(Unstartable()).catch_up()
    with pytest.raises(WorkflowError, match="cannot skip the event that starts it"):
        db.workflows.skip("fulfilment", "1")
    db.workflows.cancel("fulfilment", "1")
    assert instance(db).status == "cancelled"


def test_an_event_that_starts_it_is_tried_again(tmp_path: Any, clock: FakeClock) -> None:
    class Unstartable(Fulfilment, name="fulfilment"):
        def placed(self, state: Progress, event: goes.Event[Placed]) -> Any:
            raise RuntimeError

    path = str(tmp_path / "app.db")
    with goes.blocking.connect(path, registry=registry, clock=clock) as db:
        place(db)
        db.workflow(Unstartable()).catch_up()
    clock.advance(60)
    with goes.blocking.connect(path, registry=registry, clock=clock) as db:
        db.workflow(Fulfilment()).catch_up()
        assert (instance(db).inputs, instance(db).failing, len(db.commands.accepted())) == (1, None, 1)
        assert type(history(db)[0]).__name__ == "WorkflowStarted"


def test_the_async_face_is_the_same() -> None:
    async def main() -> None:
        async with goes.connect("sqlite:///:memory:", registry=registry) as db:
            event = goes.Event(Placed(450), aggregate=("order", "1"), version=1, registry=registry)
            await db.events.append([event])
            await db.workflow(Fulfilment()).catch_up()
            assert [one.key for one in await db.workflows.list()] == ["1"]
            await db.workflows.cancel("fulfilment", "1")
            assert (await db.workflows.show("fulfilment", "1"))[-1].data == WorkflowEnded("cancelled", "")

    asyncio.run(main())
