"""What workflows are called in a store is theirs: nothing else may have such a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import RegistrationError
from tests.workflow.workflow_kit import Fulfilment, Placed


class Orders(goes.ModelProjection[int], name="workflow:fulfilment"):
    def key(self, event: goes.Event[object]) -> str:
        return "all"

    @goes.projects(Placed)
    def placed(self, before: int | None, event: goes.Event[Placed]) -> int:
        return (before or 0) + 1


class Printer:
    """A bus, as far as a relay needs one."""

    def publish(self, events: object) -> None:
        """Publish nothing."""


def test_no_other_processor_has_the_name_of_a_workflow(db: BlockingDatabase) -> None:
    """It would share the position and the lease of the workflow, and tell it only what it does not handle itself."""
    bus: Any = Printer()
    assert db.workflow(Fulfilment()).name == "workflow:fulfilment"
    makers: list[Callable[[], object]] = [
        lambda: db.processor("workflow:fulfilment", print),
        lambda: db.processor("workflow:", print),
        lambda: db.relay(bus, name="workflow:relay"),
        lambda: db.projection(Orders()),
    ]
    for make in makers:
        with pytest.raises(
            RegistrationError, match="'workflow:.*' begins with 'workflow:', which is kept for workflows"
        ):
            make()
    assert db.processor("workflows", print).name == "workflows"


def test_no_class_of_aggregates_has_the_name_of_instances() -> None:
    with pytest.raises(
        RegistrationError, match="'workflow:order' begins with 'workflow:', which is kept for workflows"
    ):
        type("Order", (goes.Aggregate,), {}, name="workflow:order")
