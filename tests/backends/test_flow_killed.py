"""A workflow that is a function goes on whoever is killed: each step, command, timer and undo counts once."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

from goes_lite_conformance.harness import Process, Processes

import goes_lite as goes
from goes_lite.commands import COMMAND_OUTCOME
from goes_lite.events.workflow import WorkflowEnded, WorkflowHandled
from goes_lite.workflow import Instance
from tests.workflow.flow_kit import Noted, Paid, Placed, registry

KILLS, EACH = 2, 2
PATIENCE = 180.0


def test_each_step_counts_once_whoever_is_killed(url: str, rounds: int) -> None:
    with goes.blocking.connect(url, registry=registry) as db, Processes("tests.backends.flow_jobs") as start:

        def fresh() -> Process:
            worker = start("work", url=url)
            worker.expect("ready")
            return worker

        def statuses() -> dict[str, str]:
            return {key: one.status for key, one in instances.find_many(orders).items()}

        instances = db.models_of("goes:workflow:killed", Instance)

        def moved_on(order: str) -> bool:
            return statuses().get(order, "running") != "running"

        workers = [fresh(), fresh()]
        orders: list[str] = []
        for _ in range(KILLS * rounds):
            mine = [str(len(orders) + number) for number in range(EACH)]
            orders += mine
            for order in mine:
                event = goes.Event(Placed(1), aggregate=("order", order), version=1, registry=registry)
                db.events.append([event])
                db.events.append([goes.Event(Paid(order, 1), registry=registry)])
            _until(partial(moved_on, mine[0]))  # the others are under way
            workers.pop(0).kill()
            workers.append(fresh())
        wanted = {order: "failed" if int(order) % 2 else "completed" for order in orders}
        _until(lambda: statuses() == wanted)
        for worker in workers:
            worker.kill()

        even, odd = [o for o in orders if int(o) % 2 == 0], [o for o in orders if int(o) % 2]
        counts = {record.id: record.data for record in db.models.query("counts")}
        assert counts == dict.fromkeys([f"Ship {o}" for o in even] + [f"{k} {o}" for o in odd for k in UNDOS], "1")
        told: Counter[Any] = Counter()
        for outcome in db.events.query(goes.EventQuery([COMMAND_OUTCOME])):
            tags = dict(tag.split(":", 1) for tag in outcome.tags)
            told[tags["instance"], tags.get("step", outcome.data.command), outcome.data.outcome] += 1
        steps = [(o, step, "done") for o in orders for step in ("step reserve", "step left")]
        shipped = [(o, "command ship", "done") for o in even] + [(o, "command ship", "rejected") for o in odd]
        assert told == Counter(steps + shipped + [(o, undo, "done") for o in odd for undo in ("recall", "refund")])
        noted = Counter(event.data for event in db.events.query(goes.EventQuery(["flow.noted"])))
        assert noted == Counter([Noted(f"reserved {o}") for o in orders] + [Noted(f"shipped {o}") for o in even])
        for order in orders:
            _check_history(db, order)


UNDOS = ("Recall", "Refund")


def _check_history(db: goes.blocking.BlockingDatabase, order: str) -> None:
    """Each input is in the history once, in order, and the end is the last."""
    history = [event.data for event in db.events.load(goes.AggregateRef("workflow:killed", order))]
    handled = [one for one in history if isinstance(one, WorkflowHandled)]
    assert [one.number for one in handled] == [*range(1, len(handled) + 1)]
    positions = [one.input.position for one in handled if one.input.kind == "event"]
    assert positions == sorted(set(positions))
    assert len([one for one in handled if one.input.kind == "timer"]) <= 1
    assert isinstance(history[-1], WorkflowEnded)


def _until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
