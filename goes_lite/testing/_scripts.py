"""Runs a script of inputs and passing time with a workflow in a store in memory, under a misfortune or without any."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeAlias, cast
from uuid import UUID, uuid5

from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.own_collections import COMMANDS, timers_collection
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.errors import ProcessorStopped
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, from_micros, to_micros
from goes_lite.events.outcome import CommandOutcome, reported_tags
from goes_lite.events.registry import Registry
from goes_lite.events.workflow import EffectRecord, WorkflowHandled
from goes_lite.processor import Retry
from goes_lite.runtime.portal import InlinePortal
from goes_lite.testing.clock import FakeClock
from goes_lite.workflow import (
    Associate,
    CancelTimer,
    Compensate,
    Complete,
    Definition,
    Dispatch,
    Dissociate,
    Effect,
    Fail,
    Instance,
    Publish,
    SetTimer,
    Undo,
    Workflow,
)
from goes_lite.workflow.stored import TimerRow

NEVER = UUID(int=0)
"""The id of an outcome until its command is found."""

Misfortune: TypeAlias = Literal["deliver twice", "crash before commit", "reorder unrelated"]
"""What may happen to any program, and must not make a difference."""


@dataclass(frozen=True)
class Settled:
    """The outcome of a command that the workflow dispatched."""

    command: Any
    outcome: CommandOutcome


Step: TypeAlias = "tuple[Event[Any] | Settled, ...] | timedelta"


@dataclass(frozen=True)
class Script:
    """What a workflow is told, in order, and under what."""

    workflow: Workflow[Any]
    options: dict[str, Any]
    registry: Registry
    misfortunes: tuple[Misfortune, ...]
    steps: tuple[Step, ...]


class Ran(NamedTuple):
    """The outcome of a script."""

    definition: Definition
    last: list[tuple[Effect, timedelta | None]]
    """The effects of the last step, and of timers, how long after the input they are due."""
    effects: dict[str, list[Effect]]
    """All effects, by the key of the instance."""
    instances: dict[str, Instance]

    def state(self, instance: Instance) -> Any:
        """Return the state of an instance."""
        return self.definition.restored(instance.state)

    def comparable(self) -> dict[str, Any]:
        """Return what must not depend on luck, by the key of the instance."""
        return {
            key: (
                one.status, one.run, one.inputs, one.state, one.timers, sorted(one.associations), one.undo, one.reason,
                None if one.failing is None else one.failing.error, self.effects.get(key, []),
            )
            for key, one in sorted(self.instances.items())
        }  # fmt: skip


class _Crash(Exception):
    """The program has crashed before a commit."""


class _Crashing(WrappedBackend):
    """Rolls back the first transaction after some others, as if the program had crashed before its commit."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.left = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        async with self.backend.transaction() as tx:
            yield tx
            if not self.left:
                raise _Crash
            self.left -= 1


def play(script: Script, misfortune: Misfortune | None) -> Ran:
    """Run a script in a new store."""
    clock = FakeClock()
    with connect("sqlite:///:memory:", registry=script.registry, clock=clock) as db:
        player = _Player(script, misfortune, db, clock)
        for number, step in enumerate(script.steps):
            player.begin_step()
            if isinstance(step, timedelta):
                player.advance(step)
            else:
                player.tell(
                    _reordered(player.definition, step) if misfortune == "reorder unrelated" and not number else step
                )
        return player.ran()


def _reordered(definition: Definition, step: Sequence[Event[Any] | Settled]) -> list[Event[Any] | Settled]:
    """Return the events in another order, in which those of each instance, and of each aggregate, keep theirs."""
    left = [(one, _related(definition, one)) for one in step]
    done: list[Event[Any] | Settled] = []
    while left:  # the last one that is related to nothing before it; the first one always is
        index = max(at for at, (_, mine) in enumerate(left) if not any(mine & other for _, other in left[:at]))
        done.append(left.pop(index)[0])
    return done


def _related(definition: Definition, one: Event[Any] | Settled) -> set[object]:
    if isinstance(one, Settled):
        return {"outcome"}
    about = definition.concerns(one)
    return {*about.starts, *about.reacts, one.aggregate}


