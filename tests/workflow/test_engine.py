"""The engine: instances in a store are told their inputs, each once, in one transaction with all that they do."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.errors import ConfigError, InstanceExists, InstanceNotFound, InvalidEventError, ProcessorStopped
from goes_lite.events.fields import to_micros
from goes_lite.events.workflow import WorkflowEnded, WorkflowHandled, WorkflowStarted
from goes_lite.testing import FakeClock
from goes_lite.workflow import Instance
from goes_lite.workflow.stored import TimerRow, timer_id
from goes_lite.workflow.work import Work
from tests.workflow.store_kit import Fragile, Second, append, commands, history, instance, place, settle, timers
from tests.workflow.workflow_kit import (
    NOON,
    Cancelled,
    Charge,
    Delivered,
    Fulfilment,
    Late,
    Placed,
    Recall,
    Refund,
    Ship,
    registry,
)


def test_an_instance_goes_its_way(db: BlockingDatabase) -> None:
    flow = db.workflow(Fulfilment())
    place(db)
    flow.catch_up()
    assert (commands(db), instance(db).status) == ([Charge("1", 450)], "running")
    assert len(timers(db)) == 1

    settle(db)
    flow.catch_up()
    assert (commands(db), timers(db)) == ([Ship("1")], [])

    settle(db)
    flow.catch_up()
    append(db, Delivered("parcel-1"), "parcel")
    flow.catch_up()

    assert (instance(db).status, instance(db).inputs) == ("completed", 4)
    assert [type(data) for data in history(db)] == [WorkflowStarted, *[WorkflowHandled] * 4, WorkflowEnded]
    assert list(db.models.query("goes:associations:fulfilment")) == []
    assert flow.ignored == 0


def test_the_async_face_is_the_same() -> None:
    async def main() -> None:
        async with goes.connect("sqlite:///:memory:", registry=registry) as db:
            event = goes.Event(Placed(450), aggregate=("order", "1"), version=1, registry=registry)
            async with db.workflow(Fulfilment()) as flow:
                await flow.wait_for((await db.events.append([event])).position, 30)
            found = await db.models_of("goes:workflow:fulfilment", Instance).get("1")
            assert (found.status, len(await db.commands.accepted())) == ("running", 1)

    asyncio.run(main())


def test_a_batch_holds_many_instances_and_many_inputs_of_one(db: BlockingDatabase) -> None:
    for order in range(20):
        place(db, str(order), order)
        append(db, Cancelled(), str(order))
    db.workflow(Fulfilment()).catch_up()

    for order in range(20):
        found = instance(db, str(order))
        assert (found.status, found.inputs, found.state["seen"]) == ("failed", 2, ["order.placed", "order.cancelled"])
    assert len(db.commands.accepted()) == 20


def test_everything_that_belongs_to_it_has_one_correlation(db: BlockingDatabase) -> None:
    place(db, metadata={"correlation": "request-1", "actor": "ada"})
    db.workflow(Fulfilment()).catch_up()
    settle(db)
    db.workflow(Fulfilment()).catch_up()

    events = db.events.load(goes.AggregateRef("workflow:fulfilment", "1"))
    assert {event.metadata["correlation"] for event in events} == {"request-1"}
    (command,) = db.commands.accepted()
    assert command.metadata["correlation"] == "request-1"


# --- timers ---------------------------------------------------------------------------------------------------------------


def test_a_timer_fires_once_when_it_is_due(db: BlockingDatabase, clock: FakeClock) -> None:
    flow = db.workflow(Fulfilment())
    place(db)
    flow.catch_up()
    clock.advance(timedelta(days=2, seconds=-1).total_seconds())
    flow.catch_up()
    assert instance(db).inputs == 1

    clock.advance(timedelta(seconds=1).total_seconds())
    flow.catch_up()
    flow.catch_up()

    assert (instance(db).status, instance(db).reason, timers(db)) == ("failed", "no payment in time", [])
    assert history(db)[-2:] == [Late("1"), WorkflowEnded("failed", "no payment in time")]


def test_a_clock_that_is_set_forward_or_back_fires_once_in_due_order(db: BlockingDatabase, clock: FakeClock) -> None:
    flow = db.workflow(Fulfilment())
    for order in "321":
        place(db, order)
        clock.advance(timedelta(hours=1).total_seconds())
    flow.catch_up()
    clock.set(NOON + timedelta(days=400))
    flow.catch_up()
    clock.set(NOON)
    flow.catch_up()

    late = [event.data.order for event in db.events.query(goes.EventQuery(["fulfilment.late"]))]
    assert late == ["3", "2", "1"]


def test_a_timer_survives_its_process_and_fires_in_a_running_one(tmp_path: Any, clock: FakeClock) -> None:
    path = str(tmp_path / "app.db")
    with connect(path, registry=registry, clock=clock) as db:
        place(db)
        db.workflow(Fulfilment()).catch_up()
    clock.advance(timedelta(days=400).total_seconds())
    with connect(path, registry=registry, clock=clock) as db, db.workflow(Fulfilment()) as flow:
        flow.wait_for(db.events.head(), 60)
        deadline = time.monotonic() + 60
        while not instance(db).ended and time.monotonic() < deadline:
            time.sleep(0.01)
        assert instance(db).status == "failed"


def test_a_timer_that_cannot_be_read_or_is_stale_blocks_no_other(db: BlockingDatabase, clock: FakeClock) -> None:
    place(db)
    flow = db.workflow(Fulfilment())
    flow.catch_up()
    collection, rows = "goes:timers:fulfilment", db.models_of("goes:timers:fulfilment", TimerRow)
    for key in ("1", "2"):  # of a timer that was cancelled, and of nobody
        gone = TimerRow(key, "timer", "gone", to_micros(NOON))
        rows.put(timer_id(gone), gone)
    stale = f'{{"key":"1","kind":"timer","name":"gone","due":{to_micros(NOON)}}}'
    for number, data in enumerate(["[]", "{}", stale, '{"key":"2","kind":"retry","name":"","due":0}']):
        db.models.put(collection, f"{number:020d}-odd", data)
    clock.advance(timedelta(days=2).total_seconds())

    flow.catch_up()

    assert instance(db).status == "failed"
    assert [id[0] for id in timers(db)] == ["~"] * 4
    clock.advance(timedelta(days=2).total_seconds())
    flow.catch_up()
    assert len(timers(db)) == 4


# --- what it is not told --------------------------------------------------------------------------------------------------


def test_events_for_nobody_are_counted_and_ignored_or_an_error(db: BlockingDatabase) -> None:
    append(db, Cancelled())
    flow = db.workflow(Fulfilment())
    flow.catch_up()
    assert flow.ignored == 1
    place(db)
    append(db, Cancelled())
    append(db, Cancelled())
    flow.catch_up()
    assert flow.ignored == 2

    append(db, Cancelled())
    strict = db.workflow(Fulfilment(), strict=True, retry=goes.Retry(1))
    with pytest.raises(ProcessorStopped) as caught:
        strict.catch_up()
    assert isinstance(caught.value.__cause__, InstanceNotFound)
    assert "'1' of the workflow 'fulfilment' is failed" in str(caught.value.__cause__)


def test_a_second_start_is_ignored_or_an_error_or_another_run(db: BlockingDatabase) -> None:
    def again() -> int:
        return append(db, Placed(7))

    place(db)
    again()
    flow = db.workflow(Fulfilment())
    flow.catch_up()
    assert (instance(db).run, instance(db).inputs, flow.ignored) == (1, 1, 1)

    again()
    with pytest.raises(ProcessorStopped) as caught:
        db.workflow(Fulfilment(), on_second_start="error", retry=goes.Retry(1)).catch_up()
    assert isinstance(caught.value.__cause__, InstanceExists)

    runs = db.workflow(Fulfilment(), on_second_start="new run")
    runs.catch_up()
    assert (instance(db).run, runs.ignored) == (1, 1)  # it is still running
    append(db, Cancelled())
    again()
    runs.catch_up()
    found = instance(db)
    assert (found.run, found.status, found.inputs, found.state["total"]) == (2, "running", 1, 7)
    assert len({one.id for one in db.commands.accepted()}) == 2
    runs.reset()
    runs.catch_up()
    assert instance(db) == found


def test_a_reset_tells_nothing_twice(db: BlockingDatabase) -> None:
    flow = db.workflow(Fulfilment())
    place(db)
    flow.catch_up()
    settle(db)
    flow.catch_up()
    before, log = instance(db), db.events.head()

    flow.reset()
    flow.catch_up()

    assert (instance(db), db.events.head(), len(db.commands.accepted())) == (before, log, 1)


# --- failing alone --------------------------------------------------------------------------------------------------------


def test_an_instance_that_fails_is_alone_with_it_and_goes_on_in_order(db: BlockingDatabase, clock: FakeClock) -> None:
    fragile = Fragile("1")
    flow = db.workflow(fragile)
    place(db, "1")
    place(db, "2")
    flow.catch_up()
    settle(db)
    append(db, Cancelled(), "1")
    flow.catch_up()

    failing = instance(db).failing
    assert failing is not None
    assert (failing.attempts, failing.error, failing.input) == (1, "RuntimeError: out of order", "goes.command.outcome")
    assert (instance(db).inputs, instance(db, "2").inputs) == (1, 2)
    assert commands(db) == [Ship("2")]

    clock.advance(timedelta(minutes=1).total_seconds())
    flow.catch_up()
    failing = instance(db).failing
    assert failing is not None
    assert failing.attempts == 2

    fragile.broken.clear()
    clock.advance(timedelta(minutes=1).total_seconds())
    flow.catch_up()
    found = instance(db)
    assert (found.failing, found.status) == (None, "compensating")
    assert found.state["seen"] == ["order.placed", "goes.command.outcome", "order.cancelled"]  # in order
    assert Refund("1") in commands(db)


def test_after_its_patience_it_is_suspended_and_its_inputs_wait(db: BlockingDatabase, clock: FakeClock) -> None:
    flow = db.workflow(Fragile("1"), patience=60)
    place(db)
    flow.catch_up()
    settle(db)
    flow.catch_up()
    clock.advance(timedelta(seconds=59).total_seconds())
    flow.catch_up()
    assert instance(db).status == "running"
    clock.advance(timedelta(minutes=1).total_seconds())
    flow.catch_up()

    assert instance(db).status == "suspended"
    assert history(db)[-1].error == "RuntimeError: out of order"
    assert timers(db) == []
    append(db, Cancelled())
    flow.catch_up()
    clock.advance(timedelta(days=3).total_seconds())
    flow.catch_up()
    (waiting,) = [name for name in db.models.collections() if name.startswith("goes:waiting:fulfilment:")]
    assert len(list(db.models.query(waiting))) == 2


def test_a_timer_whose_reaction_fails_is_tried_again(db: BlockingDatabase, clock: FakeClock) -> None:
    fragile = Fragile("1")
    flow = db.workflow(fragile)
    place(db)
    flow.catch_up()
    clock.advance(timedelta(days=2).total_seconds())
    flow.catch_up()
    failing = instance(db).failing
    assert failing is not None
    assert failing.input == "payment"
    append(db, Cancelled())
    flow.catch_up()
    fragile.broken.clear()
    clock.advance(timedelta(minutes=1).total_seconds())
    flow.catch_up()

    assert (instance(db).status, instance(db).reason) == ("failed", "no payment in time")
    assert flow.ignored == 1  # what waited behind it


def test_a_key_function_that_raises_parks_the_event_and_a_redrive_tells_it(db: BlockingDatabase) -> None:
    fragile = Fragile()
    flow = db.workflow(fragile, retry=goes.Retry(1, then="park"))
    place(db)
    flow.catch_up()
    fragile.broken.add("key")
    append(db, Cancelled())
    flow.catch_up()
    (letter,) = flow.parked()
    assert "no key" in letter.error
    fragile.broken.clear()
    settle(db)
    flow.catch_up()
    assert instance(db).inputs == 2
    flow.redrive(letter)
    flow.catch_up()

    assert (flow.parked(), instance(db).status, instance(db).inputs) == ([], "compensating", 3)
    flow.reset()
    flow.catch_up()
    assert instance(db).inputs == 3


def test_compensation_runs_through_the_store(db: BlockingDatabase) -> None:
    flow = db.workflow(Fulfilment())
    place(db)
    for _ in range(3):
        flow.catch_up()
        settle(db)
    append(db, Cancelled())
    flow.catch_up()
    assert commands(db) == [Recall("1")]
    settle(db)
    flow.catch_up()
    assert commands(db) == [Refund("1")]
    settle(db)
    flow.catch_up()

    assert (instance(db).status, instance(db).reason) == ("failed", "cancelled by the customer")


def test_a_record_that_cannot_be_read_keeps_no_other_instance_waiting(db: BlockingDatabase, clock: FakeClock) -> None:
    """Its events become dead letters, and its timers are put aside."""
    flow = db.workflow(Fulfilment(), retry=goes.Retry(1, then="park"))
    place(db, "1")
    place(db, "2")
    flow.catch_up()
    sound = db.models.get("goes:workflow:fulfilment", "1")
    assert sound is not None
    db.models.put("goes:workflow:fulfilment", "1", '{"key":"1"}')
    append(db, Cancelled(), "1")
    append(db, Cancelled(), "2")
    place(db, "3")
    flow.catch_up()
    clock.advance(timedelta(days=2).total_seconds())
    flow.catch_up()

    assert [(letter.name, letter.aggregate and letter.aggregate.id) for letter in flow.parked()] == [
        ("order.cancelled", "1")
    ]
    assert [instance(db, key).status for key in "23"] == ["failed", "failed"]
    assert [id[0] for id in timers(db)] == ["~"]
    db.models.put("goes:workflow:fulfilment", "1", sound.data)
    flow.redrive()
    flow.catch_up()
    assert instance(db, "1").status == "failed"


def test_what_the_store_refuses_is_a_failure_of_its_instance(
    db: BlockingDatabase, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    save: Any = Work.save

    async def refusing(work: Work) -> None:
        if any(event.data == Late("2") for event in work._events):
            raise InvalidEventError("too large")
        await save(work)

    monkeypatch.setattr(Work, "save", refusing)
    for key in "123":
        place(db, key)
    flow = db.workflow(Fulfilment())
    flow.catch_up()
    clock.advance(timedelta(days=2).total_seconds())
    flow.catch_up()

    assert [instance(db, key).status for key in "123"] == ["failed", "running", "failed"]
    (stuck,) = db.workflows.stuck()
    assert stuck.failing is not None
    assert (stuck.key, stuck.failing.error) == ("2", "InvalidEventError: too large")
    monkeypatch.setattr(Work, "save", save)
    clock.advance(60)
    flow.catch_up()
    assert instance(db, "2").status == "failed"


# --- versions -------------------------------------------------------------------------------------------------------------


def test_an_instance_keeps_its_version(tmp_path: Any, clock: FakeClock) -> None:
    path = str(tmp_path / "app.db")
    with connect(path, registry=registry, clock=clock) as db:
        place(db, "1")
        place(db, "3")
        db.workflow(Fulfilment()).catch_up()
        settle(db)
        with pytest.raises(ConfigError, match="another workflow of the name"):
            db.workflow(Second())
    with connect(path, registry=registry, clock=clock) as db:
        flow = db.workflow(Second(), earlier=[Fulfilment()])
        place(db, "2")
        flow.catch_up()
        settle(db)
        flow.catch_up()
        assert (instance(db, "1").status, instance(db, "1").version) == ("running", 1)
        assert (instance(db, "2").status, instance(db, "2").version) == ("completed", 2)
        append(db, Cancelled(), "1")
        db.workflow(Second()).catch_up()
        assert instance(db, "1").status == "suspended"
        assert "needs 'version 1 of the definition'" in history(db)[-1].error


def test_earlier_definitions_are_checked(db: BlockingDatabase) -> None:
    class Other(Fulfilment, name="other"):
        pass

    for earlier in ([Second()], [Other()], [Fulfilment(), Fulfilment()]):
        with pytest.raises(ConfigError, match="earlier must be definitions of 'fulfilment'"):
            db.workflow(Second(), earlier=earlier)


@pytest.mark.parametrize(
    "options", [{"on_second_start": "never"}, {"strict": 1}, {"patience": 0}, {"patience": "1"}, {"batch": 0}]
)
def test_wrong_options_are_refused(db: BlockingDatabase, options: Any) -> None:
    with pytest.raises(ConfigError):
        db.workflow(Fulfilment(), **options)
