"""Outcomes of commands in the log of each backend: once, also if workers are killed; and withdrawing in a transaction."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from goes_lite_conformance.harness import Process, Processes

import goes_lite as goes
from goes_lite.commands import COMMAND_OUTCOME, command_id
from goes_lite.errors import CommandFailed, CommandRejected
from tests.backends import outcome_jobs
from tests.commands.commands_kit import PATIENCE, Order, Pay, PlaceOrder, Remind, registry
from tests.conftest_kit import quiet as _quiet

quiet = _quiet("goes_lite.commands")
KILLS, EACH, WORKERS = 3, 4, 2
KINDS = ("pay", "place", "remind", "fail")


def test_each_outcome_is_told_once_whoever_is_killed(url: str, rounds: int) -> None:
    """Of handlers on aggregates, in transactions and outside of them; done, rejected and given up; with two workers."""
    chance = random.Random(7)
    with goes.blocking.connect(url, registry=registry) as db, Processes("tests.backends.outcome_jobs") as start:
        outcome_jobs.register(db)
        db.commands.dispatch(PlaceOrder("1", 450))

        def fresh() -> Process:
            worker = start("work", url=url)
            worker.expect("ready")
            return worker

        workers = [fresh() for _ in range(WORKERS)]
        for kill in range(KILLS * rounds):
            for number in range(EACH):
                key = f"{kill}.{number}"
                db.commands.dispatch_async(Pay("1", 1), id=f"pay {key}", report=["kind:pay"])
                db.commands.dispatch_async(PlaceOrder("1", 2), id=f"place {key}", report=["kind:place"])
                db.commands.dispatch_async(Remind(key), id=f"remind {key}", report=["kind:remind"])
                db.commands.dispatch_async(outcome_jobs.Fail(number), id=f"fail {key}", report=["kind:fail"])
            _outcome(db, f"{chance.choice(KINDS)} {kill}.{chance.randrange(EACH)}")  # the others are under way
            workers.pop(0).kill()
            workers.append(fresh())
        keys = [f"{kill}.{number}" for kill in range(KILLS * rounds) for number in range(EACH)]
        wanted = {f"pay {key}": "done" for key in keys} | {f"place {key}": "rejected" for key in keys}
        wanted |= {f"remind {key}": "done" for key in keys} | {f"fail {key}": "failed" for key in keys}
        assert {key: _outcome(db, key) for key in wanted} == wanted
        for worker in workers:
            worker.kill()
        told = db.events.query(goes.EventQuery([COMMAND_OUTCOME])).list()
        assert Counter((event.data.id, event.data.outcome) for event in told) == Counter(
            (command_id(key), outcome) for key, outcome in wanted.items()
        )
        assert [db.events.count(goes.EventQuery([COMMAND_OUTCOME], tags=[f"kind:{kind}"])) for kind in KINDS] == [
            len(keys)
        ] * 4
        assert db.repository(Order).fetch("1").paid == len(keys)


@pytest.mark.parametrize("report", [False, True])
def test_a_command_is_withdrawn_with_a_transaction(url: str, report: bool) -> None:
    """On the blocking face; and the outcome that it asks for is told if that transaction commits, and only then."""
    late = datetime.now(timezone.utc) + timedelta(days=3)
    with goes.blocking.connect(url, registry=registry) as db:
        id = db.commands.schedule(Remind("ada"), at=late, report=report)
        with pytest.raises(OSError), db.transaction() as tx:
            assert db.commands.withdraw(id, tx=tx)
            raise OSError
        assert [one.id for one in db.commands.accepted()] == [id]
        with db.transaction() as tx:
            other = db.commands.schedule(Remind("bob"), at=late, tx=tx)
            assert db.commands.withdraw(id, tx=tx)
            assert not db.commands.withdraw(id, tx=tx)
        assert [one.id for one in db.commands.accepted()] == [other]
        assert [event.data.code for event in _told(db)] == ["withdrawn"] * report


async def test_a_command_is_withdrawn_with_a_transaction_on_the_async_face(url: str) -> None:
    late = datetime.now(timezone.utc) + timedelta(days=3)
    async with goes.connect(url, registry=registry) as db:
        id = await db.commands.schedule(Remind("ada"), at=late, report=True)
        async with db.transaction() as tx:
            assert await db.commands.withdraw(id, tx=tx)
        assert await db.commands.accepted() == []
        assert await db.events.count() == 1


def _outcome(db: Any, key: str) -> str:
    try:
        db.commands.outcome(key, 4 * PATIENCE)
    except CommandRejected:
        return "rejected"
    except CommandFailed as exc:
        return "failed" if exc.error.startswith("OSError: no ") else exc.error
    return "done"


def _told(db: goes.blocking.BlockingDatabase) -> list[goes.Event[Any]]:
    return db.events.query(goes.EventQuery([COMMAND_OUTCOME])).list()
