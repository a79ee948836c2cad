"""What the workers of the tests of outcomes handle, and the process in which they are killed."""

from __future__ import annotations

import json
import logging
import sys
import threading
from dataclasses import dataclass
from typing import Any

from goes_lite_conformance.harness.workers import say

import goes_lite as goes
from tests.commands.commands_kit import Order, Remind, registry


@registry.commands.event("outcome-jobs.fail")
@dataclass(frozen=True)
class Fail:
    number: int


def register(db: goes.blocking.BlockingDatabase) -> None:
    """Register handlers on an aggregate, in a transaction, and outside of transactions."""

    def remind(command: Remind, tx: Any) -> str:
        tx.models.put("reminders", command.whom, json.dumps({"whom": command.whom}))
        return command.whom

    def fail(command: Fail) -> None:
        raise OSError(f"no {command.number}")

    db.commands.serve(Order)
    db.commands.handle(Remind, remind, transactional=True)
    db.commands.handle(Fail, fail)


def work(url: str) -> None:
    """Handle commands until it is killed."""
    logging.getLogger("goes_lite.commands").disabled = True
    with goes.blocking.connect(url, registry=registry) as db:
        register(db)
        with db.commands.worker(concurrency=2, claim=0.5, attempts=3, backoff=lambda attempt: 0.0):
            say("ready")
            threading.Event().wait()


if __name__ == "__main__":
    work(**json.loads(sys.argv[2]))
