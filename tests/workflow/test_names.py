"""What an instance waits for by name, and a function that has changed, or uses a name again."""

from __future__ import annotations

from typing import Any

import pytest

import goes_lite as goes
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
