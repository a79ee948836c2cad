"""Commands of several processes at one aggregate: from the third try on nobody else can write, so none of them is lost."""

from __future__ import annotations

from goes_lite_conformance.harness import Processes

import goes_lite as goes
from tests.commands.commands_kit import Order, PlaceOrder, registry

PROCESSES, EACH = 4, 4


def test_each_command_of_several_processes_counts(url: str) -> None:
    """None ends in ConcurrencyError, and each counts once."""
    with goes.blocking.connect(url, registry=registry) as db, Processes("tests.backends.server_jobs") as start:
        db.commands.serve(Order)
        db.commands.dispatch(PlaceOrder("1", 450))
        workers = [start("pay", url=url, count=EACH) for _ in range(PROCESSES)]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.tell("go")
        assert [worker.rest() for worker in workers] == [[""] * EACH] * PROCESSES
        order = db.repository(Order).fetch("1")
        assert (order.paid, order.version) == (PROCESSES * EACH, 1 + PROCESSES * EACH)
