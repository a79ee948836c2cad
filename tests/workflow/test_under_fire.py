"""Processes that run workflows and are killed at random moments: every input, command and timer counts once.

Counted in the log, from what the handlers of the commands wrote and from the histories. `--rounds 100` is more than 300 kills.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from goes_lite_conformance.harness import Processes

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, operations
from goes_lite.events.outcome import COMMAND_OUTCOME
from goes_lite.events.workflow import ENDED, HANDLED
from tests.on_servers import backends_of, marks_of, new_stores
from tests.workflow.fire_jobs import LEASE, TICKS, WORKFLOWS, Placed, registry, store

PATIENCE = 120.0


@pytest.fixture
def spawn() -> Iterator[Processes]:
    with Processes("tests.workflow.fire_jobs") as spawn:
        yield spawn


def place(db: BlockingDatabase, orders: range) -> None:
    db.events.append([
        goes.Event(Placed(order % 2 == 0), aggregate=("order", str(order)), version=1, registry=registry) for order in orders
    ])  # fmt: skip


def until_over(db: BlockingDatabase, orders: int) -> None:
    """Wait until all instances of all workflows have ended, for as long as something happens."""
    head, deadline = 0, time.monotonic() + PATIENCE
    while db.events.count(goes.EventQuery([ENDED])) < orders * len(WORKFLOWS):
        if (now := db.events.head()) > head:
            head, deadline = now, time.monotonic() + PATIENCE
        assert time.monotonic() < deadline, f"nothing happens after position {head}: {db.workflows.stuck()!r:.500}"
        time.sleep(0.1)


def check(db: BlockingDatabase, orders: int) -> None:
    """What the handlers of the commands wrote, and what the histories say, is there once."""
    did = Counter((event.data.command, event.data.order) for event in db.events.query(goes.EventQuery(["did"])))
    expected = {(what, str(order)) for order in range(orders) for what in ("charge", "ship", "notify")}
    expected |= {(what, str(order)) for order in range(1, orders, 2) for what in ("undo ship", "undo charge")}
    assert did == dict.fromkeys(expected, 1)

    told: Counter[tuple[object, ...]] = Counter()
    dispatched: Counter[str] = Counter()
    fired: Counter[tuple[object, ...]] = Counter()
    for event in db.events.query(goes.EventQuery([HANDLED])):
        ref = event.data.input
        if ref.kind == "event":
            told[event.aggregate, ref.id] += 1
        else:
            fired[event.aggregate, ref.name] += 1
        dispatched.update(effect.id for effect in event.data.effects if effect.effect == "dispatch")
    assert set(told.values()) == {1}
    assert set(dispatched.values()) == {1}
    outcomes = Counter(str(event.data.id) for event in db.events.query(goes.EventQuery([COMMAND_OUTCOME])))
    assert outcomes == dispatched
    assert {name: times for (_, name), times in fired.items()} == {"decide": 1, "tick": TICKS}
    assert len(fired) == 2 * orders
    assert [problem for problem in operations.verify(db).problems if problem.code.startswith("workflow")] == []

    statuses = Counter((one.workflow, one.status) for one in db.workflows.list())
    assert statuses == {
        ("fulfilment", "completed"): (orders + 1) // 2, ("fulfilment", "failed"): orders // 2,
        ("ticking", "completed"): orders, ("notifying", "completed"): orders,
    }  # fmt: skip
    assert db.commands.accepted() == []
    for kind in WORKFLOWS:
        assert list(db.models.query(f"goes:timers:{kind.name}")) == []


def fire(url: str, spawn: Processes, rounds: int, size: int) -> None:
    chance = random.Random(rounds)
    batches = 2 + 2 * rounds
    workers = [spawn("run", url=url) for _ in range(2)]
    for worker in workers:
        worker.expect("ready")
    with store(url) as db:
        for batch in range(batches):
            place(db, range(batch * size, batch * size + size))
            time.sleep(chance.uniform(0, 1.5 * LEASE))  # the random moment: standing by, catching up, between two steps
            victim = workers.pop(chance.randrange(2))
            victim.kill()
            victim.close()
            workers.append(spawn("run", url=url))
        until_over(db, batches * size)
        for worker in workers:
            worker.expect("ready")
            worker.tell()
        for worker in workers:
            worker.close()
        check(db, batches * size)
    print(f"{batches * size} orders, {batches} kills")


def test_two_processes_of_which_one_is_killed_again_and_again(
    backend: str, tmp_path: Path, spawn: Processes, rounds: int
) -> None:
    url = str(tmp_path / "app.db") if backend == "sqlite" else f"{new_stores(backend)}fire"
    store(url).close()
    fire(url, spawn, rounds, 10 if backend == "sqlite" else 2)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The file is killed in each run, the servers in the runs that have them."""
    backends = [pytest.param(one, marks=marks_of(one), id=one) for one in backends_of(metafunc.config)]
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends)
