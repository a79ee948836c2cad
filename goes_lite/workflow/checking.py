"""Would today's code do what was done? Stored histories are run through a definition, and their effects compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from goes_lite.contract.backend import Stores
from goes_lite.errors.functions import error_text, failure
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.workflow import (
    EffectRecord,
    WorkflowHandled,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)
from goes_lite.workflow.definition import AGGREGATE, Definition
from goes_lite.workflow.history import read_input
from goes_lite.workflow.instance import Instance
from goes_lite.workflow.transition import begin, transition, undo_again


class HistoryDifference(NamedTuple):
    """The first input of an instance to which today's code would react in another way."""

    workflow: str
    key: str
    number: int
    """Of the input in its run: 1, 2, …"""
    position: int
    """In the log, of the event that tells what was done."""
    input: str
    """The name of the event or timer."""
    was: tuple[EffectRecord, ...]
    """The effects that were carried out."""
    would_be: tuple[EffectRecord, ...]
    """Those of today's code."""
    problem: str = ""
    """Why it cannot be compared: what today's code raises, or that the input was erased."""


class _Checked:
    """One history on its way through the code of today."""

    def __init__(self, store: Stores, definitions: Mapping[int, Definition], newest: Definition, key: str) -> None:
        self._store = store
        self._definitions = definitions
        self._newest = newest
        self._key = key
        self._version = newest.version
        self._previous: Instance | None = None
        self._instance: Instance | None = None

    @property
    def _definition(self) -> Definition:
        return self._definitions.get(self._version, self._newest)

    async def of(self, event: Event[Any]) -> HistoryDifference | None:
        """Go on with the next event of the history; return the difference that it shows."""
        data = event.data
        if isinstance(data, WorkflowStarted):
            self._version, self._previous, self._instance = data.version, self._instance, None
        elif isinstance(data, WorkflowResumed):
            self._resume(data, event)
        elif isinstance(data, WorkflowSuspended):
            if data.input is None and self._instance is not None:  # an undo failed, perhaps one that was redriven
                self._instance = replace(self._instance, undoing=None)
        elif isinstance(data, WorkflowHandled):
            return await self._handle(data, event)
        return None

    async def _handle(self, data: WorkflowHandled, event: Event[Any]) -> HistoryDifference | None:
        was, problem = tuple(data.effects), ""
        would_be: tuple[EffectRecord, ...] = ()
        try:
            told = await read_input(self._store, data.input)
            if told is None:
                problem = "the input was erased"
            else:
                before = self._instance
                if before is None and isinstance(told, Event):
                    before = begin(self._definition, self._key, told, event.time, self._previous)
                if before is not None:
                    step = transition(self._definition, before, told, event.time)
                    self._instance, would_be = step.instance, step.effects
        except BaseException as exc:  # noqa: BLE001 - a function of the program, or an input that cannot be read
            problem = error_text(failure(exc), 500)
        if was == would_be and not problem:
            return None
        return HistoryDifference(
            self._newest.name, self._key, data.number, event.position, data.input.name, was, would_be, problem
        )

    def _resume(self, data: WorkflowResumed, event: Event[Any]) -> None:
        """Do to the instance what the person did who let it go on."""
        instance = self._instance
        self._version = data.version
        if instance is None:
            return
        if data.skipped is not None and data.skipped.kind == "timer":
            instance = replace(instance, timers=instance.timers_without(data.skipped.name))
        if instance.compensating and instance.undoing is None and instance.undo:
            if data.action == "skip":
                instance = replace(instance, undo=instance.undo[:-1], failed_undo=None)
            instance = undo_again(self._definition, replace(instance, status="compensating"), event.time).instance
        self._instance = instance


async def differences(
    store: Stores, newest: Definition, definitions: Mapping[int, Definition], limit: int | None
) -> list[HistoryDifference]:
    """Run the histories of a workflow through definitions; return the first difference of each that has one."""
    found: list[HistoryDifference] = []
    async for info in store.events.aggregates(AGGREGATE + newest.name, limit=limit):
        checked = _Checked(store, definitions, newest, info.aggregate.id)
        for event in await store.events.load(AggregateRef(*info.aggregate)):
            difference = await checked.of(event)
            if difference is not None:
                found.append(difference)
                break
    return found
