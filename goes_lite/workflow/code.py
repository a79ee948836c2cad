"""Workflows that are written as functions: definitions like any other, whose state is what the function was answered so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

from goes_lite.errors import CommandFailed, CommandRejected, RegistrationError, StepError, TooManySteps, UnknownStep
from goes_lite.errors.functions import form_of
from goes_lite.events.event import Event
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.events.marks import EventKind
from goes_lite.events.outcome import COMMAND_OUTCOME, CommandOutcome
from goes_lite.events.registry import Registry, default_registry
from goes_lite.workflow.definition import Workflow
from goes_lite.workflow.effects import CancelTimer, Compensate, Complete, Dissociate, Effect, SetTimer
from goes_lite.workflow.flow import BlockingFlow, Flow, drive
from goes_lite.workflow.flow_run import MISSING, STEP, Ended, FlowRun, Suspended
from goes_lite.workflow.flow_waits import Waits, release
from goes_lite.workflow.inputs import Input, TimerFired
from goes_lite.workflow.marks import Key, on_timer, reacts, starts
from goes_lite.workflow.memory import Answer, Memory, event_of, restored_event, stored_event, taken

F = TypeVar("F", bound=Callable[..., Any])

WAKE = "wake"
"""The timer of an instance: when the next wait or sleep ends."""
MAX_INBOX = 1000
"""How many events may come before anybody waits for them."""


@cache
def step_command(workflow: str) -> Callable[[str, UUID, str], object]:
    """Return the type of the commands that let a worker make the calls of a workflow: one type for each workflow."""

    @dataclass(frozen=True)
    class StepCommand:
        key: str
        start: UUID
        step: str

    return StepCommand


def step_name(workflow: str) -> str:
    """Return the registered name of those."""
    return f"workflow:{workflow}/step"


class CodeWorkflow(Workflow[Memory]):
    """Base of the workflows that are functions; `flow` makes them."""

    function: Any
    keys: Mapping[EventKind, Key]
    _registry: Registry = default_registry

    def bound(self, registry: Registry) -> CodeWorkflow:
        """Return the workflow for a registry, in which the commands of its steps are registered."""
        registry.commands.register(step_name(self.name), step_command(self.name))
        mine = copy(self)
        mine._registry = registry
        return mine

    def initial(self, key: str) -> Memory:
        """Return an empty memory."""
        return Memory(key)

    def evolve(self, state: Memory, input: Input) -> Memory:
        """Note what the instance is told, and run the function up to what it waits for next."""
        if state.over:
            return state
        again = self._note(state, input)
        run = self.run(state, input.time, again)
        for name in again - run.seen:
            raise UnknownStep(
                self.name,
                state.key,
                name,
                f"its function has come to {sorted(run.seen)!r:.500}, and not to what it waits for",
            )
        effects: list[Effect] = [*run.effects]
        if not state.over and run.next_due != state.wake:  # the end of an instance ends its timers
            state.wake = run.next_due
            effects.append(SetTimer(WAKE, at=from_micros(state.wake)) if state.wake else CancelTimer(WAKE))
        vars(state)["_effects"] = effects  # for `react`, which is called with this very state; not stored
        return state

    @staticmethod
    def react(state: Memory, input: Input) -> Iterable[Effect]:
        """Return what the function asked for in the run of `evolve`."""
        return cast("list[Effect]", vars(state).get("_effects", []))

    def run(self, state: Memory, now: Any, again: Iterable[str] = ()) -> FlowRun:
        """Run the function from its start. What it asks for is in the memory and in the run; failures of its own propagate."""
        keys = {name: key for kind, key in self.keys.items() for name in self._registry.names_of(kind)}
        waits = Waits(self.name, keys)
        run = FlowRun(self.name, state, self._registry, waits, step_command(self.name), now)
        run.again |= {*again}
        start = restored_event(state.started_by, self._registry)
        try:
            if form_of(self.function) == "a coroutine":
                drive(self.function(Flow(run), start), run)
            else:
                self.function(BlockingFlow(run), start)
            ending: Effect | None = None if run.parked else Complete()
        except Suspended:
            ending = None
        except Ended as exc:
            ending = exc.effect
        except (CommandRejected, CommandFailed, StepError) as exc:
            if exc not in run.raised:
                raise
            ending = Compensate(str(exc))
        if ending is None:
            run.effects += map(Dissociate, release(state))
        else:
            run.effects.append(ending)
            state.over = True
        return run

    def _note(self, state: Memory, input: Input) -> set[str]:
        """Note an input; return the names of what is to be asked again, because its outcome is no answer."""
        if isinstance(input, TimerFired):
            state.wake = 0
            for name, asked in state.asked.items():
                if asked.due and asked.due <= to_micros(input.due) and name not in state.answers:
                    state.answers[name] = Answer("timeout")
        elif state.start is None:
            state.start = stored_event(input)
        elif input.name == COMMAND_OUTCOME:
            names = [tag.removeprefix(STEP) for tag in input.tags if tag.startswith(STEP)]
            return {name for name in names if not self._answer(state, name, input)}
        elif input.id not in state.found:
            if len(state.inbox) >= MAX_INBOX:
                raise TooManySteps(self.name, state.key, input.name, MAX_INBOX, "events that nobody waits for")
            state.inbox.append(stored_event(input))
        return set()

    def _answer(self, state: Memory, name: str, event: Event[CommandOutcome]) -> bool:
        """Note the outcome of a command: what a step returned, or an event that was found in the log.

        False if it is no answer to what was asked, and the function still waits for one.
        """
        told, asked = event.data, state.asked.get(name)
        if asked is None or asked.dropped or name in state.answers:
            return True
        if asked.kind in ("step", "wait") and (told.outcome, told.code) == ("rejected", MISSING):
            return False
        if asked.kind == "wait" and told.outcome == "done":
            if told.result is not None:
                found = event_of(told.result)
                if found.id in taken(state):
                    return False
                state.answers[name] = Answer("event", event=found)
                state.found.append(found.id)
                state.inbox = [one for one in state.inbox if one.id != found.id]
            return True
        state.answers[name] = Answer(
            told.outcome, told.result, None, told.command, told.id, told.code, told.message, told.details, told.attempts
        )
        return True


def flow(
    name: str,
    *,
    starts_with: EventKind,
    key: Key | None = None,
    waits_for: Mapping[EventKind, Key | None] | None = None,
    version: int = 1,
) -> Callable[[Callable[..., Any]], CodeWorkflow]:
    """Make a workflow of the decorated function: of a coroutine function with a `Flow`, of a plain one with a `BlockingFlow`.

        @goes.flow("fulfilment", starts_with=OrderPlaced, waits_for={OrderPaid: lambda event: event.data.order})
        async def fulfil(flow: goes.Flow, placed: goes.Event[OrderPlaced]) -> None: ...

        async with db.workflow(fulfil), db.commands.worker(): ...

    Arguments
      name, version   as the class arguments of `Workflow`.
      starts_with     the events that start an instance; the function is called with the one that did.
      key             returns the key of the instance, by default the id of the aggregate of the event.
      waits_for       the events that the function may wait for, each with a function that returns their keys, or None for the id
                      of their aggregate.

    The calls of its steps are made by a `worker` of a handle on which `workflow` was called. RegistrationError for anything that
    would fail later.
    """
    if not isinstance(name, str):
        raise RegistrationError(f"flow() needs the name: write @flow('some name', …) above {name!r:.80}")
    if waits_for is not None and not isinstance(waits_for, Mapping):
        raise RegistrationError(
            f"waits_for must say with which key an event is waited for: write {{OrderPaid: None}}, not {waits_for!r:.80}"
        )

    def decorate(function: Callable[..., Any]) -> CodeWorkflow:
        if not callable(function) or form_of(function) not in ("", "a coroutine"):
            raise RegistrationError(f"flow() decorates a function or a coroutine function, not {function!r:.80}")

        def reaction(self: CodeWorkflow, state: Memory, input: Any) -> Iterable[Effect]:
            return self.react(state, input)

        marked: Any = on_timer(WAKE)(starts(starts_with, key=key)(reaction))
        own: dict[EventKind, Key] = {}
        for kind, of in (waits_for or {}).items():
            marked = reacts(kind, key=of)(marked)
            own[kind] = of or _aggregate_id
        title = getattr(function, "__name__", name)
        members: dict[str, Any] = {
            "__module__": getattr(function, "__module__", __name__), "__doc__": function.__doc__,
            "function": staticmethod(function), "keys": own, "reaction": marked, "every": "reaction",
        }  # fmt: skip
        kind_of: Any = type(CodeWorkflow)
        made = kind_of(title, (CodeWorkflow,), members, name=name, version=version)
        return cast("CodeWorkflow", made())

    return decorate


def _aggregate_id(event: Event[Any]) -> str | None:
    return None if event.aggregate is None else event.aggregate.id
