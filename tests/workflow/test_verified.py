"""`verify` compares instances with what is kept because of them: timers, associations, and their history."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, operations
from goes_lite.testing import FakeClock
from tests.workflow.store_kit import Fragile, append, place, settle
from tests.workflow.workflow_kit import Delivered, Fulfilment

INSTANCES, TIMERS, ASSOCIATIONS = "goes:workflow:fulfilment", "goes:timers:fulfilment", "goes:associations:fulfilment"


def codes(db: BlockingDatabase) -> list[str]:
    return [problem.code for problem in operations.verify(db).problems]


def remove_timer(db: BlockingDatabase) -> None:
    for record in db.models.query(TIMERS):
        db.models.delete(TIMERS, record.id)


def add_timer(db: BlockingDatabase) -> None:
    for record in db.models.query(TIMERS):
        db.models.put(TIMERS, "1" + record.id[1:], record.data)


def park_timer(db: BlockingDatabase) -> None:
    db.models.put(TIMERS, "~1", '{"key": "2"}')


def remove_association(db: BlockingDatabase) -> None:
    db.models.delete(ASSOCIATIONS, "parcel-1")


def add_association(db: BlockingDatabase) -> None:
    db.models.put(ASSOCIATIONS, "parcel-9", '{"keys": ["1", "nobody"]}')


def change_instance(db: BlockingDatabase, **fields: Any) -> None:
    record = db.models.get(INSTANCES, "1")
    assert record is not None
    db.models.put(INSTANCES, "1", json.dumps({**json.loads(record.data), **fields}))


def delete_history(db: BlockingDatabase) -> None:
    db.events.delete(goes.AggregateRef("workflow:fulfilment", "1"))


def scribble(db: BlockingDatabase) -> None:
    for collection in (INSTANCES, TIMERS, ASSOCIATIONS):
        db.models.put(collection, "odd", "[]")


DAMAGE: list[tuple[Callable[[BlockingDatabase], object], list[str]]] = [
    (remove_timer, ["workflow-timer"]),
    (add_timer, ["workflow-timer"]),
    (park_timer, ["workflow-timer"]),
    (remove_association, ["workflow-association"]),
    (add_association, ["workflow-association", "workflow-association"]),
    (lambda db: change_instance(db, events=7), ["workflow-history"]),
    (lambda db: change_instance(db, status="odd"), ["workflow-wrong"]),
    (lambda db: change_instance(db, key="2"), ["workflow-wrong"]),
    (delete_history, ["workflow-history"]),
    (scribble, ["workflow-wrong"] * 3),
]


@pytest.fixture
def two(db: BlockingDatabase) -> BlockingDatabase:
    """A store with an instance that has an association, and one that has a timer."""
    flow = db.workflow(Fulfilment())
    place(db, "1")
    for _ in range(3):
        flow.catch_up()
        settle(db)
    flow.catch_up()
    place(db, "2")
    flow.catch_up()
    assert len(list(db.models.query(TIMERS))) == len(list(db.models.query(ASSOCIATIONS))) == 1
    return db


@pytest.mark.parametrize(("damage", "expected"), DAMAGE, ids=[
    "timer gone", "timer more", "timer put aside", "association gone", "association more", "events", "status", "key",
    "history gone", "records of others",
])  # fmt: skip
def test_what_disagrees_is_found(
    two: BlockingDatabase, damage: Callable[[BlockingDatabase], object], expected: list[str]
) -> None:
    assert codes(two) == []
    damage(two)
    assert codes(two) == expected


def test_an_instance_that_is_tried_again_and_one_that_is_suspended_are_sound(
    db: BlockingDatabase, clock: FakeClock, fragile: Fragile
) -> None:
    flow = db.workflow(fragile, patience=1)
    place(db, "1")
    flow.catch_up()
    settle(db)
    flow.catch_up()
    assert codes(db) == []
    remove_timer(db)
    assert codes(db) == ["workflow-timer"]
    add = db.workflows.retry
    add("fulfilment", "1")
    assert codes(db) == []
    clock.advance(60)
    flow.catch_up()
    clock.advance(60)
    flow.catch_up()
    assert db.workflows.list("fulfilment")[0].status == "suspended"
    assert codes(db) == []


def test_an_index_that_is_wrong_tells_no_instance_what_does_not_concern_it(two: BlockingDatabase) -> None:
    """The associations of the instance decide."""
    two.models.put(ASSOCIATIONS, "parcel-9", '{"keys": ["2", "1", "nobody"]}')
    append(two, Delivered("parcel-9"), "9")
    append(two, Delivered("parcel-1"), "8")
    two.workflow(Fulfilment()).catch_up()
    assert [(one.key, one.status) for one in two.workflows.list()] == [("1", "completed"), ("2", "running")]
