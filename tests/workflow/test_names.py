"""What an instance waits for by name, and a function that has changed, or uses a name again."""

from __future__ import annotations

import gc
from contextlib import suppress
from enum import Enum
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import StepTimeout
from tests.conftest_kit import quiet as _quiet
from tests.workflow.flow_kit import DAY, Arrived, Paid, Placed, World, world
from tests.workflow.test_flow import made

quiet = _quiet("goes_lite.commands")


def settle(w: World, flow: Any) -> None:
    """Let the worker and the workflow do what is due."""
    w.db.commands.worker(concurrency=1).catch_up()
    flow.catch_up()


@pytest.mark.parametrize("kind", ["removed", "before it", "at its end"])
def test_a_step_that_the_code_does_not_have_any_more_suspends_the_instance(tmp_path: Any, kind: str) -> None:
    """After a while, in which another program may have it; with the step it goes on."""
    calls: list[str] = []

    def before(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.step("pack", lambda: calls.append("pack"))
        flow.sleep(DAY)

    def after(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        if kind == "before it":
            flow.step("ask", lambda: calls.append("ask"))
        if kind != "at its end":
            flow.sleep(DAY)

    path = str(tmp_path / "app.db")
    with world(path) as w:
        clock = w.clock
        w.append(Placed(450))
        w.db.workflow(made(before)).catch_up()
    with world(path, clock) as w:
        flow = w.db.workflow(made(after), patience=40)
        settle(w, flow)
        assert w.instance().status == "running"
        for seconds in (30, 10):
            clock.advance(seconds)
            settle(w, flow)
        (stuck,) = w.db.workflows.stuck("fulfilment")
        assert stuck.status == "suspended"
        assert stuck.failing is not None
        assert "needs 'step pack', which this program does not have" in stuck.failing.error
        assert calls == []
    with world(path, clock) as w:
        flow = w.db.workflow(made(before))
        w.db.workflows.retry("fulfilment", "1")
        flow.catch_up()
        settle(w, flow)
        assert (w.instance().status, w.instance().failing, calls) == ("running", None, ["pack"])
        clock.advance(86_400)
        flow.catch_up()
        assert w.instance().status == "completed"


def test_a_wait_that_the_code_does_not_have_any_more_suspends_the_instance(tmp_path: Any) -> None:
    def before(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.wait_for(Arrived, "p", name="parcel")

    def after(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.wait_for(Paid)

    path = str(tmp_path / "app.db")
    with world(path) as w:
        clock = w.clock
        w.append(Placed(450))
        w.db.workflow(made(before)).catch_up()
    clock.advance(1000)
    with world(path, clock) as w:
        settle(w, w.db.workflow(made(after)))
        assert "needs 'wait parcel'" in str(w.instance().failing)
    with world(path, clock) as w:
        flow = w.db.workflow(made(before))
        w.append(Arrived("p"))
        w.db.workflows.retry("fulfilment", "1")
        flow.catch_up()
        settle(w, flow)
        assert w.instance().status == "completed"


def go(w: World, flow: Any) -> None:
    """Let the workflow and the worker do all that is due, here."""
    flow.catch_up()
    while w.db.commands.worker(concurrency=1).catch_up():
        flow.catch_up()


def failing(w: World) -> str:
    found = w.instance().failing
    assert found is not None
    return found.error


def test_a_name_of_a_branch_that_lost_is_not_used_again() -> None:
    """The second sleep waited for ever."""

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.any(lambda: flow.wait_for(Paid), lambda: flow.sleep(DAY))
        flow.step("thank", lambda: None)
        flow.sleep(DAY)

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        go(w, flow)
        w.append(Paid("1", 450))
        go(w, flow)
        assert failing(w).startswith("DuplicateStep: workflow 'fulfilment', instance '1': 'sleep sleep' is used twice")


def test_an_event_that_came_while_it_was_waited_for_is_for_one_wait_as_well() -> None:
    """It is in the log, where the second wait looks for it."""
    found: list[int] = []

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        for number in (1, 2):
            found.append(flow.wait_for(Arrived, "p", name=f"parcel {number}").position)

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        go(w, flow)
        first = w.append(Arrived("p"), "parcel")
        go(w, flow)
        assert (w.instance().status, set(found)) == ("running", {first})
        second = w.append(Arrived("p"), "parcel")
        go(w, flow)
        assert (w.instance().status, found[-2:]) == ("completed", [first, second])


def test_two_waits_that_look_for_the_same_event_find_one_each() -> None:
    found: list[list[int]] = []

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.sleep(DAY)
        both = flow.all(
            lambda: flow.wait_for(Arrived, "p", name="one").position,
            lambda: flow.wait_for(Arrived, "p", name="other").position,
        )
        found.append(both)

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        first = w.append(Arrived("p"), "parcel")
        go(w, flow)
        w.clock.advance(86_400)
        go(w, flow)
        assert w.instance().status == "running"
        second = w.append(Arrived("p"), "parcel")
        go(w, flow)
        assert (w.instance().status, [sorted(both) for both in found]) == ("completed", [[first, second]])


def test_events_of_a_key_that_nobody_waits_for_any_more_concern_it_no_longer() -> None:
    """Found in the log, or too late, or in a branch that lost."""

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.sleep(DAY)
        flow.wait_for(Arrived, "found")
        with suppress(StepTimeout):
            flow.wait_for(Arrived, "late", timeout=DAY, name="late")
        flow.any(lambda: flow.wait_for(Paid), lambda: flow.wait_for(Arrived, "lost", name="lost"))
        flow.sleep(DAY, name="end")

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        w.append(Arrived("found"), "parcel")
        go(w, flow)
        w.clock.advance(86_400)
        go(w, flow)
        assert w.instance().associations == ["late"]
        w.clock.advance(86_400)
        go(w, flow)
        assert w.instance().associations == ["lost"]
        w.append(Paid("1", 450))
        go(w, flow)
        assert w.instance().associations == []
        inputs = w.instance().inputs
        for parcel in ("found", "late", "lost"):
            w.append(Arrived(parcel), "parcel")
        go(w, flow)
        assert w.instance().inputs == inputs


@pytest.mark.filterwarnings("error")
def test_branches_that_are_not_begun_leave_nothing_behind() -> None:
    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        async def bad() -> None:
            flow.fail("bad")

        await flow.all(bad(), flow.step("pack", lambda: None))

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        go(w, flow)
        gc.collect()
        assert (w.instance().status, w.instance().reason) == ("failed", "bad")


class Parcel(str, Enum):  # noqa: UP042 - of which str() is not the value
    FIRST = "p-1"


def test_a_key_may_be_an_enum_of_texts() -> None:
    """As an answer of a key function, and as an argument; its text is its value."""

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        flow.wait_for(Arrived, Parcel.FIRST)

    def parcel(event: goes.Event[Arrived]) -> str:
        return Parcel(event.data.parcel)

    waits: dict[Any, Any] = {Arrived: parcel}
    with world() as w:
        flow = w.db.workflow(goes.flow("fulfilment", starts_with=Placed, waits_for=waits)(fulfil))
        w.append(Placed(450))
        go(w, flow)
        w.append(Arrived("p-1"), "parcel")
        go(w, flow)
        assert w.instance().status == "completed"
