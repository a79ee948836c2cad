"""Making the calls of workflows that are functions: a worker runs the function once more, up to the step, and calls it.

Rule of this file: calls are made outside of any transaction. What they return becomes the outcome of a command, so it is stored
once, and reaches the instance in the order of the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from goes_lite.commands.accepting import Postponed
from goes_lite.contract.backend import Backend
from goes_lite.errors import TRANSIENT, CommandRejected
from goes_lite.errors.functions import failure
from goes_lite.events.query import EventQuery
from goes_lite.runtime.face import Face, call
from goes_lite.workflow.code import CodeWorkflow, step_name
from goes_lite.workflow.definition import Definition
from goes_lite.workflow.flow_run import MAX_RESULT, MISSING, TOO_LARGE, FlowRun
from goes_lite.workflow.instance import Instance
from goes_lite.workflow.memory import Memory, event_text, stored_event, taken
from goes_lite.workflow.stored import Stored

Plain = Any
"""What `json.loads` returns."""


BROKEN, ABSENT = 1.0, 30.0
"""How long a step waits for a function that raises, and for a program that has it, in seconds."""


class Steps:
    """Makes the calls of one workflow."""

    def __init__(
        self, backend: Backend, definitions: Mapping[int, Definition], newest: Definition, face: Face, patience: float
    ) -> None:
        self.command = step_name(newest.name)
        """The registered name of the commands that it handles."""
        self._backend = backend
        self._face = face
        self._definitions = definitions
        self._newest = newest
        self._patience = patience

    async def handle(self, command: Any) -> Plain:
        """Make a call and return its result; None if nobody waits for it any more."""
        record = await Stored(self._backend, self._newest.name).instances.find(command.key)
        if record is None or record.ended or record.status == "compensating":
            return None
        definition = self._definitions.get(record.version)
        if definition is None or not isinstance(definition.workflow, CodeWorkflow):
            raise self._missing(record, f"version {record.version} of the definition")
        state: Memory = definition.restored(record.state)
        if state.over or state.started_by.id != command.start or command.step in state.answers:
            return None
        asked = state.asked.get(command.step)
        if asked is None or asked.dropped:
            return None
        run = await self._run(definition.workflow, state)
        if command.step in run.looks:
            return await self._look(state, run, command.step)
        found = run.calls.get(command.step)
        if found is None:
            raise self._missing(record, repr(command.step))
        function, codec = found
        result = await call(self._face.function(function, f"the {command.step!r}"))
        text = codec.encode(result)
        if text is not None and len(text.encode()) > MAX_RESULT:
            raise CommandRejected(TOO_LARGE, f"the result of the {command.step!r} has {len(text)} characters")
        return None if text is None else json.loads(text)

    async def _run(self, workflow: CodeWorkflow, state: Memory) -> FlowRun:
        try:
            return cast("FlowRun", await call(self._face.function(workflow.run, "a workflow"), state, self._now()))
        except TRANSIENT:
            raise
        except BaseException as raised:  # noqa: BLE001 - the function does not come up to the step, so that has not failed
            error = failure(raised)
            raise Postponed(
                f"the workflow {workflow.name!r} does not work for {state.key!r:.80}: {error!r:.500}", BROKEN
            ) from error

    async def _look(self, state: Memory, run: FlowRun, step: str) -> Plain:
        """Return the first event that matches a wait and is in the log since the instance started; None without one."""
        names, matches = run.looks[step]
        chosen = self._face.function(matches, "where")
        others = taken(state)
        async for event in self._backend.events.query(EventQuery(names), after=state.started_by.position):
            if event.id not in others and await call(chosen, event):
                return json.loads(event_text(stored_event(event)))
        return None

    def _now(self) -> Any:
        return self._backend.runtime.clock.now()

    def _missing(self, instance: Instance, what: str) -> Exception:
        """Return what to raise for a step that this program does not have.

        Another program may have it, so it waits. After the patience of the workflow the instance is told, which is suspended
        unless its own program has the step.
        """
        text = (
            f"the instance {instance.key!r:.80} of the workflow {self._newest.name!r} needs {what}, which this program does not "
            "have"
        )
        left = self._patience - (self._now() - instance.updated).total_seconds()
        if left > 0:
            return Postponed(f"{text}: another one may, so it is tried again", min(ABSENT, left))
        return CommandRejected(MISSING, text)
