"""Several runs of one key, and several versions of one definition: each is told what is meant for it, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.events.workflow import WorkflowResumed
from goes_lite.processor.target import Displaced
from goes_lite.testing import FakeClock
from goes_lite.workflow.instance import Failing
from goes_lite.workflow.transition import Recorded, Step
from goes_lite.workflow.work import Work
from tests.workflow.flow_kit import Placed as FlowPlaced
from tests.workflow.flow_kit import world
from tests.workflow.store_kit import append, commands, instance, place, settle, waiting
from tests.workflow.workflow_kit import NOON, Cancelled, Delivered, Fulfilment, Late, Placed, Progress, Recall, registry


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


def test_what_waited_for_an_instance_that_ended_is_told_to_no_later_run(
    db: BlockingDatabase, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much that is."""
    monkeypatch.setattr("goes_lite.workflow.due.DRAIN", 3)
    broken = {"order.cancelled"}

    class Fragile(Fulfilment, name="fulfilment"):
        def evolve(self, state: Progress, input: Any) -> Progress:
            if input.name in broken:
                raise RuntimeError("broken")
            return super().evolve(state, input)

    flow = db.workflow(Fragile(), on_second_start="new run")
    place(db)
    for _ in range(10):
        append(db, Cancelled())
    flow.catch_up()
    assert waiting(db) == 10
    broken.clear()
    clock.advance(60)
    flow.catch_up()

    assert (instance(db).status, instance(db).failing, waiting(db), flow.ignored) == ("failed", None, 0, 9)


def test_the_last_undo_may_be_skipped(db: BlockingDatabase) -> None:
    flow = db.workflow(Fulfilment())
    place(db)
    for _ in range(2):
        flow.catch_up()
        settle(db)
    append(db, Cancelled())
    flow.catch_up()
    while Recall("1") in commands(db):
        settle(db)
        flow.catch_up()
    settle(db, "rejected", message="no")
    flow.catch_up()
    assert (instance(db).status, len(instance(db).undo)) == ("suspended", 1)
    db.workflows.skip("fulfilment", "1")
    flow.catch_up()
    assert (instance(db).status, instance(db).reason) == ("failed", "cancelled by the customer")


def test_a_dead_letter_reaches_the_instances_that_its_key_is_associated_with(db: BlockingDatabase) -> None:
    broken = {"key"}

    def parcel(event: goes.Event[Delivered]) -> str:
        if broken:
            raise RuntimeError("no key")
        return event.data.parcel

    class Keyed(Fulfilment, name="fulfilment"):
        @goes.reacts(Delivered, key=parcel)
        def delivered(self, state: Progress, event: goes.Event[Delivered]) -> Any:
            return goes.Publish(Placed(1))

        @goes.reacts(Cancelled)
        def cancelled(self, state: Progress, event: goes.Event[Cancelled]) -> Any:
            return None

    flow = db.workflow(Keyed(), retry=goes.Retry(1, then="park"))
    place(db)
    for _ in range(3):
        flow.catch_up()
        settle(db)
    append(db, Delivered("parcel-1"), "parcel")
    append(db, Cancelled())
    flow.catch_up()
    (letter,) = flow.parked()
    broken.clear()
    flow.redrive(letter)
    flow.catch_up()
    assert (flow.parked(), instance(db).state["seen"][-1]) == ([], "parcel.delivered")


def test_a_timer_is_kept_that_is_cancelled_and_set_again_for_the_same_time(
    db: BlockingDatabase, clock: FakeClock
) -> None:
    """In one transaction, in which it is due itself."""

    class Timed(goes.Workflow[Progress], name="fulfilment"):
        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
            for number, name in enumerate(("cancels", "timer", "sets")):
                yield goes.SetTimer(name, at=NOON.replace(second=number + 1))

        @goes.on_timer("cancels")
        def cancels(self, state: Progress, timer: goes.TimerFired) -> goes.Effect:
            return goes.CancelTimer("timer")

        @goes.on_timer("sets")
        def sets(self, state: Progress, timer: goes.TimerFired) -> goes.Effect:
            return goes.SetTimer("timer", at=NOON.replace(second=2))

        @goes.on_timer("timer")
        def fired(self, state: Progress, timer: goes.TimerFired) -> goes.Effect:
            return goes.Complete()

    flow = db.workflow(Timed())
    place(db)
    flow.catch_up()
    clock.advance(60)
    flow.catch_up()
    assert instance(db).status == "completed"


