"""Given inputs, when a workflow is told another, then these are the effects; and under misfortunes nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import ConfigError
from goes_lite.testing import GivenWorkflow, done, failed, given, history, like, rejected
from tests.workflow.workflow_kit import (
    Cancelled,
    Charge,
    Delivered,
    Fulfilment,
    Late,
    Placed,
    Progress,
    Recall,
    Refund,
    Ship,
    registry,
)

DAYS = timedelta(days=1)


def events(order: str, *data: Any) -> list[goes.Event[Any]]:
    return history(("order", order), *data, registry=registry)


def placed(*orders: str, **options: Any) -> GivenWorkflow:
    inputs = [events(order, Placed(450)) for order in orders or ("1",)]
    return given(*inputs, registry=registry).workflow(Fulfilment(), under="all", **options)


def test_the_effects_of_each_input() -> None:
    flow = placed().then(goes.Dispatch(Charge("1", 450)), goes.SetTimer("payment", after=2 * DAYS))
    charged = flow.when(done(Charge("1", 450))).then(
        goes.CancelTimer("payment"), goes.Undo(Refund("1")), goes.Dispatch(Ship("1"))
    )
    shipped = charged.when(done(Ship("1"))).then(goes.Undo(like(Recall, order="1")), goes.Associate("parcel-1"))
    delivered = shipped.when(history(("parcel", "1"), Delivered("parcel-1"), registry=registry)).then(goes.Complete())
    delivered.then_instance("1", "completed", inputs=4, state=Progress("1", 450, (
        "order.placed", "goes.command.outcome", "goes.command.outcome", "parcel.delivered",
    )))  # fmt: skip
    delivered.when(events("1", Cancelled())).then_nothing()


def test_one_beginning_continues_in_several_ways() -> None:
    flow = placed()
    flow.when(rejected(Charge("1", 450), "no_money", "no money")).then(goes.Fail("no money")).then_instance(
        "1", "failed"
    )
    flow.when(failed(Charge("1", 450), "away")).then(goes.Fail("away"))
    flow.advance(days=1.9).then_nothing()
    flow.advance(days=2).then(goes.Publish(Late("1")), goes.Fail("no payment in time"))
    flow.advance(days=1).advance(hours=24).then(goes.Publish(like(Late, order="1")), goes.Fail("no payment in time"))


def test_compensation_dispatches_undos_one_after_the_other() -> None:
    flow = placed().when(done(Charge("1", 450))).when(done(Ship("1")))
    flow = flow.when(events("1", Cancelled())).then(
        goes.Compensate("cancelled by the customer"), goes.Dispatch(Recall("1"))
    )
    flow = flow.when(done(Recall("1"))).then(goes.Dispatch(Refund("1"))).then_instance("1", "compensating")
    flow.when(done(Refund("1"))).then_nothing().then_instance("1", "failed")


def test_a_difference_is_shown() -> None:
    with pytest.raises(AssertionError) as failure:
        placed().then(goes.Dispatch(Charge("1", 451)), goes.SetTimer("payment", after=2 * DAYS))
    assert "-Dispatch(command=Charge(order='1', total=451), at=None" in str(failure.value)
    assert "+Dispatch(command=Charge(order='1', total=450), at=None" in str(failure.value)
    with pytest.raises(AssertionError, match="other effects"):
        placed().then()
    with pytest.raises(AssertionError, match="status of the instance '1' is 'running', not 'failed'"):
        placed().then_instance("1", "failed")
    with pytest.raises(AssertionError, match="there is no instance '7'"):
        placed().then_instance("7")
    placed().then_no_instance("7")
    with pytest.raises(AssertionError, match="was not dispatched"):
        placed().when(done(Ship("1")))


def test_several_instances_and_any_order() -> None:
    flow = placed("1", "2", "3")
    assert [type(effect) for effect in flow.effects] == [goes.Dispatch, goes.SetTimer] * 3
    flow.when(done(Charge("2", 450))).then_instance("1", inputs=1).then_instance("2", inputs=2)


@dataclass
class Count:
    orders: int = 0


@registry.event("orders.counted")
@dataclass(frozen=True)
class Counted:
    orders: int


class Careless(goes.Workflow[Count], name="careless"):
    """Depends on what happened before in this process."""

    calls = 0

    @goes.starts(Placed)
    def placed(self, state: Count, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
        Careless.calls += 1
        yield goes.Publish(Counted(Careless.calls))


class Last(goes.Workflow[Count], name="last"):
    """Depends on the order of the orders, which all belong to one instance of another name."""

    last = ""

    @goes.starts(Placed)
    def placed(self, state: Count, event: goes.Event[Placed]) -> goes.Effect:
        before, Last.last = Last.last, str(event.aggregate)
        return goes.Associate(f"after {before}")


@pytest.mark.parametrize("misfortune", ["crash before commit", "deliver twice"])
def test_a_reaction_that_depends_on_how_often_it_runs_is_found(misfortune: Any) -> None:
    Careless.calls = 0
    with pytest.raises(AssertionError, match="differs if"):
        given(events("1", Placed(1)), registry=registry).workflow(Careless(), under=[misfortune])


def test_a_reaction_that_depends_on_the_order_of_others_is_found() -> None:
    with pytest.raises(AssertionError, match="differs if inputs of different instances come in another order"):
        given(events("1", Placed(1)), events("2", Placed(2)), registry=registry).workflow(
            Last(), under=["reorder unrelated"]
        )


class Broken(goes.Workflow[Count], name="broken"):
    @goes.starts(Placed)
    def placed(self, state: Count, event: goes.Event[Placed]) -> None:
        raise ValueError("no such total")


def test_a_reaction_that_raises_fails_the_test() -> None:
    flow = given(events("1", Placed(1)), registry=registry).workflow(Broken())
    with pytest.raises(
        AssertionError, match=r"the instance '1' cannot handle 'order.placed': ValueError: no such total"
    ):
        flow.then()


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="'deliver twice', 'crash before commit', 'reorder unrelated', or 'all'"):
        given(registry=registry).workflow(Fulfilment(), under=["twice"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="an input must be an event"):
        placed().when([Placed(1)])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="time only advances"):
        placed().advance(days=-1)
