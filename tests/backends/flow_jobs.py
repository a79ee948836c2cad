"""A workflow that is a function, for the test in which its processes are killed."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import timedelta
from typing import Any

from goes_lite_conformance.harness.workers import say

import goes_lite as goes
from goes_lite.errors import CommandRejected, DuplicateEventError, StepTimeout
from goes_lite.workflow import CodeWorkflow
from tests.workflow.flow_kit import Noted, Paid, Placed, Recall, Refund, Ship, registry

SHORT = timedelta(milliseconds=50)


def by_order(event: goes.Event[Paid]) -> str:
    return event.data.order


def fulfilment(db: goes.blocking.BlockingDatabase) -> CodeWorkflow:
    """Return a workflow with steps, commands, waits, sleeps and compensation: orders of an odd total are not shipped."""

    def fulfil(flow: goes.BlockingFlow, placed: goes.Event[Placed]) -> None:
        def reserve() -> str:
            event = goes.Event(Noted(f"reserved {flow.key}"), id=flow.id("reserve"), registry=registry)
            try:
                db.events.append([event])
            except DuplicateEventError:  # by a worker that was killed
                return "again"
            return "first"

        flow.undo(Refund(flow.key))
        flow.step("reserve", reserve)
        flow.undo(Recall(flow.key))
        flow.all(lambda: flow.step("left", lambda: 1), lambda: flow.sleep(SHORT))
        try:
            flow.wait_for(Paid, timeout=timedelta(seconds=60))
        except StepTimeout:
            flow.fail("not paid")
        flow.command(Ship(flow.key))
        flow.publish(Noted(f"shipped {flow.key}"))

    return goes.flow("killed", starts_with=Placed, waits_for={Paid: by_order})(fulfil)


def register(db: goes.blocking.BlockingDatabase) -> None:
    """Register handlers that count in a transaction how often they are called for an order."""

    def count(command: Any, tx: Any) -> str:
        kind = type(command).__name__
        record = tx.models.get("counts", f"{kind} {command.order}")
        tx.models.put("counts", f"{kind} {command.order}", str(1 + (int(record.data) if record else 0)))
        if kind == "Ship" and int(command.order) % 2:
            raise CommandRejected("odd", f"{command.order} is odd")
        return kind

    for kind in (Ship, Recall, Refund):
        db.commands.handle(kind, count, transactional=True)


def work(url: str) -> None:
    """Run the workflow and handle commands until it is killed."""
    for name in ("goes_lite.commands", "goes_lite.processor"):
        logging.getLogger(name).disabled = True
    with goes.blocking.connect(url, registry=registry) as db:
        register(db)
        options: Any = {"lease": 1.0}
        with db.workflow(fulfilment(db), **options), db.commands.worker(concurrency=2, claim=0.5):
            say("ready")
            threading.Event().wait()


if __name__ == "__main__":
    work(**json.loads(sys.argv[2]))
