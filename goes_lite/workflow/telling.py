"""Telling instances their inputs: which ones an event concerns, and what happens if one cannot handle it.

Rule of this file: an instance fails alone. What its definition raises is noted in its record, its inputs wait in order, and all
others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from goes_lite.errors import CodecError, InstanceExists, InstanceNotFound, UnknownStep
from goes_lite.errors.functions import error_text, failure
from goes_lite.events.event import Event
from goes_lite.events.fields import to_micros
from goes_lite.events.outcome import COMMAND_OUTCOME
from goes_lite.events.workflow import WorkflowSuspended
from goes_lite.processor.target import HandlerFailed
from goes_lite.runtime.backoff import Backoff
from goes_lite.workflow.definition import RUN, Definition
from goes_lite.workflow.inputs import Input, TimerFired, ref_of
from goes_lite.workflow.instance import Failing, Instance
from goes_lite.workflow.options import OnSecondStart
from goes_lite.workflow.transition import Recorded, Step, begin, transition, undo_again
from goes_lite.workflow.work import Work

pauses = Backoff(0.1, maximum=30.0)
"""How long an instance that cannot handle an input waits for its next attempt, in seconds."""


class About(NamedTuple):
    """Which instances an event concerns, by their keys."""

    starts: tuple[str, ...]
    reacts: tuple[str, ...]
    versions: Mapping[int, tuple[str, ...]]
    """Of `reacts`, those of each version of the definition; empty where they do not differ."""


class Teller:
    """Tells the instances of one workflow their inputs, in memory. It calls the functions of the program."""

    def __init__(
        self,
        definitions: Mapping[int, Definition],
        version: int,
        on_second_start: OnSecondStart,
        patience: float,
        *,
        strict: bool,
    ) -> None:
        self.definitions = definitions
        self.newest = definitions[version]
        self._on_second_start: OnSecondStart = on_second_start
        self._patience = timedelta(seconds=patience)
        self._strict = strict
        self.ignored = 0
        """How many inputs concerned an instance that does not exist or has ended, or would have started one again."""
        self.again: int | None = None
        """The position of a dead letter that is being handled: the instance may have been told later events."""

    # --- events -----------------------------------------------------------------------------------------------------

    def concerned(self, events: Sequence[Event[Any]]) -> list[About]:
        """Return which instances each of the events concerns. HandlerFailed if a key function raises or returns nonsense."""
        found: list[About] = []
        for index, event in enumerate(events):
            try:
                found.append(self._concerns(event))
            except BaseException as exc:
                raise HandlerFailed(failure(exc), index) from exc
        return found

    def _concerns(self, event: Event[Any]) -> About:
        """Return whom an event concerns: an instance that runs under an earlier definition, by the keys of that one."""
        newest = self.newest.concerns(event)
        if len(self.definitions) == 1 or event.name == COMMAND_OUTCOME:
            return About(*newest, {})
        versions = {
            number: newest.reacts if one is self.newest else one.concerns(event).reacts
            for number, one in self.definitions.items()
        }
        return About(newest.starts, tuple(dict.fromkeys(key for keys in versions.values() for key in keys)), versions)

    def tell(
        self, work: Work, events: Sequence[Event[Any]], about: Sequence[About], index: int
    ) -> tuple[int, list[str]]:
        """Tell the events from `index` on. Return the index at which it ended, and the instances that have to be loaded there."""
        while index < len(events):
            event, (starting, reacting, versions) = events[index], about[index]
            concerned = dict.fromkeys(reacting) | dict.fromkeys(one for key in reacting for one in work.associated(key))
            missing = [key for key in concerned if not work.has(key)]
            if missing:
                return index, missing
            try:
                told = {key for key in starting if self._start(work, key, event)}
                for key in concerned:
                    if key in told:
                        continue
                    keys = versions.get(self._version(work, key), ()) if versions else reacting
                    if key in keys or any(key in work.associated(one) for one in keys):
                        self._react(work, key, event, own=key in keys)
            except (InstanceExists, InstanceNotFound, CodecError) as exc:
                raise HandlerFailed(exc, index) from exc
            except HandlerFailed as exc:
                exc.index = index
                raise
            index += 1
        return index, []

    def _version(self, work: Work, key: str) -> int:
        """Return the version of the definition by which it is decided what concerns an instance."""
        found = work.get(key)
        return self.newest.version if found is None or found.version not in self.definitions else found.version

    def _start(self, work: Work, key: str, event: Event[Any]) -> bool:
        """Start an instance; False if there is one that the event concerns in another way, or not at all."""
        found = work.get(key)
        if found is not None:
            reacts = self.definitions[self._version(work, key)].reacts
            if event.position <= found.position or (not found.ended and event.name in reacts):
                return False
            if not (found.ended and self._on_second_start == "new run"):
                if self._on_second_start == "error" and found.inputs:
                    raise InstanceExists(self.newest.name, key, found.status)
                self.ignored += 1
                return True
        try:
            instance = begin(self.newest, key, event, work.now, found)
        except BaseException as exc:
            raise HandlerFailed(failure(exc), None) from exc  # there is no instance yet that could fail
        self._tell(work, instance, event)
        return True

    def _react(self, work: Work, key: str, event: Event[Any], *, own: bool) -> None:
        instance = work.get(key)
        if instance is not None and event.name == COMMAND_OUTCOME and not _of_run(event, instance.run):
            self.ignored += 1  # it came after its run had been cancelled, say
        elif instance is None or instance.ended:
            if not own or work.associated(key) or (instance is not None and event.position <= instance.position):
                return
            if self._strict and event.name != COMMAND_OUTCOME:
                raise InstanceNotFound(self.newest.name, key, "" if instance is None else instance.status)
            self.ignored += 1
        elif event.position > instance.position or event.position == self.again:
            self._tell(work, instance, event)

    def _tell(self, work: Work, instance: Instance, event: Event[Any]) -> None:
        ready = instance.failing is None and instance.status != "suspended"
        if not (ready and self.attempt(work, instance, event)):
            work.wait(instance.key, event)

    # --- one input --------------------------------------------------------------------------------------------------

    def attempt(self, work: Work, instance: Instance, input: Input) -> bool:
        """Tell one instance one input; False if it cannot handle it, which is noted in its record."""
        try:
            step = transition(self.of(instance), instance, input, work.now)
        except BaseException as exc:  # noqa: BLE001 - the instance alone is concerned
            self.failed(work, instance, input, failure(exc))
            return False
        work.step(step, input)
        return True

    def attempt_undo(self, work: Work, instance: Instance) -> bool:
        """Dispatch an undo that has failed once more; False if that is impossible."""
        try:
            step = undo_again(self.of(instance), instance, work.now)
        except BaseException as exc:  # noqa: BLE001 - see above
            self.failed(work, instance, None, failure(exc))
            return False
        work.step(step, None)
        return True

    def of(self, instance: Instance) -> Definition:
        """Return the definition of an instance. UnknownStep if this program does not have its version."""
        definition = self.definitions.get(instance.version)
        if definition is None:
            raise UnknownStep(
                self.newest.name, instance.key, f"version {instance.version} of the definition",
                f"it has {', '.join(map(str, sorted(self.definitions)))}",
            )  # fmt: skip
        return definition

    def failed(self, work: Work, instance: Instance, input: Input | None, error: Exception) -> None:
        """Note that an instance cannot handle an input. It is tried again later; after its patience it is suspended."""
        before = instance.failing
        attempts = 1 if before is None else before.attempts + 1
        since = work.now if before is None else before.since
        text = error_text(error)
        given_up = isinstance(error, UnknownStep) or work.now - since >= self._patience
        failing = Failing(
            since, attempts, text, "" if input is None else input.name,
            input.position if isinstance(input, Event) else 0,
            to_micros(input.due) if isinstance(input, TimerFired) else 0,
            0 if given_up else to_micros(work.now) + round(pauses(attempts) * 1_000_000),
        )  # fmt: skip
        instance = replace(instance, failing=failing, updated=work.now)
        if not given_up:
            work.put(instance)
            return
        told = Recorded(WorkflowSuspended(text, attempts, None if input is None else ref_of(input)))
        instance = replace(instance, status="suspended", events=instance.events + 1)
        work.step(Step(instance, (), (told,), ()), input)


def _of_run(outcome: Event[Any], run: int) -> bool:
    """Whether the outcome of a command is for this run of its instance, and not for an earlier one."""
    runs = [tag for tag in outcome.tags if tag.startswith(RUN)]
    return f"{RUN}{run}" in runs if runs else run == 1
