"""Workflows that are functions: what was done is found by its name, and not done again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import (
    CommandFailed,
    CommandRejected,
    ConfigError,
    RegistrationError,
    ResultTooLarge,
    StepFailed,
    StepTimeout,
)
from goes_lite.workflow import CodeWorkflow, Instance
from tests.conftest_kit import quiet as _quiet
from tests.workflow.flow_kit import (
    DAY,
    NOON,
    PATIENCE,
    Arrived,
    Noted,
    Paid,
    Placed,
    Recall,
    Refund,
    Ship,
    World,
    registry,
    until,
    world,
)

quiet = _quiet("goes_lite.commands")


@dataclass(frozen=True)
class Packed:
    parcel: str
    when: datetime


def by_order(event: goes.Event[Paid]) -> str:
    return event.data.order


def by_parcel(event: goes.Event[Arrived]) -> str:
    return event.data.parcel


WAITS: dict[Any, Any] = {Paid: by_order, Arrived: by_parcel}


def made(function: Callable[..., Any], version: int = 1) -> CodeWorkflow:
    return goes.flow("fulfilment", starts_with=Placed, waits_for=WAITS, version=version)(function)


def asynchronous(log: list[str]) -> CodeWorkflow:
    def pack() -> Packed:
        log.append("pack")
        return Packed("p-1", NOON)

    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        log.append("run")
        await flow.wait_for(Paid, timeout=2 * DAY)
        flow.undo(Refund(flow.key))
        packed = await flow.step("pack", pack)
        assert packed == Packed("p-1", NOON)
        assert await flow.command(Ship(flow.key)) == {"by": "ship"}
        flow.publish(Noted(f"{placed.data.total} {packed.parcel}"))
        await flow.sleep(timedelta(hours=1))
        await flow.wait_for(Arrived, packed.parcel)
        log.append("end")

    return made(fulfil)


def blocking(log: list[str]) -> CodeWorkflow:
    def pack() -> Packed:
        log.append("pack")
        return Packed("p-1", NOON)

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        log.append("run")
        flow.wait_for(Paid, timeout=2 * DAY)
        flow.undo(Refund(flow.key))
        packed = flow.step("pack", pack)
        assert packed == Packed("p-1", NOON)
        assert flow.command(Ship(flow.key)) == {"by": "ship"}
        flow.publish(Noted(f"{placed.data.total} {packed.parcel}"))
        flow.sleep(timedelta(hours=1))
        flow.wait_for(Arrived, packed.parcel)
        log.append("end")

    return made(fulfil)


def no_pause(attempt: int) -> float:
    return 0.0


FORMS = pytest.mark.parametrize("form", [asynchronous, blocking])


@FORMS
def test_it_goes_its_way_step_by_step(form: Callable[[list[str]], CodeWorkflow]) -> None:
    log: list[str] = []
    with world() as w:
        flow = w.db.workflow(form(log))
        w.handle(Ship, lambda command: {"by": "ship"})
        w.append(Placed(450))
        w.go(flow)
        assert (log, w.handled, w.instance().status) == (["run"], [], "running")

        w.append(Paid("1", 450))
        w.go(flow)
        assert (log.count("pack"), w.handled) == (1, [Ship("1")])
        assert [event.data for event in w.db.events.query(goes.EventQuery(["flow.noted"]))] == [Noted("450 p-1")]

        w.append(Arrived("p-2"), "parcel")
        w.append(Arrived("p-1"), "parcel")  # before anybody waits for it
        w.go(flow)
        assert w.instance().status == "running"
        w.clock.advance(3600)
        w.go(flow)

        assert (w.instance().status, log[-1], log.count("pack"), w.handled) == ("completed", "end", 1, [Ship("1")])
        assert list(w.db.models.query("goes:timers:fulfilment")) == []
        assert list(w.db.models.query("goes:associations:fulfilment")) == []


@FORMS
def test_every_input_may_come_in_a_process_of_its_own(tmp_path: Any, form: Callable[[list[str]], CodeWorkflow]) -> None:
    """Nothing is in memory, so closing the store in between makes no difference."""
    log: list[str] = []
    path = str(tmp_path / "app.db")
    moments: list[Callable[[World], Any]] = [
        lambda w: w.append(Placed(450)),
        lambda w: w.append(Paid("1", 450)),
        lambda w: w.append(Arrived("p-1"), "parcel"),
        lambda w: w.clock.advance(3600),
    ]
    with world(path) as first:
        clock = first.clock
    for moment in moments:
        with world(path, clock) as w:
            moment(w)
            flow = w.db.workflow(form(log))
            w.handle(Ship, lambda command: {"by": "ship"})
            w.go(flow)
    with world(path, clock) as w:
        assert w.instance().status == "completed"
    assert log.count("pack") == 1


def test_an_event_that_came_before_is_not_lost() -> None:
    """With the key of the instance, and with one that is known later only; each event is for one wait."""
    found: list[Any] = []

    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        await flow.sleep(DAY)
        found.append((await flow.wait_for(Paid, where=lambda event: event.data.cents > 10)).data.cents)
        for number in (1, 2):
            found.append((await flow.wait_for(Arrived, "p", name=f"parcel {number}")).position)

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        for cents in (5, 20, 30):
            w.append(Paid("1", cents))
        first = w.append(Arrived("p"), "parcel")
        w.go(flow)
        w.clock.advance(86_400)
        w.go(flow)
        assert w.instance().status == "running"
        second = w.append(Arrived("p"), "parcel")
        w.go(flow)
        assert w.instance().status == "completed"
        assert found[-3:] == [20, first, second]


def test_a_wait_takes_so_long_at_most() -> None:
    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        try:
            await flow.wait_for(Paid, timeout=2 * DAY)
        except StepTimeout:
            flow.fail("not paid")

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        for order in ("1", "2"):
            w.append(Placed(450), order)
        w.go(flow)
        w.clock.advance(2 * 86_400 - 1)
        w.append(Paid("2", 450))
        w.go(flow)
        assert (w.instance().status, w.instance(key="2").status) == ("running", "completed")
        w.clock.advance(1)
        w.go(flow)
        assert (w.instance().status, w.instance().reason) == ("failed", "not paid")


def test_what_fails_is_compensated_unless_it_is_caught() -> None:
    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        flow.undo(Refund(flow.key))
        flow.undo(Recall(flow.key))
        try:
            await flow.command(Ship(flow.key), name="first")
        except CommandRejected as exc:
            assert (exc.code, exc.details) == ("full", {"room": 0})
        await flow.command(Ship("2"), name="second")

    def ship(command: Ship) -> None:
        raise CommandRejected("full", f"no room for {command.order}", details={"room": 0})

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.handle(Ship, ship)
        w.handle(Refund)
        w.handle(Recall)
        w.append(Placed(450))
        w.go(flow)
        assert w.handled == [Ship("1"), Ship("2"), Recall("1"), Refund("1")]
        assert (w.instance().status, w.instance().reason) == ("failed", "no room for 2")


def test_a_step_is_tried_again_and_then_given_up() -> None:
    calls: list[str] = []
    caught: list[Any] = []

    def call() -> None:
        calls.append("call")
        raise OSError("no line")

    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        try:
            await flow.step("call", call)
        except StepFailed as exc:
            caught.append((exc.step, exc.error, exc.workflow, exc.key))
        await flow.step("refused", refuse)

    def refuse() -> None:
        raise CommandRejected("no", "not today")

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        w.go(flow, attempts=3, backoff=no_pause)
        assert (len(calls), caught[-1]) == (3, ("step call", "OSError: no line", "fulfilment", "1"))
        assert (w.instance().status, w.instance().reason) == ("failed", "not today")


def test_several_at_a_time() -> None:
    """`all` begins them all; `any` returns the first, and nobody waits for the others any more."""
    calls: list[str] = []
    ends: list[Any] = []

    def one(name: str) -> Callable[[], str]:
        def call() -> str:
            calls.append(name)
            return name

        return call

    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        async def twice(name: str) -> str:
            return await flow.step(f"{name} 1", one(name)) + await flow.step(f"{name} 2", one(name))

        both = await flow.all(twice("a"), twice("b"), flow.step("c", one("c")))
        ends.append(both)
        which, event = await flow.any(flow.sleep(DAY), flow.wait_for(Paid))
        ends.append((which, event.data))
        assert flow.changed("later")
        await flow.sleep(3 * DAY, name="three days")

    def fulfil_blocking(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        def twice(name: str) -> str:
            return flow.step(f"{name} 1", one(name)) + flow.step(f"{name} 2", one(name))

        both = flow.all(lambda: twice("a"), lambda: twice("b"), lambda: flow.step("c", one("c")))
        ends.append(both)
        which, event = flow.any(lambda: flow.sleep(DAY), lambda: flow.wait_for(Paid))
        ends.append((which, event.data))
        assert flow.changed("later")
        flow.sleep(3 * DAY, name="three days")

    for function in (fulfil, fulfil_blocking):
        calls.clear()
        with world() as w:
            flow = w.db.workflow(made(function))
            w.append(Placed(450))
            w.go(flow)
            assert (sorted(calls), ends[-1]) == (["a", "a", "b", "b", "c"], ["aa", "bb", "c"])
            w.append(Paid("1", 450))
            w.go(flow)
            assert ends[-1] == (1, Paid("1", 450))
            w.clock.advance(86_400)
            w.go(flow)
            assert w.instance().inputs == 7  # the sleep that was too slow is no input
            w.clock.advance(3 * 86_400)
            w.go(flow)
            assert w.instance().status == "completed"
            assert len(calls) == 5


def test_notes_stay_the_same() -> None:
    seen: list[Any] = []

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        seen.append((flow.now(), flow.id("charge"), flow.key))
        flow.sleep(DAY)

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        w.go(flow)
        w.clock.advance(86_400)
        w.go(flow)
        assert w.instance().status == "completed"
        assert seen[0] == seen[-1]
        assert seen[0][0] == NOON
        assert len(seen) == 2


def test_a_function_that_does_not_work_is_no_step_that_fails() -> None:
    """The worker comes back to the step, however often the function raises before it."""
    calls: list[str] = []
    broken: list[bool] = []

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        if broken:
            raise LookupError("a mistake in the program")
        flow.step("call", lambda: calls.append("call"))

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        flow.catch_up()
        broken.append(True)
        for _ in range(3):
            with w.db.commands.worker(attempts=1) as worker:
                until(lambda: w.db.commands.accepted()[0].due > w.clock.now())
            assert "a mistake in the program" in str(worker.worker.error)
            w.clock.advance(1)
        broken.clear()
        w.go(flow)
        assert (calls, w.instance().status) == (["call"], "completed")


def test_on_an_event_loop_with_calls_that_await() -> None:
    """Steps are coroutine functions or plain ones; the workflow, its worker and the program share the loop."""
    calls: list[str] = []

    async def pack() -> Packed:
        await asyncio.sleep(0)
        calls.append("pack")
        return Packed("p-1", NOON)

    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        packed, _ = await flow.all(flow.step("pack", pack), flow.step("label", lambda: calls.append("label")))
        assert packed == Packed("p-1", NOON)
        await flow.sleep(timedelta(milliseconds=20))
        await flow.wait_for(Paid, timeout=timedelta(seconds=PATIENCE))
        assert await flow.command(Ship(flow.key), returns=Packed) == Packed("p-2", NOON)

    async def ship(command: Ship) -> Packed:
        return Packed("p-2", NOON)

    async def main() -> None:
        async with goes.connect("sqlite:///:memory:", registry=registry) as db:
            db.commands.handle(Ship, ship)
            instances = db.models_of("goes:workflow:fulfilment", Instance)
            async with db.workflow(made(fulfil)), db.commands.worker(concurrency=4):
                started = goes.Event(Placed(1), aggregate=("order", "1"), version=1, registry=registry)
                await db.events.append([started])
                await db.events.append([goes.Event(Paid("1", 1), registry=registry)])
                deadline = asyncio.get_running_loop().time() + PATIENCE
                while (found := await instances.find("1")) is None or not found.ended:
                    assert asyncio.get_running_loop().time() < deadline, f"it stays {found}"
                    await asyncio.sleep(0.01)
            assert (found.status, sorted(calls)) == ("completed", ["label", "pack"])

    asyncio.run(main())


# --- code that changes while instances run --------------------------------------------------------------------------------


def test_steps_may_be_added_moved_and_removed(tmp_path: Any) -> None:
    calls: list[str] = []

    def step(flow: goes.BlockingFlow, name: str) -> None:
        flow.step(name, lambda: calls.append(name))

    def before(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        for name in ("a", "b", "c"):
            step(flow, name)
        flow.sleep(DAY)
        step(flow, "end")

    def after(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        if flow.changed("ask first"):
            step(flow, "ask")
        for name in ("b", "a", "new"):
            step(flow, name)
        flow.sleep(DAY)
        if flow.changed("thank"):
            step(flow, "thank")
        step(flow, "end")

    path = str(tmp_path / "app.db")
    with world(path) as w:
        clock = w.clock
        flow = w.db.workflow(made(before))
        w.append(Placed(450))
        w.go(flow)
        assert calls == ["a", "b", "c"]
    calls.clear()
    with world(path, clock) as w:
        flow = w.db.workflow(made(after))
        w.append(Placed(450), "2")
        w.go(flow)
        assert calls == ["ask", "b", "a", "new"]
        calls.clear()
        w.clock.advance(86_400)
        w.go(flow)
        assert sorted(calls) == ["end", "end", "new", "thank", "thank"]
        assert {w.instance(key=key).status for key in "12"} == {"completed"}


# --- bad use ----------------------------------------------------------------------------------------------------------------


def failing(function: Callable[..., Any]) -> str:
    """Return the error with which an instance of the function does not go on."""
    with world() as w:
        flow = w.db.workflow(made(function))
        w.append(Placed(450))
        w.go(flow)
        failing = w.instance().failing
        assert failing is not None
        return failing.error


def test_a_name_that_is_used_twice() -> None:
    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        for _ in range(2):
            flow.step("pack", lambda: 1)

    assert failing(fulfil).startswith("DuplicateStep: workflow 'fulfilment', instance '1': 'step pack' is used twice")


def test_endless_loops() -> None:
    def names(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        number = 0
        while True:
            number += 1
            flow.publish(Noted("x"), name=f"{number}")

    def branches(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        while True:
            flow.all()
            flow.now(str(len(seen)))
            seen.append(1)

    seen: list[int] = []
    assert failing(names).startswith("TooManySteps: ")
    assert failing(branches).startswith("TooManySteps: ")


def test_a_result_that_is_too_large_or_is_no_json() -> None:
    told: list[Any] = []

    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        for name, call in (("large", lambda: "x" * 300_000), ("object", object)):
            try:
                await flow.step(name, call)
            except (ResultTooLarge, StepFailed) as exc:
                told.append(exc)

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        w.go(flow)
        assert w.instance().status == "completed"
        large, unknown = told[-2:]
        assert (type(large), large.limit) == (ResultTooLarge, 262_144)
        assert (type(unknown), unknown.error[:11]) == (StepFailed, "EncodeError")


def test_what_is_awaited_outside_of_steps() -> None:
    async def fulfil(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        await asyncio.sleep(0)

    assert "it awaits something other than a method of its flow" in failing(fulfil)


def test_an_exception_of_its_own_is_no_outcome() -> None:
    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        raise CommandFailed("x", None, 1, "of its own")

    assert failing(fulfil).startswith("CommandFailed: ")


def test_who_catches_the_end_of_a_run_waits_nevertheless() -> None:
    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        try:
            flow.sleep(DAY)
        except BaseException:
            flow.publish(Noted("never"))
        flow.publish(Noted("once"))

    with world() as w:
        flow = w.db.workflow(made(fulfil))
        w.append(Placed(450))
        w.go(flow)
        assert (w.instance().status, w.db.events.count(goes.EventQuery(["flow.noted"]))) == ("running", 0)
        w.clock.advance(86_400)
        w.go(flow)
        assert w.instance().status == "completed"
        assert [event.data for event in w.db.events.query(goes.EventQuery(["flow.noted"]))] == [Noted("once")]


WRONG: list[Callable[[Any], Any]] = [
    lambda flow: flow.step("", lambda: 1),
    lambda flow: flow.step("x" * 300, lambda: 1),
    lambda flow: flow.step(5, lambda: 1),
    lambda flow: flow.step("x", 5),
    lambda flow: flow.sleep(5),
    lambda flow: flow.sleep(timedelta.max),
    lambda flow: flow.wait_for(Noted),
    lambda flow: flow.wait_for(Paid, 5),
    lambda flow: flow.any(),
]


@pytest.mark.parametrize("ask", WRONG)
def test_wrong_arguments(ask: Callable[[Any], Any]) -> None:
    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        ask(flow)

    assert failing(fulfil).startswith(ConfigError.__name__)


def test_what_is_no_definition() -> None:
    async def generator(flow: Any, placed: Any) -> Any:
        yield 1

    for wrong in (generator, 5, "fulfil"):
        with pytest.raises(RegistrationError):
            made(wrong)  # type: ignore[arg-type]
    wrong_arguments: list[dict[str, Any]] = [
        {"name": made},
        {"name": ""},
        {"starts_with": 5},
        {"key": 5},
        {"waits_for": 5},
        {"waits_for": [Paid]},
        {"waits_for": {Paid: 5}},
        {"version": 0},
    ]
    for wrong_one in wrong_arguments:
        arguments: dict[str, Any] = {"name": "x", "starts_with": Placed, **wrong_one}
        with pytest.raises(RegistrationError):
            goes.flow(**arguments)(print)
