"""A workflow as two functions instead of a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from goes_lite.errors import RegistrationError
from goes_lite.errors.functions import check_function
from goes_lite.events.marks import EventKind
from goes_lite.workflow.definition import Workflow
from goes_lite.workflow.marks import Key, on_done, on_rejected, on_timer, reacts, starts

S = TypeVar("S")


def workflow_of(
    name: str,
    *,
    state: type[S],
    react: Callable[[S, Any], object],
    starts_with: Mapping[EventKind, Key | None],
    inputs: Mapping[EventKind, Key | None] | None = None,
    timers: Sequence[str] = (),
    commands: Sequence[EventKind] = (),
    evolve: Callable[[S, Any], S | None] | None = None,
    initial: Callable[[str], S] | None = None,
    version: int = 1,
) -> Workflow[S]:
    """Make a workflow of functions.

    Arguments
      name, version   as the class arguments of `Workflow`.
      state           the type of the state; `initial(key)` makes one, by default the type called without arguments.
      react           (state, input) → effects: called for each of the inputs that follow.
      starts_with     the events that start an instance, each with the function of its key, or None for the id of its aggregate.
      inputs          the events that concern running instances, in the same way.
      timers          the names of its timers.
      commands        the commands whose outcomes it is told: done, rejected and failed.
      evolve          (state, input) → the next state.

    RegistrationError for anything that would fail later.
    """
    check_function("react", react, iterated=True, error=RegistrationError)
    for what, function in (("evolve", evolve), ("initial", initial)):
        if function is not None:
            check_function(what, function, error=RegistrationError)

    def made(function: Callable[..., object]) -> Any:
        def method(self: object, state: Any, input: Any) -> object:
            return function(state, input)

        return method

    members: dict[str, Any] = {"__module__": getattr(react, "__module__", __name__), "state": state}
    reaction: Any = made(react)
    for event, key in starts_with.items():
        reaction = starts(event, key=key)(reaction)
    for event, key in (inputs or {}).items():
        reaction = reacts(event, key=key)(reaction)
    if timers:
        reaction = on_timer(*timers)(reaction)
    if commands:
        reaction = on_rejected(*commands)(on_done(*commands)(reaction))
    members["reaction"] = reaction
    if evolve is not None:
        members["evolve"] = made(evolve)
    if initial is not None:
        make = initial

        def first(self: object, key: str) -> S:
            return make(key)

        members["initial"] = first
    base: Any = Workflow
    kind: Any = type(base)(name.title().replace(" ", ""), (Workflow,), members, name=name, version=version)
    return cast("Workflow[S]", kind())