# --- versions ---------------------------------------------------------------------------------------------------------------


def test_an_instance_is_told_what_its_own_version_reacts_to(tmp_path: Any, clock: FakeClock) -> None:
    """Events, and keys, that the newest version does not know any more, and none that only that knows."""

    class Second(goes.Workflow[Progress], name="fulfilment", version=2):
        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> None:
            return None

        @goes.reacts(Late)
        def late(self, state: Progress, event: goes.Event[Late]) -> goes.Effect:
            return goes.Fail("late")

        @goes.reacts(Delivered)
        def delivered(self, state: Progress, event: goes.Event[Delivered]) -> Any:
            return goes.Complete()

    path = str(tmp_path / "app.db")
    with connect(path, registry=registry, clock=clock) as db:
        for order in ("1", "2", "3"):
            place(db, order)
        db.workflow(Fulfilment()).catch_up()
    with connect(path, registry=registry, clock=clock) as db:
        flow = db.workflow(Second(), earlier=[Fulfilment()])
        for order in ("4", "5"):
            place(db, order)
        append(db, Cancelled(), "1")
        append(db, Delivered("2"), "3")  # for version 1, the key is that of the parcel
        append(db, Late("3"), "3")
        append(db, Cancelled(), "4")
        append(db, Delivered("9"), "5")
        flow.catch_up()
        found = {one.key: (one.version, one.status) for one in db.workflows.list("fulfilment")}
        assert found == {
            "1": (1, "failed"),
            "2": (1, "completed"),
            "3": (1, "running"),
            "4": (2, "running"),
            "5": (2, "completed"),
        }
        assert instance(db, "3").inputs == 1


# --- at the same time -------------------------------------------------------------------------------------------------------


def test_a_timer_of_the_year_1970_that_fails_is_suspended_like_any_other(
    db: BlockingDatabase, clock: FakeClock
) -> None:
    class Early(Fulfilment, name="fulfilment"):
        def placed(self, state: Progress, event: goes.Event[Placed]) -> Any:
            return goes.SetTimer("payment", at=datetime(1970, 1, 1, tzinfo=timezone.utc))

        def late(self, state: Progress, timer: goes.TimerFired) -> Any:
            raise RuntimeError("too early")

    flow = db.workflow(Early(), patience=60)
    place(db)
    for _ in range(2):
        flow.catch_up()
        clock.advance(61)
    assert instance(db).status == "suspended"
    db.workflows.skip("fulfilment", "1")
    flow.catch_up()
    assert (instance(db).status, instance(db).timers) == ("running", {})


async def _changed_meanwhile(careful: bool) -> bool:
    """Whether a change of an instance is refused of which another transaction has noted a failure since it was read."""
    async with goes.connect("sqlite:///:memory:", registry=registry, clock=FakeClock(NOON)) as db:
        await db.events.append([goes.Event(Placed(1), aggregate=("order", "1"), version=1, registry=registry)])
        await db.workflow(Fulfilment()).catch_up()
        async with db.backend.transaction() as tx:
            work = Work(db.backend, tx, "fulfilment", NOON, careful=careful)
            await work.load(["1"])
            found = work.get("1")
            assert found is not None
            failing = replace(found, failing=Failing(NOON, 1, "broken"))
            await work.stored.instances.put("1", failing)  # what READ COMMITTED lets another transaction do
            resumed = replace(found, events=found.events + 1)
            work.step(Step(resumed, (), (Recorded(WorkflowResumed("migrate", 2)),), ()), None)
            try:
                await work.save()
            except Displaced:
                return True
        return False


def test_a_person_does_not_overwrite_a_failure_that_was_noted_meanwhile() -> None:
    assert asyncio.run(_changed_meanwhile(True))
    assert not asyncio.run(_changed_meanwhile(False))