class _Player:
    """Plays one script in one store."""

    def __init__(self, script: Script, misfortune: Misfortune | None, db: BlockingDatabase, clock: FakeClock) -> None:
        self._script = script
        self._misfortune = misfortune
        self._db = db
        self._clock = clock
        self.definition = Definition(script.workflow, script.registry)
        self._head = 0

    def begin_step(self) -> None:
        """Note what belongs to earlier steps."""
        self._head = self._db.events.head()

    def tell(self, inputs: Sequence[Event[Any] | Settled]) -> None:
        """Append inputs, one by one, and have the workflow told each."""
        for one in inputs:
            self._append(self._outcome_of(one) if isinstance(one, Settled) else self._placed(one))
            self._catch_up()

    def advance(self, time: timedelta) -> None:
        """Let time pass, from one timer that is due to the next."""
        end = to_micros(self._clock.now() + time)
        while True:
            now = to_micros(self._clock.now())
            due = [row.due for row in self._timers() if row.due <= end]
            self._clock.advance((max(now, min(due, default=end)) - now) / 1_000_000)
            self._catch_up()
            if not due:
                return

    def _timers(self) -> list[TimerRow]:
        return self._db.models_of(timers_collection(self._script.workflow.name), TimerRow).query(limit=1).list()

    def _placed(self, event: Event[Any]) -> Event[Any]:
        version = 0 if event.aggregate is None else len(self._db.events.load(event.aggregate)) + 1
        return Event(
            event.data, id=event.id, aggregate=event.aggregate, version=version, time=self._clock.now(),
            metadata=event.metadata, tags=event.tags, registry=self._script.registry,
        )  # fmt: skip

    def _outcome_of(self, settled: Settled) -> Event[Any]:
        waiting = self._db.commands.accepted()
        for one in waiting:
            if one.data == settled.command:
                outcome = settled.outcome._replace(id=one.id, command=one.name)
                self._db.models.delete(COMMANDS, str(one.id))  # to withdraw it would be another outcome
                return Event(
                    outcome, id=uuid5(one.id, "outcome"), time=self._clock.now(), tags=reported_tags(one.metadata) or (),
                    registry=self._script.registry,
                )  # fmt: skip
        left = [one.data for one in waiting]
        raise AssertionError(f"{settled.command!r} was not dispatched, or its outcome is known; there are {left!r}")

    def _append(self, event: Event[Any]) -> None:
        self._db.events.append([event])

    # --- running ------------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        crashing = _Crashing(self._db.database.backend)
        crashes = 0
        while True:
            crashing.left = crashes if self._misfortune == "crash before commit" else -1
            try:
                self._run(BlockingDatabase(crashing, InlinePortal()))
                break
            except _Crash:
                crashes += 1
        if self._misfortune == "deliver twice":
            self._db.checkpoints.save(self.definition.tag, 0)
            self._run(self._db)

    def _run(self, db: BlockingDatabase) -> None:
        options: Any = {"retry": Retry(1), **self._script.options}
        try:
            db.workflow(self._script.workflow, **options).catch_up()
        except ProcessorStopped as exc:
            raise (exc.__cause__ or exc) from None

    # --- what came out ------------------------------------------------------------------------------------------------

    def ran(self) -> Ran:
        """Return the outcome."""
        last: list[tuple[Effect, timedelta | None]] = []
        effects: dict[str, list[Effect]] = {}
        events = self._db.events.query().list()
        times = {event.position: to_micros(event.time) for event in events}
        own = [event for event in events if event.aggregate is not None and event.aggregate.name == self.definition.tag]
        for event in own:
            ref = cast("AggregateRef", event.aggregate)
            if not isinstance(event.data, WorkflowHandled):
                continue
            published = [
                other
                for other in own
                if other.aggregate == ref and other.position > event.position and not other.name.startswith("goes.")
            ]
            base = event.data.input.time or times[event.data.input.position]
            for record in event.data.effects:
                effect = self._effect(record, published)
                if effect is None:
                    continue
                effects.setdefault(ref.id, []).append(effect)
                if event.position > self._head:
                    after = timedelta(microseconds=record.due - base) if isinstance(effect, SetTimer) else None
                    last.append((effect, after))
        return Ran(
            self.definition, last, effects, {one.key: one for one in self._db.workflows.list(self._script.workflow)}
        )

    def _effect(self, record: EffectRecord, published: list[Event[Any]]) -> Effect | None:
        """Return the effect that a history describes; None for one that no reaction returns."""
        match record.effect:
            case "dispatch":
                return Dispatch(self._command(record), at=from_micros(record.due) if record.due else None)
            case "undo":
                return Undo(self._command(record))
            case "timer":
                return SetTimer(record.name, at=from_micros(record.due))
            case "publish":
                event = published.pop(0)
                return Publish(event.data, tuple(sorted(event.tags)))
            case "cancel":
                return CancelTimer(record.name)
            case "associate":
                return Associate(record.name)
            case "dissociate":
                return Dissociate(record.name)
            case "compensate":
                return Compensate(record.name)
            case "complete":
                return Complete()
            case "fail":
                return Fail(record.name)
            case _:
                return None

    def _command(self, record: EffectRecord) -> Any:
        payload = record.data if record.encoding == "json" else base64.b64decode(record.data)
        return self._script.registry.commands.decode(record.name, record.encoding, record.schema, payload)
