"""What the tests of workflows that are functions share: events and commands, and a store with everything that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.codec import codec
from goes_lite.errors import CommandFailed, CommandNotFound, CommandRejected
from goes_lite.events.registry import Registry
from goes_lite.testing import FakeClock
from goes_lite.workflow import Instance
from goes_lite.workflow.memory import Memory

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
PATIENCE = 60.0
registry = Registry()


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int


@registry.event("order.paid")
@dataclass(frozen=True)
class Paid:
    order: str
    cents: int


@registry.event("parcel.arrived")
@dataclass(frozen=True)
class Arrived:
    parcel: str


@registry.event("flow.noted")
@dataclass(frozen=True)
class Noted:
    text: str


@registry.commands.event("ship")
@dataclass(frozen=True)
class Ship:
    order: str


@registry.commands.event("refund")
@dataclass(frozen=True)
class Refund:
    order: str


@registry.commands.event("recall")
@dataclass(frozen=True)
class Recall:
    order: str


class World:
    """A store in which a workflow runs on demand: `go` lets it and the worker do all that there is to do."""

    def __init__(self, db: BlockingDatabase, clock: FakeClock) -> None:
        self.db = db
        self.clock = clock
        self.handled: list[Any] = []

    def handle(self, kind: Any, answer: Callable[[Any], Any] | None = None) -> None:
        """Handle a command, noting it."""

        def handler(command: Any) -> Any:
            self.handled.append(command)
            return None if answer is None else answer(command)

        self.db.commands.handle(kind, handler)

    def append(self, data: Any, order: str = "1") -> int:
        ref = goes.AggregateRef("order", order)
        version = len(self.db.events.load(ref)) + 1
        event = goes.Event(data, aggregate=ref, version=version, time=self.clock.now(), registry=registry)
        return self.db.events.append([event]).position

    def go(self, flow: Any, **options: Any) -> None:
        """Let the workflow and a worker do all that is due, one after the other."""
        for _ in range(100):
            flow.catch_up()
            now = self.clock.now()
            due = [one.id for one in self.db.commands.accepted() if one.due <= now]
            if not due:
                return
            with self.db.commands.worker(**cast("dict[str, Any]", {"attempts": 1, **options})):
                for id in due:
                    with suppress(
                        CommandRejected, CommandFailed, CommandNotFound
                    ):  # steps leave nothing but their outcome
                        self.db.commands.outcome(id, PATIENCE)
        raise AssertionError("it never comes to an end")

    def instance(self, name: str = "fulfilment", key: str = "1") -> Instance:
        return self.db.models_of(f"goes:workflow:{name}", Instance).get(key)

    def memory(self, name: str = "fulfilment", key: str = "1") -> Memory:
        found: Memory = codec("json").from_plain(Memory)(self.instance(name, key).state)
        return found


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so; AssertionError if it never is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@contextmanager
def world(path: str = "sqlite:///:memory:", clock: FakeClock | None = None) -> Generator[World]:
    clock = clock or FakeClock(NOON)
    with connect(path, registry=registry, clock=clock) as db:
        yield World(db, clock)
