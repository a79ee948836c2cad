"""An undo that failed: what people do about it, and that it is done once, whatever they do and in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.errors import CommandRejected
from goes_lite.testing import FakeClock
from tests.workflow.store_kit import append, instance, place
from tests.workflow.workflow_kit import Cancelled, Charge, Fulfilment, Recall, Refund, Ship, registry


class Shop:
    """An order that is charged and shipped, whose cancellation cannot recall the parcel until somebody repairs that."""

    def __init__(self, db: BlockingDatabase, clock: FakeClock) -> None:
        self.db, self.clock = db, clock
        self.error: Exception | None = ConnectionError("the carrier does not answer")
        self.recalled = 0
        self.refunded = 0
        db.commands.handle(Charge, lambda command: None)
        db.commands.handle(Ship, lambda command: None)
        db.commands.handle(Recall, self.recall)
        db.commands.handle(Refund, self.refund)
        self.flow = db.workflow(Fulfilment())
        self.worker = db.commands.worker(attempts=1)

    def recall(self, command: Recall) -> None:
        if self.error is not None:
            raise self.error
        self.recalled += 1

    def refund(self, command: Refund) -> None:
        self.refunded += 1

    def go(self) -> None:
        """Let everything happen that can."""
        for _ in range(6):
            self.flow.catch_up()
            self.worker.catch_up()
            self.clock.advance(timedelta(seconds=1).total_seconds())
        self.flow.catch_up()

    def suspend(self) -> UUID:
        """Cancel the order, and return the undo that fails."""
        place(self.db)
        self.go()
        append(self.db, Cancelled())
        self.go()
        assert instance(self.db).status == "suspended"
        (failed,) = self.db.commands.accepted(failed=True)
        return failed.id

    def retry(self) -> None:
        self.db.workflows.retry("fulfilment", "1")


@pytest.fixture
def shop(clock: FakeClock) -> Iterator[Shop]:
    with connect("sqlite:///:memory:", registry=registry, clock=clock) as db:
        yield Shop(db, clock)


ORDERS = [
    "redrive handle tell retry",
    "redrive handle retry",
    "redrive retry",
    "redrive retry handle",
    "retry redrive",
    "retry redrive handle",
    "retry tell redrive handle",
    "redrive tell handle tell retry tell retry",
    "redrive",
]


@pytest.mark.parametrize("order", ORDERS)
def test_an_undo_that_is_redriven_and_retried_is_done_once(shop: Shop, order: str) -> None:
    failed = shop.suspend()
    shop.error = None
    for act in order.split():
        if act == "retry":
            if instance(shop.db).failing is not None:
                shop.retry()
        elif act == "redrive":
            shop.db.commands.redrive(failed)
        elif act == "handle":
            shop.worker.catch_up()
        else:
            shop.flow.catch_up()
    shop.go()
    if "retry" not in order:
        shop.retry()  # until somebody says so, it is suspended, and what has happened is kept for then
        shop.go()

    assert (shop.recalled, shop.refunded) == (1, 1)
    assert (instance(shop.db).status, instance(shop.db).reason) == ("failed", "cancelled by the customer")
    assert shop.db.commands.accepted() == shop.db.commands.accepted(failed=True) == []
    assert not shop.db.commands.redrive(failed)
    assert shop.db.workflows.check_histories(Fulfilment()) == []


def test_an_undo_that_fails_once_more_is_suspended_again(shop: Shop) -> None:
    failed = shop.suspend()
    for redriven in (True, False):
        if redriven:
            shop.db.commands.redrive(failed)
        shop.retry()
        shop.go()
        assert instance(shop.db).status == "suspended"
        assert [stored.command for stored in instance(shop.db).undo] == ["refund", "recall"]
    shop.error = None
    shop.retry()
    shop.go()
    assert (shop.recalled, shop.refunded, instance(shop.db).status) == (1, 1, "failed")
    assert shop.db.workflows.check_histories(Fulfilment()) == []


def test_an_undo_that_was_refused_is_dispatched_again(shop: Shop) -> None:
    shop.error = CommandRejected("delivered", "it is delivered")
    failed = shop.suspend()
    shop.error = None
    shop.retry()
    shop.go()
    assert (shop.recalled, instance(shop.db).status) == (1, "failed")
    assert not shop.db.commands.redrive(failed)


def test_an_undo_that_was_skipped_counts_no_more(shop: Shop) -> None:
    """Even if its command is done later."""
    failed = shop.suspend()
    shop.error = None
    shop.db.workflows.skip("fulfilment", "1")
    shop.flow.catch_up()
    assert [stored.command for stored in instance(shop.db).undo] == ["refund"]
    shop.db.commands.redrive(failed)
    shop.go()
    assert (shop.refunded, instance(shop.db).status) == (1, "failed")
    assert shop.db.workflows.check_histories(Fulfilment()) == []


def test_an_undo_that_was_withdrawn_is_dispatched_again(shop: Shop) -> None:
    failed = shop.suspend()
    shop.error = None
    assert shop.db.commands.withdraw(failed)
    shop.retry()
    shop.go()
    assert (shop.recalled, shop.refunded, instance(shop.db).status) == (1, 1, "failed")


def test_the_outcome_of_an_undo_that_failed_is_kept_until_the_instance_goes_on(shop: Shop) -> None:
    failed = shop.suspend()
    shop.error = None
    shop.db.commands.redrive(failed)
    shop.go()
    assert (instance(shop.db).status, shop.recalled) == ("suspended", 1)
    shop.retry()
    shop.go()
    assert (shop.recalled, instance(shop.db).status) == (1, "failed")
