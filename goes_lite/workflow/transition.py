"""The pure core: what one input makes of an instance. No I/O, no clock, bounded.

Rule of this file: the outcome depends on its arguments alone, so it may be computed any number of times, and all in it gets an
id that is derived from the instance and the input: what is repeated counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid5

from goes_lite.codec.payload import payload_text, text_payload
from goes_lite.commands import DispatchedCommand
from goes_lite.errors import CodecError, GoesError, InvalidEffect, InvalidEventError, TooManyEffects, UnknownStep
from goes_lite.errors.functions import check_result
from goes_lite.events.built_in import RESERVED
from goes_lite.events.event import CAUSATION, CORRELATION, Event, caused_by
from goes_lite.events.fields import check_name, check_tags, to_micros
from goes_lite.events.outcome import COMMAND_OUTCOME, REPORT, CommandOutcome, report_to
from goes_lite.events.workflow import (
    EffectRecord,
    WorkflowEnded,
    WorkflowHandled,
    WorkflowStarted,
    WorkflowSuspended,
)
from goes_lite.workflow.definition import INSTANCE, RUN, Definition, check_key
from goes_lite.workflow.effects import (
    EFFECTS,
    MAX_BYTES,
    MAX_EFFECTS,
    Associate,
    CancelTimer,
    Compensate,
    Complete,
    Dispatch,
    Dissociate,
    Effect,
    Fail,
    Publish,
    SetTimer,
    Undo,
)
from goes_lite.workflow.inputs import Input, TimerFired, ref_of
from goes_lite.workflow.instance import Failing, Instance, StoredCommand


class Recorded(NamedTuple):
    """An event for the history of the instance."""

    data: Any
    tags: tuple[str, ...] = ()


class Accepted(NamedTuple):
    """A command to be accepted, and when it is due (microseconds since 1970, UTC); None for at once."""

    command: DispatchedCommand[Any]
    due: int | None


class Step(NamedTuple):
    """What an input makes of an instance."""

    instance: Instance
    effects: tuple[EffectRecord, ...]
    events: tuple[Recorded, ...]
    """In their order; `instance.events` is the version of the last one."""
    commands: tuple[Accepted, ...]


def begin(
    definition: Definition, key: str, event: Event[Any], now: datetime, previous: Instance | None = None
) -> Instance:
    """Return a new instance before its first input, after an earlier run of the same key that has ended."""
    run = 1 if previous is None else previous.run + 1
    return Instance(
        definition.name, key, uuid5(event.id, f"{definition.name}/{key}/{run}"), "running", definition.version,
        definition.plain(definition.initial(key)), now, now, run, events=0 if previous is None else previous.events,
        correlation=event.metadata.get(CORRELATION) or str(event.id),
    )  # fmt: skip


def start(definition: Definition, key: str, event: Event[Any], now: datetime, previous: Instance | None = None) -> Step:
    """Return what an event that starts an instance makes of it: `begin` and `transition`."""
    return transition(definition, begin(definition, key, event, now, previous), event, now)


def transition(definition: Definition, instance: Instance, input: Input, now: datetime) -> Step:
    """Return what an input makes of a running or compensating instance.

    What the functions of the definition raise propagates. InvalidEffect for an effect that cannot be done, TooManyEffects,
    EncodeError for a state or command that does not fit its type, DecodeError for a stored state that does not, UnknownStep for
    a timer that the definition does not have any more.
    """
    state = definition.evolved(definition.restored(instance.state), input)
    position = instance.position if isinstance(input, TimerFired) else input.position
    told = replace(
        instance, state=definition.plain(state), position=max(instance.position, position), inputs=instance.inputs + 1,
        updated=now, failing=None,
    )  # fmt: skip
    if isinstance(input, TimerFired):
        told = replace(told, timers=told.timers_without(input.name))
        if input.name not in definition.timers and told.status == "running":
            raise UnknownStep(
                definition.name, instance.key, f"the timer {input.name!r}",
                f"its timers in version {definition.version} are {sorted(definition.timers)!r}",
            )  # fmt: skip
    made = _Made(definition, told, input)
    if told.status == "compensating":
        made.compensate_further(now)
    else:
        reaction = definition.reaction(input, starting=not instance.inputs)
        if reaction is not None:
            made.carry_out(reaction(state, input))
    return made.step(instance, WorkflowHandled(told.inputs, ref_of(input), tuple(made.effects)))


def undo_again(definition: Definition, instance: Instance, now: datetime) -> Step:
    """Return what dispatches the undo of a compensating instance that has failed once more."""
    made = _Made(definition, replace(instance, failing=None, updated=now), None)
    made.undo_next()
    return made.step(instance, None)


class _Made:
    """Carries out the effects of a reaction on a record in memory."""

    def __init__(self, definition: Definition, instance: Instance, input: Input | None) -> None:
        self.definition = definition
        self.instance = instance
        self.input = input
        self.effects: list[EffectRecord] = []
        self.events: list[Recorded] = []
        self.commands: list[Accepted] = []
        self._ids: set[UUID] = set()
        self._bytes = 0

    def step(self, before: Instance, handled: WorkflowHandled | None) -> Step:
        """Return all of it."""
        events = self.events if handled is None else [Recorded(handled), *self.events]
        if not before.inputs and handled is not None:
            events = [Recorded(WorkflowStarted(before.version, before.run)), *events]
        self._change(events=before.events + len(events))
        return Step(self.instance, tuple(self.effects), tuple(events), tuple(self.commands))

    def carry_out(self, reaction: Any) -> None:
        """Carry out what a reaction returned: effects, one effect, or None."""
        if reaction is None:
            return
        if isinstance(reaction, EFFECTS):
            reaction = (reaction,)
        if isinstance(reaction, str | bytes | dict) or not isinstance(reaction, Iterable):
            check_result("a reaction", cast("object", reaction))
            raise self._invalid(f"a reaction must return effects, an iterable of them or None, not {reaction!r:.120}")
        for effect in cast("Iterable[object]", reaction):
            if not isinstance(effect, EFFECTS):
                check_result("a reaction", effect)
                raise self._invalid(
                    f"{effect!r:.120} is no effect: return Dispatch(…), SetTimer(…), Publish(…), Complete() and so on"
                )
            if len(self.effects) >= MAX_EFFECTS:
                raise self._too_many("effects", MAX_EFFECTS)
            if self.instance.ended or self.instance.status == "compensating":
                raise self._invalid(
                    f"{effect!r:.120} comes after the end of the instance: return Complete(), Fail() or Compensate() last"
                )
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Dispatch():
                due = None if effect.at is None else self._micros(effect.at, effect)
                number = str(len(self.commands)) if effect.key is None else f"key {effect.key}"
                stored = self._stored(effect.command)
                id = self._dispatch(stored, f"{self.instance.inputs}/{number}", due, effect.command, effect.tags)
                self.effects.append(EffectRecord("dispatch", stored.command, str(id), due or 0, *self._parts(stored)))
            case SetTimer():
                self._set_timer(effect)
            case CancelTimer():
                self._name(effect.name)
                self._change(timers=self.instance.timers_without(effect.name))
                self.effects.append(EffectRecord("cancel", effect.name))
            case Publish():
                self._publish(effect)
            case Associate() | Dissociate():
                self._associate(effect)
            case Undo():
                stored = self._stored(effect.command)
                self._change(undo=[*self.instance.undo, stored])
                self.effects.append(EffectRecord("undo", stored.command, "", 0, *self._parts(stored)))
            case Compensate():
                reason = self._text(effect.reason)
                self.effects.append(EffectRecord("compensate", reason))
                self._change(status="compensating", compensating=True, reason=reason, timers={}, associations=[])
                self.undo_next()
            case Complete():
                self.effects.append(EffectRecord("complete"))
                self.end("completed", "")
            case Fail():
                reason = self._text(effect.reason)
                self.effects.append(EffectRecord("fail", reason))
                self.end("failed", reason)

    # --- one kind of effect -----------------------------------------------------------------------------------------

    def _set_timer(self, effect: SetTimer) -> None:
        self._name(effect.name)
        if (effect.at is None) == (effect.after is None):
            raise self._invalid(f"{effect!r:.120}: give either at=… or after=…")
        try:
            base: Any = self.input
            due = to_micros(cast("datetime", effect.at) if effect.after is None else base.time + effect.after)
        except (InvalidEventError, TypeError, OverflowError) as exc:
            raise self._invalid(f"{effect!r:.120}: {exc}") from exc
        due = max(1, due)  # 0 stands for none
        self._change(timers={**self.instance.timers, effect.name: due})
        self.effects.append(EffectRecord("timer", effect.name, "", due))

    def _publish(self, effect: Publish) -> None:
        try:
            name, _, encoded = self.definition.registry.capture(effect.data)
            tags = check_tags(effect.tags) or frozenset()
        except CodecError:
            raise
        except GoesError as exc:
            raise self._invalid(f"{effect!r:.120}: {exc}") from exc
        if name.startswith(RESERVED):
            raise self._invalid(f"{effect!r:.120}: an event of goes_lite itself cannot be published")
        payload = encoded.payload.encode() if isinstance(encoded.payload, str) else encoded.payload
        self._count(len(payload))
        self.events.append(Recorded(effect.data, tuple(sorted(tags))))
        digest = hashlib.sha256(payload).hexdigest()
        self.effects.append(EffectRecord("publish", name, "", 0, encoded.encoding, encoded.schema, digest))

    def _associate(self, effect: Associate | Dissociate) -> None:
        try:
            key = check_key(effect.key)
        except InvalidEventError as exc:
            raise self._invalid(f"{effect!r:.120}: {exc}") from exc
        others = [one for one in self.instance.associations if one != key]
        if isinstance(effect, Associate):
            self._change(associations=[*others, key])
            self.effects.append(EffectRecord("associate", key))
        else:
            self._change(associations=others)
            self.effects.append(EffectRecord("dissociate", key))

    def end(self, status: Any, reason: str) -> None:
        """End the instance."""
        self.instance = self.instance.ending(status, reason)
        self.events.append(Recorded(WorkflowEnded(status, reason)))

    # --- compensation -----------------------------------------------------------------------------------------------

    def compensate_further(self, now: datetime) -> None:
        """Dispatch the next undo if the outcome of the one before came; suspend the instance if that has failed."""
        if not isinstance(self.input, Event) or self.input.name != COMMAND_OUTCOME:
            return  # it changed the state, and nothing is decided any more
        outcome: CommandOutcome = self.input.data
        done, late = outcome.outcome == "done", outcome.id == self.instance.failed_undo
        if outcome.id != self.instance.undoing and not (done and late):
            return
        if done:
            self.effects.append(EffectRecord("undone", outcome.command, str(outcome.id)))
            self._change(undo=self.instance.undo[:-1], undoing=None, failed_undo=None)
            self.undo_next()
            return
        error = f"{outcome.command} undoes a step, and was {outcome.outcome}: {outcome.message}"
        failing = Failing(now, outcome.attempts, error, outcome.command, self.input.position)
        self._change(status="suspended", undoing=None, failed_undo=outcome.id, failing=failing)
        self.events.append(Recorded(WorkflowSuspended(error, outcome.attempts)))

    def undo_next(self) -> None:
        """Dispatch the next undo; end the instance after the last one."""
        if not self.instance.undo:
            self.end("failed", self.instance.reason)
            return
        stored = self.instance.undo[-1]
        left = len(self.instance.undo)
        id = self._dispatch(stored, f"{self.instance.inputs}/undo {left}", None)
        self.effects.append(EffectRecord("dispatch", stored.command, str(id), 0, *self._parts(stored)))
        self._change(undoing=id)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _stored(self, command: object) -> StoredCommand:
        try:
            name, _, (encoding, schema, payload) = self.definition.registry.commands.capture(command)
        except CodecError:
            raise
        except GoesError as exc:
            raise self._invalid(f"{command!r:.120} cannot be dispatched: {exc}") from exc
        text = payload_text(payload)
        self._count(len(text))
        return StoredCommand(name, encoding, schema, text, isinstance(payload, bytes))

    def _dispatch(
        self, stored: StoredCommand, id_of: str, due: int | None, data: object = None, tags: tuple[str, ...] = ()
    ) -> UUID:
        id = uuid5(self.instance.id, id_of)
        if id in self._ids:
            raise self._invalid(f"two commands of one reaction have the key {id_of.partition('/')[2]!r:.80}")
        self._ids.add(id)
        if data is None:
            data = restored_command(self.definition, stored)
        try:
            run = (f"{RUN}{self.instance.run}",) if self.instance.run > 1 else ()
            report = report_to((self.definition.tag, INSTANCE + self.instance.key, *run, *tags))
        except (GoesError, TypeError) as exc:
            raise self._invalid(f"a command with the tags {tags!r:.120}: {exc}") from exc
        metadata = {**metadata_of(self.instance, self.input), REPORT: report}
        self.commands.append(Accepted(DispatchedCommand(id, stored.command, data, metadata, None, once=True), due))
        return id

    @staticmethod
    def _parts(stored: StoredCommand) -> tuple[str, int, str]:
        return stored.encoding, stored.schema, stored.data

    # --- checks -----------------------------------------------------------------------------------------------------

    def _change(self, **fields: Any) -> None:
        # It belongs to nobody else before `step`; a copy for each effect would cost more.
        vars(self.instance).update(fields)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_BYTES:
            raise self._too_many("bytes of commands and events", MAX_BYTES)

    def _micros(self, time: object, effect: object) -> int:
        try:
            return max(0, to_micros(cast("datetime", time)))
        except InvalidEventError as exc:
            raise self._invalid(f"{effect!r:.120}: {exc}") from exc

    def _name(self, name: object) -> None:
        try:
            check_name(name, "the name of a timer")
        except GoesError as exc:
            raise self._invalid(str(exc)) from exc

    def _text(self, reason: object) -> str:
        if not isinstance(reason, str):
            raise self._invalid(f"a reason must be a str, not {reason!r:.80}")
        return reason[:2000].encode("utf-8", "replace").decode()

    def _invalid(self, problem: str) -> InvalidEffect:
        key = self.instance.key
        return InvalidEffect(
            self.definition.name, key, f"workflow {self.definition.name!r}, instance {key!r:.80}: {problem}"
        )

    def _too_many(self, what: str, limit: int) -> TooManyEffects:
        return TooManyEffects(self.definition.name, self.instance.key, what, limit)


def restored_command(definition: Definition, stored: StoredCommand) -> Any:
    """Return a command that an instance keeps, as its current type. DecodeError, UnknownEventError."""
    commands = definition.registry.commands
    payload = text_payload(stored.data, binary=stored.binary)
    return commands.decode(stored.command, stored.encoding, stored.schema, payload)


def metadata_of(instance: Instance, input: Input | None) -> dict[str, str]:
    """Return the metadata of what an instance does because of an input: its own correlation, and the input as the cause."""
    if isinstance(input, Event):
        return {**caused_by(input), CORRELATION: instance.correlation}
    return {CORRELATION: instance.correlation, CAUSATION: str(instance.id)}
