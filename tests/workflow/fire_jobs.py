"""Processes that run three workflows and handle their commands, until they are killed.

python -m tests.workflow.fire_jobs run {"url": …}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from goes_lite_conformance.harness.workers import listen, say

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect

registry = goes.Registry()
LEASE = 0.5
SOON = timedelta(milliseconds=30)
TICKS = 3


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    sound: bool


@registry.event("order.over")
@dataclass(frozen=True)
class Over:
    order: str


@registry.event("did")
@dataclass(frozen=True)
class Did:
    """A command has had its effect."""

    command: str
    order: str


@registry.commands.event("do")
@dataclass(frozen=True)
class Do:
    what: str
    order: str


@dataclass(frozen=True)
class Order:
    key: str = ""
    sound: bool = True
    ticks: int = 0


class Keyed(goes.Workflow[Order]):
    def initial(self, key: str) -> Order:
        return Order(key)


class Fulfilment(Keyed, name="fulfilment"):
    """Charges and ships; then a timer decides between the end and undoing both."""

    @goes.evolves(Placed)
    def sound(self, state: Order, event: goes.Event[Placed]) -> Order:
        return Order(state.key, event.data.sound)

    @goes.starts(Placed)
    def placed(self, state: Order, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
        yield goes.Dispatch(Do("charge", state.key))
        yield goes.SetTimer("never", after=timedelta(days=400))

    @goes.on_done(Do)
    def done(self, state: Order, event: goes.Event[goes.CommandOutcome]) -> Iterable[goes.Effect]:
        what = json.loads(event.data.result or "null")
        yield goes.Undo(Do(f"undo {what}", state.key))
        if what == "charge":
            yield goes.Dispatch(Do("ship", state.key))
        else:
            yield goes.SetTimer("decide", after=SOON)

    @goes.on_timer("decide")
    def decide(self, state: Order, timer: goes.TimerFired) -> Iterable[goes.Effect]:
        yield goes.Publish(Over(state.key))
        yield goes.Complete() if state.sound else goes.Compensate("unsound")

    @goes.on_timer("never")
    def never(self, state: Order, timer: goes.TimerFired) -> Iterable[goes.Effect]:
        yield goes.Fail("a timer of 400 days fired")


class Ticking(Keyed, name="ticking"):
    """Sets a timer of one name several times, one after the other."""

    def evolve(self, state: Order, input: Any) -> Order:
        return Order(state.key, state.sound, state.ticks + isinstance(input, goes.TimerFired))

    @goes.starts(Placed)
    def placed(self, state: Order, event: goes.Event[Placed]) -> goes.Effect:
        return goes.SetTimer("tick", after=SOON)

    @goes.on_timer("tick")
    def ticked(self, state: Order, timer: goes.TimerFired) -> goes.Effect:
        return goes.Complete() if state.ticks == TICKS else goes.SetTimer("tick", after=SOON)


class Notifying(Keyed, name="notifying"):
    """Starts with an event that another workflow has published."""

    @goes.starts(Over, key=lambda event: event.data.order)
    def over(self, state: Order, event: goes.Event[Over]) -> goes.Effect:
        return goes.Dispatch(Do("notify", state.key))

    @goes.on_done(Do)
    def notified(self, state: Order, event: goes.Event[goes.CommandOutcome]) -> goes.Effect:
        return goes.Complete()


WORKFLOWS = (Fulfilment, Ticking, Notifying)


def store(url: str) -> BlockingDatabase:
    return connect(url, registry=registry)


def run(url: str) -> None:
    """Run everything until killed."""
    with store(url) as db, ExitStack() as stack:

        def do(command: Do, tx: Any) -> str:
            tx.events.append([goes.Event(Did(command.what, command.order), registry=registry)])
            return command.what

        db.commands.handle(Do, do, transactional=True)
        flows = [stack.enter_context(db.workflow(kind(), lease=LEASE)) for kind in WORKFLOWS]
        stack.enter_context(db.commands.worker(claim=1.0))
        say("ready")
        listen()
        for flow in flows:
            assert flow.error is None, flow.error


JOBS: dict[str, Callable[..., None]] = {"run": run}

if __name__ == "__main__":
    JOBS[sys.argv[1]](**json.loads(sys.argv[2]))
