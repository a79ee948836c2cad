"""What the other processes of the tests of commands do; the parent kills them."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any
from uuid import UUID

from goes_lite_conformance.harness.workers import listen, say

import goes_lite as goes
from tests.commands.commands_kit import Greet, Order, Pay, PlaceOrder, Remind, registry


def dispatch(path: str, id: str) -> None:
    """Tells that a command is committed, and never comes to its answer."""
    with goes.blocking.connect(path, registry=registry) as db:

        def stuck(command: Any, proceed: Any) -> Any:
            result = proceed(command)
            if command.name == "order.pay":
                say("committed")
                threading.Event().wait()
            return result

        db.commands.serve(Order)
        db.commands.use(stuck)
        db.commands.dispatch(PlaceOrder("1", 450))
        db.commands.dispatch(Pay("1", 50), id=UUID(id))


def work(path: str, hands: int) -> None:
    """Does accepted commands, until it is killed: one on an aggregate, one in a transaction, one that dispatches another."""
    with goes.blocking.connect(path, registry=registry) as db:

        def remind(command: Remind, tx: Any) -> None:
            record = tx.models.get("reminders", command.whom)
            count = json.loads(record.data)["count"] if record else 0
            tx.models.put("reminders", command.whom, json.dumps({"count": count + 1}))
            db.commands.dispatch_async(Pay("1", int(command.whom)), tx=tx)

        db.commands.serve(Order)
        db.commands.handle(Remind, remind, transactional=True)
        db.commands.handle(Greet, lambda command: time.sleep(0))
        with db.commands.worker(concurrency=hands, claim=0.2):
            say("started")
            threading.Event().wait()


def twin(folder: str, ids: dict[str, list[str]]) -> None:
    """Dispatches commands that another process dispatches at the same time."""
    from tests.commands import test_duplicates

    for handler, numbers in ids.items():
        with goes.blocking.connect(f"{folder}/{handler}.db", registry=registry, durability="normal") as db:
            getattr(test_duplicates, handler)(db, lambda: None)
            say(handler)
            listen()
            say(sorted({str(db.commands.dispatch(PlaceOrder(id, 5), id=UUID(id))) for id in numbers}))


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    if "ids" in arguments:
        twin(**arguments)
    else:
        dispatch(**arguments) if "id" in arguments else work(**arguments)
