"""What the rules of workflows share: a workflow that decides by the texts of its inputs, and ways to look at it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from goes_lite.commands import DispatchedCommand
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.outcome import CommandOutcome
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite.events.workflow import HANDLED, WorkflowHandled
from goes_lite.workflow import (
    Associate,
    Compensate,
    Complete,
    Dispatch,
    Dissociate,
    Effect,
    Instance,
    Publish,
    SetTimer,
    TimerFired,
    Undo,
    Workflow,
    on_done,
    on_rejected,
    on_timer,
    reacts,
    starts,
)

registry = Registry()
SOON = timedelta(milliseconds=20)
NEVER = timedelta(days=400)


@registry.event("task.opened")
@dataclass(frozen=True)
class Opened:
    """Starts an instance."""

    text: str = ""


@registry.event("task.said")
@dataclass(frozen=True)
class Said:
    """Something for the instances with these keys."""

    text: str
    keys: tuple[str, ...] = ()


@registry.event("task.noted")
@dataclass(frozen=True)
class Noted:
    """What an instance publishes, and what a handler of its commands writes."""

    text: str


@registry.commands.event("task.do")
@dataclass(frozen=True)
class Do:
    """A command with a text; `no` is refused."""

    text: str


@dataclass(frozen=True)
class Texts:
    """The texts that an instance was told, in order."""

    texts: list[str] = field(default_factory=list[str])


class Tasks(Workflow[Texts], name="tasks"):
    """Does what the texts of its inputs say."""

    broken = False
    """Whether it cannot handle the text `hard`."""

    def evolve(self, state: Texts, input: Any) -> Texts:
        return Texts([*state.texts, text_of(input)])

    def key(self, event: Event[Any]) -> Iterable[str]:
        if isinstance(event.data, Said) and event.data.keys:
            return event.data.keys
        return () if event.aggregate is None else (event.aggregate.id,)

    @starts(Opened)
    def opened(self, state: Texts, event: Event[Opened]) -> Iterable[Effect]:
        return self.decide(event.data.text)

    @reacts(Said)
    def said(self, state: Texts, event: Event[Said]) -> Iterable[Effect]:
        return self.decide(event.data.text)

    @on_done(Do)
    def done(self, state: Texts, event: Event[CommandOutcome]) -> Iterable[Effect]:
        return ()

    @on_rejected(Do)
    def refused(self, state: Texts, event: Event[CommandOutcome]) -> Iterable[Effect]:
        return ()

    @on_timer("soon", "never", "first", "second", "third")
    def fired(self, state: Texts, timer: TimerFired) -> Iterable[Effect]:
        yield Publish(Noted(f"{timer.name} fired"))

    def decide(self, text: str) -> Iterable[Effect]:
        """Return the effects that a text asks for, such as `do x`, `undo x`, `note x`, `soon`, `never`, `with k`."""
        word, _, rest = text.partition(" ")
        if word == "hard" and self.broken:
            raise ValueError("too hard")
        effects: dict[str, Effect] = {
            "do": Dispatch(Do(rest)),
            "undo": Undo(Do(rest)),
            "note": Publish(Noted(rest)),
            "soon": SetTimer("soon", after=SOON),
            "never": SetTimer("never", after=NEVER),
            "with": Associate(rest or "k"),
            "without": Dissociate(rest or "k"),
            "back": Compensate("back"),
            "end": Complete(),
        }
        return [effects[word]] if word in effects else []


def text_of(input: Any) -> str:
    """Return the text by which a rule knows an input."""
    if isinstance(input, TimerFired):
        return f"{input.name} fired"
    if isinstance(input.data, CommandOutcome):
        result = input.data.result
        return f"{input.data.outcome} {json.loads(result) if result else input.data.code}"
    text: str = input.data.text
    return text


def opened(key: str, text: str = "") -> Event[Opened]:
    """Return an event that starts the instance `key`."""
    return Event(Opened(text), aggregate=("task", key), version=1, registry=registry)


def said(text: str, *keys: str) -> Event[Said]:
    """Return an event for these instances."""
    return Event(Said(text, keys), registry=registry)


async def instance(db: Database, key: str) -> Instance:
    """Return an instance, which must exist."""
    found = await db.workflows.find("tasks", key)
    assert found is not None, f"there is no instance {key!r}"
    return found


async def told(db: Database, key: str) -> list[str]:
    """Return the texts that an instance was told."""
    texts: list[str] = (await instance(db, key)).state["texts"]
    return texts


async def handled(db: Database, key: str) -> list[WorkflowHandled]:
    """Return what the history of an instance says about its inputs."""
    ref = AggregateRef("workflow:tasks", key)
    return [event.data for event in await db.events.load(ref) if event.name == HANDLED]


async def noted(db: Database) -> list[str]:
    """Return what was published or written by handlers, in order."""
    return [event.data.text for event in await db.events.query(EventQuery(["task.noted"])).list()]


async def texts_of_commands(db: Database) -> list[str]:
    """Return the texts of the accepted commands that wait."""
    return sorted(one.data.text for one in await db.commands.accepted() if isinstance(one.data, Do))


def handle(db: Database) -> None:
    """Register the handler of the command: it writes what it does; `no` is refused."""
    from goes_lite.errors import CommandRejected

    async def do(command: Any, tx: Any) -> str:
        data = cast("Do", command.data if isinstance(command, DispatchedCommand) else command)  # pyright: ignore[reportUnknownMemberType]
        if data.text == "no":
            raise CommandRejected("refused", "no")
        await tx.events.append([Event(Noted(data.text), registry=registry)])
        return data.text

    db.commands.handle(Do, do, transactional=True)
