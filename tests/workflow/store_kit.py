"""What happens in a store with the workflow of `workflow_kit`, and what is stored there then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.events.outcome import CommandOutcome, reported_tags
from goes_lite.workflow import Instance
from tests.workflow.workflow_kit import Fulfilment, Placed, Progress, registry


class Fragile(Fulfilment, name="fulfilment"):
    """Cannot be charged while it is broken; its initial state and keys can be broken, too."""

    broken: set[str]

    def __init__(self, *broken: str) -> None:
        self.broken = {*broken}

    def key(self, event: goes.Event[Any]) -> Any:
        if "key" in self.broken:
            raise RuntimeError("no key")
        return super().key(event)

    def charged(self, state: Progress, event: goes.Event[CommandOutcome]) -> Iterable[goes.Effect]:
        if state.order in self.broken:
            raise RuntimeError("out of order")
        return super().charged(state, event)

    def late(self, state: Progress, timer: goes.TimerFired) -> Iterable[goes.Effect]:
        if state.order in self.broken:
            raise RuntimeError("too late")
        return super().late(state, timer)


class Second(Fulfilment, name="fulfilment", version=2):
    def charged(self, state: Progress, event: goes.Event[CommandOutcome]) -> Iterable[goes.Effect]:
        return [goes.Complete()]


def place(db: BlockingDatabase, order: str = "1", total: int = 450, **fields: Any) -> int:
    return append(db, Placed(total), order, **fields)


def append(db: BlockingDatabase, data: Any, order: str = "1", **fields: Any) -> int:
    ref = goes.AggregateRef("order", order)
    version = len(db.events.load(ref)) + 1
    time = db.runtime.clock.now()
    event = goes.Event(data, aggregate=ref, version=version, time=time, registry=registry, **fields)
    return db.events.append([event]).position


def instance(db: BlockingDatabase, key: str = "1") -> Instance:
    return db.models_of("goes:workflow:fulfilment", Instance).get(key)


def commands(db: BlockingDatabase) -> list[Any]:
    return [one.data for one in db.commands.accepted()]


def settle(db: BlockingDatabase, kind: Any = "done", **fields: Any) -> None:
    """Let every accepted command have this outcome, as a worker would."""
    for one in db.commands.accepted():
        told = CommandOutcome(one.id, one.name, kind, **fields)
        tags = reported_tags(one.metadata) or ()
        db.events.append([goes.Event(told, tags=tags, time=db.runtime.clock.now(), registry=registry)])
        db.models.delete("goes:commands", str(one.id))  # to withdraw it would be another outcome


def history(db: BlockingDatabase, key: str = "1") -> list[Any]:
    return [event.data for event in db.events.load(goes.AggregateRef("workflow:fulfilment", key))]


def timers(db: BlockingDatabase) -> list[str]:
    return [record.id for record in db.models.query("goes:timers:fulfilment")]


def waiting(db: BlockingDatabase) -> int:
    collections = [name for name in db.models.collections() if name.startswith("goes:waiting:")]
    return sum(len(list(db.models.query(name))) for name in collections)
