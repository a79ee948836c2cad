"""`check_histories` finds out whether the code of today would do what was done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.events.outcome import CommandOutcome
from goes_lite.testing import FakeClock
from tests.workflow.store_kit import Fragile, append, place, settle
from tests.workflow.workflow_kit import Cancelled, Charge, Delivered, Fulfilment, Placed, Progress, Ship


@pytest.fixture
def lived(db: BlockingDatabase, clock: FakeClock) -> BlockingDatabase:
    """A store with instances that went all the ways there are, by hand as well."""
    flow = db.workflow(Fulfilment(), on_second_start="new run")
    for order in ("delivered", "cancelled", "late", "refused", "again"):
        place(db, order)
    flow.catch_up()
    (refused,) = [one for one in db.commands.accepted() if '"refused"' in str(one.encoded.payload)]
    late = next(one for one in db.commands.accepted() if '"late"' in str(one.encoded.payload))
    db.models.delete("goes:commands", str(late.id))
    db.models.delete("goes:commands", str(refused.id))
    told = CommandOutcome(refused.id, "charge", "rejected", message="no money")
    tags = ["workflow:fulfilment", "instance:refused"]
    db.events.append([goes.Event(told, tags=tags, time=clock.now(), registry=db.registry)])
    for _ in range(2):
        settle(db)
        flow.catch_up()
    append(db, Delivered("parcel-delivered"), "parcel")
    append(db, Cancelled(), "cancelled")
    append(db, Cancelled(), "again")
    flow.catch_up()
    settle(db, "failed")
    flow.catch_up()
    assert [one.key for one in db.workflows.stuck()] == ["again", "cancelled"]
    db.workflows.retry(Fulfilment, "cancelled")
    db.workflows.skip(Fulfilment, "again")
    flow.catch_up()
    for _ in range(2):
        settle(db)
        flow.catch_up()
    append(db, Placed(2), "again")
    clock.advance(3 * 86_400)
    flow.catch_up()
    clock.advance(3 * 86_400)
    flow.catch_up()
    assert {one.key: (one.status, one.run) for one in db.workflows.list()} == {
        "delivered": ("completed", 1), "cancelled": ("failed", 1), "late": ("failed", 1), "refused": ("failed", 1),
        "again": ("failed", 2),
    }  # fmt: skip
    return db


def test_the_code_that_ran_differs_nowhere(lived: BlockingDatabase) -> None:
    assert lived.workflows.check_histories(Fulfilment()) == []


def test_what_a_person_did_is_taken_into_account(db: BlockingDatabase, suspended: Any, fragile: Fragile) -> None:
    db.workflows.skip("fulfilment", "1")
    suspended.catch_up()
    assert db.workflows.check_histories(Fulfilment()) == []
    assert db.workflows.check_histories(fragile) == []


class Cheaper(Fulfilment, name="fulfilment", version=2):
    """Ships first, and charges what it ships."""

    def charged(self, state: Progress, event: goes.Event[CommandOutcome]) -> Iterable[goes.Effect]:
        return [goes.Dispatch(Ship(state.order)), goes.CancelTimer("payment")]


class Raising(Fulfilment, name="fulfilment", version=2):
    def shipped(self, state: Progress, event: goes.Event[CommandOutcome]) -> Any:
        raise KeyError("parcel")


class Dearer(Fulfilment, name="fulfilment", version=2):
    def placed(self, state: Progress, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
        yield goes.Dispatch(Charge(state.order, state.total + (state.total == 2)))
        yield from list(super().placed(state, event))[1:]


def test_it_names_where_an_instance_would_go_another_way(lived: BlockingDatabase) -> None:
    head = lived.events.head()
    found = lived.workflows.check_histories(Cheaper())
    assert [(one.key, one.number, one.input) for one in found] == [
        (key, 2, "goes.command.outcome") for key in ("again", "cancelled", "delivered")
    ]
    assert [effect.effect for effect in found[0].was] == ["cancel", "undo", "dispatch"]
    assert [effect.effect for effect in found[0].would_be] == ["dispatch", "cancel"]
    assert found[0].problem == ""
    assert lived.workflows.check_histories(Cheaper(), earlier=[Fulfilment()]) == []
    assert len(lived.workflows.check_histories(Cheaper(), limit=1)) == 1
    raised = lived.workflows.check_histories(Raising())
    assert {(one.number, one.problem) for one in raised} == {(3, "KeyError: 'parcel'")}
    (dearer,) = lived.workflows.check_histories(Dearer())
    assert (dearer.key, dearer.number, dearer.was[0].data != dearer.would_be[0].data) == ("again", 1, True)
    assert lived.events.head() == head


def test_an_input_that_was_erased_is_said(lived: BlockingDatabase) -> None:
    lived.events.delete(goes.AggregateRef("order", "late"))
    (found,) = lived.workflows.check_histories(Fulfilment())
    assert (found.key, found.problem) == ("late", "the input was erased")
